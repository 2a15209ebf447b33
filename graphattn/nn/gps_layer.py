"""A layer of message passing beside global attention, each of them any module."""

import inspect

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch_geometric import EdgeIndex
from torch_geometric.nn import BatchNorm
from torch_geometric.nn.attention import (
    PerformerAttention,
    PolynormerAttention,
    SGFormerAttention,
)
from torch_geometric.nn.inits import reset
from torch_geometric.typing import SparseTensor
from torch_geometric.utils import to_dense_batch

from graphattn.checks import check_choice, check_least
from graphattn.nn.codebook_attention import CodebookAttention
from graphattn.ops.dropout import fast_dropout

# Their sums take in padded rows; found in torch_geometric 2.8.1.
_COUNT_PADDING = (PerformerAttention, PolynormerAttention, SGFormerAttention)


class GPSLayer(nn.Module):
    r"""Adds up what a node hears along edges and what it hears from everywhere, then updates it.

    .. math::
        h &= \mathrm{norm}(x + \mathrm{conv}(x, \mathcal{E}))
            + \mathrm{norm}(x + \mathrm{attn}(x)) \\
        \mathrm{out} &= \mathrm{norm}(h + \mathrm{MLP}(h))

    PyG's :class:`~torch_geometric.nn.GPSConv` knows two kinds of global attention and leaves out,
    without a word, any other it is given. This one takes every module of one of three forms:

    - ``attn(x, mask)``, with ``x`` as ``[graphs, nodes, channels]`` and ``mask`` true where a node
      is: :class:`~graphattn.nn.GINAttention`, PyG's Performer, SGFormer and Polynormer attention.
      Nodes are laid out a graph a row only where there are several graphs.
    - ``attn(x)`` with ``x`` as ``[nodes, channels]``: a module whose ``takes_nodes`` is true, such
      as :class:`~graphattn.nn.CodebookAttention`. Nothing is laid out, and time and memory are
      linear in the nodes. All graphs of a batch share one codebook.
    - :class:`torch.nn.MultiheadAttention`, made with ``batch_first=True``.

    Source: https://arxiv.org/abs/2205.12454, section 3.

    Args:
        channels: Channels of a node, in and out.
        conv: Message passing of as many channels, or None. It is called with the edges, and with
            ``edge_attr`` and ``edge_weight`` by these names where they are given.
        attn: Global attention of as many channels, or None.
        dropout: Share of channels that is dropped in training, after each part.
        norm: "batch", "layer" or None.
        mlp_ratio: Width of the MLP, as a multiple of ``channels``.

    Raises:
        ValueError: An option is unknown or out of range, both parts are missing, or a part gives
            other channels.
        TypeError: A part is no module.

    Example:
        >>> from graphattn.nn import CodebookAttention, GINAttentionConv
        >>> conv = GINAttentionConv(16, 16, heads=2)
        >>> attn = CodebookAttention(16, head_channels=8, heads=2, codebook_size=32)
        >>> layer = GPSLayer(16, conv, attn)
        >>> layer(torch.randn(5, 16), torch.tensor([[0, 1], [1, 2]])).shape
        torch.Size([5, 16])
    """

    def __init__(
        self,
        channels: int,
        conv: nn.Module | None,
        attn: nn.Module | None,
        *,
        dropout: float = 0.0,
        norm: str | None = "batch",
        mlp_ratio: float = 2.0,
    ) -> None:
        super().__init__()
        check_least(1, channels=channels)
        if norm is not None:
            check_choice(("batch", "layer"), norm=norm)
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"dropout must be in [0, 1): got dropout={dropout}.")
        if mlp_ratio <= 0.0:
            raise ValueError(f"mlp_ratio must be above 0: got mlp_ratio={mlp_ratio}.")
        if conv is None and attn is None:
            raise ValueError("conv or attn must be given: got neither.")
        _check_part("conv", conv, channels)
        _check_part("attn", attn, channels)
        if isinstance(attn, nn.MultiheadAttention) and not attn.batch_first:
            raise ValueError("attn must have batch_first=True: got a MultiheadAttention without.")
        self.channels, self.dropout = channels, dropout
        self.conv, self.attn = conv, attn
        width = max(1, int(mlp_ratio * channels))
        self.lin_in, self.lin_out = nn.Linear(channels, width), nn.Linear(width, channels)
        self.norm_conv = _norm(norm, channels) if conv is not None else None
        self.norm_attn = _norm(norm, channels) if attn is not None else None
        self.norm_out = _norm(norm, channels)
        self._takes_mask = attn is not None and "mask" in inspect.signature(attn.forward).parameters

    def reset_parameters(self) -> None:
        """Draws all weights anew, those of both parts too."""
        for module in self.children():
            if isinstance(module, nn.MultiheadAttention):
                module.out_proj.reset_parameters()
                module._reset_parameters()
            else:
                reset(module)

    def forward(
        self,
        x: Float[Tensor, "nodes channels"],
        edge_index: Tensor | SparseTensor | EdgeIndex,
        batch: Int[Tensor, " nodes"] | None = None,
        *,
        edge_attr: Float[Tensor, "edges edge_channels"] | None = None,
        edge_weight: Float[Tensor, " edges"] | None = None,
        num_graphs: int | None = None,
        max_nodes: int | None = None,
    ) -> Float[Tensor, "nodes channels"]:
        """Updates all nodes.

        Args:
            x: Features of the nodes.
            edge_index: Edges, in any form that ``conv`` takes.
            batch: The graph of each node, in ascending order; None: there is one graph.
            edge_attr: Features of the edges, for ``conv``.
            edge_weight: Weights of the edges, for ``conv``.
            num_graphs: How many graphs there are, and
            max_nodes: how many nodes the largest has; with both, nothing waits for a device, and
                the layer compiles as one graph.

        Returns:
            The updated nodes.

        Raises:
            ValueError: A part gives other channels than it was given, or ``batch`` is not one graph
                a node in ascending order.
        """
        parts = []
        if self.conv is not None and self.norm_conv is not None:
            given = {"edge_attr": edge_attr, "edge_weight": edge_weight}
            given = {name: value for name, value in given.items() if value is not None}
            near = self.conv(x, edge_index, **given)
            parts.append(self.norm_conv(x + self._dropped("conv", near, x)))
        if self.attn is not None and self.norm_attn is not None:
            everywhere = self._attend(self.attn, x, batch, num_graphs, max_nodes)
            parts.append(self.norm_attn(x + self._dropped("attn", everywhere, x)))
        heard = parts[0] if len(parts) == 1 else parts[0] + parts[1]
        hidden = fast_dropout(self.lin_in(heard).relu(), self.dropout, self.training)
        return self.norm_out(heard + self._dropped("mlp", self.lin_out(hidden), x))

    def _attend(
        self,
        attn: nn.Module,
        x: Tensor,
        batch: Tensor | None,
        num_graphs: int | None,
        max_nodes: int | None,
    ) -> Tensor:
        if getattr(attn, "takes_nodes", False):
            return attn(x)
        if batch is None:
            return self._dense(attn, x.unsqueeze(0), None).squeeze(0)
        waits = x.device.type == "cpu" or num_graphs is None or max_nodes is None
        if waits and not torch.compiler.is_compiling():
            _check_batch(batch, x.size(0))
        if isinstance(attn, _COUNT_PADDING):
            return self._attend_by_size(attn, x, batch)
        rows, mask = to_dense_batch(x, batch, batch_size=num_graphs, max_num_nodes=max_nodes)
        out = self._dense(attn, rows, mask)
        if num_graphs is None or max_nodes is None:
            return out[mask]
        # The place of each node among the rows, of a size that is known beforehand.
        start = torch.searchsorted(batch, torch.arange(num_graphs, device=batch.device))
        place = torch.arange(x.size(0), device=batch.device) - start.index_select(0, batch)
        if x.device.type == "cpu" and not torch.compiler.is_compiling():
            _check_places(place, max_nodes)
        return out.flatten(0, 1).index_select(0, batch * max_nodes + place)

    def _attend_by_size(self, attn: nn.Module, x: Tensor, batch: Tensor) -> Tensor:
        """Attends in graphs of one size at a time, so that none is padded."""
        sizes = batch.bincount()
        of_node = sizes.index_select(0, batch)
        out = torch.empty_like(x)
        for size in torch.unique(sizes[sizes > 0]).tolist():
            nodes = (of_node == size).nonzero().squeeze(1)
            part = attn(x.index_select(0, nodes).view(-1, size, x.size(1)), None)
            out = out.index_copy(0, nodes, part.flatten(0, 1).to(out.dtype))
        return out

    def _dense(self, attn: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
        if isinstance(attn, nn.MultiheadAttention):
            hidden = None if mask is None else ~mask
            return attn(x, x, x, key_padding_mask=hidden, need_weights=False)[0]
        return attn(x, mask) if self._takes_mask else attn(x)

    def _dropped(self, name: str, out: Tensor, x: Tensor) -> Tensor:
        if out.shape != x.shape:
            raise ValueError(
                f"{name} must give {list(x.shape)}, as many channels as it was given: "
                f"got {list(out.shape)}."
            )
        return fast_dropout(out, self.dropout, self.training)


def _check_part(name: str, part: nn.Module | None, channels: int) -> None:
    if part is None:
        return
    if not isinstance(part, nn.Module):
        raise TypeError(f"{name} must be a torch module: got {type(part).__name__}.")
    given = getattr(part, "out_channels", channels)
    if isinstance(part, CodebookAttention) and given != channels:
        raise ValueError(
            f"{name} must give channels={channels}: got a CodebookAttention of {given}; "
            "heads * head_channels must be equal to channels."
        )


def _check_batch(batch: Tensor, num_nodes: int) -> None:
    if batch.shape != (num_nodes,):
        raise ValueError(f"batch must be [{num_nodes}], a graph a node: got {list(batch.shape)}.")
    if (batch[1:] < batch[:-1]).any():
        raise ValueError(
            "batch must be in ascending order: got nodes of one graph after those of a later one; "
            "right would be to sort the nodes by it, as PyG's Batch does."
        )


def _check_places(place: Tensor, max_nodes: int) -> None:
    most = int(place.max()) + 1 if place.numel() else 0
    if most > max_nodes:
        raise ValueError(f"max_nodes must be at least {most}, the largest graph: got {max_nodes}.")


def _norm(norm: str | None, channels: int) -> nn.Module:
    if norm == "batch":
        return BatchNorm(channels, allow_single_element=True)
    return nn.LayerNorm(channels) if norm == "layer" else nn.Identity()
