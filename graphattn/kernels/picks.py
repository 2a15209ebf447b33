"""Which of each row's entries a draw takes: how many there are in time, and Floyd's algorithm."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from graphattn.kernels.bitmap import Words, clear_bits, has_bit, set_bit
from graphattn.kernels.random_words import below, mix, stream

_SCANNED = 32  # picks of one row up to which looking through them beats a bitmap

_Nodes = npt.NDArray[Any]
_Longs = npt.NDArray[np.int64]


@njit(cache=True, nogil=True)
def rows_of(rowptr: _Longs, nodes: _Longs) -> tuple[_Longs, _Longs]:
    """Finds each node's row.

    Args:
        rowptr: int64 ``[N + 1]``.
        nodes: int64 ``[nodes]``.

    Returns:
        Where each row starts and its length, int64 ``[nodes]`` each.

    Example:
        >>> [part.tolist() for part in rows_of(np.array([0, 2, 5]), np.array([1, 0]))]
        [[2, 0], [3, 2]]
    """
    starts, sizes = np.empty(nodes.size, np.int64), np.empty(nodes.size, np.int64)
    for i in range(nodes.size):
        starts[i] = rowptr[nodes[i]]
        sizes[i] = rowptr[nodes[i] + 1] - starts[i]
    return starts, sizes


@njit(cache=True, nogil=True)
def rows_before(
    rowptr: _Longs, nodes: _Longs, time: _Nodes, limit: _Nodes
) -> tuple[_Longs, _Longs]:
    """Finds the part of each row that is in time, by bisection.

    Args:
        rowptr: int64 ``[N + 1]``.
        nodes: int64 ``[nodes]``.
        time: ``[E]``, ascending in every row.
        limit: ``[nodes]``, the last moment that counts.

    Returns:
        Where each row starts and how many of its entries are in time.

    Example:
        >>> time, limit = np.array([1, 5, 9]), np.array([5])
        >>> rows_before(np.array([0, 3]), np.array([0]), time, limit)[1].tolist()
        [2]
    """
    starts, sizes = rows_of(rowptr, nodes)
    for i in range(nodes.size):
        row = time[starts[i] : starts[i] + sizes[i]]
        sizes[i] = np.searchsorted(row, limit[i], side="right")
    return starts, sizes


@njit(cache=True, nogil=True)
def count_before(
    rowptr: _Longs, col: _Nodes, nodes: _Longs, time: _Nodes, limit: _Nodes
) -> tuple[_Longs, _Longs]:
    """Counts the neighbours of each node that were there in time, wherever in the row they stand.

    Args:
        rowptr: int64 ``[N + 1]``.
        col: Integer ``[E]``.
        nodes: int64 ``[nodes]``.
        time: ``[N]``, when each node came.
        limit: ``[nodes]``, the last moment that counts.

    Returns:
        Zeros and the counts: picks among them count from 0, and :func:`place` finds where.

    Example:
        >>> time, limit = np.array([7, 2, 9]), np.array([7])
        >>> rowptr, col = np.array([0, 3, 3, 3]), np.arange(3)
        >>> count_before(rowptr, col, np.array([0]), time, limit)[1].tolist()
        [2]
    """
    counts = np.zeros(nodes.size, np.int64)
    for i in range(nodes.size):
        for edge in range(rowptr[nodes[i]], rowptr[nodes[i] + 1]):
            counts[i] += time[col[edge]] <= limit[i]
    return np.zeros(nodes.size, np.int64), counts


@njit(cache=True, nogil=True)
def place(
    rowptr: _Longs,
    col: _Nodes,
    nodes: _Longs,
    time: _Nodes,
    limit: _Nodes,
    offset: _Longs,
    picks: _Longs,
) -> None:
    """Turns picks among the neighbours that were there in time into positions in ``col``.

    Args:
        rowptr: int64 ``[N + 1]``.
        col: Integer ``[E]``.
        nodes: int64 ``[nodes]``.
        time: ``[N]``, when each node came.
        limit: ``[nodes]``, the last moment that counts.
        offset: int64 ``[nodes + 1]``, where the picks of each node start.
        picks: int64 ``[picks]``, each below its node's count; overwritten, sorted for each node.

    Example:
        >>> picks, zero = np.array([1, 0]), np.array([0])
        >>> rowptr, col, time = np.array([0, 3, 3, 3]), np.arange(3), np.array([7, 9, 2])
        >>> place(rowptr, col, zero, time, np.array([7]), np.array([0, 2]), picks)
        >>> picks.tolist()
        [0, 2]
    """
    for i in range(nodes.size):
        mine = picks[offset[i] : offset[i + 1]]
        mine.sort()
        edge, passed = rowptr[nodes[i]], 0
        for j in range(mine.size):
            while True:
                in_time = time[col[edge]] <= limit[i]
                if in_time and passed == mine[j]:
                    break
                passed += in_time
                edge += 1
            mine[j] = edge


@njit(cache=True, nogil=True)
def pick_offsets(sizes: _Longs, fanout: int, again: bool) -> _Longs:
    """Counts what a draw takes of each row, cumulated.

    Args:
        sizes: int64 ``[rows]``, what there is.
        fanout: What is asked for; -1 for all.
        again: Whether entries may be taken again.

    Returns:
        int64 ``[rows + 1]``, where the picks of each row start.

    Example:
        >>> pick_offsets(np.array([0, 2, 5]), 3, False).tolist()
        [0, 0, 2, 5]
    """
    offset = np.zeros(sizes.size + 1, np.int64)
    for i in range(sizes.size):
        take = sizes[i]
        if fanout >= 0 and (take > fanout or (again and take > 0)):
            take = fanout
        offset[i + 1] = offset[i] + take
    return offset


@njit(cache=True, nogil=True)
def pick(
    starts: _Longs,
    sizes: _Longs,
    offset: _Longs,
    nodes: _Longs,
    key: Words,
    hop: int,
    again: bool,
) -> _Longs:
    """Draws positions for each node, uniformly; all in order where as many are asked for.

    The i-th word for a node is a hash of (key, hop, node, i).

    Args:
        starts: int64 ``[nodes]``, where the entries of each node start.
        sizes: int64 ``[nodes]``, how many there are.
        offset: int64 ``[nodes + 1]``, as :func:`pick_offsets` gives it.
        nodes: int64 ``[nodes]``.
        key: uint64 ``[2]``, seed and epoch.
        hop: Which hop this is.
        again: Whether a position may be taken again.

    Returns:
        int64 ``[picks]``.

    Example:
        >>> one, key = np.array([3]), np.zeros(2, np.uint64)
        >>> pick(np.array([10]), one, np.array([0, 3]), one, key, 0, False).tolist()
        [10, 11, 12]
    """
    picks = np.empty(offset[-1], np.int64)
    bits = np.zeros(16, np.uint64)
    name = stream(key, hop)
    for i in range(nodes.size):
        mine = picks[offset[i] : offset[i + 1]]
        own = mix((name ^ np.uint64(nodes[i])) + np.uint64(0x9E3779B97F4A7C15))
        if again:
            _pick_again(mine, sizes[i], own)
        elif mine.size == sizes[i]:
            mine[:] = np.arange(mine.size)
        elif mine.size <= _SCANNED:
            _pick_few(mine, sizes[i], own)
        else:
            if 64 * bits.size < sizes[i]:
                bits = np.zeros(max(2 * bits.size, (sizes[i] >> 6) + 1), np.uint64)
            _pick_many(mine, sizes[i], own, bits)
        for j in range(mine.size):
            mine[j] += starts[i]
    return picks


@njit(cache=True, nogil=True)
def _pick_again(picks: _Longs, size: int, name: np.uint64) -> None:
    """Draws with replacement."""
    counter = np.uint64(0)
    for j in range(picks.size):
        picks[j], counter = below(name, counter, np.uint64(size))


@njit(cache=True, nogil=True)
def _pick_few(picks: _Longs, size: int, name: np.uint64) -> None:
    """Floyd's algorithm, looking for repeats among the picks themselves."""
    counter = np.uint64(0)
    for j in range(picks.size):
        last = size - picks.size + j
        word, counter = below(name, counter, np.uint64(last + 1))
        drawn = np.int64(word)
        repeats = False
        for k in range(j):
            repeats |= picks[k] == drawn
        picks[j] = last if repeats else drawn


@njit(cache=True, nogil=True)
def _pick_many(picks: _Longs, size: int, name: np.uint64, bits: Words) -> None:
    """Floyd's algorithm, looking for repeats in a bitmap, clean before and after."""
    counter = np.uint64(0)
    for j in range(picks.size):
        last = size - picks.size + j
        word, counter = below(name, counter, np.uint64(last + 1))
        drawn = int(np.int64(word))
        chosen = last if has_bit(bits, drawn) else drawn
        set_bit(bits, chosen)
        picks[j] = chosen
    clear_bits(bits, picks, 0, picks.size)
