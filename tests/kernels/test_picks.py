"""Picks within rows: how many, which in time, and as often as theory says."""

import numpy as np
import pytest
from scipy.stats import chi2

from graphattn.kernels import picks


def draws(size, take, again, epochs, nodes=1):
    """Picks of some nodes with a row of the same size each, in many epochs."""
    found = []
    for epoch in range(epochs):
        arrays = (np.zeros(nodes, np.int64), np.full(nodes, size), np.arange(nodes + 1) * take)
        key = np.array([7, epoch], np.uint64)
        found.append(picks.pick(*arrays, np.arange(nodes), key, 0, again).reshape(nodes, take))
    return np.concatenate(found)


@pytest.mark.parametrize(("size", "take"), [(7, 1), (12, 5), (40, 32), (100, 33), (3000, 64)])
def test_without_replacement_all_positions_are_alike(size, take):
    """Pearson's statistic of counts, divided by (n - k) / (n - 1), is chi-square."""
    found = draws(size, take, False, 60, 400 if size > 1000 else 100)
    assert (np.diff(np.sort(found, axis=1), axis=1) > 0).all()
    counts = np.bincount(found.reshape(-1), minlength=size)
    expected = found.size / size
    statistic = ((counts - expected) ** 2 / expected).sum() / ((size - take) / (size - 1))
    assert counts.size == size
    assert 1e-3 < chi2.sf(statistic, size - 1) < 1 - 1e-3


def test_pairs_are_drawn_as_without_replacement():
    pairs = np.sort(draws(6, 2, False, 60, 100), axis=1)
    counts = np.bincount(pairs[:, 0] * 6 + pairs[:, 1], minlength=36)
    counts = counts[counts > 0]
    assert counts.size == 15
    assert chi2.sf(((counts - 400) ** 2 / 400).sum(), 14) > 1e-3


def test_with_replacement_draws_are_independent():
    pairs = draws(5, 2, True, 50, 100)
    counts = np.bincount(pairs[:, 0] * 5 + pairs[:, 1], minlength=25)
    assert chi2.sf(((counts - 200) ** 2 / 200).sum(), 24) > 1e-3


def test_nodes_hops_and_epochs_are_drawn_apart():
    arrays = (np.zeros(2, np.int64), np.full(2, 10**6), np.array([0, 5, 10]), np.arange(2))
    found = [
        tuple(row)
        for key in ([0, 0], [0, 1], [1, 0])
        for hop in (0, 1)
        for row in picks.pick(*arrays, np.array(key, np.uint64), hop, False).reshape(2, 5).tolist()
    ]
    assert len(set(found)) == 12


def test_all_are_taken_in_order_where_as_many_are_asked_for():
    for size in (1, 32, 33, 5000):
        assert draws(size, size, False, 1)[0].tolist() == list(range(size))


@pytest.mark.parametrize(
    ("fanout", "again", "expected"),
    [
        (-1, False, [0, 0, 3, 10]),
        (5, False, [0, 0, 3, 8]),
        (5, True, [0, 0, 5, 10]),
        (0, True, [0, 0, 0, 0]),
    ],
)
def test_how_many_are_taken(fanout, again, expected):
    assert picks.pick_offsets(np.array([0, 3, 7]), fanout, again).tolist() == expected


@pytest.mark.parametrize("kind", [np.int64, np.float64])
def test_both_ways_to_keep_time_agree(kind):
    """Rows sorted by time, and rows in any order: the same counts, and only what is in time."""
    generator = np.random.default_rng(0)
    rowptr = np.concatenate([[0], np.cumsum(generator.integers(0, 9, 50))])
    col = generator.integers(50, size=rowptr[-1])
    time = generator.integers(10, size=50).astype(kind)
    row = np.repeat(np.arange(50), np.diff(rowptr))
    order = np.lexsort([time[col], row])
    nodes, limit = np.arange(50), generator.integers(10, size=50).astype(kind)
    starts, sizes = picks.rows_before(rowptr, nodes, time[col[order]], limit)
    zeros, counts = picks.count_before(rowptr, col, nodes, time, limit)
    assert starts.tolist() == rowptr[:-1].tolist()
    assert not zeros.any()
    assert sizes.tolist() == counts.tolist()
    assert counts.tolist() == [
        int((time[col[rowptr[v] : rowptr[v + 1]]] <= limit[v]).sum()) for v in range(50)
    ]
    offset = picks.pick_offsets(counts, -1, False)
    found = picks.pick(zeros, counts, offset, nodes, np.zeros(2, np.uint64), 0, False)
    picks.place(rowptr, col, nodes, time, limit, offset, found)
    assert found.tolist() == np.flatnonzero(time[col] <= limit[row]).tolist()
