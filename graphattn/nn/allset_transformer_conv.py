"""AllSetTransformer's layer: nodes are pooled into hyperedges, and hyperedges into nodes."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from graphattn.hypergraph import Incidence
from graphattn.nn.hypergraph_layer import HypergraphLayer
from graphattn.nn.seed_pooling import SeedPooling
from graphattn.ops.dropout import fast_dropout
from graphattn.ops.incidence import turned


class AllSetTransformerConv(HypergraphLayer):
    r"""Pools nodes into hyperedges and hyperedges into nodes, by attention of learned seeds.

    .. math::
        h = \mathrm{ReLU}(\mathrm{pool}_1(x)), \qquad
        \mathrm{out} = \mathrm{ReLU}(\mathrm{pool}_2(\mathrm{drop}(h)))

    with :class:`~graphattn.nn.seed_pooling.SeedPooling` both ways. There is no residual: give nodes
    in no hyperedge a hyperedge of their own, as the paper does for all nodes. Serves where PyG's
    ``HypergraphConv`` does.

    Source: https://arxiv.org/abs/2106.13264.

    Args:
        in_channels: Channels of a node; -1 finds them out in the first call.
        out_channels: Channels of a head.
        heads: Number of heads.
        dropout: Share of features of hyperedges, and inside the pooling, dropped.
        attn_dropout: Share of the attention dropped.

    Raises:
        ValueError: A size is below 1.

    Example:
        >>> import torch
        >>> hyperedge_index = torch.tensor([[0, 1, 2, 2], [0, 0, 0, 1]])
        >>> AllSetTransformerConv(8, 4, heads=2)(torch.randn(3, 8), hyperedge_index).shape
        torch.Size([3, 8])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        heads: int = 1,
        *,
        dropout: float = 0.0,
        attn_dropout: float = 0.0,
    ) -> None:
        super().__init__(in_channels, out_channels, heads)
        width, options = heads * out_channels, {"dropout": dropout, "attn_dropout": attn_dropout}
        self.dropout = dropout
        self.to_hyperedges = SeedPooling(in_channels, width, heads, **options)
        self.to_nodes = SeedPooling(width, width, heads, **options)

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        self.to_hyperedges.reset_parameters()
        self.to_nodes.reset_parameters()

    def forward(
        self,
        x: Float[Tensor, "nodes channels"],
        hyperedge_index: Tensor | Incidence,
        *,
        num_hyperedges: int | None = None,
        return_hyperedges: bool = False,
    ) -> (
        Float[Tensor, "nodes out"]
        | tuple[Float[Tensor, "nodes out"], Float[Tensor, "hyperedges out"]]
    ):
        """Pools both ways.

        Args:
            x: Features of the nodes.
            hyperedge_index: ``[2, I]``, nodes and hyperedges, repeated ones counting once; or an
                ``Incidence``, which is sorted and checked already.
            num_hyperedges: By default one more than the largest id, which ``torch.compile`` cannot
                read.
            return_hyperedges: Whether to return the states of hyperedges, too.

        Returns:
            One vector a node, and one a hyperedge if asked for.

        Raises:
            ValueError: Sizes do not fit together, or an id is out of range.
            TypeError: The ids are no integers.
        """
        plan, _ = self._prepare(x, hyperedge_index, num_hyperedges)
        h = F.relu(self.to_hyperedges(x, plan))
        dropped = fast_dropout(h, self.dropout, self.training)
        out = F.relu(self.to_nodes(dropped, turned(plan)))
        return (out, h) if return_hyperedges else out
