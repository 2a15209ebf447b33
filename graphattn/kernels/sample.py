"""Draws of nodes from the few-hop neighbourhood of seeds, exact, without ever squaring A."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from graphattn.kernels.bitmap import clear_bits, has_bit, set_bit, set_bits
from graphattn.kernels.launch import read_only, run_chunks
from graphattn.kernels.random_words import below, key_words, mix, stream
from graphattn.kernels.reject import PATHS, count_paths, draw_by_rejection
from graphattn.kernels.token_table import Table, count_chunks, empty_table

_Nodes = npt.NDArray[Any]
_Longs = npt.NDArray[np.int64]
_Words = npt.NDArray[np.uint64]


def draw_neighborhood(
    rowptr: npt.NDArray[np.int64],
    col: npt.NDArray[Any],
    seeds: npt.NDArray[np.int64],
    num_samples: int,
    num_hops: int,
    pool_is_list: bool,
    seed: int,
    epoch: int,
    undirected: bool = False,
) -> Table:
    """Draws ``num_samples - 1`` nodes around each seed, uniformly without replacement.

    A pool is enumerated with a bitmap, then Floyd's algorithm draws positions of it by hashes of
    (seed, epoch, node, counter). Large two-hop pools of undirected graphs are drawn from by
    rejection instead: the same law, another draw. Memory a thread: ``num_hops * N`` bits (3 N for
    two hops of an undirected graph) and the largest enumerated pool.

    Args:
        rowptr: int64 ``[N + 1]``, where the row of each node starts in ``col``.
        col: Integer ``[E]``, sorted distinct ids a row.
        seeds: int64 ``[B]``; may repeat.
        num_samples: Columns of the result, the seed included.
        num_hops: Steps from the seed, 1 to 127.
        pool_is_list: Whether ``pool="list"`` or ``"set"`` of ``sample_neighborhood``.
        seed: Any integer; its lowest 64 bits count.
        epoch: Any integer; its lowest 64 bits count.
        undirected: Promises that each edge has its reverse.

    Returns:
        ids ``[B, K]``, column 0 the seed, and the seed's where a short pool left a column empty;
        mask ``[B, K]``, false there; hop ``[B, K]``, distance from the seed.

    Raises:
        ValueError: A seed is no node, or a size is out of its range.

    Example:
        >>> rowptr, col = np.array([0, 1, 2]), np.array([1, 0], dtype=np.int32)  # 0 <-> 1
        >>> draw_neighborhood(rowptr, col, np.array([0]), 3, 2, True, 0, 0)[0].tolist()
        [[0, 1, 0]]
    """
    ids, mask, hop = empty_table(rowptr.size - 1, seeds, num_samples, num_hops, 127)
    options = (num_hops, pool_is_list, undirected and num_hops == 2, key_words(seed, epoch))
    arrays = (read_only(rowptr), read_only(col), *options, ids, mask, hop)
    run_chunks(_draw_rows, count_chunks(seeds.size), *arrays)
    return ids, mask, hop


@njit(cache=True, nogil=True)
def _draw_rows(
    first: int,
    step: int,
    rowptr: _Longs,
    col: _Nodes,
    num_hops: int,
    pool_is_list: bool,
    may_reject: bool,
    key: _Words,
    ids: _Longs,
    mask: npt.NDArray[np.bool_],
    hop: npt.NDArray[np.int8],
) -> None:
    """Draws for every ``step``-th seed, with scratch of its own."""
    places = (rowptr.size - 1) * (3 if may_reject else num_hops)
    bits = np.zeros((places + 64) // 64, np.uint64)
    pool = np.empty(1024, col.dtype)
    bounds = np.empty(num_hops + 2, np.int64)
    sizes = np.empty(num_hops + 1, np.int64)
    sums = np.empty(1024, np.int64)
    picks = np.empty(ids.shape[1] - 1, np.int64)
    for row in range(first, ids.shape[0], step):
        node = ids[row, 0]
        name = stream(key, node)
        if may_reject:
            sums = count_paths(rowptr, col, node, sums)
            most = min(sums[rowptr[node + 1] - rowptr[node]], rowptr.size - 1)  # two steps away
            table = (ids[row], mask[row], hop[row])
            # A stream of its own: whether it gives up must not bias what is drawn then.
            if most > PATHS * picks.size and draw_by_rejection(
                rowptr, col, sums, pool_is_list, bits, mix(~name), *table
            ):
                continue
        pool = _enumerate(rowptr, col, node, pool_is_list, bits, pool, bounds, sizes)
        count = _pick(sizes[1:].sum(), picks, bits, name)
        _emit(pool, bounds, sizes, picks[:count], ids[row], mask[row], hop[row])
        if pool_is_list and num_hops > 1:
            _shorten(pool, bounds, bits, ids[row], hop[row], count)


@njit(cache=True, nogil=True)
def _enumerate(
    rowptr: _Longs,
    col: _Nodes,
    node: int,
    pool_is_list: bool,
    bits: _Words,
    pool: _Nodes,
    bounds: _Longs,
    sizes: _Longs,
) -> _Nodes:
    """Writes hop after hop of the pool; ``bits`` is clean before and after.

    Hop i is ``pool[bounds[i] : bounds[i + 1]]``. In a list it may hold the seed, for the next hop
    to start from too: last, and left out of ``sizes[i]``.
    """
    pool[0] = node
    bounds[0], bounds[1], sizes[0] = 0, 1, 1
    if not pool_is_list:
        set_bit(bits, node)
    for hop in range(1, bounds.size - 1):
        start = bounds[hop]
        pool, stop = _expand(rowptr, col, bits, pool, bounds[hop - 1], start)
        bounds[hop + 1] = stop
        sizes[hop] = stop - start
        if pool_is_list:
            if has_bit(bits, node):
                i = start
                while pool[i] != node:
                    i += 1
                pool[i], pool[stop - 1] = pool[stop - 1], pool[i]
                sizes[hop] -= 1
            clear_bits(bits, pool, start, stop)
    if not pool_is_list:
        clear_bits(bits, pool, 0, bounds[-1])
    return pool


@njit(cache=True, nogil=True)
def _expand(
    rowptr: _Longs, col: _Nodes, bits: _Words, pool: _Nodes, start: int, stop: int
) -> tuple[_Nodes, int]:
    """Appends the distinct unmarked nodes of the rows of ``pool[start:stop]``, and marks them."""
    end = stop
    for i in range(start, stop):
        first, last = rowptr[pool[i]], rowptr[pool[i] + 1]
        if end + last - first > pool.size:
            grown = np.empty(max(2 * pool.size, end + last - first), pool.dtype)
            grown[:end] = pool[:end]
            pool = grown
        for edge in range(first, last):
            node = col[edge]
            word = bits[node >> 6]
            bit = np.uint64(1) << np.uint64(node & 63)
            pool[end] = node
            end += (word & bit) == 0
            bits[node >> 6] = word | bit
    return pool, end


@njit(cache=True, nogil=True)
def _pick(size: int, picks: _Longs, bits: _Words, name: np.uint64) -> int:
    """Draws distinct positions below ``size`` by Floyd's algorithm; all of them if too few."""
    if size <= picks.size:
        picks[:size] = np.arange(size)
        return size
    counter = np.uint64(0)
    for i in range(picks.size):
        picks[i] = size - picks.size + i
        drawn, counter = below(name, counter, np.uint64(picks[i] + 1))
        if not has_bit(bits, np.int64(drawn)):
            picks[i] = drawn
        set_bit(bits, picks[i])
    clear_bits(bits, picks, 0, picks.size)
    return picks.size


@njit(cache=True, nogil=True)
def _emit(
    pool: _Nodes,
    bounds: _Longs,
    sizes: _Longs,
    picks: _Longs,
    ids: _Longs,
    mask: npt.NDArray[np.bool_],
    hop: npt.NDArray[np.int8],
) -> None:
    """Writes the nodes at the picked positions and the hop each stands in."""
    for i in range(picks.size):
        position = picks[i]
        level = 1
        while position >= sizes[level]:
            position -= sizes[level]
            level += 1
        ids[i + 1] = pool[bounds[level] + position]
        mask[i + 1] = True
        hop[i + 1] = level


@njit(cache=True, nogil=True)
def _shorten(
    pool: _Nodes,
    bounds: _Longs,
    bits: _Words,
    ids: _Longs,
    hop: npt.NDArray[np.int8],
    count: int,
) -> None:
    """Lowers each token's hop to the first hop its node stands in: its distance."""
    for level in range(1, bounds.size - 2):
        start, stop = bounds[level], bounds[level + 1]
        set_bits(bits, pool, start, stop)
        for i in range(1, count + 1):
            if hop[i] > level and has_bit(bits, ids[i]):
                hop[i] = level
        clear_bits(bits, pool, start, stop)
