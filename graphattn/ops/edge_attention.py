"""Attention along edges that keeps no vector of an edge for the backward pass: products of nodes,
softmax over the edges of a row, weighted sums and extremes, all differentiable at any order.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from graphattn.kernels import edge_attention as kernels
from graphattn.ops.threads import as_many_threads_as_torch

_CHUNK = 1 << 22  # numbers in one tensor of a chunk of edges: 16 MB in float32


class EdgePlan(NamedTuple):
    """Edges as given, and their order by each end; row is the target, col the source."""

    row: Int[Tensor, " edges"]
    col: Int[Tensor, " edges"]
    ptr: Int[Tensor, " rows_and_one"]
    perm: Int[Tensor, " edges"]
    t_ptr: Int[Tensor, " cols_and_one"]
    t_perm: Int[Tensor, " edges"]

    def reversed(self) -> "EdgePlan":
        """The same edges with the ends changed over."""
        return EdgePlan(self.col, self.row, self.t_ptr, self.t_perm, self.ptr, self.perm)


def plan_edges(
    row: Int[Tensor, " edges"], col: Int[Tensor, " edges"], num_rows: int, num_cols: int
) -> EdgePlan:
    """Sorts edges by each of their ends; the edges themselves stay where they are.

    Args:
        row: The target of each edge, 0 to ``num_rows - 1``.
        col: The source of each edge, 0 to ``num_cols - 1``.
        num_rows: Number of targets.
        num_cols: Number of sources.

    Raises:
        ValueError: On a CPU, an edge ends at no node.

    Returns:
        What the functions below take.

    Example:
        >>> plan_edges(torch.tensor([1, 0]), torch.tensor([0, 0]), 2, 1).ptr.tolist()
        [0, 1, 2]
    """
    small = max(row.size(0), num_rows, num_cols) < 2**31 - 1
    dtype = torch.int32 if small else torch.int64
    row, col = row.to(dtype).contiguous(), col.to(dtype).contiguous()
    return EdgePlan(row, col, *_order(row, num_rows), *_order(col, num_cols))


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
        >>> plan = plan_edges(torch.tensor([0]), torch.tensor([1]), 1, 2)
        >>> edge_dots(torch.ones(1, 1, 2), torch.arange(4.0).view(2, 1, 2), plan)
        tensor([[5.]])
    """
    return _dots(q.contiguous(), k.contiguous(), *plan)


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
        >>> plan = plan_edges(torch.tensor([0, 0]), torch.tensor([0, 1]), 1, 2)
        >>> edge_softmax(torch.zeros(2, 1), plan).squeeze(1)
        tensor([0.5000, 0.5000])
    """
    return _softmax(scores.contiguous(), *plan)


def edge_max(
    v: Float[Tensor, "cols heads size"],
    kept: Bool[Tensor, "edges heads"] | None,
    own: Float[Tensor, "rows heads size"],
    plan: EdgePlan,
) -> Float[Tensor, "rows heads size"]:
    r"""Largest value of each channel among the sources of a target.

    Args:
        v: Vectors of the sources.
        kept: Edges that count, for each head; all of them if None.
        own: What stands where no edge counts.
        plan: The edges.

    Returns:
        One vector a target and head. Where sources tie, the first edge has the gradient.

    Example:
        >>> plan = plan_edges(torch.tensor([0, 0]), torch.tensor([0, 1]), 1, 2)
        >>> edge_max(torch.tensor([[[1.0]], [[3.0]]]), None, torch.zeros(1, 1, 1), plan)
        tensor([[[3.]]])
    """
    if kept is None:
        kept = torch.ones(1, v.size(1), dtype=torch.bool, device=v.device)
        kept = kept.expand(plan.row.size(0), -1)
    largest, found = _largest(v.contiguous(), kept.contiguous(), plan.row, plan.col, own.size(0))
    return torch.where(found < plan.row.size(0), largest, own)


@torch.no_grad()
def strongest_edges(
    weights: Float[Tensor, "edges heads"], count: int, plan: EdgePlan
) -> Bool[Tensor, "edges heads"]:
    """Finds the edges of each target with the largest weights, for each head.

    Args:
        weights: One number an edge and head.
        count: How many edges of a target; those that tie with the last are found, too.
        plan: The edges.

    Returns:
        Whether an edge is among them.

    Example:
        >>> plan = plan_edges(torch.tensor([0, 0]), torch.tensor([0, 1]), 1, 2)
        >>> strongest_edges(torch.tensor([[0.2], [0.8]]), 1, plan).squeeze(1).tolist()
        [False, True]
    """
    row = plan.row.long()
    order = weights.argsort(dim=0, descending=True, stable=True)
    order = order.gather(0, row[order].argsort(dim=0, stable=True))
    start, stop = plan.ptr[:-1].long(), plan.ptr[1:].long()
    last = torch.minimum(start + count, stop).sub(1).clamp(min=0).index_select(0, row)
    least = weights.gather(0, order.index_select(0, last))
    return weights >= least


def _parts(count: int, width: int, at_least: int = 1) -> range:
    return range(0, count, max(_CHUNK // max(width, 1), at_least))


def _chunk_stop(part: range, start: int) -> int:
    return min(start + part.step, part.stop)


def plain_dots(q: Tensor, k: Tensor, plan: EdgePlan) -> Tensor:
    """:func:`edge_dots` in PyTorch's operations, a chunk of edges at a time; any device."""
    out = q.new_empty(plan.row.size(0), q.size(1))
    parts = _parts(out.size(0), q.size(1) * q.size(2))
    for start in parts:
        part = slice(start, _chunk_stop(parts, start))
        ends = q.index_select(0, plan.row[part]) * k.index_select(0, plan.col[part])
        out[part] = ends.sum(-1)
    return out


def plain_sums(weights: Tensor, v: Tensor, plan: EdgePlan) -> Tensor:
    """:func:`edge_sums` in PyTorch's operations, a chunk of edges at a time; any device.

    Edges are added in their order by target, so that sums are the same in every run.
    """
    num_rows = plan.ptr.size(0) - 1
    out = v.new_zeros(num_rows, v.size(1), v.size(2))
    ptr = plan.ptr.long()
    parts = _parts(plan.perm.size(0), v.size(1) * v.size(2), num_rows)
    for start in parts:
        stop = _chunk_stop(parts, start)
        edges = plan.perm[start:stop]
        vectors = v.index_select(0, plan.col.index_select(0, edges))
        vectors = vectors * weights.index_select(0, edges).unsqueeze(-1)
        offsets = ptr.clamp(start, stop) - start
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


@torch.library.custom_op("graphattn::order_edges", mutates_args=())
def _order(index: Tensor, num_rows: int) -> tuple[Tensor, Tensor]:
    if index.device.type == "cpu":
        # Checked, because a wrong id would read foreign memory.
        if index.numel() and not 0 <= int(index.min()) <= int(index.max()) < num_rows:
            raise ValueError(
                f"Edges must join nodes 0..{num_rows - 1}: got ids from {int(index.min())} to "
                f"{int(index.max())}; right would be one row of x for each id."
            )
        ordered = kernels.order_edges(index.numpy(), num_rows)
        return torch.from_numpy(ordered[0]), torch.from_numpy(ordered[1])
    ptr = torch.zeros(num_rows + 1, dtype=index.dtype, device=index.device)
    ptr[1:] = torch.bincount(index, minlength=num_rows).cumsum(0)
    return ptr, torch.argsort(index, stable=True).to(index.dtype)


@_order.register_fake
def _(index: Tensor, num_rows: int) -> tuple[Tensor, Tensor]:
    return index.new_empty(num_rows + 1), torch.empty_like(index)


@torch.library.custom_op("graphattn::edge_dots", mutates_args=())
def _dots(
    q: Tensor,
    k: Tensor,
    row: Tensor,
    col: Tensor,
    ptr: Tensor,
    perm: Tensor,
    t_ptr: Tensor,
    t_perm: Tensor,
) -> Tensor:
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


