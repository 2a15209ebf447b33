"""Rows copied from a table, each asked for before it is needed."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from graphattn.kernels.launch import read_only
from graphattn.kernels.prefetch import prefetch

_AHEAD = 2  # rows asked for before they are copied
_LINE = 64  # bytes asked for at once

_WHOLE = {2: np.uint16, 4: np.uint32, 8: np.uint64}


def gather_rows(
    table: npt.NDArray[Any], rows: npt.NDArray[np.int64], out: npt.NDArray[Any]
) -> None:
    """Copies rows of a table; nothing is allocated.

    Args:
        table: ``[N, ...]``, contiguous, of numbers of 2, 4 or 8 bytes; may be memory-mapped.
        rows: int64 ``[R]``, from 0 to ``N - 1``; may repeat, fastest when sorted.
        out: ``[R, ...]``, contiguous, of the table's type; written.

    Raises:
        IndexError: There is no such row.

    Example:
        >>> out = np.empty((2, 3), np.float32)
        >>> gather_rows(np.arange(6, dtype=np.float32).reshape(2, 3), np.array([1, 0]), out)
        >>> out[:, 0].tolist()
        [3.0, 0.0]
    """
    if rows.size and (rows.min() < 0 or rows.max() >= len(table)):
        raise IndexError(
            f"rows run from 0 to {len(table) - 1}: got some from {rows.min()} to {rows.max()}."
        )
    if out.size:
        kind = _WHOLE[table.itemsize]
        words = out.size // rows.size
        flat = table.view(kind).reshape(-1)
        _gather(read_only(flat), read_only(rows), words, out.view(kind).reshape(-1))


@njit(cache=True, nogil=True)
def _gather(
    table: npt.NDArray[Any], rows: npt.NDArray[np.int64], words: int, out: npt.NDArray[Any]
) -> None:
    last, line = rows.size - 1, _LINE // table.itemsize
    for i in range(rows.size):
        soon = rows[min(i + _AHEAD, last)] * words
        for word in range(0, words, line):
            prefetch(table, soon + word)
        source, target = np.uint64(rows[i]) * np.uint64(words), np.uint64(i) * np.uint64(words)
        for word in range(words):
            out[target + np.uint64(word)] = table[source + np.uint64(word)]
