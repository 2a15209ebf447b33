"""Local ids for the nodes of a subgraph, by a map from all nodes that is kept between calls."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from graphattn.kernels.launch import read_only

_BLOCK = 256  # edges whose reads are under way together
_MOST = 2**31 - 1  # what the map holds
_MAPS = threading.local()

_Nodes = npt.NDArray[Any]
_Longs = npt.NDArray[np.int64]
_Ints = npt.NDArray[np.int32]


@dataclass
class LocalIds:
    """The local id of a node is ``ids[node] - base`` where that is not negative.

    So a raised base empties the map without a write.
    """

    ids: _Ints
    base: int = 1


@contextmanager
def local_ids(num_nodes: int) -> Iterator[LocalIds]:
    """Lends this thread's map, empty; the thread keeps it, 4 bytes a node, for its next call.

    Args:
        num_nodes: Nodes of the whole graph.

    Example:
        >>> with local_ids(5) as known:
        ...     bool((known.ids < known.base).all())
        True
    """
    known = _MAPS.__dict__.pop("known", None)
    if known is None or known.ids.size < num_nodes:
        known = LocalIds(np.zeros(num_nodes, np.int32))
    yield known
    _MAPS.known = known  # not after an error, which may have left it half written


def renumber(
    col: _Nodes,
    picks: _Longs,
    offset: _Longs,
    n_id: _Longs,
    bounds: _Longs,
    hop: int,
    known: LocalIds,
) -> tuple[_Longs, _Longs]:
    """Numbers what a hop found, tree by tree, new nodes in the order in which they are met.

    Args:
        col: Integer ``[E]``.
        picks: int64 ``[edges]``, positions in ``col``, by the node that drew them.
        offset: int64 ``[frontier + 1]``, where the picks of each node of the frontier start.
        n_id: int64 ``[nodes]``, the nodes so far.
        bounds: int64 ``[hops + 1, trees + 1]``: hop h of tree t is
            ``n_id[bounds[h, t] : bounds[h, t + 1]]``; the frontier is hop ``hop``, and the next
            one is written.
        hop: Which hop drew.
        known: A map, empty; left as such.

    Returns:
        The nodes so far and the new ones, and the local id of each pick's node.

    Raises:
        ValueError: There may be more than 2**31 - 1 nodes.

    Example:
        >>> bounds = np.array([[0, 1], [0, 0]])
        >>> picks, offset, seven = np.arange(3), np.array([0, 3]), np.array([7])
        >>> with local_ids(9) as known:
        ...     found = renumber(np.array([8, 7, 8]), picks, offset, seven, bounds, 0, known)
        >>> [part.tolist() for part in found]
        [[7, 8], [1, 0, 1]]
    """
    if n_id.size + picks.size >= _MOST:
        raise ValueError(
            f"a subgraph may hold {_MOST} nodes: got {n_id.size}, from which hop {hop + 1} draws "
            f"{picks.size} edges; give fewer seeds or smaller num_neighbors."
        )
    nodes, sources, known.base = _renumber(
        read_only(col), picks, offset, n_id, bounds, hop, known.ids, known.base
    )
    return nodes, sources


def induce(rowptr: _Longs, col: _Nodes, n_id: _Longs) -> tuple[_Longs, _Longs]:
    """Lists every edge among some nodes, by target in their order, then as in ``col``.

    Args:
        rowptr: int64 ``[N + 1]``.
        col: Integer ``[E]``.
        n_id: int64 ``[nodes]``; of a node that repeats, each place receives, the first sends.

    Returns:
        ``edge_index`` int64 ``[2, edges]`` in positions of ``n_id``, and positions in ``col``.

    Example:
        >>> rowptr, col = np.array([0, 1, 2]), np.array([1, 0], dtype=np.int32)  # 0 <-> 1
        >>> induce(rowptr, col, np.array([1, 0]))[0].tolist()
        [[1, 0], [0, 1]]
    """
    rowptr, col = read_only(rowptr), read_only(col)
    with local_ids(rowptr.size - 1) as known:
        offset, base = _count_inside(rowptr, col, n_id, known.ids, known.base)
        edge_index = np.empty((2, offset[-1]), np.int64)
        edges = np.empty(offset[-1], np.int64)
        _list_inside(rowptr, col, n_id, offset, known.ids, base, edge_index, edges)
        known.base = base + n_id.size
    return edge_index, edges


@njit(cache=True, nogil=True)
def _renumber(
    col: _Nodes,
    picks: _Longs,
    offset: _Longs,
    n_id: _Longs,
    bounds: _Longs,
    hop: int,
    ids: _Ints,
    base: int,
) -> tuple[_Longs, _Longs, int]:
    """As :func:`renumber`; gives the raised base too."""
    end = n_id.size
    nodes = np.empty(end + picks.size + 1, np.int64)
    nodes[:end] = n_id
    sources = np.empty(picks.size, np.int64)
    for tree in range(bounds.shape[1] - 1):
        if base + nodes.size > _MOST:
            ids[:] = 0
            base = 1
        for level in range(hop, -1, -1):  # backwards, so that of a seed that repeats the first wins
            for i in range(bounds[level, tree + 1] - 1, bounds[level, tree] - 1, -1):
                ids[nodes[i]] = base + i
        bounds[hop + 1, tree] = end
        first = offset[bounds[hop, tree] - bounds[hop, 0]]
        last = offset[bounds[hop, tree + 1] - bounds[hop, 0]]
        for start in range(first, last, _BLOCK):
            stop = min(start + _BLOCK, last)
            end = _number(col, picks[start:stop], nodes, end, ids, base, sources[start:stop])
        bounds[hop + 1, tree + 1] = end
        base += end
    return nodes[:end], sources, base


@njit(cache=True, nogil=True)
def _number(
    col: _Nodes,
    picks: _Longs,
    nodes: _Longs,
    end: int,
    ids: _Ints,
    base: int,
    sources: _Longs,
) -> int:
    """Numbers the nodes of a few picks.

    Loops without writes that later reads depend on have many reads under way at once: on a graph
    larger than the caches three times as fast as one loop, and no slower than hints to prefetch.
    """
    early = nodes[end : end + picks.size]
    for i in range(picks.size):
        sources[i] = col[picks[i]]
    for i in range(picks.size):
        early[i] = ids[sources[i]]  # only to fetch it: it may be out of date when it is needed
    for i in range(picks.size):
        node = sources[i]
        known = ids[node] - base
        number = known if known >= 0 else end
        ids[node] = base + number
        nodes[end] = node
        end += known < 0
        sources[i] = number
    return end


@njit(cache=True, nogil=True)
def _count_inside(
    rowptr: _Longs, col: _Nodes, n_id: _Longs, ids: _Ints, base: int
) -> tuple[_Longs, int]:
    """Enters the nodes into the map and counts the edges into each from any of them."""
    if base + n_id.size > _MOST:
        ids[:] = 0
        base = 1
    for i in range(n_id.size - 1, -1, -1):
        ids[n_id[i]] = base + i
    offset = np.zeros(n_id.size + 1, np.int64)
    for i in range(n_id.size):
        count = 0
        for edge in range(rowptr[n_id[i]], rowptr[n_id[i] + 1]):
            count += ids[col[edge]] >= base
        offset[i + 1] = offset[i] + count
    return offset, base


@njit(cache=True, nogil=True)
def _list_inside(
    rowptr: _Longs,
    col: _Nodes,
    n_id: _Longs,
    offset: _Longs,
    ids: _Ints,
    base: int,
    edge_index: _Longs,
    edges: _Longs,
) -> None:
    """Writes those edges."""
    for i in range(n_id.size):
        end = offset[i]
        for edge in range(rowptr[n_id[i]], rowptr[n_id[i] + 1]):
            source = ids[col[edge]] - base
            if source >= 0:
                edge_index[0, end] = source
                edge_index[1, end] = i
                edges[end] = edge
                end += 1