@torch.library.custom_op("graphattn::edge_sums", mutates_args=())
def _sums(
    weights: Tensor,
    v: Tensor,
    row: Tensor,
    col: Tensor,
    ptr: Tensor,
    perm: Tensor,
    t_ptr: Tensor,
    t_perm: Tensor,
) -> Tensor:
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
    scores: Tensor,
    row: Tensor,
    col: Tensor,
    ptr: Tensor,
    perm: Tensor,
    t_ptr: Tensor,
    t_perm: Tensor,
) -> Tensor:
    if scores.device.type != "cpu":
        return plain_softmax(scores, EdgePlan(row, col, ptr, perm, t_ptr, t_perm))
    out = torch.empty_like(scores)
    with as_many_threads_as_torch():
        kernels.edge_softmax(*_arrays(ptr, perm, scores, out))
    return out


@_softmax.register_fake
def _(scores: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(scores)


@torch.library.custom_op("graphattn::edge_max", mutates_args=())
def _largest(
    v: Tensor, kept: Tensor, row: Tensor, col: Tensor, num_rows: int
) -> tuple[Tensor, Tensor]:
    largest = v.new_full((num_rows, v.size(1), v.size(2)), -torch.inf)
    found = torch.full_like(largest, row.size(0), dtype=torch.long)
    parts = _parts(row.size(0), v.size(1) * v.size(2))
    for is_second in (False, True):  # the values first, then the first edge that has them
        for start in parts:
            part = slice(start, _chunk_stop(parts, start))
            vectors = v.index_select(0, col[part])
            vectors = vectors.masked_fill(~kept[part].unsqueeze(-1), -torch.inf)
            index = row[part].long()
            if is_second:
                edges = torch.arange(start, part.stop, device=v.device).view(-1, 1, 1)
                hit = (vectors == largest.index_select(0, index)) & kept[part].unsqueeze(-1)
                vectors = torch.where(hit, edges, row.size(0))
            into, how = (found, "amin") if is_second else (largest, "amax")
            into.scatter_reduce_(0, index.view(-1, 1, 1).expand_as(vectors), vectors, how)
    return largest, found


@_largest.register_fake
def _(v: Tensor, kept: Tensor, row: Tensor, col: Tensor, num_rows: int) -> tuple[Tensor, Tensor]:
    out = v.new_empty(num_rows, v.size(1), v.size(2))
    return out, torch.empty_like(out, dtype=torch.long)


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


def _keep_found(ctx: Any, inputs: Any, output: tuple[Tensor, Tensor]) -> None:
    v, _, _, col, _ = inputs
    ctx.shape = v.shape
    ctx.save_for_backward(output[1], col)


def _largest_backward(ctx: Any, grad: Tensor, _: Any) -> tuple[Tensor | None, ...]:
    found, col = ctx.saved_tensors
    num_edges, width = col.size(0), ctx.shape[1] * ctx.shape[2]
    if not num_edges:
        return grad.new_zeros(ctx.shape), None, None, None, None
    source = col.long().index_select(0, found.flatten().clamp(max=num_edges - 1))
    channel = torch.arange(width, device=col.device).repeat(found.size(0))
    index = source * width + channel
    values = grad.flatten().masked_fill(found.flatten() == num_edges, 0.0)
    total = grad.new_zeros(ctx.shape).flatten()
    if grad.device.type == "cpu":
        total = total.scatter_add(0, index, values)
    else:  # sorts, and so adds in the same order in every run
        total = total.index_put((index,), values, accumulate=True)
    return total.view(ctx.shape), None, None, None, None


_dots.register_autograd(_dots_backward, setup_context=_keep_both)
_sums.register_autograd(_sums_backward, setup_context=_keep_both)
_softmax.register_autograd(_softmax_backward, setup_context=_keep_weights)
_largest.register_autograd(_largest_backward, setup_context=_keep_found)
