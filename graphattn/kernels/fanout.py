"""Layer-wise draws of neighbours, edge by edge: an edge that repeats counts each time."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from graphattn.kernels.launch import read_only
from graphattn.kernels.picks import count_before, pick, pick_offsets, place, rows_before, rows_of
from graphattn.kernels.random_words import key_words
from graphattn.kernels.renumber import local_ids, renumber

_Nodes = npt.NDArray[Any]
_Longs = npt.NDArray[np.int64]


class Clock(NamedTuple):
    """What keeps the future out of a draw.

    Args:
        time: ``[E]``, when each edge came, ascending in every row; or ``[N]``, when each node came.
        limit: ``[B]``, for each seed the last moment that its tree may see; of the type of time.
        of_edges: Whether ``time`` is that of edges.
    """

    time: npt.NDArray[Any]
    limit: npt.NDArray[Any]
    of_edges: bool


class Drawn(NamedTuple):
    """A draw: global ids, edges in local ids, and where each hop and tree begins.

    Args:
        n_id: int64 ``[nodes]``, the seeds, then what each hop found.
        edge_index: int64 ``[2, edges]``, sources and targets as positions in ``n_id``.
        edges: int64 ``[edges]``, positions in ``col``.
        bounds: int64 ``[hops + 1, trees + 1]``: hop h of tree t is
            ``n_id[bounds[h, t] : bounds[h, t + 1]]``; hop 0 are the seeds.
        num_edges: Edges drawn at each hop.
    """

    n_id: _Longs
    edge_index: _Longs
    edges: _Longs
    bounds: _Longs
    num_edges: list[int]


def draw_fanout(
    rowptr: _Longs,
    col: _Nodes,
    seeds: _Longs,
    num_neighbors: Sequence[int],
    replace: bool,
    disjoint: bool,
    clock: Clock | None,
    key: tuple[int, int],
) -> Drawn:
    """Draws neighbours of the seeds, then of what was found, hop by hop, and numbers what it meets.

    A node is expanded once in a tree, at the hop that found it; its draw is Floyd's algorithm on
    hashes of (seed, epoch, hop, node, counter). One thread does all of it, without Python's lock,
    so threads work on several draws at once. Memory: the result, and 4 bytes a node of the graph.

    Args:
        rowptr: int64 ``[N + 1]``, where the row of each node starts in ``col``.
        col: Integer ``[E]``, in any order; may repeat.
        seeds: int64 ``[B]``; a seed that repeats is expanded each time, and whoever finds it
            again finds the first.
        num_neighbors: Neighbours to draw at each hop, -1 for all.
        replace: Draw with replacement: as many as asked wherever there is one.
        disjoint: Give each seed a tree of its own, that shares no node with the others.
        clock: Draw only what was there in time; implies ``disjoint``.
        key: Seed and epoch, any integers; their lowest 64 bits count.

    Returns:
        The draw.

    Raises:
        ValueError: A seed is no node, a number of neighbours is below -1, or the draw may have
            more than 2**31 - 1 nodes.

    Example:
        >>> rowptr, col = np.array([0, 1, 2]), np.array([1, 0], dtype=np.int32)  # 0 <-> 1
        >>> drawn = draw_fanout(rowptr, col, np.array([1]), [-1, -1], False, False, None, (0, 0))
        >>> drawn.n_id.tolist(), drawn.edge_index.tolist()
        ([1, 0], [[1, 0], [0, 1]])
    """
    num_nodes, num_seeds = rowptr.size - 1, seeds.size
    check_fanouts(num_neighbors)
    check_seeds(seeds, num_nodes)
    rowptr, col = read_only(rowptr), read_only(col)
    starts = np.arange(num_seeds + 1) if disjoint or clock is not None else [0, num_seeds]
    bounds = np.zeros((len(num_neighbors) + 1, len(starts)), np.int64)
    bounds[0] = starts
    n_id, hops, words = seeds.astype(np.int64), [], key_words(*key)
    with local_ids(num_nodes) as known:
        for hop, fanout in enumerate(num_neighbors):
            frontier, trees = n_id[bounds[hop, 0] : bounds[hop, -1]], np.diff(bounds[hop])
            again = replace and fanout >= 0
            offset, picks = _draw(rowptr, col, frontier, trees, clock, fanout, again, words, hop)
            n_id, sources = renumber(col, picks, offset, n_id, bounds, hop, known)
            targets = np.repeat(np.arange(bounds[hop, 0], bounds[hop, -1]), np.diff(offset))
            hops.append((sources, targets, picks))
    return _joined(n_id, hops, bounds)


def check_fanouts(num_neighbors: Sequence[int]) -> None:
    """Refuses numbers of neighbours below -1.

    Args:
        num_neighbors: One number for each hop.

    Raises:
        ValueError: One is below -1.

    Example:
        >>> check_fanouts([15, -2])
        Traceback (most recent call last):
        ...
        ValueError: num_neighbors must be 0 or more each, or -1 for all: got [15, -2].
    """
    if any(fanout < -1 for fanout in num_neighbors):
        raise ValueError(
            f"num_neighbors must be 0 or more each, or -1 for all: got {list(num_neighbors)}."
        )


def check_seeds(seeds: _Longs, num_nodes: int) -> None:
    """Refuses seeds that are no nodes.

    Args:
        seeds: Integer ``[B]``.
        num_nodes: Number of nodes.

    Raises:
        ValueError: One is no node; the message names the first five.

    Example:
        >>> check_seeds(np.array([2, 0]), 2)
        Traceback (most recent call last):
        ...
        ValueError: seeds must be ids from 0 to 1: got [2], 1 such seeds.
    """
    if seeds.size and (seeds.min() < 0 or seeds.max() >= num_nodes):
        bad = seeds[(seeds < 0) | (seeds >= num_nodes)]
        raise ValueError(
            f"seeds must be ids from 0 to {num_nodes - 1}: got {bad[:5].tolist()}"
            f"{' and more' if bad.size > 5 else ''}, {bad.size} such seeds."
        )


def _draw(
    rowptr: _Longs,
    col: _Nodes,
    frontier: _Longs,
    trees: _Longs,
    clock: Clock | None,
    fanout: int,
    again: bool,
    words: npt.NDArray[np.uint64],
    hop: int,
) -> tuple[_Longs, _Longs]:
    """Draws for each node of the frontier, ``trees[t]`` of which are in tree t."""
    if clock is None:
        starts, sizes = rows_of(rowptr, frontier)
        offset = pick_offsets(sizes, fanout, again)
        return offset, pick(starts, sizes, offset, frontier, words, hop, again)
    limit = np.repeat(clock.limit, trees)
    if clock.of_edges:
        starts, sizes = rows_before(rowptr, frontier, clock.time, limit)
    else:
        starts, sizes = count_before(rowptr, col, frontier, clock.time, limit)
    offset = pick_offsets(sizes, fanout, again)
    picks = pick(starts, sizes, offset, frontier, words, hop, again)
    if not clock.of_edges:
        place(rowptr, col, frontier, clock.time, limit, offset, picks)
    return offset, picks


def _joined(n_id: _Longs, hops: list[tuple[_Longs, _Longs, _Longs]], bounds: _Longs) -> Drawn:
    """Puts the edges of the hops behind one another."""
    num_edges = [picks.size for _, _, picks in hops]
    edge_index = np.empty((2, sum(num_edges)), np.int64)
    edges = np.empty(sum(num_edges), np.int64)
    end = 0
    for sources, targets, picks in hops:
        start, end = end, end + picks.size
        edge_index[0, start:end], edge_index[1, start:end], edges[start:end] = (
            sources,
            targets,
            picks,
        )
    return Drawn(n_id, edge_index, edges, bounds, num_edges)
