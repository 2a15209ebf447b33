"""Attention along edges that keeps no vector of an edge for the backward pass: products of nodes,
softmax over the edges of a row and weighted sums, all differentiable at any order.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from graphattn.kernels import edge_attention as kernels
from graphattn.ops.edge_plan import EdgePlan
from graphattn.ops.threads import as_many_threads_as_torch

_CHUNK = 1 << 22  # numbers in one tensor of a chunk of edges: 16 MB in float32


def edge_dots(
    q: Float[Tensor, "rows heads size"], k: Float[Tensor, "cols heads size"], plan: EdgePlan
) -> Float[Tensor, "edges heads"]:
    r"""Multiplies the vectors at the two ends of each edge: :math:`s_{ij} = q_i^\top k_j`.

    Args:
        q: Vectors of the targets.
        k: Vectors of the sources.
        plan: The edges.

    Returns:
        One number an edge and head, in the order of the edges.

    Example:
        >>> from graphattn.ops.edge_plan import plan_edges
        >>> plan = plan_edges(torch.tensor([0]), torch.tensor([1]), 1, 2)
        >>> edge_dots(torch.ones(1, 1, 2), torch.arange(4.0).view(2, 1, 2), plan)
        tensor([[5.]])
    """
    return _dots(q.contiguous(), k.contiguous(), *plan)


def add_ends(
    a: Float[Tensor, "rows heads"], b: Float[Tensor, "cols heads"], plan: EdgePlan
) -> Float[Tensor, "edges heads"]:
    r"""Adds the numbers at the two ends of each edge: :math:`s_{ij} = a_i + b_j`.

    Args:
        a: Numbers of the targets.
        b: Numbers of the sources.
        plan: The edges.

    Returns:
        One number an edge and head, in the order of the edges.

    Example:
        >>> from graphattn.ops.edge_plan import plan_edges
        >>> plan = plan_edges(torch.tensor([0]), torch.tensor([1]), 1, 2)
        >>> add_ends(torch.ones(1, 1), torch.tensor([[2.0], [3.0]]), plan)
        tensor([[4.]])
    """
    return _add_ends(a.contiguous(), b.contiguous(), *plan)


def edge_sums(
    weights: Float[Tensor, "edges heads"], v: Float[Tensor, "cols heads size"], plan: EdgePlan
) -> Float[Tensor, "rows heads size"]:
    r"""Adds up weighted vectors of the sources: :math:`z_i = \sum_j a_{ij} v_j`.

    Args:
        weights: One number an edge and head.
        v: Vectors of the sources.
        plan: The edges.

    Returns:
        One vector a target and head, 0 where no edge comes in.

    Example:
        >>> from graphattn.ops.edge_plan import plan_edges
        >>> plan = plan_edges(torch.tensor([0, 0]), torch.tensor([0, 1]), 1, 2)
        >>> edge_sums(torch.ones(2, 1), torch.arange(4.0).view(2, 1, 2), plan)
        tensor([[[2., 4.]]])
    """
    return _sums(weights.contiguous(), v.contiguous(), *plan)


def row_sums(weights: Float[Tensor, "edges heads"], plan: EdgePlan) -> Float[Tensor, "rows heads"]:
    """Adds up the numbers of the edges of each target.

    Args:
        weights: One number an edge and head.
        plan: The edges.

    Returns:
        One number a target and head.

    Example:
        >>> from graphattn.ops.edge_plan import plan_edges
        >>> plan = plan_edges(torch.tensor([0, 0]), torch.tensor([0, 1]), 1, 2)
        >>> row_sums(torch.ones(2, 1), plan)
        tensor([[2.]])
    """
    ones = weights.new_ones(plan.t_ptr.size(0) - 1, weights.size(1), 1)
    return edge_sums(weights, ones, plan).squeeze(-1)


def edge_softmax(
    scores: Float[Tensor, "edges heads"], plan: EdgePlan
) -> Float[Tensor, "edges heads"]:
    r"""Softmax over the edges of each target: :math:`a_{ij} = \mathrm{softmax}_j(s_{ij})`.

    Args:
        scores: One number an edge and head.
        plan: The edges.

    Returns:
        Weights that sum to 1 for each target that has edges.

    Example:
        >>> from graphattn.ops.edge_plan import plan_edges
        >>> plan = plan_edges(torch.tensor([0, 0]), torch.tensor([0, 1]), 1, 2)
        >>> edge_softmax(torch.zeros(2, 1), plan).squeeze(1)
        tensor([0.5000, 0.5000])
    """
    return _softmax(scores.contiguous(), *plan)


def _parts(count: int, width: int, at_least: int = 1) -> range:
    return range(0, count, max(_CHUNK // max(width, 1), at_least))


def plain_dots(q: Tensor, k: Tensor, plan: EdgePlan) -> Tensor:
    """:func:`edge_dots` in PyTorch's operations, a chunk of edges at a time; any device."""
    out = q.new_empty(plan.row.size(0), q.size(1))
    parts = _parts(out.size(0), q.size(1) * q.size(2))
    for start in parts:
        part = slice(start, min(start + parts.step, parts.stop))
        ends = q.index_select(0, plan.row[part]) * k.index_select(0, plan.col[part])
        out[part] = ends.sum(-1)
    return out


