"""HCHA, the convolution on hypergraphs that PyG has, as a baseline."""

from itertools import pairwise

import torch_geometric.nn as pyg
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from graphattn.checks import check_least
from graphattn.hypergraph import Incidence
from graphattn.ops.dropout import fast_dropout
from graphattn.ops.self_loops import with_self_loops


class HCHA(nn.Module):
    """Layers of PyG's `HypergraphConv`, without its attention; HGNN's rule, too.

    Every node gets a hyperedge of its own; types of hyperedges are taken and ignored.

    Source: Bai et al. 2021, https://arxiv.org/abs/1901.08150.

    Args:
        in_channels: Features of a node.
        hidden_channels: Width.
        out_channels: Number of classes.
        num_layers: Layers, at least 1.
        dropout: Before every layer, in [0, 1).

    Raises:
        ValueError: num_layers is below 1.

    Example:
        >>> import torch
        >>> model = HCHA(8, 16, 3)
        >>> model(torch.zeros(5, 8), Incidence.from_lists([[0, 1, 2], [3, 4]])).shape
        torch.Size([5, 3])
    """

    takes_hypergraph: bool = True

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        *,
        num_layers: int = 2,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        check_least(1, num_layers=num_layers)
        self.num_layers, self.dropout = num_layers, dropout
        widths = [in_channels, *[hidden_channels] * (num_layers - 1), out_channels]
        self.layers = nn.ModuleList(
            pyg.HypergraphConv(one, other) for one, other in pairwise(widths)
        )

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        for layer in self.layers:
            layer.reset_parameters()  # type: ignore[operator]

    def forward(
        self,
        x: Float[Tensor, "nodes in_channels"],
        hyperedge_index: Tensor | Incidence,
        *,
        hyperedge_type: Tensor | None = None,
        num_hyperedges: int | None = None,
    ) -> Float[Tensor, "nodes out_channels"]:
        """Logits of every node.

        Args:
            x: Features of the nodes.
            hyperedge_index: ``[2, I]``, nodes and hyperedges; or an ``Incidence``.
            hyperedge_type: Ignored, so that every model of hypergraphs is called alike.
            num_hyperedges: By default one more than the largest id.

        Returns:
            Logits.

        Raises:
            ValueError: Sizes do not fit together, or an id is out of range.
        """
        incidence = hyperedge_index
        if not isinstance(incidence, Incidence):
            incidence = Incidence.from_hyperedge_index(incidence, x.size(0), num_hyperedges)
        incidence = with_self_loops(incidence)
        index = incidence.hyperedge_index()
        for number, layer in enumerate(self.layers):
            x = F.relu(x) if number else x
            x = fast_dropout(x, self.dropout, self.training)
            x = layer(x, index, num_edges=incidence.num_hyperedges)
        return x
