"""Extremes along edges beside loops."""

import torch

from graphattn.ops import edge_extremes as ops
from graphattn.ops.edge_plan import plan_edges


def test_largest_of_the_edges_kept(monkeypatch):
    monkeypatch.setattr(ops, "_CHUNK", 20)  # several chunks of edges
    torch.manual_seed(0)
    plan = plan_edges(torch.randint(4, (12,)), torch.randint(4, (12,)), 5, 4)
    q = torch.randn(5, 2, 3, dtype=torch.double, requires_grad=True)
    v = torch.randn(4, 2, 3, dtype=torch.double, requires_grad=True)
    kept = torch.rand(12, 2) < 0.4
    found = ops.edge_max(v, kept, q, plan)
    for i in range(5):
        for h in range(2):
            rows = [v[plan.col[e], h] for e in range(12) if plan.row[e] == i and kept[e, h]]
            expected = torch.stack(rows).amax(0) if rows else q[i, h]
            assert torch.equal(found[i, h], expected)
    assert torch.autograd.gradcheck(lambda v, q: ops.edge_max(v, kept, q, plan), (v, q))


def test_strongest_edges_of_each_row_and_those_that_tie():
    plan = plan_edges(torch.tensor([1, 0, 1, 1]), torch.zeros(4, dtype=torch.long), 3, 1)
    weights = torch.tensor([[0.2], [0.1], [0.7], [0.2]])
    assert ops.strongest_edges(weights, 1, plan).squeeze(1).tolist() == [False, True, True, False]
    assert ops.strongest_edges(weights, 2, plan).all()


def test_weights_that_differ_by_rounding_tie():
    plan = plan_edges(torch.zeros(3, dtype=torch.long), torch.arange(3), 1, 3)
    weights = torch.tensor([[0.5], [0.5 - 2**-24], [0.4999]])  # an ulp, and far more
    assert ops.strongest_edges(weights, 1, plan).squeeze(1).tolist() == [True, True, False]
