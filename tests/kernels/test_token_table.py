"""The empty table, and into how many parts a call is split."""

import numba
import numpy as np
import pytest

from graphattn.kernels.token_table import count_chunks, empty_table


def test_seeds_stand_everywhere_and_nothing_else():
    ids, mask, hop = empty_table(5, np.array([4, 0], dtype=np.int32), 3, 2, 2)
    assert ids.tolist() == [[4, 4, 4], [0, 0, 0]]
    assert mask.tolist() == [[True, False, False]] * 2
    assert hop.tolist() == [[0, 0, 0]] * 2
    assert (ids.dtype, hop.dtype) == (np.int64, np.int8)


@pytest.mark.parametrize(("num_samples", "num_hops"), [(0, 1), (2, 0), (2, 3)])
def test_sizes_out_of_range(num_samples, num_hops):
    words = f"num_hops from 1 to 2: got num_samples={num_samples}, num_hops={num_hops}"
    with pytest.raises(ValueError, match=words):
        empty_table(5, np.array([0]), num_samples, num_hops, 2)


def test_bad_seeds_are_named():
    with pytest.raises(ValueError, match=r"ids from 0 to 4: got \[-1, 5\], 2 such seeds"):
        empty_table(5, np.array([0, -1, 5]), 2, 1, 2)


def test_few_seeds_wake_no_threads():
    assert count_chunks(0) == count_chunks(63) == 1
    assert count_chunks(10**6) == numba.get_num_threads()
