"""Counting passes over a graph's rows: its transpose and its degrees."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit


@njit(cache=True, nogil=True)
def transpose(
    rowptr: npt.NDArray[np.int64], col: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    """Turns rows of senders into rows of receivers by one counting sort; the rows come out sorted.

    Args:
        rowptr: int64 ``[N + 1]``, where each row starts in ``col``.
        col: Integer ``[E]``.

    Returns:
        ``rowptr`` and ``col`` of the reversed graph.

    Example:
        >>> transpose(np.array([0, 0, 1]), np.array([0], dtype=np.int32))[0].tolist()
        [0, 1, 1]
    """
    num_nodes = rowptr.size - 1
    starts = np.zeros(num_nodes + 1, np.int64)
    for node in col:
        starts[node + 1] += 1
    for node in range(num_nodes):
        starts[node + 1] += starts[node]
    fill = starts[:-1].copy()
    receivers = np.empty_like(col)
    for row in range(num_nodes):
        for edge in range(rowptr[row], rowptr[row + 1]):
            sender = col[edge]
            receivers[fill[sender]] = row
            fill[sender] += 1
    return starts, receivers


@njit(cache=True, nogil=True)
def looped_degrees(
    rowptr: npt.NDArray[np.int64], col: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Sums the rows and columns of A with its diagonal set to one.

    Args:
        rowptr: int64 ``[N + 1]``.
        col: Integer ``[E]``; self-loops may or may not be among them.

    Returns:
        Row sums and column sums, int64 ``[N]`` each.

    Example:
        >>> looped_degrees(np.array([0, 0, 1]), np.array([0], dtype=np.int32))[1].tolist()
        [2, 1]
    """
    num_nodes = rowptr.size - 1
    rows = np.ones(num_nodes, np.int64)
    columns = np.ones(num_nodes, np.int64)
    for row in range(num_nodes):
        for edge in range(rowptr[row], rowptr[row + 1]):
            if col[edge] != row:
                rows[row] += 1
                columns[col[edge]] += 1
    return rows, columns
