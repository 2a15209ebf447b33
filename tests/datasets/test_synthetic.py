"""Made graphs: their shape, their statistics, and that they can be learnt."""

import math

import networkx as nx
import numpy as np
import pytest
import torch
from torch_geometric.utils import to_networkx

from graphattn.datasets.splits import splits
from graphattn.datasets.synthetic import (
    _triangle,
    barbell,
    grid,
    ring,
    stochastic_block_model,
)

MADE = {
    "sbm": lambda seed=0: stochastic_block_model([40, 30, 20], 0.3, 0.02, seed=seed),
    "ring": lambda seed=0: ring(40, num_classes=3, seed=seed),
    "grid": lambda seed=0: grid(6, 7, seed=seed),
    "barbell": lambda seed=0: barbell(12, 5, seed=seed),
}


@pytest.mark.parametrize("name", MADE)
def test_common_promises(name):
    data = MADE[name]()
    assert data.name == name
    assert data.metric == "accuracy"
    assert data.is_undirected()
    assert not data.has_self_loops()
    assert data.edge_index.unique(dim=1).size(1) == data.num_edges
    assert data.x.dtype == torch.float32
    assert data.y.dtype == torch.int64
    (split,) = splits(data)
    assert len(split.train) > 0
    assert data.y[split.train].unique().numel() == int(data.y.max()) + 1


@pytest.mark.parametrize("name", MADE)
def test_same_seed_same_graph(name):
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - that it is left alone is the point
    first, second, other = MADE[name](), MADE[name](), MADE[name](1)
    assert torch.equal(first.x, second.x)
    assert torch.equal(first.edge_index, second.edge_index)
    assert not torch.equal(first.x, other.x)
    assert (state == np.random.get_state()[1]).all()  # noqa: NPY002


def test_known_shapes():
    assert nx.is_isomorphic(to_networkx(ring(9), to_undirected=True), nx.cycle_graph(9))
    assert nx.is_isomorphic(to_networkx(grid(3, 4), to_undirected=True), nx.grid_2d_graph(3, 4))
    for path in (0, 1, 4):
        ours = to_networkx(barbell(5, path), to_undirected=True)
        assert nx.is_isomorphic(ours, nx.barbell_graph(5, path))
    assert ring(10, num_classes=3).y.tolist() == [0, 0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert grid(2, 4).y.tolist() == [0, 0, 1, 1, 0, 0, 1, 1]
    assert barbell(3, 1).y.tolist() == [0, 0, 0, 0, 1, 1, 1]


def test_edges_between_blocks_have_the_right_frequency():
    sizes, p_in, p_out = [60, 40], 0.3, 0.05
    counts = np.zeros((2, 2))
    for seed in range(20):
        data = stochastic_block_model(sizes, p_in, p_out, seed=seed)
        ends = data.y[data.edge_index]
        for a in range(2):
            for b in range(2):
                counts[a, b] += int(((ends[0] == a) & (ends[1] == b)).sum())
    for a in range(2):
        for b in range(2):
            pairs = sizes[a] * (sizes[a] - 1) / 2 if a == b else sizes[0] * sizes[1]
            p = p_in if a == b else p_out
            found = counts[a, b] / (2 if a == b else 1)
            assert abs(found - 20 * pairs * p) < 5 * math.sqrt(20 * pairs * p * (1 - p))


def test_every_pair_is_equally_likely():
    hits = np.zeros((6, 6))
    draws = 800
    for seed in range(draws):
        data = stochastic_block_model([6], 0.4, 0.0, num_features=1, seed=seed)
        hits[tuple(data.edge_index.numpy())] += 1
    share = hits[np.triu_indices(6, 1)] / draws
    assert np.abs(share - 0.4).max() < 5 * math.sqrt(0.4 * 0.6 / draws)


@pytest.mark.parametrize("start", [0, 10**6, 10**12, 2**50])
def test_pairs_are_numbered_without_gaps(start):
    rows, cols = _triangle(np.arange(start, start + 2000))
    assert (cols >= 0).all()
    assert (cols < rows).all()
    assert (rows * (rows - 1) // 2 + cols == np.arange(start, start + 2000)).all()


def test_extreme_probabilities_and_a_block_of_one():
    assert stochastic_block_model([3, 1], 1.0, 1.0, fractions=(1.0, 0.0, 0.0)).num_edges == 12
    assert stochastic_block_model([3, 2], 0.0, 0.0).num_edges == 0


def test_a_large_sparse_model_needs_no_square_memory():
    data = stochastic_block_model([200_000, 200_000], 1e-5, 1e-6, num_features=2)
    assert 700_000 < data.num_edges < 1_000_000


def test_features_show_the_class():
    strong = stochastic_block_model([300, 300], 0.1, 0.1, signal=8.0)
    means = torch.stack([strong.x[strong.y == c].mean(dim=0) for c in (0, 1)])
    assert ((torch.cdist(strong.x, means).argmin(dim=1) == strong.y).float().mean()) > 0.99
    none = stochastic_block_model([300, 300], 0.1, 0.1, signal=0.0)
    assert (none.x[none.y == 0].mean(dim=0) - none.x[none.y == 1].mean(dim=0)).abs().max() < 0.4


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: stochastic_block_model([], 0.1, 0.1), r"sizes are the nodes .* got \[\]"),
        (lambda: stochastic_block_model([3, 0], 0.1, 0.1), r"got \[3, 0\]"),
        (lambda: stochastic_block_model([3], 1.5, 0.1), "probabilities: got 1.5 and 0.1"),
        (lambda: stochastic_block_model([9], 0.5, 0.1, num_features=0), "num_features must be"),
        (lambda: ring(2), "at least 3 nodes .* got 2 nodes"),
        (lambda: ring(5, num_classes=6), "got 5 nodes, 6 classes"),
        (lambda: grid(1, 1), "got 1 x 1"),
        (lambda: barbell(2, 1), "clique_size >= 3 .* got 2 and 1"),
    ],
)
def test_wrong_sizes_are_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()
