"""Softmax attention over incidences in PyTorch's operations, a block of incidences at a time."""

from collections.abc import Iterator

import torch
from torch import Tensor

from graphattn.ops.edge_plan import EdgePlan


def attend_in_blocks(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    dropped: Tensor,
    plan: EdgePlan,
    scale: float,
    raised: float,
    chunk_size: int,
) -> tuple[Tensor, Tensor]:
    """Computes softmax attention of each row over the columns it is joined to; on any device.

    Blocks need not end where a row does, so that one row of any length is fine.

    Args:
        q: ``[N, H, D]``.
        k: ``[M, H, D]``.
        v: ``[M, H, D]``.
        dropped: ``[I, H]``, weights to leave out; of no rows where none are.
        plan: The incidences; those beyond ``ptr[-1]`` are left out.
        scale: What products are multiplied by.
        raised: What kept weights are multiplied by.
        chunk_size: Incidences in a block.

    Returns:
        ``[N, H, D]``, and the weights before dropout, those dropped with their sign turned.

    Example:
        >>> from graphattn.ops.edge_plan import plan_edges
        >>> plan = plan_edges(torch.tensor([0, 0]), torch.tensor([0, 1]), 1, 2)
        >>> v, none = torch.tensor([[[2.0]], [[4.0]]]), torch.empty(0, 1, dtype=torch.bool)
        >>> attend_in_blocks(torch.zeros(1, 1, 1), v, v, none, plan, 1.0, 1.0, 1)[0]
        tensor([[[3.]]])
    """
    row = plan.row.long()
    scores = _products(q, k, plan, chunk_size).mul_(scale)
    largest = scores.new_full((q.size(0), q.size(1)), -torch.inf)
    largest.scatter_reduce_(0, row.unsqueeze(1).expand_as(scores), scores, "amax")
    weights = scores.sub_(largest.index_select(0, row)).exp_()
    slots = torch.arange(row.size(0), device=row.device)
    repeats = torch.ones_like(slots, dtype=torch.bool)
    repeats.index_copy_(0, plan.perm.long(), slots >= plan.ptr[-1])
    weights.masked_fill_(repeats.unsqueeze(1), 0.0)
    total = torch.zeros_like(largest)
    for edges, rows in _in_order(plan, chunk_size):
        add_block(total, rows, weights.index_select(0, edges))
    weights.div_(total.index_select(0, row))
    if dropped.size(0):
        weights = torch.where(dropped, -weights, weights)
    kept = (weights * raised).clamp_(min=0)
    out = torch.zeros_like(q)
    for edges, rows in _in_order(plan, chunk_size):
        add_block(out, rows, _weighted(kept, v, plan.col, edges))
    return out, weights


def attend_in_blocks_backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    weights: Tensor,
    plan: EdgePlan,
    scale: float,
    raised: float,
    chunk_size: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Computes the gradients of :func:`attend_in_blocks` with the same blocks.

    Args:
        grad: ``[N, H, D]``, of the output.
        q: As there.
        k: As there.
        v: As there.
        weights: As it returned them.
        plan: As there.
        scale: As there.
        raised: As there.
        chunk_size: As there.

    Returns:
        The gradients of q, k and v.

    Example:
        >>> from graphattn.ops.edge_plan import plan_edges
        >>> plan = plan_edges(torch.tensor([0]), torch.tensor([0]), 1, 1)
        >>> one = torch.ones(1, 1, 1)
        >>> grads = attend_in_blocks_backward(one, one, one, one, one[0], plan, 1.0, 1.0, 1)
        >>> [part.item() for part in grads]
        [0.0, 0.0, 1.0]
    """
    changes = _products(grad, v, plan, chunk_size).mul_(raised)
    changes.masked_fill_(weights < 0, 0.0)
    plain, kept = weights.abs(), (weights * raised).clamp_(min=0)
    mean = grad.new_zeros(grad.size(0), grad.size(1))
    for edges, rows in _in_order(plan, chunk_size):
        part = plain.index_select(0, edges) * changes.index_select(0, edges)
        add_block(mean, rows, part)
    changes.sub_(mean.index_select(0, plan.row)).mul_(plain).mul_(scale)
    grad_q, grad_k, grad_v = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
    for edges, rows in _in_order(plan, chunk_size):
        add_block(grad_q, rows, _weighted(changes, k, plan.col, edges))
    for edges, cols in _in_order(plan.reversed(), chunk_size):
        add_block(grad_k, cols, _weighted(changes, q, plan.row, edges))
        add_block(grad_v, cols, _weighted(kept, grad, plan.row, edges))
    return grad_q, grad_k, grad_v


def _in_order(plan: EdgePlan, chunk_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Blocks of incidences by row, and their rows."""
    for edges in torch.split(plan.perm, chunk_size) if plan.perm.size(0) else ():
        yield edges, plan.row.index_select(0, edges)


def _products(left: Tensor, right: Tensor, plan: EdgePlan, chunk_size: int) -> Tensor:
    out = left.new_empty(plan.row.size(0), left.size(1))
    for start in range(0, out.size(0), chunk_size):
        part = slice(start, start + chunk_size)
        ends = left.index_select(0, plan.row[part]) * right.index_select(0, plan.col[part])
        out[part] = ends.sum(-1)
    return out


def _weighted(weights: Tensor, v: Tensor, ends: Tensor, edges: Tensor) -> Tensor:
    vectors = v.index_select(0, ends.index_select(0, edges))
    return vectors * weights.index_select(0, edges).unsqueeze(-1)


def add_block(out: Tensor, rows: Tensor, values: Tensor) -> None:
    """Adds values to rows, equal rows side by side; in the same order in every run, on any device.

    Each run of equal rows is summed by itself and then added once, so that no two of a block meet.
    """
    count = rows.size(0)
    run = torch.zeros(count, dtype=torch.long, device=rows.device)
    run[1:] = (rows[1:] != rows[:-1]).cumsum(0)
    starts = torch.searchsorted(run, torch.arange(count + 1, device=rows.device))
    sums = torch.segment_reduce(values, "sum", offsets=starts, axis=0, unsafe=True)
    first = rows.index_select(0, starts[:-1].clamp(max=count - 1))
    out.index_add_(0, first, sums)  # beyond the last run: zeros
