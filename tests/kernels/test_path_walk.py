"""Ends of walks: where walks may end, as often as they do."""

import numpy as np
import pytest
from scipy.stats import chi2

from graphattn.graph import CSRGraph
from graphattn.kernels.path_walk import draw_walks


def a_graph(num_nodes=40, num_edges=200):
    edges = np.random.default_rng(2).integers(num_nodes, size=(2, num_edges))
    return CSRGraph.from_edge_index(edges, num_nodes)


@pytest.mark.parametrize("num_hops", [1, 2])
def test_ends_are_as_likely_as_walks_make_them(num_hops):
    graph, node, epochs = a_graph(), 11, 5000
    near = {v: graph.col[graph.rowptr[v] : graph.rowptr[v + 1]].tolist() for v in range(40)}
    chance = np.zeros(40)
    for j in near[node]:
        chance[j] += 1 / len(near[node]) / num_hops
        for k in near[j] if num_hops == 2 else ():
            chance[k] += 1 / len(near[node]) / len(near[j]) / 2
    chance[node] = 0  # dropped, and tried again
    counts = np.zeros(40)
    for epoch in range(epochs):
        ids, mask, hop = draw_walks(
            graph.rowptr, graph.col, np.array([node]), 2, num_hops, False, 1, epoch
        )
        assert mask.all()
        assert hop[0, 1] == (1 if ids[0, 1] in near[node] else 2)
        counts[ids[0, 1]] += 1
    possible = np.flatnonzero(chance)
    assert counts.sum() == counts[possible].sum()
    expected = epochs * chance[possible] / chance.sum()
    statistic = ((counts[possible] - expected) ** 2 / expected).sum()
    assert chi2.sf(statistic, possible.size - 1) > 1e-4


def test_distinct_ends_are_distinct():
    graph = a_graph()
    arrays = (graph.rowptr, graph.col, np.arange(40), 12, 2)
    ids, mask, _ = draw_walks(*arrays, True, 0, 0)
    for row, known in zip(ids, mask, strict=True):
        assert len(set(row[known].tolist())) == known.sum()
        assert (row[~known] == row[0]).all()
    repeated, _, _ = draw_walks(*arrays, False, 0, 0)
    assert any(len(set(row.tolist())) < 12 for row in repeated)


def test_no_way_on_leaves_columns_empty():
    graph = CSRGraph.from_edge_index(np.array([[1, 2], [0, 2]]), 4)  # 1 -> 0, a loop at 2
    ids, mask, hop = draw_walks(graph.rowptr, graph.col, np.arange(4), 5, 2, True, 0, 0)
    assert ids.tolist() == [[0, 1, 0, 0, 0], [1] * 5, [2] * 5, [3] * 5]
    assert mask.sum() == 5
    assert hop.sum() == 1
