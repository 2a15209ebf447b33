"""The kernel of layer-wise draws: its arrays and types, and calls from several threads at once."""

import threading

import numpy as np
import pytest

from graphattn.kernels.fanout import Clock, draw_fanout


def rows(seed=0, num_nodes=300):
    generator = np.random.default_rng(seed)
    rowptr = np.concatenate([[0], np.cumsum(generator.integers(0, 30, num_nodes))])
    return rowptr, generator.integers(num_nodes, size=rowptr[-1]).astype(np.int32)


OPTIONS = ([4, 3], False, False, None, (1, 2))


def same(one, two):
    return all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def test_wide_ids_and_mapped_arrays_give_the_same(tmp_path):
    rowptr, col = rows()
    expected = draw_fanout(rowptr, col, np.arange(50), *OPTIONS)
    np.save(tmp_path / "col.npy", col)
    for other in (
        col.astype(np.int64),
        np.load(tmp_path / "col.npy", mmap_mode="r"),
        np.stack([col, col], axis=1)[:, 0],
    ):
        assert same(expected, draw_fanout(rowptr, other, np.arange(50), *OPTIONS))


def test_threads_may_call_at_once():
    rowptr, col = rows()
    expected = draw_fanout(rowptr, col, np.arange(300), *OPTIONS)
    wrong = []

    def draw():
        for _ in range(20):
            if not same(expected, draw_fanout(rowptr, col, np.arange(300), *OPTIONS)):
                wrong.append(1)

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_graphs_of_other_sizes_in_turn():
    draws = {}
    for _ in range(3):
        for num_nodes in (300, 20, 1000):
            arrays = rows(num_nodes, num_nodes)
            drawn = draw_fanout(*arrays, np.arange(20), *OPTIONS)
            assert same(draws.setdefault(num_nodes, drawn), drawn)


def test_bounds_of_hops_and_trees():
    rowptr, col = rows()
    clock = Clock(np.zeros(300), np.zeros(3), of_edges=False)
    for drawn in (
        draw_fanout(rowptr, col, np.array([5, 9, 5]), [2, 2], False, True, None, (0, 0)),
        draw_fanout(rowptr, col, np.array([5, 9, 5]), [2, 2], False, False, clock, (0, 0)),
    ):
        assert drawn.bounds.shape == (3, 4)
        assert drawn.bounds[0].tolist() == [0, 1, 2, 3]
        assert (np.diff(drawn.bounds.reshape(-1)) >= 0).all()
        assert drawn.bounds[-1, -1] == drawn.n_id.size
        assert (drawn.bounds[1:, 0] == drawn.bounds[:-1, -1]).all()


@pytest.mark.parametrize(
    ("seeds", "fanouts", "words"),
    [
        ([0, 300], [2], r"seeds must be ids from 0 to 299: got \[300\], 1 such seeds"),
        (range(-6, 0), [2], r"got \[-6, -5, -4, -3, -2\] and more, 6 such seeds"),
        ([0], [2, -2], r"num_neighbors must be 0 or more each, or -1 for all: got \[2, -2\]"),
    ],
)
def test_errors(seeds, fanouts, words):
    with pytest.raises(ValueError, match=words):
        draw_fanout(*rows(), np.array(seeds), fanouts, False, False, None, (0, 0))
