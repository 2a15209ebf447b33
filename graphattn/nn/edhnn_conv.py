"""ED-HNN's layer: what a hyperedge sends to a node may depend on the node that it goes to."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from graphattn.checks import check_choice
from graphattn.hypergraph import Incidence
from graphattn.nn.hypergraph_layer import HypergraphLayer, linear, make_norm
from graphattn.ops.dropout import fast_dropout
from graphattn.ops.edge_attention import edge_sums
from graphattn.ops.edge_plan import EdgePlan
from graphattn.ops.incidence import turned
from graphattn.ops.star import rectified_sums


class EDHNNConv(HypergraphLayer):
    r"""Diffuses features over hyperedges by learned operators that know both ends.

    .. math::
        h_e &= \mathrm{mean}_{v \in e}\, \mathrm{MLP}_1(x_v), \qquad
        y_v = \mathrm{mean}_{e \ni v}\, \mathrm{MLP}_2([x_v, h_e]) \\
        \mathrm{out}_v &= \mathrm{MLP}_3((1 - \alpha)\, y_v + \alpha\, x^0_v)

    Each MLP has one hidden layer, unless ``mlp_layers`` says otherwise. Of :math:`\mathrm{MLP}_2`,
    only sums of its hidden layer are formed, so that no vector of an incidence is kept. Serves
    where PyG's ``HypergraphConv`` does; a stack passes its first features to each layer as ``x0``.

    Source: https://arxiv.org/abs/2207.06680.

    Args:
        in_channels: Channels of a node; -1 finds them out in the first call.
        out_channels: Channels that go out.
        aggr: "mean" or "sum", both ways.
        alpha: Share of the first features, 0 to 1.
        dropout: Share of features dropped before each MLP that has a hidden layer.
        mlp_layers: Linear maps of the three MLPs, 0 to 2 each, as the paper tunes them. 0 leaves
            features as they are, and of the second takes :math:`h_e` alone.
        norm: "layer": of what goes into the first and the last MLP, where they have maps; or None.

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
        mlp_layers: Sequence[int] = (2, 2, 2),
        norm: str | None = None,
    ) -> None:
        super().__init__(in_channels, out_channels)
        check_choice(("mean", "sum"), aggr=aggr)
        self.mlp_layers = self._checked_layers(mlp_layers)
        if not 0.0 <= alpha <= 1.0:
            raise ValueError(f"alpha is a share in [0, 1]: got alpha={alpha}.")
        self.aggr, self.alpha, self.dropout = aggr, alpha, dropout
        width = out_channels
        first, second, third = self.mlp_layers
        self.mlp1 = _mlp(linear(in_channels, width, bias=True), width, first)
        # The first map of the second network, a half for each end.
        self.lin_node = linear(in_channels, width, bias=True) if second else None
        self.lin_hyperedge = linear(width, width) if second else None
        self.lin_message = _inner(width) if second == 2 else None
        self.mlp3 = _mlp(_inner(width), width, third)
        if norm is not None and in_channels == -1:
            raise ValueError("in_channels must be given with a norm: got in_channels=-1.")
        self.norm1 = make_norm(norm if first else None, in_channels)
        self.norm3 = make_norm(norm if third else None, width)
        self.lin_first = linear(in_channels, width) if in_channels != width else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        for part in (*self.mlp1, *self.mlp3, *self.children()):  # what is None has no weights
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
        sent = self.mlp1(self._drop(self.norm1(x), 0)).to(wide)
        h = self._gathered(sent, plan).to(x.dtype)
        if x0 is None:
            x0 = x if self.lin_first is None else self.lin_first(x)
        mixed = (1 - self.alpha) * self._messages(x, h, back) + self.alpha * x0
        out = self.mlp3(self._drop(self.norm3(mixed), 2))
        return (out, h) if return_hyperedges else out

    def _messages(self, x: Tensor, h: Tensor, back: EdgePlan) -> Tensor:
        """What a node hears: the mean or sum of the second network over its hyperedges."""
        wide = torch.promote_types(x.dtype, torch.float32)
        if self.lin_node is None or self.lin_hyperedge is None:
            return self._gathered(h.to(wide), back).to(x.dtype)
        of_node = self.lin_node(self._drop(x, 1)).to(wide)
        of_edge = self.lin_hyperedge(self._drop(h, 1)).to(wide)
        degree = back.ptr.diff().unsqueeze(1)
        scale = degree.clamp(max=1) if self.aggr == "mean" else degree
        if self.lin_message is None:
            return (scale.to(wide) * of_node + self._gathered(of_edge, back)).to(x.dtype)
        total = rectified_sums(of_node, of_edge, back)
        if self.aggr == "mean":
            total = total / self._counts(back.ptr)
        y = F.linear(total.to(x.dtype), self.lin_message.weight)
        return y + scale.to(x.dtype) * self.lin_message.bias

    def _gathered(self, sent: Tensor, plan: EdgePlan) -> Tensor:
        ones = sent.new_ones(plan.row.size(0), 1)
        total = edge_sums(ones, sent.unsqueeze(1), plan).squeeze(1)
        return total / self._counts(plan.ptr) if self.aggr == "mean" else total

    def _checked_layers(self, given: Sequence[int]) -> tuple[int, ...]:
        layers = tuple(given)
        if len(layers) != 3 or not all(count in (0, 1, 2) for count in layers):
            raise ValueError(f"mlp_layers must be three counts from 0 to 2: got {list(layers)}.")
        if layers[0] == 0 and self.in_channels != self.out_channels:
            raise ValueError(
                "mlp_layers must not begin with 0 where the width changes: got in_channels="
                f"{self.in_channels}, out_channels={self.out_channels}."
            )
        return layers

    def _drop(self, x: Tensor, mlp: int) -> Tensor:
        share = self.dropout if self.mlp_layers[mlp] == 2 else 0.0
        return fast_dropout(x, share, self.training)

    @staticmethod
    def _counts(ptr: Tensor) -> Tensor:
        return ptr.diff().clamp(min=1).unsqueeze(1)


def _mlp(first: nn.Module, width: int, layers: int) -> nn.Sequential:
    parts = [first, nn.ReLU(), _inner(width)]
    return nn.Sequential(*parts[: (0, 1, 3)[layers]])


def _inner(width: int) -> nn.Linear:
    return nn.Linear(width, width)
