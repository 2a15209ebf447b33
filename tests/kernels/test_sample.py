"""The sampler's kernel: its random integers, its arrays, and calls from several threads at once."""

import threading

import numpy as np
import pytest

from graphattn.kernels import sample
from graphattn.kernels.launch import read_only

MASK = (1 << 64) - 1


def split_mix(state):
    """The k-th output of SplitMix64 is the mix of its seed plus k golden gammas."""
    word = state
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & MASK
    return word ^ (word >> 31)


def test_words_are_those_of_split_mix():
    assert split_mix(0x9E3779B97F4A7C15) == 0xE220A8397B1DCDAF  # its published first output
    for word in (0, 1, 0x9E3779B97F4A7C15, MASK):
        assert int(sample._mix(np.uint64(word))) == split_mix(word)


@pytest.mark.parametrize("bound", [1, 2, 3, 10, 2**31 + 11, 2**40 + 3, 2**63 + 5, MASK])
def test_bounded_integers_are_the_upper_word_of_the_product(bound):
    counter, drawn = 0, []
    for _ in range(200):
        before = int(counter)
        value, counter = sample._below(np.uint64(77), np.uint64(counter), np.uint64(bound))
        drawn.append(int(value))
        words = [
            split_mix((77 + k * 0x9E3779B97F4A7C15) & MASK)
            for k in range(before + 1, int(counter) + 1)
        ]
        assert drawn[-1] == (words[-1] * bound) >> 64 < bound
        threshold = (1 << 64) % bound
        assert (words[-1] * bound) & MASK >= threshold
        assert all((word * bound) & MASK < threshold for word in words[:-1])  # the rejected ones
    assert bound == 1 or len(set(drawn)) > 1


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
