"""ED-HNN: one diffusion operator that knows both ends, applied again and again, with restart."""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from graphattn.checks import check_least
from graphattn.hypergraph import Incidence
from graphattn.models.allset_transformer import classifier
from graphattn.nn.edhnn_conv import EDHNNConv
from graphattn.ops.dropout import fast_dropout
from graphattn.ops.self_loops import with_self_loops


class EDHNN(nn.Module):
    """The published network: one `EDHNNConv` in all its layers, between a linear map and an MLP.

    Each layer mixes in the features that came out of the first map, by the share `alpha`. Types of
    hyperedges are taken and ignored.

    Source: Wang et al. 2023, https://arxiv.org/abs/2207.06680.

    Args:
        in_channels: Features of a node.
        hidden_channels: Width.
        out_channels: Number of classes.
        num_layers: How often the layer is applied, at least 1; its weights are the same each time.
        classifier_layers: Linear maps of the MLP at the end.
        alpha: Share of the first features in each layer, 0 to 1.
        aggr: "mean" or "sum", both ways.
        input_dropout: Share of the features dropped, in [0, 1).
        dropout: Before the layers, inside them and in the MLP, in [0, 1).
        self_loops: Whether to give each node a hyperedge of its own.
        mlp_layers: Linear maps of the three MLPs of the layer, 0 to 2 each; see `EDHNNConv`. The
            paper tunes them: on small data sets fewer are better.
        norm: "layer" or None: of what goes into these MLPs, see there.

    Raises:
        ValueError: A count is below 1, or an option is unknown or out of range.

    Example:
        >>> import torch
        >>> model = EDHNN(8, 16, 3)
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
        classifier_layers: int = 2,
        alpha: float = 0.5,
        aggr: str = "mean",
        input_dropout: float = 0.2,
        dropout: float = 0.5,
        self_loops: bool = True,
        mlp_layers: Sequence[int] = (2, 2, 2),
        norm: str | None = None,
    ) -> None:
        super().__init__()
        check_least(1, num_layers=num_layers, classifier_layers=classifier_layers)
        self.num_layers, self.self_loops = num_layers, self_loops
        self.input_dropout, self.dropout = input_dropout, dropout
        self.lin_in = nn.Linear(in_channels, hidden_channels)
        options: dict[str, Any] = {"aggr": aggr, "alpha": alpha, "dropout": dropout}
        self.layer = EDHNNConv(
            hidden_channels, hidden_channels, mlp_layers=mlp_layers, norm=norm, **options
        )
        self.classifier = classifier(
            hidden_channels, out_channels, num_layers=classifier_layers, dropout=dropout
        )

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        for part in (self.lin_in, self.layer, *self.classifier):
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
        if self.self_loops:
            incidence = with_self_loops(incidence)
        x = F.relu(self.lin_in(fast_dropout(x, self.input_dropout, self.training)))
        first = x
        for _ in range(self.num_layers):
            x = fast_dropout(x, self.dropout, self.training)
            x = F.relu(self.layer(x, incidence, x0=first))
        return self.classifier(fast_dropout(x, self.dropout, self.training))
