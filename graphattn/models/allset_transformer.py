"""AllSetTransformer: sets pooled by attention, from nodes to hyperedges and back."""

from jaxtyping import Float
from torch import Tensor, nn

from graphattn.checks import check_least
from graphattn.hypergraph import Incidence
from graphattn.nn.allset_transformer_conv import AllSetTransformerConv
from graphattn.nn.dropout import Dropout
from graphattn.nn.hypergraph_layer import check_heads
from graphattn.ops.dropout import fast_dropout
from graphattn.ops.self_loops import with_self_loops


class AllSetTransformer(nn.Module):
    """The published network: layers of `AllSetTransformerConv`, and an MLP that classifies.

    Every node gets a hyperedge of its own, as in the released code; types of hyperedges are taken
    and ignored.

    Source: Chien et al. 2022, https://arxiv.org/abs/2106.13264.

    Args:
        in_channels: Features of a node.
        hidden_channels: Width, all heads together.
        out_channels: Number of classes.
        num_layers: Layers, at least 1.
        heads: Attention heads; they divide the width.
        classifier_layers: Linear maps of the MLP, with layer norm between them.
        input_dropout: Share of the features dropped, in [0, 1).
        dropout: Inside and between the layers, and in the MLP, in [0, 1).

    Raises:
        ValueError: A count is below 1, or heads do not divide the width.

    Example:
        >>> import torch
        >>> model = AllSetTransformer(8, 16, 3)
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
        num_layers: int = 1,
        heads: int = 4,
        classifier_layers: int = 2,
        input_dropout: float = 0.2,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        check_least(1, num_layers=num_layers, classifier_layers=classifier_layers)
        check_heads(hidden_channels, heads)
        self.num_layers, self.input_dropout, self.dropout = num_layers, input_dropout, dropout
        self.layers = nn.ModuleList(
            AllSetTransformerConv(
                in_channels if number == 0 else hidden_channels,
                hidden_channels // heads,
                heads,
                dropout=dropout,
            )
            for number in range(num_layers)
        )
        self.classifier = classifier(
            hidden_channels, out_channels, num_layers=classifier_layers, dropout=dropout
        )

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        for part in (*self.layers, *self.classifier):
            if hasattr(part, "reset_parameters"):
                part.reset_parameters()

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
            hyperedge_index: ``[2, I]``, nodes and hyperedges; or an ``Incidence``, which is sorted
                and checked already.
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
        x = fast_dropout(x, self.input_dropout, self.training)
        for layer in self.layers:
            x = fast_dropout(layer(x, incidence), self.dropout, self.training)
        return self.classifier(x)


def classifier(
    hidden_channels: int, out_channels: int, *, num_layers: int, dropout: float
) -> nn.Sequential:
    """Makes the MLP at the end: linear maps with ReLU, layer norm and dropout between them.

    Args:
        hidden_channels: Width that goes in, and between the maps.
        out_channels: Number of classes.
        num_layers: Linear maps.
        dropout: Before each map but the first.

    Example:
        >>> len(classifier(8, 3, num_layers=1, dropout=0.5))
        1
    """
    parts: list[nn.Module] = []
    for _ in range(num_layers - 1):
        parts += [nn.Linear(hidden_channels, hidden_channels), nn.ReLU()]
        parts += [nn.LayerNorm(hidden_channels), Dropout(dropout)]
    return nn.Sequential(*parts, nn.Linear(hidden_channels, out_channels))
