"""Effective resistance of circuits known from textbooks, and beside the pseudo-inverse."""

import networkx as nx
import numpy as np
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.nn import GCN, SGConv, SimpleConv

from graphattn.diagnostics import (
    effective_resistance,
    influence,
    node_range,
    resistance_correlation,
)
from graphattn.diagnostics.resistance import ball_resistance


def edges_of(graph: nx.Graph) -> torch.Tensor:
    pairs = torch.tensor(sorted(graph.edges)).T
    return torch.cat([pairs, pairs.flip(0)], dim=1)


def data_of(graph: nx.Graph) -> Data:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(len(graph), 4, generator=generator, dtype=torch.float64)
    return Data(x, edges_of(graph))


def by_pinv(graph: nx.Graph) -> np.ndarray:
    inverse = np.linalg.pinv(nx.laplacian_matrix(graph).toarray().astype(float))
    diagonal = np.diag(inverse)
    return diagonal[:, None] + diagonal - 2 * inverse


CIRCUITS = [
    (nx.path_graph(30), lambda n, k: k),
    (nx.cycle_graph(30), lambda n, k: k * (n - k) / n),
    (nx.complete_graph(30), lambda n, k: 2 / n if k else 0),
]


@pytest.mark.parametrize(("graph", "value"), CIRCUITS)
def test_circuits_with_a_formula(graph: nx.Graph, value) -> None:
    expected = [value(30, k) for k in range(30)]
    pairs = np.stack([np.zeros(30, int), np.arange(30)])
    found = effective_resistance(edges_of(graph), pairs)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    source, target = edges_of(graph).numpy()
    np.testing.assert_allclose(ball_resistance(target, source, 30), expected, atol=1e-12)


def test_any_graph_by_the_pseudo_inverse() -> None:
    graph = nx.connected_watts_strogatz_graph(60, 4, 0.3, seed=1)
    pairs = np.random.default_rng(0).integers(60, size=(2, 100))
    found = effective_resistance(edges_of(graph), pairs)
    np.testing.assert_allclose(found, by_pinv(graph)[tuple(pairs)], atol=1e-9)


def test_direction_repetition_and_loops_do_not_count_and_components_are_apart() -> None:
    edges = np.array([[1, 1, 2, 2, 4], [0, 0, 1, 2, 5]])
    pairs = np.array([[0, 0, 0, 3, 4], [2, 0, 3, 3, 5]])
    found = effective_resistance(edges, pairs, num_nodes=7)
    np.testing.assert_allclose(found, [2.0, 0.0, np.inf, 0.0, 1.0])
    assert effective_resistance(np.empty((2, 0), int), np.empty((2, 0), int)).shape == (0,)


@pytest.mark.parametrize("engine", ["single", "union", "trimmed", "fused"])
def test_influence_with_resistance_as_distance(engine: str) -> None:
    torch.manual_seed(0)
    graph = nx.cycle_graph(9)
    model = GCN(4, 8, 2, 3, act=None, bias=False).double()
    options = {"max_hops": 4, "seeds": range(9), "engine": engine}
    found = influence(model, data_of(graph), distance="resistance", **options)
    share = found.T / found.T.sum(1, keepdims=True)
    expected = share @ np.array([k * (9 - k) / 9 for k in range(5)])  # not of the arc it reads
    np.testing.assert_allclose(found.R_per_node, expected, rtol=1e-10)
    assert found.about["distance"] == "resistance"


def test_in_a_ball_resistance_is_at_least_that_in_the_graph() -> None:
    graph = nx.cycle_graph(30)
    model = SGConv(4, 3, K=3).double()
    whole, ball = (
        influence(model, data_of(graph), max_hops=hops, seeds=[0], distance="resistance").R
        for hops in (15, 4)
    )
    hops = influence(model, data_of(graph), max_hops=4, seeds=[0]).R
    assert whole < ball
    assert ball == pytest.approx(hops)  # an arc is a path


