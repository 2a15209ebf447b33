"""Sums of rows into a table, in order, so that they are the same in every run."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import get_num_threads, njit, prange

from graphattn.kernels.launch import LAUNCH

_FEW = 4096  # rows below which waking threads costs more than it saves

_Floats = npt.NDArray[Any]


def add_rows(total: _Floats, column: int, index: npt.NDArray[np.int64], parts: _Floats) -> None:
    """Adds each row of ``parts`` to a row of ``total``, in order, from a column on.

    Args:
        total: ``[R, ...]``; changed in place.
        column: Where the rows of ``parts`` begin.
        index: int64 ``[M]``, a row of ``total`` for each of ``parts``.
        parts: ``[M, width]``.

    Example:
        >>> total = np.zeros((2, 3))
        >>> add_rows(total, 1, np.array([1, 1]), np.ones((2, 2)))
        >>> total.tolist()
        [[0.0, 0.0, 0.0], [0.0, 2.0, 2.0]]
    """
    threads = get_num_threads()
    if index.size < _FEW or threads == 1:
        _add_columns(total, column, index, parts, 0, parts.shape[1])
    else:
        with LAUNCH:
            _add_parallel(total, column, index, parts, threads)


@njit(cache=True, nogil=True, parallel=True)
def _add_parallel(
    total: _Floats, column: int, index: npt.NDArray[np.int64], parts: _Floats, threads: int
) -> None:
    """Gives each thread some columns, so that every sum keeps its order."""
    width = parts.shape[1]
    for i in prange(threads):
        _add_columns(total, column, index, parts, i * width // threads, (i + 1) * width // threads)


@njit(cache=True, nogil=True)
def _add_columns(
    total: _Floats,
    column: int,
    index: npt.NDArray[np.int64],
    parts: _Floats,
    start: int,
    stop: int,
) -> None:
    for i in range(index.size):
        row = total[index[i], column + start : column + stop]
        part = parts[i, start:stop]
        for c in range(part.size):
            row[c] += part[c]
