"""Messages between the tokens of a frozen transformer, along a graph read off its attention."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from graphattn.checks import check_choice, check_least
from graphattn.ops.dropout import fast_dropout
from graphattn.ops.sparse_gin import TokenEdges, send_messages

_ACTS = {"prelu": nn.PReLU, "relu": nn.ReLU, "silu": nn.SiLU, "gelu": nn.GELU}
_EPS = 1e-6


class SparseGIN(nn.Module):
    r"""Lets tokens send each other messages along given edges, and returns what to add to them.

    .. math::
        z^0 &= W_{in} u, \qquad m_i = \epsilon z_i + \sum_j \tilde A_{ij} z_j, \\
        z &\leftarrow \mathrm{drop}(\phi(m + W_2\,\phi(W_1 m))), \qquad
        \Delta = s\,\mathrm{RMSNorm}(W_{out} z)

    With ``scale=0`` it adds exactly 0 at first; the scale learns at once and the weights follow.
    With several heads each has its own weights and its slice of the channels.

    Source: https://arxiv.org/abs/2501.02393 (Sparse-GIN), with messages from *j* to *i*, as meant
    there; self loops alone are what its released code computes.

    Args:
        channels: Channels of a token.
        hidden_dim: Channels of a message, per head.
        heads: Number of graphs, each on its slice of the channels.
        num_layers: Rounds of messages.
        mlp_ratio: Width of the update's hidden layer, as a multiple of ``hidden_dim``.
        act: "prelu" (one slope for the whole module), "relu", "silu" or "gelu".
        dropout: Share of channels dropped after each round in training.
        norm: "rms" or None, before the scale.
        scale: :math:`s` at the start.

    Raises:
        ValueError: A size is below 1, heads do not divide channels, or an option is unknown.

    Example:
        >>> u, a = torch.randn(2, 5, 32), torch.rand(2, 5, 5).tril()
        >>> SparseGIN(32, 8)(u, a).abs().max().item()
        0.0
    """

    def __init__(
        self,
        channels: int,
        hidden_dim: int = 64,
        *,
        heads: int = 1,
        num_layers: int = 1,
        mlp_ratio: float = 1.0,
        act: str = "prelu",
        dropout: float = 0.1,
        norm: str | None = "rms",
        scale: float = 0.0,
    ) -> None:
        super().__init__()
        check_least(1, channels=channels, hidden_dim=hidden_dim, heads=heads, num_layers=num_layers)
        check_choice(_ACTS, act=act)
        if norm is not None:
            check_choice(("rms",), norm=norm)
        if channels % heads:
            raise ValueError(f"heads must divide channels: got heads={heads}, channels={channels}.")
        self.heads, self.dropout, self.first_scale = heads, dropout, scale
        width, hidden = channels // heads, max(1, int(hidden_dim * mlp_ratio))
        self.lin_in = _HeadLinear(heads, width, hidden_dim)
        rounds = range(num_layers)
        self.lins_hidden = nn.ModuleList(_HeadLinear(heads, hidden_dim, hidden) for _ in rounds)
        self.lins_back = nn.ModuleList(_HeadLinear(heads, hidden, hidden_dim) for _ in rounds)
        self.lin_out = _HeadLinear(heads, hidden_dim, width)
        self.act = _ACTS[act]()
        self.self_weight = nn.Parameter(torch.empty(num_layers))
        self.norm_weight: Tensor | None
        self.register_parameter(
            "norm_weight", None if norm is None else nn.Parameter(torch.empty(channels))
        )
        self.scale = nn.Parameter(torch.empty(()))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the weights anew; self weights become 0, the scale what was asked."""
        for module in self.modules():
            if isinstance(module, _HeadLinear):
                module.reset_parameters()
        if isinstance(self.act, nn.PReLU):
            nn.init.constant_(self.act.weight, 0.25)
        nn.init.zeros_(self.self_weight)
        nn.init.constant_(self.scale, self.first_scale)
        if self.norm_weight is not None:
            nn.init.ones_(self.norm_weight)

    def forward(
        self,
        u: Float[Tensor, "batch queries channels"],
        adjacency: Float[Tensor, "batch queries keys"]
        | Float[Tensor, "batch heads queries keys"]
        | TokenEdges,
        z_cache: list[Tensor] | None = None,
    ) -> Float[Tensor, "batch queries channels"]:
        """Sends the messages and updates.

        Args:
            u: The tokens.
            adjacency: Weights of the edges from keys to queries, one graph or one a head.
            z_cache: What earlier tokens held in each round, empty at first: those of ``u`` are put
                behind them in place, and the last ``keys`` send.

        Returns:
            What to add to ``u``.
        """
        if isinstance(adjacency, Tensor) and adjacency.dim() == 3:
            adjacency = adjacency.unsqueeze(1)
        keys = adjacency.size(3) if isinstance(adjacency, Tensor) else adjacency.size[3]
        z = self.lin_in(u.reshape(*u.shape[:2], self.heads, -1).transpose(1, 2))
        for layer, (lin_hidden, lin_back) in enumerate(
            zip(self.lins_hidden, self.lins_back, strict=True)
        ):
            m = send_messages(adjacency, _remember(z, z_cache, layer, keys))
            m = self.self_weight[layer] * z + m
            r = m + lin_back(self.act(lin_hidden(m)))
            z = fast_dropout(self.act(r), self.dropout, self.training)
        delta = self.lin_out(z).transpose(1, 2).flatten(2)
        if self.norm_weight is not None:
            delta = F.rms_norm(delta, delta.shape[-1:], eps=_EPS) * self.norm_weight
        return self.scale * delta


def _remember(z: Tensor, z_cache: list[Tensor] | None, layer: int, keys: int) -> Tensor:
    if z_cache is None:
        return z
    if layer < len(z_cache):
        z_cache[layer] = torch.cat([z_cache[layer], z], dim=2)
    else:
        z_cache.append(z)
    return z_cache[layer][:, :, -keys:]


class _HeadLinear(nn.Module):
    """A linear map a head, all at once."""

    def __init__(self, heads: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(heads, in_channels, out_channels))
        self.bias = nn.Parameter(torch.empty(heads, 1, out_channels))

    def reset_parameters(self) -> None:
        bound = 1.0 / math.sqrt(self.weight.size(1))
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias
