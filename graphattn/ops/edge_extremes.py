"""Extremes along edges: the largest value of a channel among sources, and the strongest edges of a
target. Nothing of the size of all edges and channels is kept.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from graphattn.ops.edge_plan import EdgePlan
from graphattn.ops.token_scores import lower_tie

_CHUNK = 1 << 22  # numbers in one tensor of a chunk of edges: 16 MB in float32


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
        >>> from graphattn.ops.edge_plan import plan_edges
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
        count: How many edges of a target; those that tie with the last, but for rounding, are
            found, too.
        plan: The edges.

    Returns:
        Whether an edge is among them.

    Example:
        >>> from graphattn.ops.edge_plan import plan_edges
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
    return weights >= lower_tie(least)


@torch.library.custom_op("graphattn::edge_max", mutates_args=())
def _largest(
    v: Tensor, kept: Tensor, row: Tensor, col: Tensor, num_rows: int
) -> tuple[Tensor, Tensor]:
    largest = v.new_full((num_rows, v.size(1), v.size(2)), -torch.inf)
    found = torch.full_like(largest, row.size(0), dtype=torch.long)
    step = max(1, _CHUNK // max(1, v.size(1) * v.size(2)))
    for is_second in (False, True):  # the values first, then the first edge that has them
        for start in range(0, row.size(0), step):
            part = slice(start, min(start + step, row.size(0)))
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


_largest.register_autograd(_largest_backward, setup_context=_keep_found)
