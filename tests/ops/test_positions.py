"""Positions against dense powers and decompositions, also where the graph is unkind."""

import importlib
import logging

import numpy as np
import pytest
import torch

from graphattn.graph import CSRGraph
from graphattn.ops.positions import positions

module = importlib.import_module("graphattn.ops.positions")  # ops.positions is the function


def random_graph(num_nodes, num_edges, seed, *, directed):
    edges = np.random.default_rng(seed).integers(0, num_nodes, (2, num_edges))
    if not directed:
        edges = np.concatenate([edges, edges[::-1]], axis=1)
    return CSRGraph.from_edge_index(edges, num_nodes)


def grid_graph(height, width):
    nodes = np.arange(height * width).reshape(height, width)
    across = np.stack([nodes[:, :-1].ravel(), nodes[:, 1:].ravel()])
    down = np.stack([nodes[:-1].ravel(), nodes[1:].ravel()])
    edges = np.concatenate([across, down], axis=1)
    return CSRGraph.from_edge_index(np.concatenate([edges, edges[::-1]], axis=1), nodes.size)


def dense(graph):
    edges = graph.edge_index().numpy()
    matrix = np.zeros((graph.num_nodes, graph.num_nodes))
    matrix[edges[1], edges[0]] = 1.0
    return matrix


def dense_returns(graph, channels):
    matrix = dense(graph)
    walk = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1.0)
    power, columns = walk, []
    for _ in range(channels):
        power = power @ walk
        columns.append(np.diag(power).copy())
    return np.stack(columns, axis=1)


def laplacian(graph):
    matrix = dense(graph)
    matrix = np.maximum(matrix, matrix.T)
    np.fill_diagonal(matrix, 0.0)
    degree = matrix.sum(axis=1)
    scale = 1.0 / np.sqrt(np.maximum(degree, 1.0))
    return np.diag((degree > 0) * 1.0) - scale[:, None] * matrix * scale[None, :]


CASES = [(1, 0), (1, 1), (8, 0), (30, 20), (30, 60), (50, 400)]


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize(("num_nodes", "num_edges"), CASES)
def test_random_walk_is_exact_on_small_graphs(num_nodes, num_edges, directed):
    graph = random_graph(num_nodes, num_edges, num_edges, directed=directed)
    out = positions(graph, "random_walk", 9)
    assert out.dtype == torch.float32
    assert np.abs(out.numpy() - dense_returns(graph, 9)).max() < 1e-6


@pytest.mark.parametrize("directed", [False, True])
def test_random_walk_estimate_is_near(monkeypatch, caplog, directed):
    graph = random_graph(120, 700, 3, directed=directed)
    exact = dense_returns(graph, 8)
    monkeypatch.setattr(module, "TOTAL_WORK", 0)
    monkeypatch.setattr(module, "NODE_WORK", 60)  # the first columns only
    with caplog.at_level(logging.INFO):
        out = positions(graph, "random_walk", 8, seed=1).numpy()
    assert "of the values are estimated" in caplog.text
    assert ((out >= 0) & (out <= 1)).all()
    assert np.abs(out[:, 0] - exact[:, 0]).max() < 1e-6
    assert not np.array_equal(out[:, 5], exact[:, 5].astype(np.float32))
    if directed:
        assert np.sqrt(((out - exact) ** 2).mean()) < 0.01
    else:  # even columns: a bound relative to the value
        even = slice(0, 8, 2)
        relative = (out - exact)[:, even] / np.maximum(exact[:, even], 1e-9)
        assert np.sqrt((relative**2).mean()) < 0.09
    again = positions(graph, "random_walk", 8, seed=1).numpy()
    assert np.array_equal(out, again)
    assert not np.array_equal(out, positions(graph, "random_walk", 8, seed=2).numpy())


def test_estimate_with_isolated_nodes_and_components(monkeypatch):
    graph = random_graph(60, 40, 4, directed=False)
    monkeypatch.setattr(module, "TOTAL_WORK", 0)
    monkeypatch.setattr(module, "NODE_WORK", 0)
    out = positions(graph, "random_walk", 4).numpy()
    exact = dense_returns(graph, 4)
    isolated = graph.degree() == 0
    assert isolated.any()
    assert (out[isolated] == 0).all()
    assert np.sqrt(((out - exact) ** 2).mean()) < 0.03


