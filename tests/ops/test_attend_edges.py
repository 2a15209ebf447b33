"""Attention along edges from the features of nodes beside its parts, each differentiable alone."""

import pytest
import torch
from torch.nn import functional as F

from graphattn.ops import attend_edges as ops
from graphattn.ops.edge_plan import plan_edges

HEADS, SIZE, EDGES = 2, 3, 23
KINDS = [
    "same nodes",
    "two kinds",
    "two kinds, one projection",
    "two kinds, own values",
    "edge features",
    "own values",
]


def make(kind):
    """Inputs in order, and which of them are missing."""
    torch.manual_seed(0)
    hidden, bipartite = HEADS * SIZE, kind.startswith("two")
    linear = not kind.endswith("own values")
    alone = bipartite and linear and "one" not in kind  # with channels of their own
    channels = 4 if alone else hidden

    def draw(*shape, wanted=True):
        return torch.randn(shape, dtype=torch.double, requires_grad=True) if wanted else None

    sources = draw(6, hidden)
    targets = draw(5, channels) if bipartite else sources
    features = kind == "edge features"
    p = ops.EdgeProjections(
        draw(hidden, channels), draw(hidden), draw(hidden, hidden), draw(hidden),
        draw(hidden, hidden, wanted=linear), draw(hidden, wanted=linear),
        draw(hidden, channels, wanted=alone), None,
        draw(hidden, 4, wanted=features),
    )  # fmt: skip
    edge_attr = draw(EDGES, 4, wanted=features)
    scale = torch.tensor([0.5, 0.9], dtype=torch.double, requires_grad=True)
    row, col = torch.randint(4, (EDGES,)), torch.randint(6, (EDGES,))  # the last row has no edge
    plan = plan_edges(row, col, targets.size(0), 6)
    return sources, targets, edge_attr, p, scale, draw(HEADS), plan


def by_parts(sources, targets, edge_attr, p, scale, self_weight, plan, normalize):
    q = F.linear(targets, p.query, p.query_bias).view(-1, HEADS, SIZE)
    k = F.linear(sources, p.key, p.key_bias).view(-1, HEADS, SIZE)
    v = sources if p.value is None else F.linear(sources, p.value, p.value_bias)
    own = v
    if sources is not targets:
        own = targets if p.value is None else targets @ (p.value if p.own is None else p.own).t()
        own = own + p.value_bias if p.own is None and p.value is not None else own
    v, own = v.view(-1, HEADS, SIZE), own.view(-1, HEADS, SIZE)
    keys = k[plan.col]
    if edge_attr is not None:
        keys = keys + (edge_attr @ p.edge.t()).view(-1, HEADS, SIZE)
    scores = (q[plan.row] * keys).sum(-1) * scale
    weights = torch.zeros_like(scores)
    for i in range(targets.size(0)):
        into = plan.row == i
        part = scores[into].softmax(0) if normalize == "softmax" else scores[into].sigmoid()
        weights = weights.masked_scatter(into.unsqueeze(1), part)
    z = torch.zeros_like(own).index_add(0, plan.row, weights.unsqueeze(-1) * v[plan.col])
    return z + self_weight.unsqueeze(1) * own, weights


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("normalize", ["softmax", "sigmoid"])
@pytest.mark.parametrize("create_graph", [False, True])
def test_equals_its_parts_in_value_and_gradient(kind, normalize, create_graph):
    inputs = make(kind)
    ours, theirs = ops.attend_edges(*inputs, normalize), by_parts(*inputs, normalize)
    sources, targets, edge_attr, p, scale, self_weight, _ = inputs
    wanted = [sources, *([] if targets is sources else [targets]), edge_attr, *p, scale]
    wanted = [t for t in (*wanted, self_weight) if t is not None]
    factors = [torch.randn_like(part) for part in ours]  # weights may have a gradient, too
    for got, want in zip(ours, theirs, strict=True):
        torch.testing.assert_close(got, want, rtol=0, atol=1e-12)
    grads = torch.autograd.grad(ours, wanted, factors, create_graph=create_graph)
    expected = torch.autograd.grad(theirs, wanted, factors)
    for got, want in zip(grads, expected, strict=True):
        torch.testing.assert_close(got, want, rtol=0, atol=1e-11)


def test_second_derivatives():
    sources, _, _, p, *rest = make("same nodes")

    def run(x, matrix):
        return ops.attend_edges(x, x, None, p._replace(query=matrix), *rest, "softmax")[0]

    assert torch.autograd.gradgradcheck(run, (sources, p.query), fast_mode=True)


def test_projections_are_not_kept():
    inputs = make("same nodes")
    kept = {}

    def keep(t):
        kept[t.untyped_storage().data_ptr()] = t
        return t

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        _, weights = ops.attend_edges(*inputs, "softmax")
    given = [*inputs[:3], *inputs[3], *inputs[4:6], *inputs[6], weights]
    assert set(kept) <= {t.untyped_storage().data_ptr() for t in given if t is not None}
