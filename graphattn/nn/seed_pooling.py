"""AllSet's pooling of sets by a learned seed: attention, and a small network on its result."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from graphattn.nn.hypergraph_layer import linear, widened
from graphattn.ops.dropout import fast_dropout
from graphattn.ops.edge_attention import edge_dots, edge_softmax, edge_sums
from graphattn.ops.edge_plan import EdgePlan


class SeedPooling(nn.Module):
    r"""Pools the vectors of each set into one.

    .. math::
        m_i &= \mathrm{LN}\Big(\theta + \textstyle\sum_{j \in i} \mathrm{softmax}_{j \in i}
            \big(\mathrm{LeakyReLU}_{0.2}(\theta^\top K x_j)\big)\, V x_j\Big) \\
        \mathrm{out}_i &= \mathrm{LN}(m_i + \mathrm{ReLU}(\mathrm{MLP}(m_i)))

    Source: https://arxiv.org/abs/2106.13264, in the form of its released code.

    Args:
        in_channels: Channels that go in; -1 finds them out in the first call.
        width: Channels that come out, heads side by side.
        heads: Number of heads.
        dropout: Share of the hidden layer of the MLP dropped.
        attn_dropout: Share of the attention dropped.

    Example:
        >>> from graphattn.ops.edge_plan import plan_edges
        >>> plan = plan_edges(torch.tensor([0, 0]), torch.tensor([0, 1]), 1, 2)
        >>> SeedPooling(3, 4, 2)(torch.randn(2, 3), plan).shape
        torch.Size([1, 4])
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        heads: int,
        *,
        dropout: float = 0.0,
        attn_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.heads, self.dropout, self.attn_dropout = heads, dropout, attn_dropout
        self.seed = nn.Parameter(torch.empty(heads, width // heads))
        self.lin_key = linear(in_channels, width, bias=True)
        self.lin_value = linear(in_channels, width, bias=True)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp_in, self.mlp_out = nn.Linear(width, width), nn.Linear(width, width)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        for part in self.children():
            part.reset_parameters()  # type: ignore[operator]
        nn.init.xavier_uniform_(self.seed)

    def forward(
        self, x: Float[Tensor, "cols channels"], plan: EdgePlan
    ) -> Float[Tensor, "rows width"]:
        """Pools.

        Args:
            x: Vectors of the members.
            plan: Who is in which set; a row is a set.

        Returns:
            One vector a set; an empty one has what the seed alone gives.
        """
        values = widened(self.lin_value(x), self.heads)
        scores = (widened(self.lin_key(x), self.heads) * self.seed).sum(-1)
        scores = F.leaky_relu(scores, 0.2).unsqueeze(-1)
        ones = scores.new_ones(plan.ptr.size(0) - 1, self.heads, 1)
        alpha = edge_softmax(edge_dots(ones, scores, plan), plan)
        alpha = fast_dropout(alpha, self.attn_dropout, self.training)
        m = (edge_sums(alpha, values, plan) + self.seed).flatten(1).to(x.dtype)
        m = self.norm1(m)
        hidden = fast_dropout(F.relu(self.mlp_in(m)), self.dropout, self.training)
        return self.norm2(m + F.relu(self.mlp_out(hidden)))
