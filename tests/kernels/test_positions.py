"""The walking kernel: its budget, walks that die out, and numbers too small to hold."""

import numpy as np

from graphattn.graph import CSRGraph
from graphattn.kernels.positions import return_probabilities


def rows_of(edges, num_nodes):
    graph = CSRGraph.from_edge_index(np.array(edges), num_nodes)
    back = graph.reverse()
    return (graph.rowptr, graph.col), (back.rowptr, back.col)


def test_a_walk_that_cannot_go_on_never_returns():
    rows, receivers = rows_of([[0, 1], [1, 2]], 3)  # 0 -> 1 -> 2: nobody sends to 0
    assert return_probabilities(rows, receivers, 4, 1000).tolist() == [[0.0] * 4] * 3


def test_a_directed_ring_returns_after_a_round():
    rows, receivers = rows_of([[0, 1, 2], [1, 2, 0]], 3)
    assert return_probabilities(rows, receivers, 5, 1000)[0].tolist() == [0, 1, 0, 0, 1]


def test_what_the_budget_does_not_reach_stays_nan_and_the_rest_is_the_same():
    generator = np.random.default_rng(0)
    edges = generator.integers(0, 60, (2, 300))
    rows, receivers = rows_of(edges, 60)
    full = return_probabilities(rows, receivers, 8, 10**9)
    assert np.isfinite(full).all()
    for budget in (0, 20, 200, 2000):
        part = return_probabilities(rows, receivers, 8, budget)
        known = np.isfinite(part)
        assert np.array_equal(part[known], full[known])
        assert (np.diff(known.astype(int), axis=1) <= 0).all()  # a prefix of each row
    assert not np.isfinite(return_probabilities(rows, receivers, 8, 0)).any()


def test_probabilities_that_underflow_do_no_harm():
    # Each pass from one end of a complete bipartite graph to the other divides by 300.
    left, right = np.meshgrid(np.arange(300), np.arange(300, 600))
    one_way = np.stack([left.ravel(), right.ravel()])
    rows, receivers = rows_of(np.concatenate([one_way, one_way[::-1]], axis=1), 600)
    out = return_probabilities(rows, receivers, 3, 10**9)
    assert np.abs(out - np.array([1 / 300, 0.0, 1 / 300])).max() < 1e-7
    # A chain of nodes with ever more senders elsewhere: shares fall below what a double can hold.
    length, fan = 180, 100
    chain = np.stack([np.arange(1, length), np.arange(length - 1)])
    first = length + fan * np.arange(length)
    fans = np.stack([(first[:, None] + np.arange(fan)).ravel(), np.repeat(np.arange(length), fan)])
    loop = np.array([[0], [length - 1]])
    edges = np.concatenate([chain, fans, loop], axis=1)
    rows, receivers = rows_of(edges, length * (fan + 1))
    out = return_probabilities(rows, receivers, length + 4, 10**9)
    assert np.isfinite(out).all()
    assert out.max() < 1e-30


def test_no_nodes_and_one_node():
    empty = (np.zeros(1, np.int64), np.zeros(0, np.int32))
    assert return_probabilities(empty, empty, 3, 10).shape == (0, 3)
    loop = (np.array([0, 1]), np.array([0], np.int32))
    assert return_probabilities(loop, loop, 3, 10).tolist() == [[1.0, 1.0, 1.0]]
