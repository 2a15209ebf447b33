"""Scalars that pass along hyperedges, many of them side by side."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from graphattn.hypergraph import Incidence
from graphattn.nn.hypergraph_attention_conv import HypergraphAttentionConv
from graphattn.ops.dropout import fast_dropout


class ScalarPropagation(nn.Module):
    """Projects features in MLPs side by side, then passes scalars along hyperedges as GENI does.

    Each layer is a :class:`~graphattn.nn.HypergraphAttentionConv` of ``heads * hidden`` heads of
    one channel; the mean of what it gives goes on to the next.

    Source: the structural channel of MetaHGNIE, https://arxiv.org/abs/2512.12477; GENI,
    https://arxiv.org/abs/1905.08865.

    Args:
        channels: Features of a node.
        hidden: Width of an MLP.
        heads: MLPs side by side.
        layers: Number of layers.
        aggr: How nodes gather hyperedges, "mean" or "sum".
        options: ``edge_dim``, ``dropout`` and ``attn_dropout`` of the layers.

    Raises:
        ValueError: An option is unknown or out of range.

    Example:
        >>> part = ScalarPropagation(4, 3, 2, 1, "mean", {"edge_dim": 5})
        >>> hypergraph = Incidence.from_lists([[0, 1], [1, 2]])
        >>> part(torch.zeros(3, 4), hypergraph, torch.zeros(2, 5)).shape
        torch.Size([3, 6])
    """

    def __init__(
        self,
        channels: int,
        hidden: int,
        heads: int,
        layers: int,
        aggr: str,
        options: dict[str, Any],
    ) -> None:
        super().__init__()
        width, self.dropout = heads * hidden, float(options.get("dropout", 0.0))
        self.mlps = nn.ModuleList(make_mlp(channels, hidden, channels) for _ in range(heads))
        self.layers = nn.ModuleList(
            HypergraphAttentionConv(
                width if layer else heads * channels,
                1,
                width,
                aggr=aggr,
                bias=False,
                act="relu",
                **options,
            )
            for layer in range(layers)
        )
        self.lin_out = nn.Linear(width, 1)

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        parts = (part for part in self.modules() if isinstance(part, nn.Linear))
        for part in (*parts, *self.layers):
            part.reset_parameters()

    def forward(
        self,
        x: Float[Tensor, "nodes channels"],
        incidence: Incidence,
        attr: Float[Tensor, "hyperedges attributes"],
    ) -> Float[Tensor, "nodes scalars"]:
        """Gives the scalars of each node; ``lin_out`` makes one score of them.

        Args:
            x: Features of the nodes.
            incidence: Which node is in which hyperedge.
            attr: Attributes of the hyperedges.
        """
        dropped = [fast_dropout(x, self.dropout, self.training) for _ in self.mlps]
        h = torch.cat([mlp(part) for mlp, part in zip(self.mlps, dropped, strict=True)], dim=1)
        for number, layer in enumerate(self.layers):
            if number:
                h = h.mean(1, keepdim=True).expand(-1, h.size(1))
            h = layer(h, incidence, hyperedge_attr=attr)
        return h


def make_mlp(channels: int, hidden: int, out: int) -> nn.Sequential:
    """Two linear maps and a ReLU between.

    Example:
        >>> make_mlp(2, 3, 4)(torch.zeros(1, 2)).shape
        torch.Size([1, 4])
    """
    return nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, out))
