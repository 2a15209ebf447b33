"""Sums of rows into a table, in order, so that they are the same in every run."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import get_num_threads, njit

from graphattn.kernels.launch import run_chunks

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
    num_chunks = get_num_threads() if index.size >= _FEW else 1
    run_chunks(_add_columns, num_chunks, total, column, index, parts)


@njit(cache=True, nogil=True)
def _add_columns(
    chunk: int,
    num_chunks: int,
    total: _Floats,
    column: int,
    index: npt.NDArray[np.int64],
    parts: _Floats,
) -> None:
    width = parts.shape[1]
    start, stop = chunk * width // num_chunks, (chunk + 1) * width // num_chunks
    for i in range(index.size):
        row = total[index[i], column + start : column + stop]
        part = parts[i, start:stop]
        for c in range(part.size):
            row[c] += part[c]
