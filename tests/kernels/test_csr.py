"""Counting passes against dense matrices."""

import numpy as np
import pytest

from graphattn.graph import CSRGraph
from graphattn.kernels.csr import is_symmetric, looped_degrees, renumber_nodes, transpose


@pytest.mark.parametrize("num_edges", [0, 5, 60])
def test_transpose_and_degrees(num_edges):
    edges = np.random.default_rng(num_edges).integers(12, size=(2, num_edges))
    graph = CSRGraph.from_edge_index(edges, 12)
    a = np.zeros((12, 12), np.int64)
    a[edges[1], edges[0]] = 1
    for rowptr, col, matrix in (
        (graph.rowptr, graph.col, a),
        (*transpose(graph.rowptr, graph.col), a.T),
    ):
        rows = [col[rowptr[i] : rowptr[i + 1]].tolist() for i in range(12)]
        assert rows == [np.flatnonzero(row).tolist() for row in matrix]
    np.fill_diagonal(a, 1)
    rows, columns = looped_degrees(graph.rowptr, graph.col)
    assert np.array_equal(rows, a.sum(axis=1))
    assert np.array_equal(columns, a.sum(axis=0))


def test_symmetry_is_seen():
    generator = np.random.default_rng(0)
    for num_edges in (0, 1, 30, 400):
        edges = generator.integers(40, size=(2, num_edges))
        both = np.concatenate([edges, edges[::-1]], axis=1)
        for ends in (edges, both):
            graph = CSRGraph.from_edge_index(ends, 40)
            a = np.zeros((40, 40), bool)
            a[ends[1], ends[0]] = True
            assert is_symmetric(graph.rowptr, graph.col) == (a == a.T).all()
    # One edge of many lacks its reverse, or two that would make up for each other by degree.
    rowptr, col = graph.rowptr, graph.col
    assert not is_symmetric(rowptr[:-1], col[: rowptr[-2]])
    ring = CSRGraph.from_edge_index(np.array([[0, 1, 2], [1, 2, 0]]))
    assert not is_symmetric(ring.rowptr, ring.col)


@pytest.mark.parametrize("ids", [np.int32, np.int64])
@pytest.mark.parametrize("num_edges", [0, 40, 4000, 40000])
def test_renumbered_rows_are_those_of_the_same_graph(ids, num_edges):
    """Short rows, long ones, and a hub whose row is longer than what is set aside for one."""
    generator = np.random.default_rng(num_edges)
    num_nodes = 2500
    edges = generator.integers(num_nodes, size=(2, num_edges))
    hub = np.stack([np.arange(num_nodes), np.full(num_nodes, 7)])[:, : num_edges * 2]
    graph = CSRGraph.from_edge_index(np.concatenate([edges, hub], axis=1), num_nodes)
    rank = generator.permutation(num_nodes).astype(ids)
    rowptr, col = renumber_nodes(graph.rowptr, graph.col.astype(ids), rank)
    assert col.dtype == ids
    for node in range(num_nodes):
        row = col[rowptr[rank[node]] : rowptr[rank[node] + 1]]
        old = graph.col[graph.rowptr[node] : graph.rowptr[node + 1]]
        assert np.array_equal(row, np.sort(rank[old]))


def test_ranks_that_are_not_random_are_sorted_too():
    num_nodes = 300
    node = np.arange(num_nodes)
    edges = np.stack([np.tile(node[:90], num_nodes), np.repeat(node, 90)])
    graph = CSRGraph.from_edge_index(edges, num_nodes)
    rowptr, col = renumber_nodes(graph.rowptr, graph.col, node[::-1].astype(np.int32))
    assert np.array_equal(col.reshape(num_nodes, 90), np.tile(node[210:], (num_nodes, 1)))
    assert np.array_equal(rowptr, graph.rowptr)