def plain_sums(weights: Tensor, v: Tensor, plan: EdgePlan) -> Tensor:
    """:func:`edge_sums` in PyTorch's operations, a chunk of edges at a time; any device.

    Edges are added in their order by target, so that sums are the same in every run.
    """
    out = v.new_zeros(plan.ptr.size(0) - 1, v.size(1), v.size(2))
    parts = _parts(plan.perm.size(0), v.size(1) * v.size(2), out.size(0))
    for start in parts:
        stop = min(start + parts.step, parts.stop)
        edges = plan.perm[start:stop]
        vectors = v.index_select(0, plan.col.index_select(0, edges))
        vectors = vectors * weights.index_select(0, edges).unsqueeze(-1)
        offsets = plan.ptr.long().clamp(start, stop) - start
        out += torch.segment_reduce(vectors, "sum", offsets=offsets, axis=0, unsafe=True)
    return out


def plain_softmax(scores: Tensor, plan: EdgePlan) -> Tensor:
    """:func:`edge_softmax` in PyTorch's operations; any device."""
    row = plan.row.long()
    largest = scores.new_full((plan.ptr.size(0) - 1, scores.size(1)), -torch.inf)
    largest.scatter_reduce_(0, row.unsqueeze(1).expand_as(scores), scores, "amax")
    raised = (scores - largest.index_select(0, row)).exp_()
    ones = scores.new_ones(plan.t_ptr.size(0) - 1, scores.size(1), 1)
    total = plain_sums(raised, ones, plan).squeeze(-1)
    return raised.div_(total.index_select(0, row))


@torch.library.custom_op("graphattn::edge_dots", mutates_args=())
def _dots(
    q: Tensor, k: Tensor, row: Tensor, col: Tensor, ptr: Tensor, perm: Tensor, t_ptr: Tensor,
    t_perm: Tensor,
) -> Tensor:  # fmt: skip
    plan = EdgePlan(row, col, ptr, perm, t_ptr, t_perm)
    if q.device.type != "cpu":
        return plain_dots(q, k, plan)
    out = q.new_empty(row.size(0), q.size(1))
    with as_many_threads_as_torch():
        kernels.edge_dots(*_arrays(ptr, perm, col, q, k, out))
    return out


@_dots.register_fake
def _(q: Tensor, k: Tensor, row: Tensor, *_: Any) -> Tensor:
    return q.new_empty(row.size(0), q.size(1))


@torch.library.custom_op("graphattn::add_ends", mutates_args=())
def _add_ends(
    a: Tensor, b: Tensor, row: Tensor, col: Tensor, ptr: Tensor, perm: Tensor, t_ptr: Tensor,
    t_perm: Tensor,
) -> Tensor:  # fmt: skip
    if a.device.type != "cpu":
        return a.index_select(0, row) + b.index_select(0, col)
    out = a.new_empty(row.size(0), a.size(1))
    with as_many_threads_as_torch():
        kernels.add_ends(*_arrays(ptr, perm, col, a, b, out))
    return out


