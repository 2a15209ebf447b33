"""Drawn edges: as many as asked for, distinct, the same for any cut, with communities."""

from itertools import pairwise

import numpy as np
import pytest

from graphattn.kernels.random_words import key_words
from graphattn.kernels.twin_edges import draw_edges

NODES, GROUP, BLOCK = 600, 20, 200


def draw(cuts, quota, *, one_way=True, seed=0, weight=None):
    weight = np.ones(NODES) if weight is None else weight
    sums = np.concatenate([[0.0], np.cumsum(weight)])
    guide = np.searchsorted(sums[1:], np.linspace(0.0, sums[-1], 101))
    mark, key = np.full(NODES, -1, np.int64), key_words(seed, 0)
    found = []
    for first, last in pairwise(cuts):
        ends = np.empty((2, int(quota[first:last].sum())), np.int64)
        sizes = (GROUP, BLOCK)
        drawn = draw_edges((first, last), quota, sums, guide, sizes, one_way, key, mark, ends)
        found.append(ends[:, :drawn])
    return np.concatenate(found, axis=1)


@pytest.mark.parametrize("one_way", [True, False])
def test_edges_are_distinct_and_as_many_as_asked_for(one_way):
    quota = np.arange(NODES) % 30
    edges = draw([0, NODES], quota, one_way=one_way)
    assert (np.bincount(edges[0], minlength=NODES) == quota).all()
    assert (edges[0] != edges[1]).all()
    pairs = edges if one_way else np.sort(edges, axis=0)
    assert np.unique(pairs, axis=1).shape[1] == quota.sum()


def test_any_cut_draws_the_same_and_another_seed_another():
    quota = np.full(NODES, 5)
    whole = draw([0, NODES], quota)
    assert (draw([0, 1, 77, 300, NODES], quota) == whole).all()
    assert (draw([0, NODES], quota, seed=1) != whole).any()


def test_communities_and_weights_are_followed():
    weight = np.where(np.arange(NODES) % GROUP == 0, 10.0, 1.0)
    source, target = draw([0, NODES], np.full(NODES, 8), weight=weight)
    inside = (source // GROUP == target // GROUP).mean()
    assert 0.25 < inside < 0.5
    in_block = (source // BLOCK == target // BLOCK).mean()
    assert 0.7 < in_block < 0.9
    heavy = np.bincount(target, minlength=NODES)[::GROUP].mean()
    assert heavy > 3 * np.bincount(target, minlength=NODES).mean()


def test_says_where_nobody_is_left():
    assert draw([0, NODES], np.array([NODES] + [0] * (NODES - 1))).shape[1] == NODES - 1
