"""The nodes of lowest rank around each seed, ranks counted from an offset: no pool is listed."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from graphattn.kernels.bitmap import Words
from graphattn.kernels.launch import read_only, run_chunks
from graphattn.kernels.prefetch import prefetch
from graphattn.kernels.random_words import below, key_words, stream
from graphattn.kernels.token_table import Table, count_chunks, empty_table

_BLOCK = 512  # rows that are asked for together
_REACH = 6  # entries to both sides of where a row is expected to go on
_MARGIN = 1.5  # how many entries are expected in the window for one that is wanted
_FIRST = (1 << 32) - 1  # bits of an entrance that hold a rank
_MOST = 0.9  # how far on an offset may be for entries past it to tell how many there are
_SOON = 24  # entrances that are asked for before the first is used
_EMPTY = np.iinfo(np.int64).max

_Nodes = npt.NDArray[Any]
_Longs = npt.NDArray[np.int64]


def draw_bottom_k(
    rowptr: npt.NDArray[np.int64],
    col: npt.NDArray[Any],
    rank: npt.NDArray[Any],
    node_of: npt.NDArray[Any],
    seeds: npt.NDArray[np.int64],
    num_samples: int,
    num_hops: int,
    share: int,
    key: tuple[int, int],
) -> Table:
    """Takes the ``num_samples - 1`` nodes of lowest rank within one or two hops of each seed.

    Ranks are counted from an offset on, past the last one from the first again; the offset of
    ``share`` seeds in a row is a hash of (key, the first of them). Rows are sorted by rank, so one
    goes on near (its length) * offset / N: there it is entered, and left at once where nothing in
    it is low enough to matter. What is read does not grow with the two-hop pool.

    Args:
        rowptr: int64 ``[N + 1]`` of the graph whose nodes are numbered by rank.
        col: Integer ``[E]``, sorted distinct ranks a row.
        rank: Integer ``[N]``, the rank of each node, in random order.
        node_of: Integer ``[N]``, the node of each rank.
        seeds: int64 ``[B]``, nodes; may repeat.
        num_samples: Columns of the result, the seed included.
        num_hops: 1 or 2.
        share: Seeds that share an offset, at least 1.
        key: Any integers; their lowest 64 bits count.

    Returns:
        ids ``[B, K]``, column 0 the seed, then by rank, and the seed's where there are too few;
        mask ``[B, K]``, false there; hop ``[B, K]``, distance from the seed.

    Raises:
        ValueError: A seed is no node, or a size is out of its range.

    Example:
        >>> rowptr, col, same = np.array([0, 1, 3, 4]), np.array([1, 0, 2, 1]), np.arange(3)
        >>> ids, _, hop = draw_bottom_k(rowptr, col, same, same, same[:1], 4, 2, 1, (0, 0))
        >>> sorted(zip(ids[0].tolist(), hop[0].tolist()))
        [(0, 0), (0, 0), (1, 1), (2, 2)]
    """
    ids, mask, hop = empty_table(rowptr.size - 1, seeds, num_samples, num_hops, 2)
    graph = (read_only(rowptr), read_only(col), read_only(node_of), rank[seeds].astype(np.int64))
    words, num_chunks = key_words(*key), count_chunks(seeds.size)
    entrances = np.empty((0, 2), np.int64)
    many = seeds.size * col.size >= (rowptr.size - 1) ** 2 > 0  # rows to enter, beside all rows
    if many and num_hops == 2 and share >= seeds.size:
        entrances = np.empty((rowptr.size - 1, 2), np.int64)
        offset = _offset(words, seeds[0], rowptr.size - 1)
        run_chunks(_enter_rows, _enter_all, num_chunks, *graph[:2], offset, entrances)
    arrays = (*graph, read_only(entrances), num_hops == 2, share, words, ids, mask, hop)
    run_chunks(_draw_rows, _draw_all, num_chunks, *arrays)
    return ids, mask, hop


@njit(cache=True, nogil=True)
def _offset(key: Words, leader: int, num_nodes: int) -> int:
    """Hashes a seed to the offset of those it leads."""
    drawn, _ = below(stream(key, leader), np.uint64(0), np.uint64(num_nodes))
    return int(drawn)


@njit(cache=True, nogil=True, parallel=True)
def _enter_all(num_chunks: int, *arrays: Any) -> None:
    """Gives each thread an equal part of the rows."""
    for chunk in prange(num_chunks):
        _enter_rows(chunk, num_chunks, *arrays)


@njit(cache=True, nogil=True)
def _enter_rows(
    chunk: int, num_chunks: int, rowptr: _Longs, col: _Nodes, offset: int, entrances: _Longs
) -> None:
    """Writes for each row where ranks from the offset on begin, how many, and the first of them.

    The latter two side by side in one number, so that an entrance is a quarter of a cache line.
    """
    num_nodes = rowptr.size - 1
    share = offset / num_nodes
    for row in range(chunk * num_nodes // num_chunks, (chunk + 1) * num_nodes // num_chunks):
        start, stop = rowptr[row], rowptr[row + 1]
        place = _enter(col, start, stop, start + int((stop - start) * share), offset)
        first = np.int64(col[place]) if place < stop else np.int64(_FIRST)
        entrances[row, 0], entrances[row, 1] = place, (stop - place) << 32 | first


@njit(cache=True, nogil=True, parallel=True)
def _draw_all(num_chunks: int, *arrays: Any) -> None:
    """Gives each thread every ``num_chunks``-th seed, so that hubs spread."""
    for chunk in prange(num_chunks):
        _draw_rows(chunk, num_chunks, *arrays)


@njit(cache=True, nogil=True)
def _draw_rows(
    first: int,
    step: int,
    rowptr: _Longs,
    col: _Nodes,
    node_of: _Nodes,
    ranks: _Longs,
    entrances: _Longs,
    two_hops: bool,
    share: int,
    key: Words,
    ids: _Longs,
    mask: npt.NDArray[np.bool_],
    hop: npt.NDArray[np.int8],
) -> None:
    """Draws for every ``step``-th seed, with slots of its own."""
    num_nodes, wanted = rowptr.size - 1, ids.shape[1] - 1
    size = 64
    while size < 4 * (wanted + 2):
        size *= 2
    slots = np.full(2 * size + 2, _EMPTY, np.int64)
    found = np.empty(wanted + 1, np.int64)
    rows = np.empty((3, _BLOCK), np.int64)
    for row in range(first, ids.shape[0], step):
        if row + step < ids.shape[0]:
            prefetch(col, rowptr[ranks[row + step]])
        offset = _offset(key, ids[row - row % share, 0], num_nodes)
        count = _lowest(rowptr, col, ranks[row], entrances, two_hops, offset, slots, found, rows)
        for i in range(count):
            rank = (found[i] >> 1) + offset
            ids[row, i + 1] = rank - num_nodes if rank >= num_nodes else rank
            mask[row, i + 1] = True
            hop[row, i + 1] = 1 + (found[i] & 1)
            prefetch(node_of, ids[row, i + 1])
        for i in range(1, count + 1):
            ids[row, i] = node_of[ids[row, i]]


@njit(cache=True, nogil=True)
def _lowest(
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
    """
    num_nodes, wanted, limit = rowptr.size - 1, found.size - 1, slots.size // 2 - 1
    start, stop = rowptr[node], rowptr[node + 1]
    entries, share = stop - start, offset / num_nodes
    entered = entrances.shape[0] > 0 and share < _MOST  # else too few are left to guess from
    if entered:
        entries += int(_count_entered(col, start, stop, entrances) / (1 - share))
    else:
        for first in range(start, stop if two_hops else start, _BLOCK):
            entries += _look_up(rowptr, col, first, min(first + _BLOCK, stop), share, rows)
    known = stop - start <= _BLOCK and not entered
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
            slots[:] = _EMPTY
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
    place = _enter(col, start, stop, start + int((stop - start) * share), low)
    while place < stop and col[place] < high and count <= limit:
        count += _put(slots, col[place] + shift, scale, 0)
        place += 1
    for first in range(start, stop if two_hops else start, _BLOCK):
        last = min(first + _BLOCK, stop)
        if not known:
            _look_up(rowptr, col, first, last, share, rows)
        for i in range(last - first):
            place = _enter(col, rows[0, i], rows[1, i], rows[2, i], low)
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
    for first in range(start, stop, _BLOCK):
        kept = 0
        for edge in range(first, min(first + _BLOCK, stop)):
            place, rest = entrances[col[edge], 0], entrances[col[edge], 1]
            rows[0, kept], rows[1, kept] = place, place + (rest >> 32)
            if rest & _FIRST < high:
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
def _enter(col: _Nodes, start: int, stop: int, place: int, low: int) -> int:
    """Finds the first rank from ``low`` on in a row, near ``place``."""
    while place < stop and col[place] < low:
        place += 1
    while place > start and col[place - 1] >= low:
        place -= 1
    return place


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
    while moved != _EMPTY:
        i += 1
        slots[i], moved = moved, slots[i]
    return 1


@njit(cache=True, nogil=True)
def _take(slots: _Longs, own: int, found: _Longs) -> int:
    """Moves the lowest ranks but the seed's own from the slots, which are empty afterwards."""
    count, i = 0, 0
    while i < slots.size and count < found.size:
        found[count] = slots[i]
        count += (slots[i] != _EMPTY) & (slots[i] >> 1 != own)
        i += 1
    slots[:] = _EMPTY
    return count
