"""The sampler's kernel: its arrays, and calls from several threads at once."""

import threading

import numpy as np
import pytest

from graphattn.kernels import sample
from graphattn.kernels.launch import read_only


def ring(num_nodes, dtype=np.int32):
    """Each node's row lists the node before and the node after it."""
    node = np.arange(num_nodes)
    col = np.sort(np.stack([(node - 1) % num_nodes, (node + 1) % num_nodes], axis=1), axis=1)
    return np.arange(num_nodes + 1) * 2, col.reshape(-1).astype(dtype)


def test_wide_ids_and_mapped_arrays_give_the_same(tmp_path):
    rowptr, col = ring(300)
    seeds = np.arange(300)
    expected = sample.draw_neighborhood(rowptr, col, seeds, 5, 3, True, 1, 2)
    np.save(tmp_path / "col.npy", col)
    for other in (
        col.astype(np.int64),
        np.load(tmp_path / "col.npy", mmap_mode="r"),
        np.stack([col, col], axis=1)[:, 0],
    ):
        got = sample.draw_neighborhood(rowptr, other, seeds, 5, 3, True, 1, 2)
        assert all(np.array_equal(a, b) for a, b in zip(expected, got, strict=True))


def test_steps_of_a_ring_are_distances():
    rowptr, col = ring(40)
    ids, mask, hop = sample.draw_neighborhood(rowptr, col, np.arange(40), 100, 4, False, 0, 0)
    assert mask.sum() == 40 * 9
    around = np.abs(ids - np.arange(40)[:, None])
    assert np.array_equal(np.minimum(around, 40 - around), hop)


def test_threads_may_call_at_once():
    rowptr, col = ring(2000)
    seeds = np.arange(2000)
    expected = sample.draw_neighborhood(rowptr, col, seeds, 5, 3, True, 1, 2)[0]
    wrong = []

    def draw():
        for _ in range(5):
            got = sample.draw_neighborhood(rowptr, col, seeds, 5, 3, True, 1, 2)[0]
            if not np.array_equal(got, expected):
                wrong.append(got)

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize(("num_samples", "num_hops"), [(0, 2), (3, 0), (3, 128)])
def test_sizes_out_of_range(num_samples, num_hops):
    rowptr, col = ring(4)
    with pytest.raises(ValueError, match=f"got num_samples={num_samples}, num_hops={num_hops}"):
        sample.draw_neighborhood(rowptr, col, np.arange(4), num_samples, num_hops, True, 0, 0)


def test_many_bad_seeds_are_shortened():
    rowptr, col = ring(4)
    with pytest.raises(ValueError, match=r"got \[4, 5, 6, 7, 8\] and more, 6 such seeds"):
        sample.draw_neighborhood(rowptr, col, np.arange(10), 3, 2, True, 0, 0)


def test_read_only_leaves_the_array_as_it_was():
    array = np.arange(3)
    assert not read_only(array).flags.writeable
    assert array.flags.writeable
    assert type(read_only(array.view(np.memmap))) is np.ndarray
