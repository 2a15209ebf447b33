"""Random walks: along the edges only, and each step as often as its weight says."""

import itertools

import numpy as np
import pytest
import torch
from scipy.stats import chi2

from graphattn.graph import CSRGraph
from graphattn.sampling.random_walk import random_walk

# Two nodes in two triangles, a tail without a way back, and a loop.
EDGES = [(0, 1), (1, 0), (1, 2), (2, 1), (2, 0), (0, 2), (1, 3), (3, 1), (3, 2), (1, 4), (4, 5)]
EDGES += [(3, 3), (2, 5)]


@pytest.fixture
def graph():
    return CSRGraph.from_edge_index(np.array(EDGES).T, 7)


def test_follows_edges_from_source_to_target(graph):
    walks = random_walk(graph, torch.arange(7).repeat(50), 12)
    for before, after in zip(walks[:, :-1].reshape(-1), walks[:, 1:].reshape(-1), strict=True):
        step = (int(before), int(after))
        assert step in EDGES or (step[0] == step[1] and step[0] in (5, 6))
    back = random_walk(graph.reverse(), torch.tensor([5]).repeat(50), 1)
    assert set(back[:, 1].tolist()) == {2, 4}


def law_of(before, node, p, q):
    """Weights of the next node as node2vec defines them, by the edges alone."""
    weights = {}
    for source, target in EDGES:
        if source == node:
            near = 1.0 if (before, target) in EDGES else 1 / q
            weights[target] = 1.0 if before is None else 1 / p if target == before else near
    return weights


@pytest.mark.parametrize(
    ("p", "q"), [(1.0, 1.0), (0.25, 4.0), (8.0, 0.5), (1e-6, 1e6), (1e-6, 4.0), (3.0, 1e-9)]
)
def test_steps_are_taken_as_often_as_their_weights_say(graph, p, q):
    """First and second steps from each node, by chi-square.

    With p = 1e-6 no proposal passes where no edge leads back (3 -> 2, 4 -> 5): all are weighed.
    """
    steps = {}
    for start in range(5):
        walks = random_walk(graph, torch.full((4000,), start), 2, p=p, q=q, seed=3)
        for zero, one, two in walks.tolist():
            steps.setdefault((None, zero), []).append(one)
            steps.setdefault((zero, one), []).append(two)
    values = []
    for (before, node), taken in steps.items():
        weights = law_of(before, node, p, q)
        if not weights:
            assert set(taken) == {node}
            continue
        assert set(taken) <= set(weights)
        total = sum(weights.values())
        expected = np.array([len(taken) * w / total for w in weights.values()])
        counts = np.array([taken.count(node) for node in weights])
        often = expected >= 5
        assert counts[~often].sum() <= 15
        counts, expected = counts[often], expected[often]
        if counts.size > 1:
            statistic = ((counts - expected) ** 2 / expected).sum()
            values.append(chi2.sf(statistic, counts.size - 1))
    assert min(values) * len(values) > 1e-3


def test_restarts_come_as_often_as_asked(graph):
    walks = random_walk(graph, torch.zeros(4000).long(), 5, restart=0.3)
    # Off the start, a step to it is a restart or an edge: from 4 and 5 none leads to 0.
    before, after = walks[:, :-1].reshape(-1), walks[:, 1:].reshape(-1)
    at_end = torch.isin(before, torch.tensor([4, 5]))
    back = int((after[at_end] == 0).sum())
    trials = int(at_end.sum())
    assert trials > 500
    assert abs(back - 0.3 * trials) < 4 * (0.21 * trials) ** 0.5
    assert (random_walk(graph, torch.arange(7), 5, restart=1.0) == torch.arange(7)[:, None]).all()


def test_after_a_restart_the_step_is_uniform(graph):
    """With p tiny a walk goes straight back; not after a restart, when it came from nowhere."""
    walks = random_walk(graph, torch.ones(3000).long(), 3, p=1e-9, restart=0.5)
    fresh = (walks[:, 1] != 1) & (walks[:, 2] == 1) & (walks[:, 3] != 1)
    assert len(walks[fresh][:, 3].unique()) == 4


def test_the_same_walks_for_any_threads_and_other_walkers(graph):
    start = torch.arange(6).repeat(60)
    options = {"p": 0.5, "q": 2.0, "restart": 0.1, "seed": 5, "epoch": 2}
    expected, before = random_walk(graph, start, 8, **options), torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            assert torch.equal(random_walk(graph, start, 8, **options), expected)
    finally:
        torch.set_num_threads(before)
    mixed = torch.tensor([3, 0, 3])
    assert torch.equal(random_walk(graph, mixed, 8, **options), expected[[3, 0, 9]])
    assert torch.equal(random_walk(graph, mixed[:2], 4, **options), expected[[3, 0], :5])


def test_walks_differ_by_turn_seed_and_epoch():
    graph = CSRGraph.from_edge_index(np.argwhere(~np.eye(5, dtype=bool)).T)
    one = torch.zeros(1).long()
    found = [random_walk(graph, one.repeat(3), 30)]
    found += [random_walk(graph, one, 30, seed=s, epoch=e) for s, e in ((1, 0), (0, 1), (-1, 0))]
    walks = torch.cat(found)
    assert all(not torch.equal(a, b) for a, b in itertools.combinations(walks, 2))


def test_no_steps_no_walks_and_isolated_nodes(graph):
    assert random_walk(graph, torch.tensor([6, 6]), 0).tolist() == [[6], [6]]
    assert random_walk(graph, torch.tensor([6]), 2, p=3.0).tolist() == [[6, 6, 6]]
    assert random_walk(graph, torch.zeros(0).long(), 4).shape == (0, 5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"walk_length": -1}, "walk_length must be 0 or more: got walk_length=-1"),
        ({"p": 0.0}, "p must be positive and finite: got p=0.0"),
        ({"q": float("inf")}, "q must be positive and finite: got q=inf"),
        ({"restart": 1.5}, "restart must be a probability from 0 to 1: got restart=1.5"),
        ({"start": torch.tensor([7])}, r"start must be ids from 0 to 6: got \[7\]"),
    ],
)
def test_errors(graph, options, words):
    options = {"start": torch.arange(3), "walk_length": 2, **options}
    with pytest.raises(ValueError, match=words):
        random_walk(graph, options.pop("start"), options.pop("walk_length"), **options)
