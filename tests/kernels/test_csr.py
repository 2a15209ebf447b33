"""Counting passes against dense matrices."""

import numpy as np
import pytest

from graphattn.graph import CSRGraph
from graphattn.kernels.csr import looped_degrees, transpose


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
