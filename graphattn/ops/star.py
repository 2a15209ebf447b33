"""A hidden layer for each pair of a row and a column, summed, with no vector of a pair kept."""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from graphattn.kernels import star as kernels
from graphattn.ops.edge_plan import EdgePlan
from graphattn.ops.segment_blocks import add_block
from graphattn.ops.threads import as_many_threads_as_torch

_NUMBERS = 1 << 26  # in one tensor of a block, where there is no kernel: 256 MB in float32


def rectified_sums(
    u: Float[Tensor, "rows channels"], w: Float[Tensor, "cols channels"], plan: EdgePlan
) -> Float[Tensor, "rows channels"]:
    r"""Adds up the hidden layers of pairs: :math:`\sum_{j \in i} \mathrm{ReLU}(u_i + w_j)`.

    A network with one hidden layer of two vectors side by side has :math:`u` and :math:`w` as the
    two halves of its first map; its second map may follow the sum. The gradient has no gradient.

    Args:
        u: Vectors of the rows.
        w: Vectors of the columns.
        plan: The pairs.

    Returns:
        One vector a row, 0 where it has no pair.

    Example:
        >>> from graphattn.ops.edge_plan import plan_edges
        >>> plan = plan_edges(torch.tensor([0, 0]), torch.tensor([0, 1]), 1, 2)
        >>> rectified_sums(torch.tensor([[1.0]]), torch.tensor([[2.0], [-5.0]]), plan)
        tensor([[3.]])
    """
    return _sums(u.contiguous(), w.contiguous(), *plan)


@torch.library.custom_op("graphattn::rectified_sums", mutates_args=())
def _sums(
    u: Tensor,
    w: Tensor,
    row: Tensor,
    col: Tensor,
    ptr: Tensor,
    perm: Tensor,
    t_ptr: Tensor,
    t_perm: Tensor,
) -> Tensor:
    if u.device.type != "cpu":
        return plain_sums(u, w, EdgePlan(row, col, ptr, perm, t_ptr, t_perm))
    out = torch.empty_like(u)
    with as_many_threads_as_torch():
        kernels.rectified_sums(*_arrays(ptr, perm, col, u, w, out))
    return out


@_sums.register_fake
def _(u: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(u)


@torch.library.custom_op("graphattn::rectified_sums_backward", mutates_args=())
def _sums_backward(
    grad: Tensor,
    u: Tensor,
    w: Tensor,
    row: Tensor,
    col: Tensor,
    ptr: Tensor,
    perm: Tensor,
    t_ptr: Tensor,
    t_perm: Tensor,
) -> tuple[Tensor, Tensor]:
    grad = grad.contiguous()
    if u.device.type != "cpu":
        return plain_gradients(grad, u, w, EdgePlan(row, col, ptr, perm, t_ptr, t_perm))
    grad_u, grad_w = torch.empty_like(u), torch.empty_like(w)
    with as_many_threads_as_torch():
        kernels.rectified_gradients(*_arrays(ptr, perm, col, u, w, grad, grad_u))
        kernels.rectified_spread(*_arrays(t_ptr, t_perm, row, u, w, grad, grad_w))
    return grad_u, grad_w


@_sums_backward.register_fake
def _(grad: Tensor, u: Tensor, w: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return torch.empty_like(u), torch.empty_like(w)


def plain_sums(u: Tensor, w: Tensor, plan: EdgePlan) -> Tensor:
    """:func:`rectified_sums` in PyTorch's operations, a block of pairs at a time; any device."""
    out = torch.zeros_like(u)
    for rows, cols, counts in _blocks(plan.row, plan.col, plan.ptr, plan.perm, u.size(1)):
        hidden = (u.index_select(0, rows) + w.index_select(0, cols)).relu_()
        add_block(out, rows, torch.where(counts, hidden, 0.0))
    return out


def plain_gradients(grad: Tensor, u: Tensor, w: Tensor, plan: EdgePlan) -> tuple[Tensor, Tensor]:
    """The gradients of :func:`plain_sums`, with the same blocks."""
    grads = torch.zeros_like(u), torch.zeros_like(w)
    turned = (plan.col, plan.row, plan.t_ptr, plan.t_perm)
    one_way = (plan.row, plan.col, plan.ptr, plan.perm)
    for is_turned, sides in enumerate((one_way, turned)):
        for into, other, counts in _blocks(*sides, u.size(1)):
            rows, cols = (other, into) if is_turned else (into, other)
            passes = (u.index_select(0, rows) + w.index_select(0, cols) > 0) & counts
            add_block(grads[is_turned], into, grad.index_select(0, rows).mul_(passes))
    return grads


def _blocks(
    into: Tensor, other: Tensor, ptr: Tensor, perm: Tensor, width: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Both ends of a block of pairs in order, and which of them count: repeats do not."""
    size = max(1, _NUMBERS // max(1, width))
    for start in range(0, perm.size(0), size):
        pairs = perm[start : start + size]
        slots = torch.arange(start, start + pairs.size(0), device=perm.device)
        counts = (slots < ptr[-1]).unsqueeze(1)
        yield into.index_select(0, pairs), other.index_select(0, pairs), counts


def _arrays(*tensors: Tensor) -> list[Any]:
    return [tensor.detach().contiguous().numpy() for tensor in tensors]


def _keep(ctx: Any, inputs: Any, output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    return *_sums_backward(grad, *ctx.saved_tensors), *[None] * 6


_sums.register_autograd(_backward, setup_context=_keep)
