"""From attention to a sparse graph: equal to loops, in any chunks, with masks that hold."""

import math

import pytest
import torch

from graphattn.ops import sparse_gin as ops
from graphattn.ops.sparse_gin import (
    AdjacencyRule,
    attention_adjacency,
    send_messages,
    to_edges,
    weights_to_adjacency,
)

BATCH, HEADS, TOKENS, SIZE = 2, 4, 7, 8
RULES = [
    AdjacencyRule(),
    AdjacencyRule("mean", sharpness=5.0, threshold=0.2, cutoff=0.4),
    AdjacencyRule("max", sharpness=0.0, cutoff=0.3),
    AdjacencyRule("each", cutoff=0.3, self_loops=False),
    AdjacencyRule(pattern="diagonal", cutoff=0.0),
    AdjacencyRule(causal=True, cutoff=0.0),
]


def make_queries(queries=TOKENS, key_heads=HEADS):
    torch.manual_seed(0)
    q = 2 * torch.randn(BATCH, HEADS, queries, SIZE)
    return q, torch.randn(BATCH, key_heads, TOKENS, SIZE)


def by_loops(q, k, rule, sees, scaling=SIZE**-0.5):
    """One entry after the other; ``sees(b, i, j)`` with i among the keys."""
    queries, keys = q.size(2), k.size(2)
    groups = HEADS if rule.head_agg == "each" else 1
    out = torch.zeros(BATCH, groups, queries, keys)
    for b in range(BATCH):
        for row in range(queries):
            i = row + keys - queries
            each = []
            for h in range(HEADS):
                key = k[b, h * k.size(1) // HEADS]
                seen = [j for j in range(keys) if sees(b, i, j)]
                e = {j: math.exp(scaling * float(q[b, h, row] @ key[j])) for j in seen}
                each.append([e.get(j, 0.0) / (sum(e.values()) or 1.0) for j in range(keys)])
            for j in range(keys):
                if not sees(b, i, j) or (rule.causal and j > i):
                    continue
                if (j == i and not rule.self_loops) or (j != i and rule.pattern == "diagonal"):
                    continue
                a = [weights[j] for weights in each]
                joint = {"sum": min(1.0, sum(a)), "mean": sum(a) / HEADS, "max": max(a)}
                for g, weight in enumerate(a if groups > 1 else [joint[rule.head_agg]]):
                    value = weight
                    if rule.sharpness > 0:
                        value = 1 / (1 + math.exp(-rule.sharpness * (value - rule.threshold)))
                    out[b, g, row, j] = value if value > rule.cutoff else 0.0
    return out


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("scene", ["all", "causal", "mask", "float mask", "cached", "grouped"])
def test_equals_loops_in_any_chunks(rule, scene, monkeypatch):
    q, k = make_queries(3 if scene == "cached" else TOKENS, 2 if scene == "grouped" else HEADS)
    causal = scene in ("causal", "mask", "float mask", "cached")
    sees = (lambda b, i, j: j <= i and not (b == 1 and j < 2)) if causal else lambda *_: True
    if scene == "causal":
        sees = lambda b, i, j: j <= i  # noqa: E731
    mask = None
    if scene in ("mask", "float mask", "cached"):
        queries = q.size(2)
        mask = torch.tensor(
            [
                [
                    [[sees(b, i + TOKENS - queries, j) for j in range(TOKENS)]]
                    for i in range(queries)
                ]
                for b in range(BATCH)
            ]
        ).transpose(1, 2)
        if scene == "float mask":
            mask = torch.zeros(mask.shape).masked_fill(~mask, torch.finfo(torch.float).min)
    expected = by_loops(q, k, rule, sees)
    assert 0 < (expected > 0).float().mean() < 1 or rule.cutoff == 0
    for chunk in (1 << 20, 3 * BATCH * HEADS * TOKENS, 1):
        monkeypatch.setattr(ops, "_CHUNK", chunk)
        found = attention_adjacency(q, k, rule, mask=mask, is_causal=scene == "causal")
        torch.testing.assert_close(found, expected, rtol=0, atol=2e-6)
        edges = attention_adjacency(
            q, k, rule, mask=mask, is_causal=scene == "causal", as_edges=True
        )
        whole = to_edges(found)
        assert torch.equal(edges.ends, whole.ends)
        assert torch.equal(edges.weight, whole.weight)
        assert edges.size == whole.size


def test_what_is_hidden_gets_no_edge_even_where_nothing_would():
    # sigmoid(10 * (0 - 0.1)) = 0.27 is above this cutoff, so that each weight of 0 is an edge
    q, k = make_queries()
    mask = torch.ones(TOKENS, TOKENS, dtype=torch.bool).tril().expand(BATCH, 1, -1, -1).clone()
    mask[1, :, :, :3] = False
    found = attention_adjacency(q, k, AdjacencyRule(cutoff=0.1), mask=mask)
    assert torch.equal(found > 0, mask)  # rows that see nothing are 0, too
    assert found.isfinite().all()


def test_no_gradient_unless_asked_for():
    q, k = (x.requires_grad_() for x in make_queries())
    assert not attention_adjacency(q, k, mask=None).requires_grad
    found = attention_adjacency(q, k, mask=None, detach=False)
    assert torch.equal(found, attention_adjacency(q, k, mask=None))
    found.square().sum().backward()
    assert q.grad.abs().sum() > 0
    with pytest.raises(ValueError, match="as_edges takes detach=True: got detach=False"):
        attention_adjacency(q, k, mask=None, detach=False, as_edges=True)


def test_shuffle_keeps_each_row_and_what_it_may_see():
    torch.manual_seed(0)
    visible = torch.ones(TOKENS, TOKENS, dtype=torch.bool).tril().expand(BATCH, 1, -1, -1).clone()
    visible[1, :, :, :2] = False
    weights = torch.rand(BATCH, HEADS, TOKENS, TOKENS).masked_fill(~visible, 0.0) / 2
    plain = AdjacencyRule(sharpness=0.0, cutoff=0.9)
    rule = plain._replace(pattern="shuffled", seed=3)
    before = weights_to_adjacency(weights, plain, visible=visible)
    after = weights_to_adjacency(weights, rule, visible=visible)
    assert torch.equal(before.sort(-1).values, after.sort(-1).values)
    assert not after[~visible].any()
    assert not torch.equal(before, after)
    assert torch.equal(after, weights_to_adjacency(weights, rule, visible=visible))
    other = weights_to_adjacency(weights, rule._replace(seed=4), visible=visible)
    assert not torch.equal(after, other)
    row = weights_to_adjacency(weights[:, :, 5:6], rule, visible=visible[:, :, 5:6], first=5)
    assert torch.equal(row, after[:, :, 5:6])  # the same when tokens come one by one


@pytest.mark.parametrize("groups", [1, 3])
def test_messages_along_edges_are_those_of_the_matrix(groups):
    torch.manual_seed(0)
    adjacency = torch.rand(BATCH, groups, 3, TOKENS)
    adjacency = adjacency * (adjacency > 0.6)
    adjacency[1] = 0.0  # a sample without an edge
    z = torch.randn(BATCH, groups, TOKENS, 5, requires_grad=True)
    dense, sparse = send_messages(adjacency, z), send_messages(to_edges(adjacency), z)
    torch.testing.assert_close(sparse, dense, rtol=0, atol=1e-6)
    weight = torch.randn_like(dense)
    grads = [torch.autograd.grad((out * weight).sum(), z)[0] for out in (dense, sparse)]
    torch.testing.assert_close(*grads, rtol=0, atol=1e-6)
