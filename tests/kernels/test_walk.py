"""The kernel of random walks: its types, chunks and random reals, and how walks are told apart."""

import numpy as np
import pytest

from graphattn.kernels import walk as walks
from graphattn.kernels.walk import walk

OPTIONS = ((1.0, 1.0), 0.0, (3, 4))


def rows(num_nodes=500, seed=0):
    generator = np.random.default_rng(seed)
    rowptr = np.concatenate([[0], np.cumsum(generator.integers(0, 9, num_nodes))])
    col = generator.integers(num_nodes, size=rowptr[-1]).astype(np.int32)
    for node in range(num_nodes):
        col[rowptr[node] : rowptr[node + 1]].sort()
    return rowptr, col


def test_turns_count_the_walks_from_one_node():
    assert walks._turns(np.array([4, 2, 4, 4, 2])).tolist() == [0, 0, 1, 2, 1]
    assert walks._turns(np.zeros(0, np.int64)).size == 0


def test_reals_are_uniform():
    found = np.array([walks._unit(np.uint64(9), np.uint64(i)) for i in range(4000)])
    assert found.min() >= 0
    assert found.max() < 1
    counts = np.bincount((found * 20).astype(int), minlength=20)
    assert ((counts - 200) ** 2 / 200).sum() < 43.8  # the 99.9 % point of chi-square with 19


@pytest.mark.parametrize("bias", [(1.0, 1.0), (0.25, 4.0)])
def test_parts_and_types_change_nothing(bias):
    rowptr, col = rows()
    starts = np.random.default_rng(1).permutation(500)
    expected = walk(rowptr, col, starts, 9, bias, 0.1, (3, 4))
    assert np.array_equal(
        expected, walk(rowptr, col.astype(np.int64), starts, 9, bias, 0.1, (3, 4))
    )
    for size in (1, 63, 64, 65, 200):
        parts = [starts[i : i + size] for i in range(0, 500, size)][:3]
        found = np.concatenate([walk(rowptr, col, part, 9, bias, 0.1, (3, 4)) for part in parts])
        assert np.array_equal(found, expected[: found.shape[0]])
    shorter = walk(rowptr, col, starts, 4, bias, 0.1, (3, 4))
    assert np.array_equal(shorter, expected[:, :5])


def test_a_start_that_is_no_node():
    with pytest.raises(ValueError, match=r"start must be ids from 0 to 499: got \[500\], 1 such"):
        walk(*rows(), np.array([1, 500]), 3, *OPTIONS)


def test_no_walks_and_no_steps():
    assert walk(*rows(), np.zeros(0, np.int64), 3, *OPTIONS).shape == (0, 4)
    assert walk(*rows(), np.array([3, 1]), 0, *OPTIONS).tolist() == [[3], [1]]
