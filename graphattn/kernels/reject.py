"""Draws from a large two-hop pool of an undirected graph by rejection, without enumerating it."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from graphattn.kernels.bitmap import clear_bits, has_bit, set_bit, set_bits
from graphattn.kernels.prefetch import prefetch
from graphattn.kernels.random_words import below

PATHS = 64  # paths, and nodes, a token, up to which enumerating the pool is quicker
_TRIAL = 48  # paths that are enumerated in the time of one trial
_BLOCK = 32  # trials looked up together
_LONGER = 64  # how much longer a row must be to be searched instead of read

_Nodes = npt.NDArray[Any]
_Longs = npt.NDArray[np.int64]
_Words = npt.NDArray[np.uint64]


@njit(cache=True, nogil=True)
def count_paths(rowptr: _Longs, col: _Nodes, node: int, sums: _Longs) -> _Longs:
    """Counts the two-step paths through each neighbour, cumulated.

    Args:
        rowptr: int64 ``[N + 1]``.
        col: Integer ``[E]``.
        node: Where the paths start.
        sums: int64, for the result; replaced by a longer one where it is too short.

    Returns:
        int64, at least one more than there are neighbours: the paths through the neighbours
        before each; after the last, all of them.
    """
    start, stop = rowptr[node], rowptr[node + 1]
    if sums.size < stop - start + 1:
        sums = np.empty(2 * (stop - start + 1), np.int64)
    for first in range(start, stop, _BLOCK):
        last = min(first + _BLOCK, stop)
        for edge in range(first, last):
            prefetch(rowptr, np.int64(col[edge]))
        for edge in range(first, last):
            sums[edge - start] = rowptr[col[edge] + 1] - rowptr[col[edge]]
    total = 0
    for i in range(stop - start):
        paths = sums[i]
        sums[i] = total
        total += paths
    sums[stop - start] = total
    return sums


@njit(cache=True, nogil=True)
def draw_by_rejection(
    rowptr: _Longs,
    col: _Nodes,
    sums: _Longs,
    pool_is_list: bool,
    bits: _Words,
    name: np.uint64,
    ids: _Longs,
    mask: npt.NDArray[np.bool_],
    hop: npt.NDArray[np.int8],
) -> bool:
    """Fills one row of the table, or gives up.

    A ticket is a neighbour or a two-step path, each as likely. A neighbour is taken. The path
    (i, j, k) is taken if j is the first node of row k that neighbours i: of all paths from i to k
    one, so each place of the pool has one ticket. What was drawn before is refused. How many
    trials that takes says nothing about which nodes are drawn, so giving up after a number of
    trials, and drawing otherwise and anew, leaves the law as it is.

    Args:
        rowptr: int64 ``[N + 1]``, of an undirected graph.
        col: Integer ``[E]``, sorted distinct ids a row.
        sums: Of :func:`count_paths` for the seed.
        pool_is_list: A node one and two steps away stands twice.
        bits: ``3 * N`` bits, clean before and after.
        name: Of a random stream that nothing else draws from.
        ids: ``[K]``, the seed in column 0.
        mask: ``[K]``.
        hop: ``[K]``.

    Returns:
        Whether all columns could be filled in reasonable time.
    """
    num_nodes = rowptr.size - 1
    seed = ids[0]
    start, stop = rowptr[seed], rowptr[seed + 1]
    set_bits(bits, col, start, stop)
    paths = sums[stop - start]
    via, far = np.empty(_BLOCK, np.int64), np.empty(_BLOCK, np.int64)
    count, counter = 1, np.uint64(0)
    for _ in range(paths // (_TRIAL * _BLOCK) + 1):
        counter = _look_up(rowptr, col, start, stop, sums, name, counter, via, far)
        for i in range(_BLOCK):
            node = far[i]
            if node == seed or count == ids.size:
                continue
            near = has_bit(bits, node)
            if via[i] >= 0 and near and not pool_is_list:
                continue
            place = num_nodes + (num_nodes + node if via[i] >= 0 else node)
            if has_bit(bits, place):
                continue
            if via[i] >= 0 and not _is_first(rowptr, col, bits, start, stop, via[i], node):
                continue
            set_bit(bits, place)
            ids[count], mask[count], hop[count] = node, True, 1 if near else 2
            count += 1
        if count == ids.size:
            break
    clear_bits(bits, col, start, stop)
    clear_bits(bits, ids, 1, count, num_nodes)
    clear_bits(bits, ids, 1, count, 2 * num_nodes)
    if count == ids.size:
        return True
    ids[1:], mask[1:], hop[1:] = seed, False, 0
    return False


@njit(cache=True, nogil=True)
def _look_up(
    rowptr: _Longs,
    col: _Nodes,
    start: int,
    stop: int,
    sums: _Longs,
    name: np.uint64,
    counter: np.uint64,
    via: _Longs,
    far: _Longs,
) -> np.uint64:
    """Draws a block of tickets: ``far``, where each leads, ``via`` the node between, or -1."""
    degree = stop - start
    for i in range(via.size):
        drawn, counter = below(name, counter, np.uint64(degree + sums[degree]))
        ticket = np.int64(drawn)
        if ticket < degree:
            via[i], far[i] = -1, start + ticket
        else:
            ticket -= degree
            low, high = 0, degree - 1  # the last neighbour whose paths start at or before it
            while low < high:
                middle = (low + high + 1) >> 1
                if sums[middle] <= ticket:
                    low = middle
                else:
                    high = middle - 1
            via[i] = col[start + low]
            far[i] = rowptr[via[i]] + ticket - sums[low]
        prefetch(col, far[i])
    for i in range(via.size):
        far[i] = col[far[i]]
        prefetch(rowptr, far[i])
    for i in range(via.size):
        prefetch(col, rowptr[far[i]])
        prefetch(col, rowptr[far[i]] + 16)
    return counter


@njit(cache=True, nogil=True)
def _is_first(
    rowptr: _Longs, col: _Nodes, bits: _Words, start: int, stop: int, via: int, far: int
) -> bool:
    """Tells whether no node of row ``far`` before ``via`` neighbours the seed."""
    first, last = rowptr[far], rowptr[far + 1]
    if last - first <= _LONGER * (stop - start):
        while first < last and col[first] < via:
            if has_bit(bits, np.int64(col[first])):
                return False
            first += 1
        return True
    edge = start
    while edge < stop and col[edge] < via:
        place = first + np.searchsorted(col[first:last], col[edge])
        if place < last and col[place] == col[edge]:
            return False
        edge += 1
    return True
