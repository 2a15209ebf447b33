"""Orders of nodes: the same graph under new numbers, clusters found, whatever the threads."""

import numpy as np
import pytest

from graphattn.graph import CSRGraph
from graphattn.kernels.order import follow_order, label_order


def planted(groups=40, size=30, inside=12, outside=4):
    """Communities with shuffled nodes: most edges stay inside. The graph and each node's group."""
    generator = np.random.default_rng(0)
    num_nodes = groups * size
    group = generator.permutation(np.arange(num_nodes) // size)
    members = np.argsort(group, kind="stable").reshape(groups, size)
    source = np.repeat(np.arange(num_nodes), inside + outside)
    target = generator.integers(num_nodes, size=source.size)
    stays = np.arange(source.size) % (inside + outside) < inside
    target[stays] = members[group[source[stays]], generator.integers(size, size=stays.sum())]
    graph = CSRGraph.from_edge_index(np.stack([source, target]), num_nodes, self_loops="drop")
    return graph.to_undirected(), group


@pytest.mark.parametrize("ids", [np.int32, np.int64])
def test_communities_come_together(ids):
    graph, group = planted()
    order = label_order(graph.rowptr, graph.col.astype(ids), [32, 128], 5)
    assert np.array_equal(np.sort(order), np.arange(graph.num_nodes))
    changes = np.count_nonzero(np.diff(group[order]))
    assert changes <= 2 * 40  # 1,170 without an order


@pytest.mark.parametrize("threads", [1, 3])
def test_same_order_for_any_number_of_threads(threads, monkeypatch):
    graph, _ = planted()
    once = label_order(graph.rowptr, graph.col, [32, 128], 5)
    monkeypatch.setattr("graphattn.kernels.order.get_num_threads", lambda: threads)
    assert np.array_equal(label_order(graph.rowptr, graph.col, [32, 128], 5), once)


@pytest.mark.parametrize("num_edges", [0, 30, 900])
def test_directed_graphs_with_isolated_nodes(num_edges):
    edges = np.random.default_rng(0).integers(60, size=(2, num_edges))
    graph = CSRGraph.from_edge_index(edges, 60)
    order = label_order(graph.rowptr, graph.col, [8, 32], 4)
    assert np.array_equal(np.sort(order), np.arange(60))


def test_hubs_are_sampled_and_clusters_stay_below_their_capacity():
    """A star: all want the hub's label, but only so many may have it."""
    size = 2000
    ends = np.stack([np.zeros(size - 1, np.int64), np.arange(1, size)])
    graph = CSRGraph.from_edge_index(np.concatenate([ends, ends[::-1]], axis=1))
    order = label_order(graph.rowptr, graph.col, [100], 3)
    assert np.array_equal(np.sort(order), np.arange(size))
    near = np.abs(np.argsort(order) - np.argsort(order)[0]) < 100
    assert near.sum() >= 100


def test_no_nodes():
    assert label_order(np.zeros(1, np.int64), np.zeros(0, np.int32), [4], 2).size == 0
    assert follow_order(np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0, int))[1].size == 0


@pytest.mark.parametrize("num_edges", [0, 5, 4000])
def test_rows_follow_and_keep_their_order(num_edges):
    generator = np.random.default_rng(num_edges)
    graph = CSRGraph.from_edge_index(generator.integers(90, size=(2, num_edges)), 90)
    order = generator.permutation(90)
    rowptr, col = follow_order(graph.rowptr, graph.col, order)
    for place, node in enumerate(order):
        row = graph.col[graph.rowptr[node] : graph.rowptr[node + 1]]
        assert np.array_equal(order[col[rowptr[place] : rowptr[place + 1]]], row)
