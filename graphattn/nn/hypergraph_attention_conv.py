"""Attention of hyperedges over their nodes, and back by a mean or a sum."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.nn.resolver import activation_resolver

from graphattn.checks import check_choice, check_least
from graphattn.hypergraph import Incidence
from graphattn.nn.hypergraph_layer import HypergraphLayer, check_attr, linear, widened
from graphattn.ops.dropout import fast_dropout
from graphattn.ops.edge_attention import add_ends, edge_softmax, edge_sums
from graphattn.ops.edge_plan import EdgePlan
from graphattn.ops.incidence import turned


class HypergraphAttentionConv(HypergraphLayer):
    r"""Lets each hyperedge attend to its nodes; nodes take the mean or sum of their hyperedges.

    .. math::
        \alpha_{ve} &= \mathrm{softmax}_{v \in e}
            \big(\mathrm{LeakyReLU}(a^\top z_v + b^\top r_e)\big), \quad z = W x \\
        h_e &= \textstyle\sum_{v \in e} \alpha_{ve} z_v, \qquad
        y_v = \mathrm{act}\big(\mathrm{mean}_{e \ni v}\, w_e h_e + x_v W_r\big)

    Serves where PyG's ``HypergraphConv`` does, in memory of one number an incidence and head. The
    attribute of a hyperedge is the same for all its nodes, so softmax removes it but for the kink
    of the LeakyReLU: types hardly matter here.

    Source: the structural layer of MetaHGNIE, https://arxiv.org/abs/2512.12477, which is
    ``aggr="sum", bias=False, act="relu", eps=1e-9``.

    Args:
        in_channels: Channels of a node; -1 finds them out in the first call.
        out_channels: Channels of a head.
        heads: Number of heads.
        edge_dim: Channels of a hyperedge's attribute, if hyperedges have any.
        concat: Whether heads stand side by side; otherwise their mean is taken.
        aggr: How nodes gather hyperedges: "mean", weighted where hyperedges have weights, or "sum".
        negative_slope: Of the LeakyReLU.
        dropout: Share of the features dropped before the projection; the residual keeps them.
        attn_dropout: Share of the attention dropped.
        residual: Whether to add x, projected where its width differs or is not known yet.
        bias: Whether to add a vector.
        act: Activation at the end, by name or as a module; None for none.
        eps: What joins the denominator of the softmax.

    Raises:
        ValueError: An option is unknown or out of range.

    Example:
        >>> hyperedge_index = torch.tensor([[0, 1, 2, 2], [0, 0, 0, 1]])
        >>> HypergraphAttentionConv(8, 4, heads=2)(torch.randn(3, 8), hyperedge_index).shape
        torch.Size([3, 8])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        heads: int = 1,
        edge_dim: int | None = None,
        *,
        concat: bool = True,
        aggr: str = "mean",
        negative_slope: float = 0.2,
        dropout: float = 0.0,
        attn_dropout: float = 0.0,
        residual: bool = True,
        bias: bool = True,
        act: str | nn.Module | None = None,
        eps: float = 0.0,
    ) -> None:
        super().__init__(in_channels, out_channels, heads)
        check_choice(("mean", "sum"), aggr=aggr)
        self.edge_dim, self.concat, self.aggr = edge_dim, concat, aggr
        self.negative_slope, self.eps = negative_slope, eps
        self.dropout, self.attn_dropout = dropout, attn_dropout
        self.act = activation_resolver(act) if isinstance(act, str) else act
        width = heads * out_channels if concat else out_channels
        self.lin = linear(in_channels, heads * out_channels)
        self.att_node = nn.Parameter(torch.empty(1, heads, out_channels))
        self.att_edge = None
        if edge_dim is not None:
            check_least(1, edge_dim=edge_dim)
            self.att_edge = nn.Parameter(torch.empty(1, heads, edge_dim))
        self.residual = residual
        self.lin_residual = (
            linear(in_channels, width) if residual and in_channels != width else None
        )
        self.bias = nn.Parameter(torch.empty(width)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws all weights anew; the bias becomes 0."""
        linears = (self.lin, self.lin_residual) if self.in_channels != -1 else ()
        weights = [lin.weight for lin in linears if lin is not None]
        for weight in (*weights, self.att_node, self.att_edge):
            if weight is not None:
                nn.init.xavier_uniform_(weight, gain=math.sqrt(2))
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(
        self,
        x: Float[Tensor, "nodes channels"],
        hyperedge_index: Tensor | Incidence,
        *,
        hyperedge_attr: Float[Tensor, "hyperedges attributes"] | None = None,
        hyperedge_weight: Float[Tensor, " hyperedges"] | None = None,
        num_hyperedges: int | None = None,
        return_attention_weights: bool = False,
    ) -> (
        Float[Tensor, "nodes out"]
        | tuple[Float[Tensor, "nodes out"], Float[Tensor, "incidences heads"]]
    ):
        """Attends and gathers.

        Args:
            x: Features of the nodes.
            hyperedge_index: ``[2, I]``, nodes and hyperedges, repeated ones counting once; or an
                ``Incidence``, which is sorted and checked already.
            hyperedge_attr: Attributes of the hyperedges; given iff ``edge_dim`` is.
            hyperedge_weight: What each hyperedge counts for in its nodes.
            num_hyperedges: By default the rows of what is given, or one more than the largest id,
                which ``torch.compile`` cannot read.
            return_attention_weights: Whether to return the attention before dropout, too, in the
                order of ``hyperedge_index``, or of the ``Incidence``.

        Returns:
            One vector a node: a node in no hyperedge has its residual. The attention, if asked for.

        Raises:
            ValueError: Sizes do not fit together, an id is out of range, or ``hyperedge_attr`` is
                missing or not wanted.
            TypeError: The ids are no integers.
        """
        check_attr(hyperedge_attr, self.edge_dim)
        given = {"hyperedge_attr": hyperedge_attr, "hyperedge_weight": hyperedge_weight}
        plan, place = self._prepare(x, hyperedge_index, num_hyperedges, **given)
        z = widened(self.lin(fast_dropout(x, self.dropout, self.training)), self.heads)
        alpha = self._attention(z, hyperedge_attr, plan)
        dropped = fast_dropout(alpha, self.attn_dropout, self.training)
        gathered = edge_sums(dropped, z, plan).flatten(1).unsqueeze(1)
        out = self._to_nodes(gathered, hyperedge_weight, turned(plan))
        if not self.concat:
            out = out.view(x.size(0), self.heads, -1).mean(1)
        out = out.to(x.dtype)
        if self.residual:
            out = out + (x if self.lin_residual is None else self.lin_residual(x))
        if self.bias is not None:
            out = out + self.bias
        out = out if self.act is None else self.act(out)
        if not return_attention_weights:
            return out
        return out, alpha if place is None else alpha.index_select(0, place)

    def _attention(self, z: Tensor, attr: Tensor | None, plan: EdgePlan) -> Tensor:
        """Weights of the incidences."""
        of_node = (z * self.att_node).sum(-1)
        of_edge = z.new_zeros(plan.ptr.size(0) - 1, self.heads)
        if attr is not None and self.att_edge is not None:
            of_edge = of_edge + torch.einsum("md,hd->mh", attr.to(z.dtype), self.att_edge[0].to(z))
        scores = F.leaky_relu(add_ends(of_edge, of_node, plan), self.negative_slope)
        alpha = edge_softmax(scores, plan)
        if not self.eps:
            return alpha
        # The largest weight of a softmax is 1 / (its denominator, with the largest exponent as 0).
        slots = torch.arange(alpha.size(0), device=alpha.device)
        alpha = alpha.masked_fill((slots >= plan.ptr[-1]).unsqueeze(1), 0.0)
        index = plan.row.long().unsqueeze(1).expand_as(alpha)
        largest = torch.zeros_like(of_edge).scatter_reduce(0, index, alpha, "amax")
        return alpha / (1 + self.eps * largest.index_select(0, plan.row))

    def _to_nodes(self, gathered: Tensor, weight: Tensor | None, back: EdgePlan) -> Tensor:
        ones = gathered.new_ones(back.row.size(0), 1)
        if weight is not None:
            gathered = gathered * weight.view(-1, 1, 1).to(gathered.dtype)
        out = edge_sums(ones, gathered, back).squeeze(1)
        if self.aggr == "sum":
            return out
        total = back.ptr.diff().to(out.dtype).unsqueeze(1)
        if weight is not None:
            total = edge_sums(ones, weight.view(-1, 1, 1).to(out.dtype), back).squeeze(1)
        return out / total.masked_fill(total == 0, 1.0)
