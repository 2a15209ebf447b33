"""Correct & Smooth: equal to dense algebra, kind to isolated nodes, and of use."""

import pytest
import torch

from graphattn.graph import CSRGraph
from graphattn.ops.correct_and_smooth import correct, smooth
from tests import oracles


@pytest.fixture
def case():
    """An undirected graph of 40 nodes with a self-loop and an isolated node, scores and labels."""
    generator = torch.Generator().manual_seed(1)
    pairs = torch.randint(39, (2, 90), generator=generator)
    edges = torch.cat([pairs, pairs.flip(0), torch.tensor([[5], [5]])], dim=1)
    graph = CSRGraph.from_edge_index(edges, num_nodes=40)
    z = torch.randn(40, 4, generator=generator, dtype=torch.float64).softmax(1)
    y = torch.randint(4, (40,), generator=generator)
    labelled = torch.randperm(40, generator=generator)[:12]
    return graph, edges, z, y, labelled


@pytest.mark.parametrize("scaling", ["auto", "fixed"])
@pytest.mark.parametrize(("alphas", "num_hops"), [((0.8, 0.5), 50), ((1.0, 1.0), 7), ((0.0, 0), 3)])
def test_both_steps_are_those_of_dense_algebra(case, scaling, alphas, num_hops):
    graph, edges, z, y, labelled = case
    by = (scaling, alphas[0], 1.5)
    expected = oracles.correct_and_smooth(
        edges.T.tolist(), z, y, labelled.tolist(), by, alphas[1], num_hops
    )
    options = {"num_hops": num_hops}
    found = correct(graph, z, y, labelled, alpha=alphas[0], scaling=scaling, scale=1.5, **options)
    smoothed = smooth(graph, found, y, labelled, alpha=float(alphas[1]), **options)
    assert (found - expected[0]).abs().max() <= 1e-10
    assert (smoothed - expected[1]).abs().max() <= 1e-10
    single = correct(
        graph, z.float(), y, labelled, alpha=alphas[0], scaling=scaling, scale=1.5, **options
    )
    assert (single - expected[0]).abs().max() <= 1e-4


def test_labels_elsewhere_are_not_read(case):
    graph, _, z, y, labelled = case
    other = torch.full_like(y, -1)
    other[labelled] = y[labelled]
    assert torch.equal(correct(graph, z, y, labelled), correct(graph, z, other, labelled))
    assert torch.equal(smooth(graph, z, y, labelled), smooth(graph, z, other, labelled))


def test_without_labels_or_hops_nothing_is_corrected(case):
    graph, _, z, y, labelled = case
    assert torch.equal(correct(graph, z, y, labelled[:0]), z)
    assert torch.equal(correct(graph, z, y, labelled[:0], scaling="fixed"), z)
    assert torch.equal(smooth(graph, z, y, labelled[:0], num_hops=0), z)


def test_arguments_are_left_as_they_were(case):
    graph, _, z, y, labelled = case
    before = z.clone()
    correct(graph, z, y, labelled, scaling="fixed")
    smooth(graph, z, y, labelled)
    assert torch.equal(before, z)


def test_scores_that_lie_column_by_column_are_the_same(case):
    graph, _, z, y, labelled = case
    turned = z.T.contiguous().T
    for scaling in ("auto", "fixed"):
        found = correct(graph, turned, y, labelled, scaling=scaling)
        assert torch.equal(found, correct(graph, z, y, labelled, scaling=scaling))
    assert torch.equal(smooth(graph, turned, y, labelled), smooth(graph, z, y, labelled))


def test_it_mends_scores_that_know_nothing():
    ring = torch.arange(100)
    edges = torch.stack([ring, (ring + 1) % 100])
    graph = CSRGraph.from_edge_index(torch.cat([edges, edges.flip(0)], dim=1))
    y = ring // 50
    z = torch.full((100, 2), 0.5)
    scores = smooth(graph, correct(graph, z, y, ring[::5]), y, ring[::5])
    assert (scores.argmax(1) == y).float().mean() > 0.9


def test_what_does_not_fit_is_refused(case):
    graph, _, z, y, labelled = case
    with pytest.raises(ValueError, match=r"alpha must lie in \[0, 1\]: got 1.5"):
        smooth(graph, z, y, labelled, alpha=1.5)
    with pytest.raises(ValueError, match="one row for each of the 40 nodes"):
        correct(graph, z[:3], y[:3], labelled[:0])
    with pytest.raises(ValueError, match=r"got torch\.float16"):
        correct(graph, z.half(), y, labelled)
    with pytest.raises(ValueError, match=r"must lie in 0..3: got -1"):
        correct(graph, z, torch.full_like(y, -1), labelled)
    with pytest.raises(ValueError, match=r"labelled must be nodes 0..39: got 0..40"):
        smooth(graph, z, y, torch.tensor([0, 40]))
    one_way = CSRGraph.from_edge_index(torch.tensor([[0], [1]]))
    with pytest.raises(ValueError, match="must be undirected"):
        smooth(one_way, z[:2], y[:2], labelled[:0])
