"""Attention along edges from the features of nodes, in memory of the nodes and one number an edge
and head: queries, keys, values and scores are computed again in the backward pass. For the CPU.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from graphattn.kernels import attend_edges as kernels
from graphattn.ops.edge_attention import edge_dots, edge_softmax, edge_sums
from graphattn.ops.edge_plan import EdgePlan
from graphattn.ops.threads import as_many_threads_as_torch


class EdgeProjections(NamedTuple):
    """Matrices ``[heads * size, channels]`` and their biases; None: no bias, or no projection.

    ``own`` is for the targets' own values where ``value`` does not fit them; ``edge`` is for edge
    features.
    """

    query: Float[Tensor, "hidden channels"]
    query_bias: Float[Tensor, " hidden"] | None
    key: Float[Tensor, "hidden source_channels"]
    key_bias: Float[Tensor, " hidden"] | None
    value: Float[Tensor, "hidden source_channels"] | None
    value_bias: Float[Tensor, " hidden"] | None
    own: Float[Tensor, "hidden channels"] | None
    own_bias: Float[Tensor, " hidden"] | None
    edge: Float[Tensor, "hidden edge_channels"] | None


def attend_edges(
    sources: Float[Tensor, "cols source_channels"],
    targets: Float[Tensor, "rows channels"],
    edge_attr: Float[Tensor, "edges edge_channels"] | None,
    projections: EdgeProjections,
    scale: Float[Tensor, " heads"],
    self_weight: Float[Tensor, " heads"],
    plan: EdgePlan,
    normalize: str,
) -> tuple[Float[Tensor, "rows heads size"], Float[Tensor, "edges heads"]]:
    r"""Adds up, for each target and head, its own value and those of its sources by attention.

    .. math::
        z_i = \epsilon_h v_i + \sum_{j \to i} a_{ij} v_j, \qquad
        a_{ij} = \mathrm{softmax}_j \text{ or } \sigma\big(s_h\, q_i^\top (k_j + E e_{ij})\big)

    Args:
        sources: Features of the sources.
        targets: Features of the targets; the same tensor where both are the same nodes.
        edge_attr: Features of the edges, in their order.
        projections: What makes queries, keys and values of them.
        scale: What the scores of each head are multiplied by.
        self_weight: :math:`\epsilon_h`.
        plan: The edges.
        normalize: "softmax" or "sigmoid".

    Returns:
        One vector a target and head, and one weight an edge and head, in the order of the edges.

    Example:
        >>> from graphattn.ops.edge_plan import plan_edges
        >>> plan = plan_edges(torch.tensor([0, 0]), torch.tensor([0, 1]), 2, 2)
        >>> x, one = torch.tensor([[1.0], [3.0]]), torch.ones(1)
        >>> projections = EdgeProjections(torch.zeros(1, 1), None, torch.ones(1, 1), *[None] * 6)
        >>> z, weights = attend_edges(x, x, None, projections, one, one, plan, "softmax")
        >>> z.flatten(), weights.flatten()
        (tensor([3., 3.]), tensor([0.5000, 0.5000]))
    """
    # No tensor twice: torch.compile takes none such.
    others = None if targets is sources else targets
    tensors = (sources, others, edge_attr, *projections, scale, self_weight, *plan)
    found: tuple[Tensor, Tensor] = _attend_nodes(normalize == "sigmoid", *tensors)
    return found


class _Nodes(NamedTuple):
    """What nodes bring, made of their features."""

    q: Tensor
    k: Tensor
    v: Tensor
    own: Tensor
    towards: Tensor  # queries times the matrix of edge features; of width 0 without them


def _project(sources: Tensor, targets: Tensor, p: EdgeProjections, heads: int) -> _Nodes:
    def split(x: Tensor) -> Tensor:
        return x.view(x.size(0), heads, x.size(1) // heads)

    q = split(F.linear(targets, p.query, p.query_bias))
    k = split(F.linear(sources, p.key, p.key_bias))
    v = split(sources if p.value is None else F.linear(sources, p.value, p.value_bias))
    own = v
    if targets is not sources:
        matrix, bias = (p.value, p.value_bias) if p.own is None else (p.own, p.own_bias)
        own = split(targets if matrix is None else F.linear(targets, matrix, bias))
    if p.edge is None:
        return _Nodes(q, k, v, own, q[:, :, :0])
    edge = p.edge.view(heads, q.size(2), -1)
    return _Nodes(q, k, v, own, torch.einsum("nhc,hce->nhe", q, edge))


@torch.library.custom_op("graphattn::attend_nodes", mutates_args=())
def _attend_nodes(
    is_sigmoid: bool, sources: Tensor, targets: Tensor | None, edge_attr: Tensor | None,
    query: Tensor, query_bias: Tensor | None, key: Tensor, key_bias: Tensor | None,
    value: Tensor | None, value_bias: Tensor | None, own: Tensor | None, own_bias: Tensor | None,
    edge: Tensor | None, scale: Tensor, self_weight: Tensor, row: Tensor, col: Tensor,
    ptr: Tensor, perm: Tensor, t_ptr: Tensor, t_perm: Tensor,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Projects and attends; keeps features of nodes and edges, and the weights."""
    p = EdgeProjections(query, query_bias, key, key_bias, value, value_bias, own, own_bias, edge)
    others = sources if targets is None else targets
    nodes = _project(sources, others, p, scale.size(0))
    along = sources.new_empty(row.size(0), 0) if edge_attr is None else edge_attr
    plan = (row, col, ptr, perm, t_ptr, t_perm)
    z, weights = _attend(nodes.q, nodes.k, nodes.v, nodes.towards, along, scale, is_sigmoid, *plan)
    return torch.addcmul(z, nodes.own, self_weight.unsqueeze(1)), weights


