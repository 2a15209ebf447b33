"""Ends of short random walks from each seed: tokens that cost next to nothing, and are biased."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from graphattn.kernels.bitmap import Words, clear_bits, has_bit, set_bit
from graphattn.kernels.launch import read_only, run_chunks
from graphattn.kernels.prefetch import prefetch
from graphattn.kernels.random_words import below, key_words, stream
from graphattn.kernels.token_table import Table, count_chunks, empty_table

_BLOCK = 32  # walks that go together
_TRIES = 4  # walks a column, after which what is left is masked

_Nodes = npt.NDArray[Any]
_Longs = npt.NDArray[np.int64]


def draw_walks(
    rowptr: npt.NDArray[np.int64],
    col: npt.NDArray[Any],
    seeds: npt.NDArray[np.int64],
    num_samples: int,
    num_hops: int,
    distinct: bool,
    seed: int,
    epoch: int,
) -> Table:
    """Walks one or two steps from each seed, as often as it takes to fill the columns.

    Args:
        rowptr: int64 ``[N + 1]``, where the row of each node starts in ``col``.
        col: Integer ``[E]``, sorted distinct ids a row.
        seeds: int64 ``[B]``; may repeat.
        num_samples: Columns of the result, the seed included.
        num_hops: Longest walk, 1 or 2; shorter ones are as likely.
        distinct: Refuse nodes that are there already.
        seed: Any integer; its lowest 64 bits count.
        epoch: Any integer; its lowest 64 bits count.

    Returns:
        ids ``[B, K]``, column 0 the seed, and the seed's where four walks a column did not fill it;
        mask ``[B, K]``, false there; hop ``[B, K]``, distance from the seed.

    Raises:
        ValueError: A seed is no node, or a size is out of its range.

    Example:
        >>> rowptr, col = np.array([0, 1, 2]), np.array([1, 0], dtype=np.int32)  # 0 <-> 1
        >>> draw_walks(rowptr, col, np.array([0]), 3, 2, True, 0, 0)[0].tolist()
        [[0, 1, 0]]
    """
    ids, mask, hop = empty_table(rowptr.size - 1, seeds, num_samples, num_hops, 2)
    options = (num_hops == 2, distinct, key_words(seed, epoch))
    arrays = (read_only(rowptr), read_only(col), *options, ids, mask, hop)
    run_chunks(_draw_rows, count_chunks(seeds.size), *arrays)
    return ids, mask, hop


@njit(cache=True, nogil=True)
def _draw_rows(
    first: int,
    step: int,
    rowptr: _Longs,
    col: _Nodes,
    two_hops: bool,
    distinct: bool,
    key: Words,
    ids: _Longs,
    mask: npt.NDArray[np.bool_],
    hop: npt.NDArray[np.int8],
) -> None:
    """Walks for every ``step``-th seed, with a bitmap of its own."""
    bits = np.zeros((rowptr.size + 64) // 64, np.uint64)
    ends = np.empty(_BLOCK, np.int64)
    columns = ids.shape[1]
    for row in range(first, ids.shape[0], step):
        node = ids[row, 0]
        near = col[rowptr[node] : rowptr[node + 1]]
        name, counter, count = stream(key, node), np.uint64(0), 1
        set_bit(bits, node)
        for _ in range(_TRIES * (columns - 1) // _BLOCK + 1):
            if near.size == 0 or count == columns:
                break
            counter = _walk(rowptr, col, near, two_hops, name, counter, ends)
            for end in ends:
                if end < 0 or has_bit(bits, end) or count == columns:
                    continue
                if distinct:
                    set_bit(bits, end)
                place = np.searchsorted(near, end)
                ids[row, count], mask[row, count] = end, True
                hop[row, count] = 1 if place < near.size and near[place] == end else 2
                count += 1
        clear_bits(bits, ids[row], 0, count)


@njit(cache=True, nogil=True)
def _walk(
    rowptr: _Longs,
    col: _Nodes,
    near: _Nodes,
    two_hops: bool,
    name: np.uint64,
    counter: np.uint64,
    ends: _Longs,
) -> np.uint64:
    """Writes where a block of walks ends, -1 for one that finds no way on."""
    for i in range(ends.size):
        drawn, counter = below(name, counter, np.uint64(near.size << int(two_hops)))
        ends[i] = drawn
        prefetch(rowptr, np.int64(near[ends[i] % near.size]))
    if two_hops:
        for i in range(ends.size):
            if ends[i] >= near.size:  # every second one goes on; until the end it is an edge
                node = near[ends[i] - near.size]
                size = rowptr[node + 1] - rowptr[node]
                drawn, counter = below(name, counter, np.uint64(max(size, 1)))
                ends[i] = near.size + rowptr[node] + np.int64(drawn) if size else -1
                prefetch(col, ends[i] - near.size)
    for i in range(ends.size):
        if ends[i] >= near.size:
            ends[i] = col[ends[i] - near.size]
        elif ends[i] >= 0:
            ends[i] = near[ends[i]]
    return counter
