"""Passes over a graph's rows: transpose, degrees, symmetry, and nodes renumbered."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import get_num_threads, njit, prange

from graphattn.kernels.launch import LAUNCH, read_only
from graphattn.kernels.random_words import mix

_SHORT = 24  # entries of a row up to which plain insertion sorts quickest
_MANY = 1_000_000  # edges from which on threads are worth waking


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


@njit(cache=True, nogil=True)
def is_symmetric(rowptr: npt.NDArray[np.int64], col: npt.NDArray[Any]) -> bool:
    """Tells whether each edge has its reverse, in one pass from front to back.

    The hashes of the edges and those of their reverses must have the same sum; sets that differ
    have it with a chance of 2**-64.

    Args:
        rowptr: int64 ``[N + 1]``.
        col: Integer ``[E]``, distinct in each row.

    Returns:
        Whether row j holds i wherever row i holds j.

    Example:
        >>> is_symmetric(np.array([0, 1, 2]), np.array([1, 0]))
        True
        >>> is_symmetric(np.array([0, 1, 1]), np.array([1]))
        False
    """
    num_nodes = np.uint64(rowptr.size - 1)
    golden = np.uint64(0x9E3779B97F4A7C15)
    total = np.uint64(0)
    for row in range(rowptr.size - 1):
        one = np.uint64(row)
        for edge in range(rowptr[row], rowptr[row + 1]):
            other = np.uint64(col[edge])
            total += mix(one * num_nodes + other + golden) - mix(other * num_nodes + one + golden)
    return total == 0


def renumber_nodes(
    rowptr: npt.NDArray[np.int64], col: npt.NDArray[Any], rank: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    """Gives every node another number and sorts the rows again.

    Entries are thrown into as many bins as a row has, which sorts random ranks in linear time.

    Args:
        rowptr: int64 ``[N + 1]``.
        col: Integer ``[E]``.
        rank: Integer ``[N]``, the new number of each node, in random order.

    Returns:
        ``rowptr`` and ``col`` of the same graph under the new numbers.

    Example:
        >>> rowptr, col, rank = np.array([0, 2, 2, 2]), np.array([1, 2]), np.array([1, 2, 0])
        >>> [part.tolist() for part in renumber_nodes(rowptr, col, rank)]
        [[0, 0, 2, 2], [0, 2]]
    """
    num_nodes = rowptr.size - 1
    starts = np.zeros(num_nodes + 1, np.int64)
    starts[1:][rank] = np.diff(rowptr)
    np.cumsum(starts, out=starts)
    renumbered = np.empty(col.size, col.dtype)
    arrays = (read_only(rowptr), read_only(col), read_only(rank), starts)
    if col.size < _MANY:
        _renumber_block(*arrays, 0, num_nodes, renumbered)
    else:
        work = np.linspace(0, col.size, 8 * get_num_threads() + 1)
        with LAUNCH:
            _renumber_rows(*arrays, np.searchsorted(rowptr, work), renumbered)
    return starts, renumbered


@njit(cache=True, nogil=True, parallel=True)
def _renumber_rows(
    rowptr: npt.NDArray[np.int64],
    col: npt.NDArray[Any],
    rank: npt.NDArray[Any],
    starts: npt.NDArray[np.int64],
    blocks: npt.NDArray[np.int64],
    renumbered: npt.NDArray[Any],
) -> None:
    for block in prange(blocks.size - 1):
        first, last = blocks[block], blocks[block + 1]
        _renumber_block(rowptr, col, rank, starts, first, last, renumbered)


@njit(cache=True, nogil=True)
def _renumber_block(
    rowptr: npt.NDArray[np.int64],
    col: npt.NDArray[Any],
    rank: npt.NDArray[Any],
    starts: npt.NDArray[np.int64],
    first: int,
    last: int,
    renumbered: npt.NDArray[Any],
) -> None:
    """Writes the rows of the nodes from ``first`` to ``last - 1``, with bins of its own."""
    bins = np.zeros(1024, np.int64)
    kept = np.empty(1024, renumbered.dtype)
    for node in range(first, last):
        start, size = rowptr[node], rowptr[node + 1] - rowptr[node]
        if size > bins.size:
            bins = np.zeros(2 * size, np.int64)
            kept = np.empty(2 * size, renumbered.dtype)
        for i in range(size):
            kept[i] = rank[col[start + i]]
        _sort(kept[:size], bins, rank.size, renumbered[starts[rank[node]] :])


@njit(cache=True, nogil=True)
def _sort(
    values: npt.NDArray[Any], bins: npt.NDArray[np.int64], bound: int, out: npt.NDArray[Any]
) -> None:
    """Writes the values, all below ``bound``, in order; the bins are zero before and after."""
    size = values.size
    if size > _SHORT:
        scale = size / bound
        for value in values:
            bins[int(value * scale)] += 1
        total = 0
        for i in range(size):
            count = bins[i]
            bins[i] = total
            total += count
        for value in values:
            place = int(value * scale)
            out[bins[place]] = value
            bins[place] += 1
        bins[:size] = 0
    else:
        out[:size] = values
    for i in range(1, size):
        value, place = out[i], i
        while place > 0 and out[place - 1] > value:
            out[place] = out[place - 1]
            place -= 1
        out[place] = value