@_add_ends.register_fake
def _(a: Tensor, b: Tensor, row: Tensor, *_: Any) -> Tensor:
    return a.new_empty(row.size(0), a.size(1))


@torch.library.custom_op("graphattn::edge_sums", mutates_args=())
def _sums(
    weights: Tensor, v: Tensor, row: Tensor, col: Tensor, ptr: Tensor, perm: Tensor,
    t_ptr: Tensor, t_perm: Tensor,
) -> Tensor:  # fmt: skip
    plan = EdgePlan(row, col, ptr, perm, t_ptr, t_perm)
    if v.device.type != "cpu":
        return plain_sums(weights, v, plan)
    out = v.new_empty(ptr.size(0) - 1, v.size(1), v.size(2))
    with as_many_threads_as_torch():
        kernels.edge_sums(*_arrays(ptr, perm, col, weights, v, out))
    return out


@_sums.register_fake
def _(weights: Tensor, v: Tensor, row: Tensor, col: Tensor, ptr: Tensor, *_: Any) -> Tensor:
    return v.new_empty(ptr.size(0) - 1, v.size(1), v.size(2))


@torch.library.custom_op("graphattn::edge_softmax", mutates_args=())
def _softmax(
    scores: Tensor, row: Tensor, col: Tensor, ptr: Tensor, perm: Tensor, t_ptr: Tensor,
    t_perm: Tensor,
) -> Tensor:  # fmt: skip
    if scores.device.type != "cpu":
        return plain_softmax(scores, EdgePlan(row, col, ptr, perm, t_ptr, t_perm))
    out = torch.empty_like(scores)
    with as_many_threads_as_torch():
        kernels.edge_shift(*_arrays(ptr, perm, scores, out))
        out.exp_()  # eight or more at once, which a kernel of ours cannot
        kernels.edge_normalize(*_arrays(ptr, perm, out))
    return out


@_softmax.register_fake
def _(scores: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(scores)


def _arrays(*tensors: Tensor) -> list[Any]:
    return [tensor.detach().contiguous().numpy() for tensor in tensors]


def _keep_both(ctx: Any, inputs: Any, output: Tensor) -> None:
    left, right, *plan = inputs
    needs_left, needs_right, *_ = ctx.needs_input_grad
    ctx.save_for_backward(left if needs_right else None, right if needs_left else None, *plan)


def _dots_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    q, k, *edges = ctx.saved_tensors
    plan = EdgePlan(*edges)
    grad_q = None if k is None else edge_sums(grad, k, plan)
    grad_k = None if q is None else edge_sums(grad, q, plan.reversed())
    return grad_q, grad_k, *[None] * 6


def _keep_plan(ctx: Any, inputs: Any, output: Tensor) -> None:
    ctx.save_for_backward(*inputs[2:])


def _ends_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    plan, grad = EdgePlan(*ctx.saved_tensors), grad.contiguous()
    of_a, of_b, *_ = ctx.needs_input_grad
    grad_a = row_sums(grad, plan) if of_a else None
    grad_b = row_sums(grad, plan.reversed()) if of_b else None
    return grad_a, grad_b, *[None] * 6


def _sums_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    weights, v, *edges = ctx.saved_tensors
    plan = EdgePlan(*edges)
    grad_weights = None if v is None else edge_dots(grad, v, plan)
    grad_v = None if weights is None else edge_sums(weights, grad, plan.reversed())
    return grad_weights, grad_v, *[None] * 6


def _keep_weights(ctx: Any, inputs: Any, output: Tensor) -> None:
    ctx.save_for_backward(output, *inputs[1:])


def _softmax_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    weights, *edges = ctx.saved_tensors
    plan = EdgePlan(*edges)
    part = weights * grad
    total = row_sums(part, plan)
    return part - weights * total.index_select(0, plan.row), *[None] * 6


_dots.register_autograd(_dots_backward, setup_context=_keep_both)
_add_ends.register_autograd(_ends_backward, setup_context=_keep_plan)
_sums.register_autograd(_sums_backward, setup_context=_keep_both)
_softmax.register_autograd(_softmax_backward, setup_context=_keep_weights)
