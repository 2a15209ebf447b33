"""GIN-attention along the edges of a graph, in memory of about one number an edge and head."""

from itertools import chain

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch_geometric.typing import SparseTensor

from graphattn.checks import check_choice, check_least
from graphattn.nn.edge_inputs import add_loops, degree_scales, mean_log_degree, read_edges
from graphattn.nn.gin_heads import GINHeads, GINOptions
from graphattn.ops.attend_edges import EdgeProjections, attend_edges
from graphattn.ops.dropout import fast_dropout
from graphattn.ops.edge_aggregates import aggregate_edges
from graphattn.ops.edge_attention import edge_dots, edge_softmax
from graphattn.ops.edge_extremes import strongest_edges
from graphattn.ops.edge_plan import EdgePlan, plan_edges

_SCALERS = ("identity", "amplification", "attenuation")


class GINAttentionConv(GINHeads):
    r"""Lets nodes attend to their neighbours and gives each head a GIN or PNA update of its own.

    .. math::
        s_{ij} &= \alpha_h\, q_i^\top (k_j + E_h e_{ij}) / \sqrt{c}, \qquad
        a_{ij} = \mathrm{softmax}_j(s_{ij})\, w_{ij} \quad\text{or}\quad \sigma(s_{ij})\, w_{ij} \\
        \mathrm{out}_i &= \big\Vert_h\; \mathrm{MLP}_h
            \big(\epsilon_h v_i + \textstyle\sum_{j \to i} a_{ij} v_j\big)\; [W_o]

    It has the weights of :class:`~graphattn.nn.GINAttention`, by the same names, and gives the same
    on the edges of a complete graph with loops. Nothing of the size of an edge and all its channels
    is kept for the backward pass, which computes it again; sums go in a fixed order.

    Softmax sees the *proportions* of a neighbourhood, never its size: where counts matter, take
    ``normalize="sigmoid"`` or degree scalers, and ``norm=None``.

    Source: https://arxiv.org/abs/2501.02393 on edges; degree scalers of PNA,
    https://arxiv.org/abs/2004.05718.

    Args:
        in_channels: Channels of a node, or of sources and targets where they differ.
        out_channels: Channels that go out.
        heads: Number of heads.
        head_dim: Channels of a head; ``out_channels / heads`` by default, or
            ``in_channels / heads`` where ``value="identity"``.
        edge_dim: Channels of an edge, if edges have features.
        add_self_loops: Whether each node gets an edge to itself, besides those it has; its
            features are 0, its weight 1.
        self_weight: :math:`\epsilon_h` at the start; it joins the sum only.
        scalers: Some of "identity", "amplification", "attenuation": what neighbours bring, times
            1, :math:`\log(d_i + 1) / \delta` and its inverse, side by side.
        deg: How many training nodes have 0, 1, 2, ... incoming edges; gives :math:`\delta`, the
            mean of :math:`\log(d + 1)`.
        value: As in :class:`~graphattn.nn.GINAttention`, and so all others.
        out_proj: As there.
        bias: As there.
        normalize: As there.
        sharpen: As there.
        threshold: As there.
        top_k: As there, among the edges of a target.
        differential: As there.
        aggregators: As there.
        train_self_weight: As there.
        mlp_ratio: As there.
        norm: As there.
        act: As there.
        dropout: As there.
        mlp_dropout: As there.

    Raises:
        ValueError: An option is unknown or out of range, or sizes do not fit together.

    Example:
        >>> edge_index = torch.tensor([[0, 1, 2], [1, 2, 0]])
        >>> GINAttentionConv(16, 32, heads=4)(torch.randn(3, 16), edge_index).shape
        torch.Size([3, 32])
    """

    log_degree: Tensor

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        heads: int = 1,
        *,
        head_dim: int | None = None,
        edge_dim: int | None = None,
        add_self_loops: bool = False,
        self_weight: float = 1.0,
        scalers: tuple[str, ...] = ("identity",),
        deg: Int[Tensor, " degrees"] | None = None,
        value: str = "identity",
        out_proj: bool = False,
        bias: bool = False,
        normalize: str = "softmax",
        sharpen: bool = True,
        threshold: float | None = None,
        top_k: int | None = None,
        differential: bool = False,
        aggregators: tuple[str, ...] = ("sum",),
        train_self_weight: bool = True,
        mlp_ratio: float = 2.0,
        norm: str | None = "rms",
        act: str = "silu",
        dropout: float = 0.0,
        mlp_dropout: float = 0.0,
    ) -> None:
        source, target = (in_channels,) * 2 if isinstance(in_channels, int) else in_channels
        if head_dim is None:
            head_dim = (source if value == "identity" else out_channels) // max(heads, 1)
        options = GINOptions(
            heads=heads,
            head_dim=head_dim,
            out_channels=out_channels,
            value=value,
            out_proj=out_proj,
            bias=bias,
            normalize=normalize,
            sharpen=sharpen,
            threshold=threshold,
            top_k=top_k,
            differential=differential,
            aggregators=tuple(aggregators),
            self_weight=self_weight,
            train_self_weight=train_self_weight,
            mlp_ratio=mlp_ratio,
            norm=norm,
            act=act,
            dropout=dropout,
            mlp_dropout=mlp_dropout,
        )
        super().__init__(target, source, options, num_scalers=len(scalers))
        for name in scalers:
            check_choice(_SCALERS, scalers=name)
        if deg is None and set(scalers) - {"identity"}:
            raise ValueError(
                f"scalers by degree need the degrees of training nodes: got scalers={scalers} and "
                "no deg; right would be deg=degree(edge_index[1]).long().bincount()."
            )
        self.scalers, self.add_self_loops = tuple(scalers), add_self_loops
        self.register_buffer("log_degree", mean_log_degree(deg), persistent=deg is not None)
        if edge_dim is not None:
            check_least(1, edge_dim=edge_dim)
        hidden = heads * head_dim
        self.lin_edge = None if edge_dim is None else nn.Linear(edge_dim, hidden, bias=False)

    def reset_parameters(self) -> None:
        """Draws all weights anew; sharpness becomes 1, the self weight what was asked."""
        self._reset_own()

    def forward(
        self,
        x: Float[Tensor, "nodes channels"] | tuple[Tensor, Tensor],
        edge_index: Tensor | SparseTensor,
        edge_attr: Float[Tensor, "edges edge_channels"] | None = None,
        *,
        edge_weight: Float[Tensor, " edges"] | None = None,
        return_attention_weights: bool | None = None,
    ) -> (
        Float[Tensor, "targets out"]
        | tuple[Float[Tensor, "targets out"], tuple[Tensor, Float[Tensor, "edges_used heads"]]]
    ):
        """Attends and updates.

        Args:
            x: Features of the nodes, or of sources and targets.
            edge_index: ``[2, edges]``, sources and targets; or a sparse matrix with a row for each
                target, whose values are the edge weights.
            edge_attr: Features of the edges; given iff ``edge_dim`` is.
            edge_weight: What the weight of each edge is multiplied by, after it was cut.
            return_attention_weights: Whether to return the edges and their weights before dropout,
                too.

        Returns:
            One vector a target, and ``(edge_index, weights)`` if asked for.

        Raises:
            ValueError: ``x`` or ``edge_attr`` is not what was asked, or an edge ends at no node.
        """
        if (edge_attr is None) != (self.lin_edge is None):
            given = "none" if edge_attr is None else "some"
            raise ValueError(f"edge_attr must be given exactly when edge_dim is: got {given}.")
        sources, targets = x if isinstance(x, tuple) else (x, x)
        self._check_features(sources, targets, "[nodes, channels]")
        edges, edge_weight = read_edges(edge_index, edge_weight)
        if self.add_self_loops:
            edges, edge_attr, edge_weight = add_loops(
                edges, edge_attr, edge_weight, targets.size(0)
            )
        plan = plan_edges(edges[1], edges[0], targets.size(0), sources.size(0))
        is_plain = self.scalers == ("identity",) and edge_weight is None
        if is_plain and self._only_sums(sources, targets, edge_attr):  # less to keep
            z, weights = self._attend(sources, targets, edge_attr, plan)
            out = self._update(z.transpose(0, 1))
            return (out, (edges, weights)) if return_attention_weights else out
        weights, kept = self._weights(sources, targets, edge_attr, plan)
        returned = weights = weights if edge_weight is None else weights * edge_weight.unsqueeze(1)
        weights = fast_dropout(weights, self.options.dropout, self.training)
        out = self._update(self._gather(sources, targets, weights, kept, plan))
        return (out, (edges, returned)) if return_attention_weights else out

    def _attend(
        self, sources: Tensor, targets: Tensor, edge_attr: Tensor | None, plan: EdgePlan
    ) -> tuple[Tensor, Tensor]:
        """Sums with the own value, ``[N, H, head_dim]``, and weights."""
        linears = (self.lin_query, self.lin_key, self.lin_value, self.lin_self)
        pairs = [(None, None) if m is None else (m.weight, m.bias) for m in linears]
        edge = None if self.lin_edge is None else self.lin_edge.weight
        projections = EdgeProjections._make([*chain.from_iterable(pairs), edge])
        scale = self.lin_query.weight.new_full((self.heads,), self.head_dim**-0.5)
        scale = scale if self.log_sharpness is None else scale * self.log_sharpness.exp()
        weight = scale.new_zeros(self.heads) if self.self_weight is None else self.self_weight
        options = (projections, scale, weight, plan, self.options.normalize)
        return attend_edges(sources, targets, edge_attr, *options)

    def _weights(
        self, sources: Tensor, targets: Tensor, edge_attr: Tensor | None, plan: EdgePlan
    ) -> tuple[Tensor, Tensor | None]:
        """Weights of the edges, and which are not cut; None: all of them."""
        rule, ends = self._rule(), (sources, targets, edge_attr, plan)
        weights = self._normalized(self.lin_query, self.lin_key, *ends)
        if self.lin_query2 is not None and self.lin_key2 is not None and self.contrast is not None:
            other = self._normalized(self.lin_query2, self.lin_key2, *ends)
            weights = weights - self.contrast * other
        kept = None
        if rule.threshold is not None:
            kept = weights > rule.threshold
            weights = weights.masked_fill(~kept, 0.0)
        if rule.top_k is not None and weights.size(0):
            strongest = strongest_edges(weights.detach(), rule.top_k, plan)
            kept = strongest if kept is None else kept & strongest
            weights = weights.masked_fill(~kept, 0.0)
        return weights, kept

    def _normalized(
        self,
        query: nn.Linear,
        key: nn.Linear,
        sources: Tensor,
        targets: Tensor,
        edge_attr: Tensor | None,
        plan: EdgePlan,
    ) -> Tensor:
        """Weights of the edges by one pair of projections, none cut."""
        q = self._sharpen(self._wide(query(targets))) * self.head_dim**-0.5
        scores = edge_dots(q, self._wide(key(sources)), plan)
        if edge_attr is not None:
            scores = scores + self._edge_scores(q, edge_attr, plan)
        is_sigmoid = self.options.normalize == "sigmoid"
        return scores.sigmoid() if is_sigmoid else edge_softmax(scores, plan)

    def _edge_scores(self, q: Tensor, edge_attr: Tensor, plan: EdgePlan) -> Tensor:
        """Products of queries and edge features: each edge is a source of its own."""
        assert self.lin_edge is not None
        matrix = self.lin_edge.weight.view(self.heads, self.head_dim, -1).to(q.dtype)
        towards = torch.einsum("nhc,hce->nhe", q, matrix).to(q.dtype)  # autocast narrows
        num_edges = plan.row.size(0)
        ids = torch.arange(num_edges + 1, device=q.device, dtype=plan.row.dtype)
        alone = plan._replace(col=ids[:-1], t_ptr=ids, t_perm=ids[:-1].clone())
        features = edge_attr.to(q.dtype).unsqueeze(1)
        each = [edge_dots(part, features, alone) for part in towards.chunk(self.heads, dim=1)]
        return torch.cat(each, dim=1)

    def _gather(
        self,
        sources: Tensor,
        targets: Tensor,
        weights: Tensor,
        kept: Tensor | None,
        plan: EdgePlan,
    ) -> Tensor:
        """What each head gathered, for all aggregators and scalers, ``[H, N, width]``."""
        aggregators = self.options.aggregators
        narrow = sources if self.lin_value is None else self.lin_value(sources)
        v = self._wide(narrow)
        own = v if sources is targets else self._own(targets)
        parts = aggregate_edges(weights, v, own, kept, aggregators, plan)
        stack = []
        for scale in degree_scales(self.scalers, plan.ptr, self.log_degree.to(v.dtype)):
            for name, part in parts.items():
                scaled = (part if scale is None else part * scale).transpose(0, 1)
                stack.append(
                    self._add_self(scaled, own.transpose(0, 1)) if name == "sum" else scaled
                )
        return torch.cat(stack, dim=-1).to(narrow.dtype)

    def _update(self, stack: Tensor) -> Tensor:
        out = self.mlp(stack).transpose(0, 1).flatten(1)
        return out if self.lin_out is None else self.lin_out(out)

    def _own(self, targets: Tensor) -> Tensor:
        lin = self.lin_value if self.lin_self is None else self.lin_self
        return self._wide(targets if lin is None else lin(targets))

    def _wide(self, x: Tensor) -> Tensor:
        """Splits heads, in single precision at least."""
        return self._split(x).to(torch.promote_types(x.dtype, torch.float32))
