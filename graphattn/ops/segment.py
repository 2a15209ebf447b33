"""Softmax attention over incidences, from nodes into hyperedges or back, that keeps one number an
incidence and head for the backward pass.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from graphattn.checks import check_choice
from graphattn.hypergraph import Incidence
from graphattn.ops.dropout import fast_dropout
from graphattn.ops.edge_attention import edge_dots, edge_softmax, edge_sums, row_sums
from graphattn.ops.edge_plan import EdgePlan
from graphattn.ops.incidence import Segments, plan_incidences, turned
from graphattn.ops.segment_blocks import attend_in_blocks, attend_in_blocks_backward

_DIRECTIONS = ("hyperedge", "node")
_BLOCK = 1 << 26  # numbers in one tensor of a block: 256 MB in float32


def segment_attention(
    q: Float[Tensor, "rows heads size"],
    k: Float[Tensor, "cols heads size"],
    v: Float[Tensor, "cols heads size"],
    incidence: Incidence | Segments,
    reduce: str = "hyperedge",
    *,
    scale: float | None = None,
    dropout: float = 0.0,
    training: bool = False,
    chunk_size: int | None = None,
) -> Float[Tensor, "rows heads size"]:
    r"""Lets hyperedges attend to their nodes, or nodes to their hyperedges.

    .. math::
        p_{ij} = \mathrm{softmax}_{j \in i}(\mathrm{scale} \cdot q_i^\top k_j), \qquad
        \mathrm{out}_i = \textstyle\sum_{j \in i} \mathrm{drop}(p_{ij})\, v_j

    For the backward pass it keeps q, k, v, p and the indices, nothing of the size of an incidence
    and all its channels. Sums go in a fixed order. Numbers narrower than float32 are widened.

    Args:
        q: Queries of those gathered into: hyperedges, or nodes where ``reduce="node"``.
        k: Keys of those gathered from.
        v: Values of those gathered from.
        incidence: Who is in which hyperedge.
        reduce: "hyperedge" gathers nodes into hyperedges, "node" hyperedges into nodes.
        scale: What products are multiplied by; ``size ** -0.5`` by default.
        dropout: Chance of a weight to be left out, while training.
        training: Whether to drop out.
        chunk_size: Incidences in a block; any gives the same. None takes the kernels of edges on a
            CPU, which have no blocks and are faster, and blocks of 256 MB elsewhere.

    Returns:
        One vector a row and head, 0 where nothing is gathered.

    Raises:
        ValueError: An option is out of range, or sizes do not fit together.

    Example:
        >>> made = Incidence.from_lists([[0, 1], []])
        >>> v = torch.tensor([[[2.0]], [[4.0]]])
        >>> segment_attention(torch.zeros(2, 1, 1), v, v, made).flatten().tolist()
        [3.0, 0.0]
    """
    check_choice(_DIRECTIONS, reduce=reduce)
    check_chunk(chunk_size)
    if not 0.0 <= dropout < 1.0:
        raise ValueError(f"dropout must lie in [0, 1): got dropout={dropout}.")
    if isinstance(incidence, Incidence):
        incidence = plan_incidences(incidence, incidence.num_nodes)
    plan = incidence.plan if reduce == "hyperedge" else turned(incidence.plan)
    _check_sizes(q, k, v, plan)
    wide = torch.promote_types(q.dtype, torch.float32)
    heads, size = q.size(1), q.size(2)
    scale = size**-0.5 if scale is None else scale
    wide_q, wide_k, wide_v = (part.to(wide).contiguous() for part in (q, k, v))
    if chunk_size is None and q.device.type == "cpu":  # kernels of edges: nothing of a block
        weights = edge_softmax(edge_dots(wide_q * scale, wide_k, plan), plan)
        weights = fast_dropout(weights, dropout, training)
        return edge_sums(weights, wide_v, plan).to(q.dtype)
    dropped, raised = q.new_empty((0, heads), dtype=torch.bool), 1.0
    if training and dropout:
        dropped = torch.rand(plan.row.size(0), heads, device=q.device) < dropout
        raised = 1.0 / (1.0 - dropout)
    chunk_size = chunk_size or max(1, _BLOCK // max(1, heads * size))
    out, _ = _attend(wide_q, wide_k, wide_v, dropped, *plan, scale, raised, chunk_size)
    return out.to(q.dtype)


def check_chunk(chunk_size: int | None) -> None:
    """Refuses a block of no incidences.

    Raises:
        ValueError: ``chunk_size`` is neither None nor a positive int.

    Example:
        >>> check_chunk(0)
        Traceback (most recent call last):
        ...
        ValueError: chunk_size must be a positive int or None: got 0.
    """
    is_size = isinstance(chunk_size, int) and not isinstance(chunk_size, bool) and chunk_size > 0
    if chunk_size is not None and not is_size:
        raise ValueError(f"chunk_size must be a positive int or None: got {chunk_size!r}.")


def _check_sizes(q: Tensor, k: Tensor, v: Tensor, plan: EdgePlan) -> None:
    rows, cols = plan.ptr.size(0) - 1, plan.t_ptr.size(0) - 1
    if q.size(0) != rows or k.size(0) != cols:
        raise ValueError(
            f"q must have {rows} rows and k and v {cols}, as the incidences: got "
            f"{q.size(0)} and {k.size(0)}; is reduce the other way?"
        )


@torch.library.custom_op("graphattn::segment_attention", mutates_args=())
def _attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    dropped: Tensor,
    row: Tensor,
    col: Tensor,
    ptr: Tensor,
    perm: Tensor,
    t_ptr: Tensor,
    t_perm: Tensor,
    scale: float,
    raised: float,
    chunk_size: int,
) -> tuple[Tensor, Tensor]:
    plan = EdgePlan(row, col, ptr, perm, t_ptr, t_perm)
    return attend_in_blocks(q, k, v, dropped, plan, scale, raised, chunk_size)


@_attend.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, dropped: Tensor, row: Tensor, *_: Any) -> Any:
    return torch.empty_like(q), q.new_empty(row.size(0), q.size(1))


@torch.library.custom_op("graphattn::segment_attention_backward", mutates_args=())
def _attend_backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    weights: Tensor,
    row: Tensor,
    col: Tensor,
    ptr: Tensor,
    perm: Tensor,
    t_ptr: Tensor,
    t_perm: Tensor,
    scale: float,
    raised: float,
    chunk_size: int,
) -> tuple[Tensor, Tensor, Tensor]:
    plan = EdgePlan(row, col, ptr, perm, t_ptr, t_perm)
    return attend_in_blocks_backward(grad, q, k, v, weights, plan, scale, raised, chunk_size)


@_attend_backward.register_fake
def _(grad: Tensor, q: Tensor, k: Tensor, v: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)


def _keep(ctx: Any, inputs: Any, output: tuple[Tensor, Tensor]) -> None:
    q, k, v, _, *plan, scale, raised, chunk_size = inputs
    ctx.numbers = (scale, raised, chunk_size)
    ctx.save_for_backward(q, k, v, output[1], *plan)


def _backward(ctx: Any, grad: Tensor, _: Any) -> tuple[Tensor | None, ...]:
    q, k, v, weights, *edges = ctx.saved_tensors
    if torch.is_grad_enabled():  # of the gradient, too
        grads = _differentiable(grad, (q, k, v), weights, EdgePlan(*edges), ctx.numbers)
    else:
        grads = _attend_backward(grad, q, k, v, weights, *edges, *ctx.numbers)
    return *grads, *[None] * 10


def _differentiable(
    grad: Tensor, inputs: tuple[Tensor, ...], weights: Tensor, plan: EdgePlan, numbers: Any
) -> tuple[Tensor | None, ...]:
    """The gradients once more, by operations that have gradients of any order."""
    q, k, v = inputs
    scale, raised, _ = numbers
    kept = torch.where(weights < 0, 0.0, raised).to(q.dtype)
    soft, back = edge_softmax(edge_dots(q * scale, k, plan), plan), plan.reversed()
    part = soft * edge_dots(grad, v, plan) * kept
    change = (part - soft * row_sums(part, plan).index_select(0, plan.row)) * scale
    grad_q, grad_k = edge_sums(change, k, plan), edge_sums(change, q, back)
    return grad_q, grad_k, edge_sums(soft * kept, grad, back)


_attend.register_autograd(_backward, setup_context=_keep)
