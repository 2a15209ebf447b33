"""A transformer layer on hypergraphs: hyperedges attend to nodes, then nodes to hyperedges."""

import math
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.nn.dense.linear import Linear

from graphattn.checks import check_least
from graphattn.hypergraph import Incidence
from graphattn.nn.hypergraph_layer import HypergraphLayer, check_attr, linear, make_norm, widened
from graphattn.ops.dropout import fast_dropout
from graphattn.ops.segment import check_chunk, segment_attention


class HypergraphTransformerConv(HypergraphLayer):
    r"""Lets hyperedges attend to their nodes by a learned seed, and nodes to their hyperedges.

    .. math::
        U_e &= \Big[\textstyle\sum_{v \in e} \mathrm{softmax}_{v \in e}
            \big((Q_1 x_v)^\top s_e / \sqrt d\big)\, V_1 x_v\Big] O_1 \\
        P_v &= \Big[\textstyle\sum_{e \ni v} \mathrm{softmax}_{e \ni v}
            \big((Q_2 x_v)^\top K_2 U_e / \sqrt d\big)\, V_2 U_e\Big] O_2 \\
        y &= \mathrm{norm}(P + x R), \qquad \mathrm{out} = \mathrm{norm}(y + \mathrm{MLP}(y))

    The seed :math:`s_e` of a hyperedge is one for all, one of its type, or linear in its attribute.
    Serves where PyG's ``HypergraphConv`` does. Time grows with the incidences; what is kept for the
    backward pass is one number an incidence and head, besides vectors of nodes and hyperedges.

    Source: the semantic layer of MetaHGNIE, https://arxiv.org/abs/2512.12477; with one seed, the
    attention of AllSet, https://arxiv.org/abs/2106.13264.

    Args:
        in_channels: Channels of a node; -1 finds them out in the first call.
        out_channels: Channels of a head.
        heads: Number of heads.
        edge_dim: Channels of a hyperedge's attribute, to make seeds of.
        num_types: Number of types of hyperedges, with a seed each; not with ``edge_dim``.
        dropout: Share of features dropped before the projections, for queries and keys apart, and
            at the end of the MLP.
        attn_dropout: Share of the attention dropped, both ways.
        residual: Whether to add x, projected where its width differs or is not known yet, and y.
        norm: "batch" over the nodes, "layer", or None.
        ffn_mult: Width of the MLP as a multiple of ``heads * out_channels``.
        chunk_size: Incidences in a block; any gives the same. None chooses.

    Raises:
        ValueError: An option is unknown or out of range.

    Example:
        >>> hyperedge_index = torch.tensor([[0, 1, 2, 2], [0, 0, 0, 1]])
        >>> layer = HypergraphTransformerConv(8, 4, heads=2, num_types=3)
        >>> layer(torch.randn(3, 8), hyperedge_index, hyperedge_type=torch.tensor([2, 0])).shape
        torch.Size([3, 8])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        heads: int = 1,
        edge_dim: int | None = None,
        *,
        num_types: int | None = None,
        dropout: float = 0.0,
        attn_dropout: float = 0.0,
        residual: bool = True,
        norm: str | None = "batch",
        ffn_mult: int = 4,
        chunk_size: int | None = None,
    ) -> None:
        super().__init__(in_channels, out_channels, heads)
        if edge_dim is not None and num_types is not None:
            raise ValueError(
                f"seeds come from edge_dim or num_types: got edge_dim={edge_dim} and "
                f"num_types={num_types}; give one."
            )
        check_least(1, ffn_mult=ffn_mult)
        check_chunk(chunk_size)
        self.edge_dim, self.num_types, self.chunk_size = edge_dim, num_types, chunk_size
        self.dropout, self.attn_dropout, self.residual = dropout, attn_dropout, residual
        width = heads * out_channels
        self.seed, self.lin_seed = None, None
        if edge_dim is None:
            check_least(1, num_types=1 if num_types is None else num_types)
            self.seed = nn.Parameter(torch.empty(num_types or 1, width))
        else:
            check_least(1, edge_dim=edge_dim)
            self.lin_seed = linear(edge_dim, width)
        self.lin_node_key = linear(in_channels, width)
        self.lin_node_value = linear(in_channels, width)
        self.lin_hyperedge_out = linear(width, width)
        self.lin_query = linear(in_channels, width)
        self.lin_key, self.lin_value = linear(width, width), linear(width, width)
        self.lin_out = linear(width, width)
        self.lin_residual = (
            linear(in_channels, width) if residual and in_channels != width else None
        )
        self.mlp_in = nn.Linear(width, ffn_mult * width)
        self.mlp_out = nn.Linear(ffn_mult * width, width)
        self.norm1, self.norm2 = make_norm(norm, width), make_norm(norm, width)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws all weights anew; norms forget what they have seen."""
        for part in self.children():
            if isinstance(part, Linear | nn.Linear | nn.BatchNorm1d | nn.LayerNorm):
                part.reset_parameters()
        if self.seed is not None:
            bound = 1 / math.sqrt(self.out_channels)
            nn.init.uniform_(self.seed, -bound, bound)

    def forward(
        self,
        x: Float[Tensor, "nodes channels"],
        hyperedge_index: Tensor | Incidence,
        *,
        hyperedge_attr: Float[Tensor, "hyperedges attributes"] | None = None,
        hyperedge_type: Int[Tensor, " hyperedges"] | None = None,
        num_hyperedges: int | None = None,
        return_hyperedges: bool = False,
    ) -> (
        Float[Tensor, "nodes out"]
        | tuple[Float[Tensor, "nodes out"], Float[Tensor, "hyperedges_in out"]]
    ):
        """Attends both ways and updates.

        Args:
            x: Features of the nodes.
            hyperedge_index: ``[2, I]``, nodes and hyperedges, repeated ones counting once; or an
                ``Incidence``, which is sorted and checked already.
            hyperedge_attr: Attributes of the hyperedges; given iff ``edge_dim`` is.
            hyperedge_type: Types of the hyperedges, 0 to ``num_types - 1``; given iff that is.
            num_hyperedges: By default the rows of what is given, or one more than the largest id,
                which ``torch.compile`` cannot read.
            return_hyperedges: Whether to return the states of hyperedges :math:`U`, too.

        Returns:
            One vector a node, and one a hyperedge if asked for: 0 where a hyperedge is empty.

        Raises:
            ValueError: Sizes do not fit together, an id or type is out of range, or what seeds are
                made of is missing or not wanted.
            TypeError: The ids are no integers.
        """
        check_attr(hyperedge_attr, self.edge_dim)
        self._check_types(hyperedge_type)
        given = {"hyperedge_attr": hyperedge_attr, "hyperedge_type": hyperedge_type}
        segments = self._prepare(x, hyperedge_index, num_hyperedges, **given)
        options: dict[str, Any] = {
            "dropout": self.attn_dropout,
            "training": self.training,
            "chunk_size": self.chunk_size,
        }
        xq, xk = (fast_dropout(x, self.dropout, self.training) for _ in range(2))
        count = segments.plan.ptr.size(0) - 1
        seeds = self._split(self._seeds(hyperedge_attr, hyperedge_type, count))
        keys, values = self._split(self.lin_node_key(xk)), self._split(self.lin_node_value(xk))
        u = segment_attention(seeds.to(keys), keys, values, segments, "hyperedge", **options)
        u = self.lin_hyperedge_out(u.flatten(1).to(x.dtype))
        q = self._split(self.lin_query(xq))
        keys, values = self._split(self.lin_key(u)), self._split(self.lin_value(u))
        y = segment_attention(q, keys, values, segments, "node", **options)
        y = self.lin_out(y.flatten(1).to(x.dtype))
        if self.residual:
            y = y + (xq if self.lin_residual is None else self.lin_residual(xq))
        y = self.norm1(y)
        change = self.mlp_out(F.gelu(self.mlp_in(y)))
        change = fast_dropout(change, self.dropout, self.training)
        out = self.norm2(y + change if self.residual else change)
        return (out, u) if return_hyperedges else out

    def _seeds(self, attr: Tensor | None, types: Tensor | None, count: int) -> Tensor:
        if self.lin_seed is not None and attr is not None:
            return self.lin_seed(attr)
        assert self.seed is not None
        return self.seed.expand(count, -1) if types is None else self.seed.index_select(0, types)

    def _split(self, x: Tensor) -> Tensor:
        return widened(x, self.heads)

    def _check_types(self, types: Tensor | None) -> None:
        if (types is None) != (self.num_types is None):
            came = "none" if types is None else "some"
            raise ValueError(f"hyperedge_type must be given exactly when num_types is: got {came}.")
        if types is None or self.num_types is None or types.device.type != "cpu":
            return
        if torch.compiler.is_compiling() or not types.numel():
            return
        lowest, highest = types.aminmax()
        if lowest < 0 or highest >= self.num_types:
            raise ValueError(
                f"hyperedge_type must be in [0, {self.num_types}): got from {int(lowest)} to "
                f"{int(highest)}."
            )
