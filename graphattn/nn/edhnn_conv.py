"""ED-HNN's layer: what a hyperedge sends to a node may depend on the node that it goes to."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from graphattn.checks import check_choice
from graphattn.hypergraph import Incidence
from graphattn.nn.hypergraph_layer import HypergraphLayer, linear
from graphattn.ops.edge_attention import edge_sums
from graphattn.ops.incidence import turned
from graphattn.ops.star import rectified_sums


class EDHNNConv(HypergraphLayer):
    r"""Diffuses features over hyperedges by learned operators that know both ends.

    .. math::
        h_e &= \mathrm{mean}_{v \in e}\, \mathrm{MLP}_1(x_v), \qquad
        y_v = \mathrm{mean}_{e \ni v}\, \mathrm{MLP}_2([x_v, h_e]) \\
        \mathrm{out}_v &= \mathrm{MLP}_3((1 - \alpha)\, y_v + \alpha\, x^0_v)

    Each MLP has one hidden layer. Of :math:`\mathrm{MLP}_2`, only sums of its hidden layer are
    formed, so that no vector of an incidence is kept. Serves where PyG's ``HypergraphConv`` does;
    a stack passes its first features to each layer as ``x0``.

    Source: https://arxiv.org/abs/2207.06680.

    Args:
        in_channels: Channels of a node; -1 finds them out in the first call.
        out_channels: Channels that go out.
        aggr: "mean" or "sum", both ways.
        alpha: Share of the first features, 0 to 1.
        dropout: Share of features dropped before each MLP.

    Raises:
        ValueError: An option is unknown or out of range.

    Example:
        >>> hyperedge_index = torch.tensor([[0, 1, 2, 2], [0, 0, 0, 1]])
        >>> EDHNNConv(8, 4)(torch.randn(3, 8), hyperedge_index).shape
        torch.Size([3, 4])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        aggr: str = "mean",
        alpha: float = 0.5,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(in_channels, out_channels)
        check_choice(("mean", "sum"), aggr=aggr)
        if not 0.0 <= alpha <= 1.0:
            raise ValueError(f"alpha is a share in [0, 1]: got alpha={alpha}.")
        self.aggr, self.alpha, self.dropout = aggr, alpha, dropout
        width = out_channels
        self.mlp1 = nn.Sequential(linear(in_channels, width, bias=True), nn.ReLU(), _inner(width))
        # The first map of the second network, a half for each end.
        self.lin_node = linear(in_channels, width, bias=True)
        self.lin_hyperedge = linear(width, width)
        self.lin_message = _inner(width)
        self.mlp3 = nn.Sequential(_inner(width), nn.ReLU(), _inner(width))
        self.lin_first = linear(in_channels, width) if in_channels != width else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        for part in (*self.mlp1, *self.mlp3, *self.children()):
            if hasattr(part, "reset_parameters"):
                part.reset_parameters()

    def forward(
        self,
        x: Float[Tensor, "nodes channels"],
        hyperedge_index: Tensor | Incidence,
        *,
        x0: Float[Tensor, "nodes out"] | None = None,
        num_hyperedges: int | None = None,
        return_hyperedges: bool = False,
    ) -> (
        Float[Tensor, "nodes out"]
        | tuple[Float[Tensor, "nodes out"], Float[Tensor, "hyperedges out"]]
    ):
        """Diffuses.

        Args:
            x: Features of the nodes.
            hyperedge_index: ``[2, I]``, nodes and hyperedges, repeated ones counting once; or an
                ``Incidence``, which is sorted and checked already.
            x0: Features of the nodes before the first layer; ``x`` by default, projected where its
                width is not that of the output.
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
        back = turned(plan)
        wide = torch.promote_types(x.dtype, torch.float32)
        sent = self.mlp1(self._drop(x)).to(wide)
        ones = sent.new_ones(plan.row.size(0), 1)
        h = edge_sums(ones, sent.unsqueeze(1), plan).squeeze(1)
        h = (h / self._counts(plan.ptr)).to(x.dtype) if self.aggr == "mean" else h.to(x.dtype)
        of_node, of_edge = self.lin_node(self._drop(x)), self.lin_hyperedge(self._drop(h))
        total = rectified_sums(of_node.to(wide), of_edge.to(wide), back)
        degree = back.ptr.diff().unsqueeze(1)
        scale = degree.clamp(max=1) if self.aggr == "mean" else degree
        if self.aggr == "mean":
            total = total / self._counts(back.ptr)
        y = F.linear(total.to(x.dtype), self.lin_message.weight)
        y = y + scale.to(x.dtype) * self.lin_message.bias
        if x0 is None:
            x0 = x if self.lin_first is None else self.lin_first(x)
        mixed = (1 - self.alpha) * y + self.alpha * x0
        out = self.mlp3(self._drop(mixed))
        return (out, h) if return_hyperedges else out

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training)

    @staticmethod
    def _counts(ptr: Tensor) -> Tensor:
        return ptr.diff().clamp(min=1).unsqueeze(1)


def _inner(width: int) -> nn.Linear:
    return nn.Linear(width, width)
