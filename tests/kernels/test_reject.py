"""Rejection: the same pool and the same law as enumeration, also where it gives up now and then."""

import numpy as np
import oracles
import pytest
from scipy.stats import chi2

from graphattn.graph import CSRGraph
from graphattn.kernels import reject, sample

EPOCHS = 6000


def draws(graph, node, take, pool, epochs=EPOCHS):
    """Ids, masks and hops of one node in many epochs, a row each."""
    tables = [
        sample.draw_neighborhood(
            graph.rowptr, graph.col, np.array([node]), 1 + take, 2, pool == "list", 5, epoch, True
        )
        for epoch in range(epochs)
    ]
    return [np.concatenate(parts) for parts in zip(*tables, strict=True)]


def undirected(edges, num_nodes):
    return CSRGraph.from_edge_index(np.concatenate([edges, edges[::-1]], axis=1), num_nodes)


def dense():
    """Many triangles: of the paths to a node few are taken."""
    edges = np.random.default_rng(3).integers(60, size=(2, 700))
    return undirected(edges, 300), 7


def complete():
    """So many that most draws give up, and some do not."""
    node = np.arange(60)
    return undirected(np.stack([np.tile(node, 60), np.repeat(node, 60)]), 300), 7


def hubs():
    """A node whose row is so long that common neighbours are searched in it."""
    near, leaf = np.arange(1, 5), np.arange(6, 1200)
    ends = [(0, j) for j in near] + [(5, j) for j in near] + [(5, k) for k in leaf]
    ends += [(near[k % 4], k) for k in leaf[:500]] + [(near[0], k) for k in leaf[:200:3]]
    return undirected(np.array(ends).T, 1200), 0


GRAPHS = {"dense": dense, "complete": complete, "hubs": hubs}


@pytest.mark.parametrize("pool", ["list", "set"])
@pytest.mark.parametrize("name", list(GRAPHS))
def test_law_is_that_of_the_pool(name, pool):
    """Pearson's statistic over the hypergeometric factor, as in tests/ops/test_neighborhood.py."""
    graph, node = GRAPHS[name]()
    take = 4
    edges = graph.edge_index().T.tolist()
    times, distance = oracles.pool_of(edges, graph.num_nodes, node, 2, pool)
    sums = reject.count_paths(graph.rowptr, graph.col, node, np.empty(0, np.int64))
    degree = graph.degree()[node]
    assert min(sums[degree], graph.num_nodes) > reject.PATHS * take  # so that it is tried at all
    ids, mask, hop = draws(graph, node, take, pool)
    assert mask.all()
    assert all(distance[i] == h for i, h in zip(ids[:, 1:].flat, hop[:, 1:].flat, strict=True))
    for row in ids[:200, 1:].tolist():
        assert all(row.count(i) <= times[i] for i in row)
    size = sum(times.values())
    nodes, weights = np.array(sorted(times.items())).T
    counts = np.bincount(ids[:, 1:].reshape(-1), minlength=graph.num_nodes)
    expected = EPOCHS * take * weights / size
    assert counts.sum() == counts[nodes].sum()
    statistic = ((counts[nodes] - expected) ** 2 / expected).sum() / ((size - take) / (size - 1))
    assert chi2.sf(statistic, len(nodes) - 1) > 1e-4


def outcomes(graph, node, take, pool_is_list=True):
    """How often rejection alone fills a row, of 300 tries; the bitmap is clean after each."""
    bits = np.zeros((3 * graph.num_nodes + 64) // 64, np.uint64)
    sums = reject.count_paths(graph.rowptr, graph.col, node, np.empty(0, np.int64))
    filled = 0
    for name in range(300):
        ids = np.full(1 + take, node)
        mask, hop = np.arange(1 + take) == 0, np.zeros(1 + take, np.int8)
        table = (ids, mask, hop)
        done = reject.draw_by_rejection(
            graph.rowptr, graph.col, sums, pool_is_list, bits, np.uint64(name), *table
        )
        filled += done
        assert not bits.any()
        assert mask.all() == done
        if not done:
            assert (ids == node).all()
            assert not hop.any()
    return filled


def test_gives_up_where_paths_are_many_for_a_small_pool():
    assert outcomes(*dense(), 4) > 200
    assert outcomes(*dense(), 4, pool_is_list=False) > 150
    assert 0 < outcomes(*complete(), 4) < 150
    assert outcomes(*complete(), 200) == 0  # more than there are


def test_paths_are_counted_by_neighbour():
    graph, node = dense()
    sums = reject.count_paths(graph.rowptr, graph.col, node, np.empty(3, np.int64))
    degree = graph.degree()
    near = graph.col[graph.rowptr[node] : graph.rowptr[node + 1]]
    assert sums[: near.size + 1].tolist() == [0, *np.cumsum(degree[near])]


def test_a_large_pool_is_drawn_from_by_rejection():
    graph, node = dense()
    arrays = (graph.rowptr, graph.col, np.array([node]), 5, 2, True, 1, 2)
    assert not np.array_equal(
        sample.draw_neighborhood(*arrays, True)[0], sample.draw_neighborhood(*arrays, False)[0]
    )
    small = (graph.rowptr, graph.col, np.array([node]), 30, 2, True, 1, 2)
    assert np.array_equal(
        sample.draw_neighborhood(*small, True)[0], sample.draw_neighborhood(*small, False)[0]
    )