@_attend_nodes.register_fake
def _(
    is_sigmoid: bool, sources: Tensor, targets: Tensor | None, edge_attr: Tensor | None,
    query: Tensor, *rest: Any,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    scale, row, num_rows = rest[8], rest[10], (sources if targets is None else targets).size(0)
    z = sources.new_empty(num_rows, scale.size(0), query.size(0) // scale.size(0))
    return z, sources.new_empty(row.size(0), scale.size(0))


def _keep(ctx: Any, inputs: Any, output: tuple[Tensor, Tensor]) -> None:
    ctx.is_sigmoid, *tensors = inputs
    ctx.save_for_backward(output[1], *tensors)


def _differentiate(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
    weights, *tensors = ctx.saved_tensors
    found = (_again if torch.is_grad_enabled() else _backward)(ctx, grads, weights, tensors)
    pairs = zip(found, ctx.needs_input_grad[1:], strict=True)
    return None, *[grad if wants else None for grad, wants in pairs]


_attend_nodes.register_autograd(_differentiate, setup_context=_keep)


def _sort(tensors: Any) -> tuple[Any, ...]:
    sources, targets, edge_attr, *rest = tensors
    targets = sources if targets is None else targets
    return (
        sources,
        targets,
        edge_attr,
        EdgeProjections(*rest[:9]),
        *rest[9:11],
        EdgePlan(*rest[11:]),
    )


def _backward(ctx: Any, grads: Any, weights: Tensor, tensors: Any) -> list[Tensor | None]:
    sources, targets, edge_attr, p, scale, self_weight, plan = _sort(tensors)
    grad, grad_weights = grads[0].contiguous(), grads[1]
    nodes = _project(sources, targets, p, scale.size(0))
    along = sources.new_empty(plan.row.size(0), 0) if edge_attr is None else edge_attr
    grad_q, grad_k, grad_v, grad_towards, grad_scale, grad_scores = _attend_backward(
        grad, grad_weights, weights, nodes.q, nodes.k, nodes.v, nodes.towards, along, scale,
        ctx.is_sigmoid, *plan,
    )  # fmt: skip
    grad_self = (grad * nodes.own).sum(dim=(0, 2))
    grad_own = grad * self_weight.unsqueeze(1)
    grad_edge = grad_attr = None
    if p.edge is not None and edge_attr is not None:
        matrix = p.edge.view(scale.size(0), nodes.q.size(2), -1)
        by_head = grad_towards.transpose(0, 1)
        grad_edge = torch.bmm(nodes.q.permute(1, 2, 0), by_head).view(p.edge.shape)
        grad_q = grad_q + torch.bmm(by_head, matrix.transpose(1, 2)).transpose(0, 1)
        if ctx.needs_input_grad[3]:
            grad_attr = torch.zeros_like(edge_attr)
            for head in range(scale.size(0)):
                towards = nodes.towards[:, head].index_select(0, plan.row)
                grad_attr.addcmul_(towards, grad_scores[:, head : head + 1])
    same = targets is sources
    if same:
        grad_v = grad_v + grad_own
    grad_q, grad_k, grad_v, grad_own = (
        g.view(g.size(0), p.query.size(0)) for g in (grad_q, grad_k, grad_v, grad_own)
    )
    grad_targets, grad_sources = grad_q @ p.query, grad_k @ p.key
    grad_sources = grad_sources + (grad_v if p.value is None else grad_v @ p.value)
    of_value = _of_projection(p.value, p.value_bias, grad_v, sources)
    if same:
        grad_sources = grad_sources + grad_targets
    else:
        matrix = p.value if p.own is None else p.own
        grad_targets = grad_targets + (grad_own if matrix is None else grad_own @ matrix)
        if p.own is None:  # the values' projection made the targets' own values, too
            more = _of_projection(p.value, p.value_bias, grad_own, targets)
            pairs = zip(of_value, more, strict=True)
            of_value = [a if a is None or b is None else a + b for a, b in pairs]
    return [
        grad_sources,
        grad_targets,
        grad_attr,
        *_of_projection(p.query, p.query_bias, grad_q, targets),
        *_of_projection(p.key, p.key_bias, grad_k, sources),
        *of_value,
        *_of_projection(p.own, p.own_bias, grad_own, targets),
        grad_edge,
        grad_scale.sum(dim=0),
        grad_self,
        *[None] * len(plan),
    ]


def _of_projection(
    weight: Tensor | None, bias: Tensor | None, grad: Tensor, x: Tensor
) -> list[Tensor | None]:
    of_weight = None if weight is None else grad.t() @ x
    return [of_weight, None if bias is None else grad.sum(dim=0)]


def _again(ctx: Any, grads: Any, weights: Tensor, tensors: Any) -> list[Tensor | None]:
    """Gradients that have gradients themselves, by operations that have them at any order."""
    # Aliases: a tensor given twice is two inputs, each with a gradient of its own.
    wants_grad = ctx.needs_input_grad[1:]
    tensors = [t.view_as(t) if w else t for t, w in zip(tensors, wants_grad, strict=True)]
    sources, targets, edge_attr, p, scale, self_weight, plan = _sort(tensors)
    nodes = _project(sources, targets, p, scale.size(0))
    scores = edge_dots(nodes.q, nodes.k, plan)
    if edge_attr is not None:
        towards = nodes.towards.index_select(0, plan.row)
        scores = scores + torch.einsum("ehc,ec->eh", towards, edge_attr)
    scores = scores * scale
    found = scores.sigmoid() if ctx.is_sigmoid else edge_softmax(scores, plan)
    z = torch.addcmul(edge_sums(found, nodes.v, plan), nodes.own, self_weight.unsqueeze(1))
    wanted = [t for t, wants in zip(tensors, wants_grad, strict=True) if wants]
    given = iter(
        torch.autograd.grad((z, found), wanted, grads, create_graph=True, allow_unused=True)
    )
    return [next(given) if wants else None for wants in wants_grad]


@torch.library.custom_op("graphattn::attend_edges", mutates_args=())
def _attend(
    q: Tensor, k: Tensor, v: Tensor, towards: Tensor, along: Tensor, scale: Tensor,
    is_sigmoid: bool, row: Tensor, col: Tensor, ptr: Tensor, perm: Tensor, t_ptr: Tensor,
    t_perm: Tensor,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    weights, out = q.new_empty(row.size(0), q.size(1)), torch.empty_like(q)
    arrays = [*_arrays(ptr, perm, col, q, k, v, towards, along, scale), is_sigmoid]
    arrays += [weights.numpy(), out.numpy()]
    with as_many_threads_as_torch():
        kernels.attend_edges(*arrays)
    return out, weights


@_attend.register_fake
def _(
    q: Tensor, k: Tensor, v: Tensor, towards: Tensor, along: Tensor, scale: Tensor,
    is_sigmoid: bool, row: Tensor, *_: Any,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    return torch.empty_like(q), q.new_empty(row.size(0), q.size(1))


@torch.library.custom_op("graphattn::attend_edges_backward", mutates_args=())
def _attend_backward(
    grad: Tensor, grad_weights: Tensor, weights: Tensor, q: Tensor, k: Tensor, v: Tensor,
    towards: Tensor, along: Tensor, scale: Tensor, is_sigmoid: bool, row: Tensor, col: Tensor,
    ptr: Tensor, perm: Tensor, t_ptr: Tensor, t_perm: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    plain = torch.contiguous_format
    grad_q, grad_k, grad_v, grad_towards = (
        torch.empty_like(t, memory_format=plain) for t in (q, k, v, towards)
    )
    grad_scale = q.new_empty(q.size(0), q.size(1))
    grad_scores = grad_weights.clone(memory_format=plain)
    found = (grad_q, grad_k, grad_v, grad_towards, grad_scale)
    arrays = _arrays(ptr, perm, col, t_ptr, t_perm, row, q, k, v, towards, along, scale)
    arrays += [is_sigmoid, *_arrays(weights, grad, grad_scores), tuple(_arrays(*found))]
    with as_many_threads_as_torch():
        kernels.attend_edges_backward(*arrays)
    return *found, grad_scores


@_attend_backward.register_fake
def _(
    grad: Tensor, grad_weights: Tensor, weights: Tensor, q: Tensor, k: Tensor, v: Tensor,
    towards: Tensor, *_: Any,
) -> tuple[Tensor, ...]:  # fmt: skip
    plain = torch.contiguous_format
    found = [torch.empty_like(t, memory_format=plain) for t in (q, k, v, towards)]
    scores = torch.empty_like(grad_weights, memory_format=plain)
    return *found, q.new_empty(q.size(0), q.size(1)), scores


def _arrays(*tensors: Tensor) -> list[Any]:
    return [tensor.detach().contiguous().numpy() for tensor in tensors]
