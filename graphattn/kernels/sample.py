"""Draws of nodes from the few-hop neighbourhood of seeds, exact, without ever squaring A."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import get_num_threads, njit, prange

from graphattn.kernels.launch import LAUNCH, read_only

_FEW = 32  # seeds a thread, below which fewer threads are used

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
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], npt.NDArray[np.int8]]:
    """Draws ``num_samples - 1`` nodes around each seed, uniformly without replacement.

    Each pool is enumerated exactly with a bitmap, then Floyd's algorithm draws positions of it by
    hashes of (seed, epoch, node, counter). Memory a thread: ``num_hops * N`` bits and the pool.

    Args:
        rowptr: int64 ``[N + 1]``, where the row of each node starts in ``col``.
        col: Integer ``[E]``, sorted distinct ids a row.
        seeds: int64 ``[B]``; may repeat.
        num_samples: Columns of the result, the seed included.
        num_hops: Steps from the seed, 1 to 127.
        pool_is_list: Whether ``pool="list"`` or ``"set"`` of ``sample_neighborhood``.
        seed: Any integer; its lowest 64 bits count.
        epoch: Any integer; its lowest 64 bits count.

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
    num_nodes = rowptr.size - 1
    if num_samples < 1 or not 1 <= num_hops <= 127:
        raise ValueError(
            "num_samples must be at least 1 and num_hops from 1 to 127: "
            f"got num_samples={num_samples}, num_hops={num_hops}."
        )
    if seeds.size and (seeds.min() < 0 or seeds.max() >= num_nodes):
        bad = seeds[(seeds < 0) | (seeds >= num_nodes)]
        raise ValueError(
            f"seeds must be ids from 0 to {num_nodes - 1}: got {bad[:5].tolist()}"
            f"{' and more' if bad.size > 5 else ''}, {bad.size} such seeds."
        )
    ids = np.repeat(seeds.astype(np.int64, copy=False), num_samples).reshape(-1, num_samples)
    mask = np.zeros(ids.shape, np.bool_)
    mask[:, 0] = True
    hop = np.zeros(ids.shape, np.int8)
    key = np.array([int(number) & 0xFFFFFFFFFFFFFFFF for number in (seed, epoch)], np.uint64)
    arrays = (read_only(rowptr), read_only(col), num_hops, pool_is_list, key, ids, mask, hop)
    num_chunks = min(get_num_threads(), seeds.size // _FEW)
    if num_chunks < 2:  # waking threads would cost more than it saves
        _draw_rows(*arrays, 0, 1)
    else:
        with LAUNCH:
            _draw_all(*arrays, num_chunks)
    return ids, mask, hop


@njit(cache=True, nogil=True, parallel=True)
def _draw_all(
    rowptr: _Longs,
    col: _Nodes,
    num_hops: int,
    pool_is_list: bool,
    key: _Words,
    ids: _Longs,
    mask: npt.NDArray[np.bool_],
    hop: npt.NDArray[np.int8],
    num_chunks: int,
) -> None:
    """Gives each thread every ``num_chunks``-th seed, so that hubs spread."""
    for chunk in prange(num_chunks):
        _draw_rows(rowptr, col, num_hops, pool_is_list, key, ids, mask, hop, chunk, num_chunks)


@njit(cache=True, nogil=True)
def _draw_rows(
    rowptr: _Longs,
    col: _Nodes,
    num_hops: int,
    pool_is_list: bool,
    key: _Words,
    ids: _Longs,
    mask: npt.NDArray[np.bool_],
    hop: npt.NDArray[np.int8],
    first: int,
    step: int,
) -> None:
    """Draws for every ``step``-th seed, with scratch of its own."""
    bits = np.zeros((num_hops * (rowptr.size - 1) + 64) // 64, np.uint64)
    pool = np.empty(1024, col.dtype)
    bounds = np.empty(num_hops + 2, np.int64)
    sizes = np.empty(num_hops + 1, np.int64)
    picks = np.empty(ids.shape[1] - 1, np.int64)
    for row in range(first, ids.shape[0], step):
        node = ids[row, 0]
        pool = _enumerate(rowptr, col, node, pool_is_list, bits, pool, bounds, sizes)
        count = _pick(sizes[1:].sum(), picks, bits, _stream(key, node))
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
        _set_bits(bits, pool, 0, 1)
    for hop in range(1, bounds.size - 1):
        start = bounds[hop]
        pool, stop = _expand(rowptr, col, bits, pool, bounds[hop - 1], start)
        bounds[hop + 1] = stop
        sizes[hop] = stop - start
        if pool_is_list:
            if _has_bit(bits, np.uint64(node)):
                i = start
                while pool[i] != node:
                    i += 1
                pool[i], pool[stop - 1] = pool[stop - 1], pool[i]
                sizes[hop] -= 1
            _clear_bits(bits, pool, start, stop)
    if not pool_is_list:
        _clear_bits(bits, pool, 0, bounds[-1])
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
def _pick(size: int, picks: _Longs, bits: _Words, stream: np.uint64) -> int:
    """Draws distinct positions below ``size`` by Floyd's algorithm; all of them if too few."""
    if size <= picks.size:
        picks[:size] = np.arange(size)
        return size
    counter = np.uint64(0)
    for i in range(picks.size):
        picks[i] = size - picks.size + i
        drawn, counter = _below(stream, counter, np.uint64(picks[i] + 1))
        if not _has_bit(bits, drawn):
            picks[i] = drawn
        _set_bits(bits, picks, i, i + 1)
    _clear_bits(bits, picks, 0, picks.size)
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
        _set_bits(bits, pool, start, stop)
        for i in range(1, count + 1):
            if hop[i] > level and _has_bit(bits, np.uint64(ids[i])):
                hop[i] = level
        _clear_bits(bits, pool, start, stop)


@njit(cache=True, nogil=True)
def _has_bit(bits: _Words, index: np.uint64) -> bool:
    shift = index & np.uint64(63)
    return (bits[np.int64(index >> np.uint64(6))] >> shift) & np.uint64(1) != 0


@njit(cache=True, nogil=True)
def _set_bits(bits: _Words, nodes: _Nodes, start: int, stop: int) -> None:
    for i in range(start, stop):
        bits[nodes[i] >> 6] |= np.uint64(1) << np.uint64(nodes[i] & 63)


@njit(cache=True, nogil=True)
def _clear_bits(bits: _Words, nodes: _Nodes, start: int, stop: int) -> None:
    for i in range(start, stop):
        bits[nodes[i] >> 6] = np.uint64(0)


@njit(cache=True, nogil=True)
def _mix(word: np.uint64) -> np.uint64:
    """Scrambles 64 bits: the finaliser of SplitMix64 (Steele et al. 2014)."""
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


@njit(cache=True, nogil=True)
def _stream(key: _Words, node: int) -> np.uint64:
    """Names the random stream of one node: a hash of (seed, epoch, node)."""
    golden = np.uint64(0x9E3779B97F4A7C15)
    word = _mix(key[0] + golden)
    word = _mix((word ^ key[1]) + golden)
    return _mix((word ^ np.uint64(node)) + golden)


@njit(cache=True, nogil=True)
def _below(stream: np.uint64, counter: np.uint64, bound: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Draws an unbiased integer below ``bound`` (Lemire 2019, https://arxiv.org/abs/1805.10941)."""
    low32 = np.uint64(0xFFFFFFFF)
    half = np.uint64(32)
    threshold = np.uint64(0)
    while True:
        counter += np.uint64(1)
        word = _mix(stream + counter * np.uint64(0x9E3779B97F4A7C15))
        low = word * bound
        if low >= bound:  # almost always
            break
        if threshold == 0:
            threshold = (~bound + np.uint64(1)) % bound
        if low >= threshold:
            break
    # The upper 64 bits of word * bound, from four products of 32 bits.
    a, b, c, d = word >> half, word & low32, bound >> half, bound & low32
    middle = a * d + ((b * d) >> half)
    carry = (middle & low32) + b * c
    return a * c + (middle >> half) + (carry >> half), counter
