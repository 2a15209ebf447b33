"""The nodes of lowest rank around each seed, ranks counted from an offset: no pool is listed."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from graphattn.kernels.bitmap import Words
from graphattn.kernels.launch import read_only, run_chunks
from graphattn.kernels.lowest_ranks import BLOCK, EMPTY, FIRST, enter_row, lowest_ranks
from graphattn.kernels.prefetch import prefetch
from graphattn.kernels.random_words import below, key_words, stream
from graphattn.kernels.token_table import Table, count_chunks, empty_table

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
        run_chunks(_enter_rows, num_chunks, *graph[:2], offset, entrances)
    arrays = (*graph, read_only(entrances), num_hops == 2, share, words, ids, mask, hop)
    run_chunks(_draw_rows, num_chunks, *arrays)
    return ids, mask, hop


@njit(cache=True, nogil=True)
def _offset(key: Words, leader: int, num_nodes: int) -> int:
    """Hashes a seed to the offset of those it leads."""
    drawn, _ = below(stream(key, leader), np.uint64(0), np.uint64(num_nodes))
    return int(drawn)


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
        place = enter_row(col, start, stop, start + int((stop - start) * share), offset)
        first = np.int64(col[place]) if place < stop else np.int64(FIRST)
        entrances[row, 0], entrances[row, 1] = place, (stop - place) << 32 | first


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
    slots = np.full(2 * size + 2, EMPTY, np.int64)
    found = np.empty(wanted + 1, np.int64)
    rows = np.empty((3, BLOCK), np.int64)
    for row in range(first, ids.shape[0], step):
        if row + step < ids.shape[0]:
            prefetch(col, rowptr[ranks[row + step]])
        offset = _offset(key, ids[row - row % share, 0], num_nodes)
        count = lowest_ranks(
            rowptr, col, ranks[row], entrances, two_hops, offset, slots, found, rows
        )
        for i in range(count):
            rank = (found[i] >> 1) + offset
            ids[row, i + 1] = rank - num_nodes if rank >= num_nodes else rank
            mask[row, i + 1] = True
            hop[row, i + 1] = 1 + (found[i] & 1)
            prefetch(node_of, ids[row, i + 1])
        for i in range(1, count + 1):
            ids[row, i] = node_of[ids[row, i]]
