"""What GIN-attention over tokens and over edges have in common: their weights."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from graphattn.checks import check_choice, check_least
from graphattn.nn.head_mlp import HeadMLP
from graphattn.ops.token_scores import AttentionRule

_AGGREGATORS = ("sum", "mean", "var", "max", "min")


class GINOptions(NamedTuple):
    """Options of both layers, explained in :class:`~graphattn.nn.GINAttention`."""

    heads: int
    head_dim: int
    out_channels: int | None
    value: str
    out_proj: bool
    bias: bool
    normalize: str
    sharpen: bool
    threshold: float | None
    top_k: int | None
    differential: bool
    aggregators: tuple[str, ...]
    self_weight: float
    train_self_weight: bool
    mlp_ratio: float
    norm: str | None
    act: str
    dropout: float
    mlp_dropout: float


class GINHeads(nn.Module):
    """Abstract: projections, sharpness, self weight and update of GIN-attention.

    Args:
        in_channels: Channels of those who attend.
        source_channels: Channels of those attended to.
        options: The options.
        num_scalers: How often the network of a head sees each aggregate.

    Raises:
        ValueError: An option is unknown or out of range, or sizes do not fit together.
    """

    self_weight: Tensor | None

    def __init__(
        self, in_channels: int, source_channels: int, options: GINOptions, num_scalers: int = 1
    ) -> None:
        super().__init__()
        o = options
        hidden = o.heads * o.head_dim
        _check(o, in_channels, source_channels)
        self.heads, self.head_dim, self.options = o.heads, o.head_dim, o
        self.in_channels, self.source_channels = in_channels, source_channels
        self.out_channels = hidden if o.out_channels is None else o.out_channels
        self.lin_query = nn.Linear(in_channels, hidden, bias=o.bias)
        self.lin_key = nn.Linear(source_channels, hidden, bias=o.bias)
        is_linear = o.value == "linear"
        # Where both sides have other channels, the own value needs a projection of its own.
        own = in_channels != source_channels and bool({"sum", "max", "min"} & set(o.aggregators))
        self.lin_value = nn.Linear(source_channels, hidden, bias=o.bias) if is_linear else None
        self.lin_self = nn.Linear(in_channels, hidden, bias=o.bias) if is_linear and own else None
        self.lin_query2 = nn.Linear(in_channels, hidden, bias=o.bias) if o.differential else None
        self.lin_key2 = nn.Linear(source_channels, hidden, bias=o.bias) if o.differential else None
        self.contrast = nn.Parameter(torch.empty(())) if o.differential else None
        self.log_sharpness = nn.Parameter(torch.empty(o.heads)) if o.sharpen else None
        if "sum" in o.aggregators and o.train_self_weight:
            self.self_weight = nn.Parameter(torch.empty(o.heads))
        else:
            self.register_buffer("self_weight", torch.empty(o.heads), persistent=False)
        self.mlp = HeadMLP(
            o.heads,
            num_scalers * len(o.aggregators) * o.head_dim,
            max(1, math.floor(o.mlp_ratio * o.head_dim)),
            o.head_dim if o.out_proj else self.out_channels // o.heads,
            norm=o.norm,
            act=o.act,
            dropout=o.mlp_dropout,
        )
        self.lin_out = nn.Linear(hidden, self.out_channels, bias=False) if o.out_proj else None
        self._reset_own()

    def _reset_own(self) -> None:
        for module in self.children():
            if isinstance(module, nn.Linear | HeadMLP):
                module.reset_parameters()
        with torch.no_grad():
            if self.log_sharpness is not None:
                self.log_sharpness.zero_()
            if self.self_weight is not None:
                self.self_weight.fill_(self.options.self_weight)
            if self.contrast is not None:
                self.contrast.fill_(0.2)

    def _check_features(self, sources: Tensor, targets: Tensor, form: str) -> None:
        """Refuses features that have other axes than ``form``, or other channels than asked."""
        asked = ((sources, self.source_channels), (targets, self.in_channels))
        for x, channels in asked:
            if x.dim() != form.count(",") + 1 or x.size(-1) != channels:
                raise ValueError(f"x must be {form} with {channels} channels: got {list(x.shape)}.")

    def _rule(self) -> AttentionRule:
        o = self.options
        dropout = o.dropout if self.training else 0.0
        return AttentionRule(o.normalize, o.threshold, o.top_k, dropout)

    def _only_sums(self, *features: Tensor | None) -> bool:
        """Whether weights that are not cut make sums, of numbers that kernels of the CPU take."""
        o, own = self.options, self.lin_query.weight
        # What replaced a projection may do more than multiply by its weight.
        linears = [m for m in self.children() if m is not self.mlp and m is not self.lin_out]
        return (
            o.aggregators == ("sum",)
            and self._rule().keeps_all
            and not o.differential
            and not self._rule().dropout
            and all(
                x.device.type == "cpu" and x.dtype == own.dtype
                for x in (*features, own)
                if x is not None
            )
            and own.dtype in (torch.float32, torch.float64)
            and not torch.is_autocast_enabled("cpu")
            and all(
                type(m) is nn.Linear and not (m._forward_hooks or m._forward_pre_hooks)
                for m in linears
            )
        )

    def _sharpen(self, q: Tensor) -> Tensor:
        """Multiplies queries, heads in the last axis but one, by the sharpness of their head."""
        if self.log_sharpness is None:
            return q
        return q * self.log_sharpness.exp().unsqueeze(-1).to(q.dtype)

    def _add_self(self, total: Tensor, own: Tensor) -> Tensor:
        """Adds the own value to a sum; heads in the last axis but two of both."""
        if self.self_weight is None:
            return total
        return total + self.self_weight[:, None, None].to(own.dtype) * own

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:-1], self.heads, self.head_dim)


def _check(o: GINOptions, in_channels: int, source_channels: int) -> None:
    check_least(1, in_channels=in_channels, heads=o.heads, head_dim=o.head_dim)
    check_choice(("identity", "linear"), value=o.value)
    check_choice(("softmax", "sigmoid"), normalize=o.normalize)
    for name in o.aggregators:
        check_choice(_AGGREGATORS, aggregators=name)
    if not o.aggregators or len(set(o.aggregators)) < len(o.aggregators):
        raise ValueError(
            f"aggregators must name at least one, each once: got {o.aggregators}; "
            'right would be ("sum",).'
        )
    hidden = o.heads * o.head_dim
    if o.value == "identity" and not in_channels == source_channels == hidden:
        raise ValueError(
            'value="identity" needs heads * head_dim channels on both sides: got '
            f"{o.heads} * {o.head_dim}, channels={in_channels} and {source_channels}; "
            'right would be value="linear".'
        )
    if o.out_channels is not None and not o.out_proj and o.out_channels % o.heads:
        raise ValueError(
            f"heads must divide out_channels: got heads={o.heads}, out_channels={o.out_channels}; "
            "out_proj=True lifts this."
        )
    if o.differential and o.aggregators != ("sum",):
        raise ValueError(
            f"differential attention has negative weights and takes a sum only: got "
            f'aggregators={o.aggregators}; right would be ("sum",).'
        )
    for name, share in (("dropout", o.dropout), ("mlp_dropout", o.mlp_dropout)):
        if not 0.0 <= share < 1.0:
            raise ValueError(f"{name} must be in [0, 1): got {name}={share}.")
    if o.threshold is not None and not 0.0 <= o.threshold < 1.0:
        raise ValueError(f"threshold must be in [0, 1): got threshold={o.threshold}.")
    if o.mlp_ratio <= 0.0:
        raise ValueError(f"mlp_ratio must be above 0: got mlp_ratio={o.mlp_ratio}.")
    if o.top_k is not None:
        check_least(1, top_k=o.top_k)
