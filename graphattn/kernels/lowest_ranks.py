"""The lowest ranks in the rows around a node, counted from an offset: windows past it, in slots."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from graphattn.kernels.prefetch import prefetch

BLOCK = 512
"""Rows that are asked for together: columns of the scratch ``rows``."""

FIRST = (1 << 32) - 1
"""Bits of an entrance that hold a rank; those above hold how many entries follow."""

EMPTY = np.iinfo(np.int64).max
"""What a slot holds where there is nothing in it."""

_REACH = 6  # entries to both sides of where a row is expected to go on
_MARGIN = 1.5  # how many entries are expected in the window for one that is wanted
_MOST = 0.9  # how far on an offset may be for entries past it to tell how many there are
_SOON = 24  # entrances that are asked for before the first is used

_Nodes = npt.NDArray[Any]
_Longs = npt.NDArray[np.int64]


@njit(cache=True, nogil=True)
def lowest_ranks(
    rowptr: _Longs,
    col: _Nodes,
    node: int,
    entrances: _Longs,
    two_hops: bool,
    offset: int,
    slots: _Longs,
    found: _Longs,
    rows: _Longs,
) -> int:
    """Finds the lowest ranks: ``found[i]`` is twice the rank, past the offset, plus hop less one.

    Only ranks in a window past the offset are collected. Its size is guessed from the number of
    paths and mended by bisection where it held too few, or more than there are slots for.

    Args:
        rowptr: int64 ``[N + 1]`` of the graph whose nodes are numbered by rank.
        col: Integer ``[E]``, sorted distinct ranks a row.
        node: Rank of the node.
        entrances: int64 ``[N, 2]``: where each row goes on from the offset, and in one number how
            many entries follow (above 32 bits) and the first of them; or no rows.
        two_hops: Whether ranks two hops away count.
        offset: Where ranks are counted from.
        slots: int64, all ``EMPTY`` before and after; half of them may fill, more than are wanted.
        found: int64 ``[wanted + 1]``, written to.
        rows: int64 ``[3, BLOCK]``, scratch.

    Returns:
        How many were found, ``wanted`` at most.

    Example:
        >>> rowptr, col = np.array([0, 1, 3, 4]), np.array([1, 0, 2, 1])  # 0 = 1 = 2
        >>> slots, found, rows = np.full(66, EMPTY), np.zeros(3, int), np.zeros((3, BLOCK), int)
        >>> none = np.empty((0, 2), np.int64)
        >>> lowest_ranks(rowptr, col, 0, none, True, 0, slots, found, rows), found[:2].tolist()
        (2, [2, 5])
    """
    num_nodes, wanted, limit = rowptr.size - 1, found.size - 1, slots.size // 2 - 1
    start, stop = rowptr[node], rowptr[node + 1]
    entries, share = stop - start, offset / num_nodes
    entered = entrances.shape[0] > 0 and share < _MOST  # else too few are left to guess from
    if entered:
        entries += int(_count_entered(col, start, stop, entrances) / (1 - share))
    else:
        for first in range(start, stop if two_hops else start, BLOCK):
            entries += _look_up(rowptr, col, first, min(first + BLOCK, stop), share, rows)
    known = stop - start <= BLOCK and not entered
    own = node - offset if node >= offset else node - offset + num_nodes
    window, least, most = num_nodes, 0, num_nodes  # least is too little, most not too little
    if entries > limit:
        window = min(num_nodes, int(_MARGIN * wanted * num_nodes / entries) + wanted + 2)
    while True:
        part = (offset, min(offset + window, num_nodes), -offset, window)
        if entered:
            count = _collect_entered(rowptr, col, node, entrances, part, slots, rows)
        else:
            count = _collect(rowptr, col, node, two_hops, part, slots, 0, rows, known)
        if offset + window > num_nodes:  # it goes on at rank 0
            part = (0, offset + window - num_nodes, num_nodes - offset, window)
            count = _collect(rowptr, col, node, two_hops, part, slots, count, rows, False)
            known = False
        if count <= limit:
            count = _take(slots, own, found)
            if count >= wanted or window == num_nodes:
                return min(count, wanted)
            least = window
            window = min(4 * window, (least + most + 1) // 2 if most < num_nodes else num_nodes)
        else:
            slots[:] = EMPTY
            most = window
            window = (least + most) // 2


@njit(cache=True, nogil=True)
def _look_up(rowptr: _Longs, col: _Nodes, first: int, last: int, share: float, rows: _Longs) -> int:
    """Counts the entries of the rows of ``col[first:last]``, and asks for where they go on.

    ``rows`` gets their starts, their ends, and about where the ranks past that share of all are.
    """
    total = 0
    for edge in range(first, last):
        prefetch(rowptr, np.int64(col[edge]))
    for i in range(last - first):
        start, stop = rowptr[col[first + i]], rowptr[col[first + i] + 1]
        place = start + int((stop - start) * share)
        prefetch(col, place - _REACH)
        prefetch(col, place + _REACH)
        rows[0, i], rows[1, i], rows[2, i] = start, stop, place
        total += stop - start
    return total


@njit(cache=True, nogil=True)
def _collect(
    rowptr: _Longs,
    col: _Nodes,
    node: int,
    two_hops: bool,
    part: tuple[int, int, int, int],
    slots: _Longs,
    count: int,
    rows: _Longs,
    known: bool,
) -> int:
    """Puts ranks of one part of the window into the slots, and ends where these are full.

    The part is: the first rank of it, the one after its last, what to add to count from the
    offset, and the size of the whole window. ``known`` says that ``rows`` are looked up.
    """
    low, high, shift, window = part
    limit = slots.size // 2 - 1
    share, scale = low / (rowptr.size - 1), limit / window
    start, stop = rowptr[node], rowptr[node + 1]
    place = enter_row(col, start, stop, start + int((stop - start) * share), low)
    while place < stop and col[place] < high and count <= limit:
        count += _put(slots, col[place] + shift, scale, 0)
        place += 1
    for first in range(start, stop if two_hops else start, BLOCK):
        last = min(first + BLOCK, stop)
        if not known:
            _look_up(rowptr, col, first, last, share, rows)
        for i in range(last - first):
            place = enter_row(col, rows[0, i], rows[1, i], rows[2, i], low)
            while place < rows[1, i] and col[place] < high and count <= limit:
                count += _put(slots, col[place] + shift, scale, 1)
                place += 1
            if count >= window or count > limit:
                return count
    return count


@njit(cache=True, nogil=True)
def _count_entered(col: _Nodes, start: int, stop: int, entrances: _Longs) -> int:
    """Counts the entries past the offset of the rows of ``col[start:stop]``."""
    total, flat = 0, entrances.reshape(-1)
    for edge in range(start, stop):
        prefetch(flat, 2 * np.int64(col[min(edge + _SOON, stop - 1)]))
        total += entrances[col[edge], 1] >> 32
    return total


@njit(cache=True, nogil=True)
def _collect_entered(
    rowptr: _Longs,
    col: _Nodes,
    node: int,
    entrances: _Longs,
    part: tuple[int, int, int, int],
    slots: _Longs,
    rows: _Longs,
) -> int:
    """Does what :func:`_collect` does for the first part of the window, of rows entered before."""
    _, high, shift, window = part
    limit, count = slots.size // 2 - 1, 0
    scale = limit / window
    start, stop = rowptr[node], rowptr[node + 1]
    place = entrances[node, 0]
    while place < stop and col[place] < high and count <= limit:
        count += _put(slots, col[place] + shift, scale, 0)
        place += 1
    for first in range(start, stop, BLOCK):
        kept = 0
        for edge in range(first, min(first + BLOCK, stop)):
            place, rest = entrances[col[edge], 0], entrances[col[edge], 1]
            rows[0, kept], rows[1, kept] = place, place + (rest >> 32)
            if rest & FIRST < high:
                prefetch(col, place)
                kept += 1
        for i in range(kept):
            place = rows[0, i]
            while place < rows[1, i] and col[place] < high and count <= limit:
                count += _put(slots, col[place] + shift, scale, 1)
                place += 1
            if count >= window or count > limit:
                return count
    return count


@njit(cache=True, nogil=True)
def _put(slots: _Longs, rank: int, scale: float, flag: int) -> int:
    """Inserts a rank unless it is there, near its part of the window, so that slots stay sorted."""
    entry = np.int64(rank) << 1
    i = int(rank * scale)
    while slots[i] < entry:
        i += 1
    moved = slots[i]
    if moved >> 1 == rank:
        return 0
    slots[i] = entry | flag
    while moved != EMPTY:
        i += 1
        slots[i], moved = moved, slots[i]
    return 1


@njit(cache=True, nogil=True)
def _take(slots: _Longs, own: int, found: _Longs) -> int:
    """Moves the lowest ranks but the seed's own from the slots, which are empty afterwards."""
    count, i = 0, 0
    while i < slots.size and count < found.size:
        found[count] = slots[i]
        count += (slots[i] != EMPTY) & (slots[i] >> 1 != own)
        i += 1
    slots[:] = EMPTY
    return count


@njit(cache=True, nogil=True)
def enter_row(col: _Nodes, start: int, stop: int, place: int, low: int) -> int:
    """Finds the first rank from ``low`` on in a row, near ``place``.

    Args:
        col: Integer ``[E]``, sorted a row.
        start: Where the row starts.
        stop: Where it ends.
        place: Where to look first, from ``start`` to ``stop``.
        low: The least rank wanted.

    Returns:
        Its place; ``stop`` if there is none.

    Example:
        >>> enter_row(np.array([1, 4, 9]), 0, 3, 2, 2)
        1
    """
    while place < stop and col[place] < low:
        place += 1
    while place > start and col[place - 1] >= low:
        place -= 1
    return place