def test_a_tree_has_its_hops_and_a_directed_edge_conducts_both_ways() -> None:
    model = SGConv(4, 3, K=3).double()
    data = data_of(nx.balanced_tree(2, 4))
    data.edge_index = torch.cat([data.edge_index, data.edge_index[:, :5]], dim=1)
    hops, ohms = (
        influence(model, data, max_hops=3, seeds=range(31), distance=kind)
        for kind in ("hops", "resistance")
    )
    np.testing.assert_allclose(ohms.R_per_node, hops.R_per_node, rtol=1e-10)
    ring = Data(torch.eye(6, dtype=torch.float64), torch.tensor([range(6), [1, 2, 3, 4, 5, 0]]))
    found = influence(SimpleConv(), ring, max_hops=5, distance="resistance")
    np.testing.assert_allclose(found.R_per_node, 5 / 6)


def test_a_ball_that_is_too_large_is_refused() -> None:
    star = torch.stack([torch.arange(1, 6_002), torch.zeros(6_001, dtype=torch.long)])
    data = Data(torch.ones(6_002, 1), star)
    with pytest.raises(ValueError, match="balls of at most 6,000 nodes: got 6,002 around node 0"):
        influence(
            lambda x, e: x, data, max_hops=1, seeds=[0], distance="resistance", engine="single"
        )


def test_the_range_of_a_node_is_influence_times_distance() -> None:
    data = data_of(nx.path_graph(12))
    model = SGConv(4, 3, K=3).double()
    for kind in ("hops", "resistance"):
        found = influence(model, data, max_hops=11, seeds=range(12), distance=kind)
        hop = np.arange(12)  # on a path both are the same
        np.testing.assert_allclose(node_range(found, normalized=False), found.T @ hop, rtol=1e-10)
        np.testing.assert_allclose(node_range(found), found.T @ hop / found.T.sum(1), rtol=1e-10)
    none = influence(lambda x, e: torch.ones(len(x), 1), data, max_hops=2, seeds=[0, 1])
    assert node_range(none).tolist() == node_range(none, normalized=False).tolist() == [0.0, 0.0]


def test_correlation_of_a_walk_with_resistance_on_a_path() -> None:
    data = data_of(nx.path_graph(40))
    model = SGConv(4, 3, K=8).double()
    found = resistance_correlation(model, data, [20, 5], max_hops=8, pairs_per_seed=20)
    assert found.is_defined
    assert found.spearman < -0.95  # the farther, the less; ends are not quite the middle
    np.testing.assert_allclose(found.resistance, np.abs(found.pairs[0] - found.pairs[1]))
    assert found.pairs.shape == (2, 16 + 13)
    again = resistance_correlation(model, data, [5], max_hops=8, pairs_per_seed=20)
    np.testing.assert_array_equal(again.pairs, found.pairs[:, 16:])


def test_correlation_where_there_is_none() -> None:
    data = data_of(nx.cycle_graph(12))
    for model in (lambda x, e: x, lambda x, e: x.mean(0).expand_as(x)):
        found = resistance_correlation(model, data, [0, 3], max_hops=3, pairs_per_seed=4)
        assert (found.spearman, found.is_defined) == (0.0, False)
        assert found.num_zero in (0, 8)
    alone = Data(torch.ones(3, 1), torch.empty(2, 0, dtype=torch.long))
    found = resistance_correlation(lambda x, e: x, alone, [1], max_hops=3)
    assert (found.pairs.shape, found.spearman) == ((2, 0), 0.0)


def test_refused() -> None:
    edges, pairs = np.array([[0, 1], [1, 2]]), np.array([[0], [2]])
    for options, said in (
        ({"num_nodes": 2}, "num_nodes must be at least 3: got num_nodes=2"),
        ({"max_steps": 0}, "max_steps must be at least 1"),
        ({"tol": 0.0, "max_steps": 1}, "max_steps must suffice"),
    ):
        with pytest.raises(ValueError, match=said):
            effective_resistance(edges, pairs, **options)
    with pytest.raises(ValueError, match=r"pairs must be node ids \[2, ...\]: got int64 \[1, 2\]"):
        effective_resistance(edges, np.array([[0, 2]]))
    with pytest.raises(ValueError, match="0 or more: got -1"):
        effective_resistance(edges, -np.eye(2, dtype=int))
    with pytest.raises(ValueError, match="must be connected with node 0"):
        ball_resistance(np.array([0]), np.array([1]), 3)
    with pytest.raises(ValueError, match="seeds must be nodes, 0 to 1"):
        resistance_correlation(lambda x, e: x, data_of(nx.path_graph(2)), [2], max_hops=1)