def test_random_walk_is_the_same_for_any_number_of_threads():
    graph = random_graph(200, 800, 5, directed=True)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        single = positions(graph, "random_walk", 6)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(single, positions(graph, "random_walk", 6))


def check_spectral(graph, channels, tolerance):
    """Columns are eigenvectors, of the right eigenvalues, orthogonal, of mean square 1."""
    out = positions(graph, "spectral", channels).numpy().astype(np.float64)
    matrix = laplacian(graph)
    values = np.linalg.eigvalsh(matrix)
    wanted = values[values > 1e-8][:channels]
    filled = min(channels, len(wanted))
    assert (out[:, filled:] == 0).all()
    if not filled:
        return
    vectors = out[:, :filled] / np.sqrt(graph.num_nodes)
    assert np.abs(vectors.T @ vectors - np.eye(filled)).max() < tolerance
    assert np.abs(matrix @ vectors - vectors * wanted[:filled]).max() < tolerance
    for column in vectors.T:
        size = np.abs(column)
        assert column[np.argmax(size >= size.max() * (1 - 1e-5))] > 0


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize(("num_nodes", "num_edges"), [*CASES, (5, 12), (300, 250)])
def test_spectral_of_small_graphs(num_nodes, num_edges, directed):
    check_spectral(random_graph(num_nodes, num_edges, 7, directed=directed), 6, 1e-5)


def test_spectral_of_a_thin_graph_is_by_inversion(monkeypatch):
    graph = grid_graph(61, 20)
    monkeypatch.setattr(module, "_direct", None)
    check_spectral(graph, 5, 1e-4)


def test_spectral_of_a_dense_graph_is_direct(monkeypatch):
    graph = random_graph(1100, 12000, 1, directed=False)
    monkeypatch.setattr(module, "_inverted", None)
    check_spectral(graph, 5, 1e-3)


def test_spectral_of_large_disconnected_graphs():
    small = random_graph(400, 300, 2, directed=False)
    copies = [small.edge_index().numpy() + 400 * i for i in range(3)]
    graph = CSRGraph.from_edge_index(np.concatenate(copies, axis=1), 1210)
    check_spectral(graph, 4, 1e-4)


def test_spectral_without_edges_and_alone():
    assert (positions(random_graph(1500, 0, 0, directed=False), "spectral", 3) == 0).all()
    assert positions(random_graph(1, 0, 0, directed=False), "spectral", 3).tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("channels", [301, 1500])
def test_spectral_of_more_channels_than_lanczos_gives(channels):
    node = np.arange(1200)
    ring = np.stack([node, (node + 1) % 1200])
    graph = CSRGraph.from_edge_index(np.concatenate([ring, ring[::-1]], axis=1))
    check_spectral(graph, channels, 1e-4)


def test_spectral_is_repeatable():
    graph = grid_graph(61, 20)
    first, second = positions(graph, "spectral", 4), positions(graph, "spectral", 4)
    assert torch.equal(first, second)


def test_what_has_not_converged_is_zero_and_said(monkeypatch, caplog):
    monkeypatch.setattr(module, "MAX_RESTARTS", 1)
    graph = random_graph(1100, 12000, 1, directed=False)
    with caplog.at_level(logging.WARNING):
        out = positions(graph, "spectral", 8)
    assert "eigenvectors converged; the other columns are zero" in caplog.text
    assert out.isfinite().all()
    assert (out[:, -1] == 0).all()


@pytest.mark.parametrize("name", ["random_walk", "spectral"])
def test_global_generators_are_left_alone(name):
    torch_state = torch.get_rng_state()
    numpy_state = np.random.get_state()[1].copy()  # noqa: NPY002 - that it is left alone
    positions(random_graph(50, 90, 0, directed=False), name, 4)
    assert torch.equal(torch_state, torch.get_rng_state())
    assert (numpy_state == np.random.get_state()[1]).all()  # noqa: NPY002


@pytest.mark.parametrize(
    ("name", "channels", "words"),
    [
        ("spectral", 0, "at least one channel: got channels=0"),
        ("laplacian", 4, "positions are 'random_walk' or 'spectral': got 'laplacian'"),
    ],
)
def test_wrong_requests(unchecked, name, channels, words):
    graph = random_graph(5, 5, 0, directed=False)
    with pytest.raises(ValueError, match=words):
        positions(graph, name, channels)
