"""Orders for propagation: permutations, with neighbours nearer than before."""

import numpy as np
import pytest

from graphattn.graph import CSRGraph
from graphattn.ops.order import locality_order

METHODS = ["labels", "rcm", "degree"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("num_edges", [0, 20, 500])
def test_is_an_order_of_all_nodes(method, num_edges):
    edges = np.random.default_rng(num_edges).integers(40, size=(2, num_edges))
    graph = CSRGraph.from_edge_index(edges, 50)  # directed, isolated nodes at the end
    order = locality_order(graph, method)
    assert order.dtype == np.int64
    assert np.array_equal(np.sort(order), np.arange(50))
    assert np.array_equal(order, locality_order(graph, method))


def test_a_shuffled_ring_of_cliques_is_put_together():
    """Neighbours are 1 apart in rcm's ring, and within a clique for labels."""
    size, cliques = 20, 30
    number = np.random.default_rng(0).permutation(size * cliques)
    one, other = np.divmod(np.arange(size * size), size)
    ends = np.concatenate([np.stack([one, other]) + clique * size for clique in range(cliques)], 1)
    ring = np.arange(size * cliques)
    ends = np.concatenate([ends, np.stack([ring, np.roll(ring, -1)])], axis=1)
    graph = CSRGraph.from_edge_index(number[ends], self_loops="drop").to_undirected()
    near = {}
    for method in ("labels", "rcm", "degree"):
        place = np.argsort(locality_order(graph, method))
        source, target = place[graph.edge_index().numpy()]
        near[method] = np.median(np.abs(source - target))
    assert near["labels"] <= size
    assert near["rcm"] <= 2 * size
    assert near["degree"] > 3 * size


def test_degree_counts_senders():
    graph = CSRGraph.from_edge_index(np.array([[0, 1, 2, 0], [2, 2, 1, 3]]), 4)
    assert locality_order(graph, "degree").tolist() == [2, 1, 3, 0]


@pytest.mark.usefixtures("unchecked")
def test_errors():
    graph = CSRGraph.from_edge_index(np.array([[0], [1]]))
    with pytest.raises(ValueError, match="method must be one of labels, rcm, degree: got 'metis'"):
        locality_order(graph, "metis")


@pytest.mark.parametrize("method", METHODS)
def test_no_nodes(method):
    graph = CSRGraph.from_edge_index(np.zeros((2, 0), np.int64), 0)
    assert locality_order(graph, method).size == 0
