"""Attention along edges: kernels against PyTorch's operations, and gradients of any order."""

import pytest
import torch

from graphattn.ops import edge_attention as ops
from graphattn.ops.edge_plan import plan_edges


def make(num_edges=5000, rows=40, cols=30, heads=2, size=3):
    torch.manual_seed(0)
    row, col = torch.randint(rows - 1, (num_edges,)), torch.randint(cols, (num_edges,))
    q = torch.randn(rows, heads, size, dtype=torch.double, requires_grad=True)
    k, v = (torch.randn(cols, heads, size, dtype=torch.double, requires_grad=True) for _ in "kv")
    return plan_edges(row, col, rows, cols), q, k, v


@pytest.mark.parametrize("num_edges", [0, 50, 5000])  # the last wakes threads, where there are any
def test_kernels_equal_plain_operations(num_edges, monkeypatch):
    monkeypatch.setattr(ops, "_CHUNK", 700)
    plan, q, k, v = make(num_edges)
    scores = ops.edge_dots(q, k, plan)
    torch.testing.assert_close(scores, ops.plain_dots(q, k, plan), rtol=0, atol=1e-13)
    weights = ops.edge_softmax(scores, plan)
    plain = ops.plain_softmax(scores.detach(), plan)
    torch.testing.assert_close(weights, plain, rtol=0, atol=1e-13)
    sums = ops.edge_sums(weights, v, plan)
    with torch.no_grad():
        torch.testing.assert_close(sums, ops.plain_sums(weights, v, plan), rtol=0, atol=1e-12)
    assert not sums[-1].any()  # a row without edges


def test_gradients_of_first_and_second_order():
    plan, q, k, v = make(12, 5, 4)

    def attend(q, k, v):
        return ops.edge_sums(ops.edge_softmax(ops.edge_dots(q, k, plan), plan), v, plan)

    assert torch.autograd.gradcheck(attend, (q, k, v))
    assert torch.autograd.gradgradcheck(attend, (q, k, v), fast_mode=True)


def test_numbers_of_both_ends_are_added():
    plan, q, k, _ = make(50, 6, 5, heads=7, size=1)
    a, b = q.squeeze(-1), k.squeeze(-1)
    row, col = plan.row.long(), plan.col.long()
    torch.testing.assert_close(ops.add_ends(a, b, plan), a[row] + b[col], rtol=0, atol=0)

    def attend(a, b):
        return ops.edge_softmax(ops.add_ends(a, b, plan).tanh(), plan)

    assert torch.autograd.gradcheck(
        attend, (a.detach().requires_grad_(), b.detach().requires_grad_())
    )
    assert torch.autograd.gradgradcheck(
        attend, (a.detach().requires_grad_(), b.detach().requires_grad_()), fast_mode=True
    )


def test_sums_of_numbers_are_those_of_vectors_of_one():
    plan, _, k, _ = make(5000, heads=5, size=1)
    weights = torch.randn(5000, 5).double()
    with torch.no_grad():
        found = ops.edge_sums(weights, k, plan)
        torch.testing.assert_close(found, ops.plain_sums(weights, k, plan), rtol=0, atol=1e-12)


def test_edges_set_apart_are_zero_whatever_the_memory_held():
    """They multiply zeros elsewhere, and garbage that is no number stays no number there."""
    plan, q, k, v = make(12, 5, 4)
    ptr = plan.ptr.clamp(max=9)  # the last three by row belong to none
    plan = plan._replace(ptr=ptr)
    apart = plan.perm[9:].long()
    torch.use_deterministic_algorithms(True)  # fills new memory with what is no number
    try:
        scores = ops.edge_dots(q, k, plan)
        weights = ops.edge_softmax(scores, plan)
        (grad,) = torch.autograd.grad(ops.edge_sums(weights, v, plan).sum(), weights)
    finally:
        torch.use_deterministic_algorithms(False)
    for part in (scores, weights, grad):
        assert not part[apart].any()
