"""Rows as numpy picks them, of any type and width."""

import numpy as np
import pytest

from graphattn.kernels.gather import gather_rows


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("shape", [(50,), (50, 3), (50, 3, 7), (50, 0), (1, 33)])
def test_as_numpy_does(dtype, shape, tmp_path):
    table = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    np.save(tmp_path / "table.npy", table)
    mapped = np.load(tmp_path / "table.npy", mmap_mode="r")
    for rows in (np.array([], np.int64), np.random.default_rng(1).integers(len(table), size=99)):
        for source in (table, mapped):
            out = np.empty((len(rows), *shape[1:]), dtype)
            gather_rows(source, rows, out)
            assert np.array_equal(out, table[rows])


def test_nothing_but_the_rows_is_written():
    out = np.full((5, 4), 7.0, np.float32)
    gather_rows(np.zeros((3, 4), np.float32), np.array([2, 0]), out[1:3])
    assert out[:, 0].tolist() == [7, 0, 0, 7, 7]


@pytest.mark.parametrize("bad", [-1, 3])
def test_no_such_row(bad):
    with pytest.raises(IndexError, match="rows run from 0 to 2: got some from"):
        gather_rows(np.zeros((3, 1)), np.array([1, bad]), np.empty((2, 1)))
