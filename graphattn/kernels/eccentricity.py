"""What a node finds in the ball around it: how far its farthest node is, and how many are alike."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from graphattn.kernels.ball import ball

_Ids = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]


@njit(cache=True, nogil=True)
def farthest(
    first: int,
    last: int,
    hops: int,
    rowptr: _Ids,
    col: npt.NDArray[Any],
    walk_rowptr: _Ids,
    walk_col: npt.NDArray[Any],
    weight: _Floats,
    out: _Floats,
) -> None:
    """Writes for each of some nodes the greatest distance to a node of its ball.

    Paths stay inside the ball (Dijkstra with a binary heap). Runs without the interpreter's lock,
    so that Python threads can share the nodes.

    Args:
        first: The first of the nodes.
        last: One behind the last.
        hops: Radius of the balls.
        rowptr: int64 ``[N + 1]``, rows of the edges that balls are found along.
        col: Integer ``[E]``; row i lists the nodes that send to i.
        walk_rowptr: int64 ``[N + 1]``, rows of the edges that paths run along.
        walk_col: Integer ``[W]``; row i lists the nodes that a path goes on to.
        weight: float64 ``[W]``, their lengths, at least 0.
        out: float64 ``[N]``; only ``out[first:last]`` is written.

    Example:
        >>> rowptr, col = np.array([0, 1, 3, 4]), np.array([1, 0, 2, 1], np.int32)  # 0 = 1 = 2
        >>> out = np.empty(3)
        >>> farthest(0, 3, 1, rowptr, col, rowptr, col, np.array([5.0, 5.0, 7.0, 7.0]), out)
        >>> out.tolist()
        [5.0, 7.0, 7.0]
    """
    place = np.full(rowptr.size - 1, -1, np.int64)
    distance = np.empty(64)
    heap_key, heap_node = np.empty(64), np.empty(64, np.int64)
    for seed in range(first, last):
        nodes, _ = ball(rowptr, col, seed, hops, place)
        if distance.size < nodes.size:
            distance = np.empty(2 * nodes.size)
        distance[: nodes.size] = np.inf
        distance[0] = 0.0
        heap_key[0], heap_node[0], size = 0.0, seed, 1
        most = 0.0
        while size:
            length, node = heap_key[0], heap_node[0]
            size -= 1
            _sift_down(heap_key, heap_node, size, heap_key[size], heap_node[size])
            if length > distance[place[node]]:
                continue  # a shorter way was found since
            most = length  # lengths come out in ascending order
            for e in range(walk_rowptr[node], walk_rowptr[node + 1]):
                other = np.int64(walk_col[e])
                spot = place[other]
                if spot >= 0 and length + weight[e] < distance[spot]:
                    distance[spot] = length + weight[e]
                    if size == heap_key.size:
                        heap_key, heap_node = _doubled(heap_key), _doubled(heap_node)
                    _sift_up(heap_key, heap_node, size, distance[spot], other)
                    size += 1
        out[seed] = most
        place[nodes] = -1


@njit(cache=True, nogil=True)
def alike(
    first: int,
    last: int,
    hops: int,
    rowptr: _Ids,
    col: npt.NDArray[Any],
    y: _Ids,
    out: _Floats,
) -> None:
    """Writes for each of some nodes the share of its ball, itself included, that has its label.

    Args:
        first: The first of the nodes.
        last: One behind the last.
        hops: Radius of the balls.
        rowptr: int64 ``[N + 1]``, where rows start in ``col``.
        col: Integer ``[E]``; row i lists the nodes that send to i.
        y: int64 ``[N]``, the labels.
        out: float64 ``[N]``; only ``out[first:last]`` is written.

    Example:
        >>> rowptr, col, out = np.array([0, 1, 2]), np.array([1, 0], np.int32), np.empty(2)
        >>> alike(0, 2, 1, rowptr, col, np.array([3, 4]), out)
        >>> out.tolist()
        [0.5, 0.5]
    """
    place = np.full(rowptr.size - 1, -1, np.int64)
    for seed in range(first, last):
        nodes, _ = ball(rowptr, col, seed, hops, place)
        same = 0
        for node in nodes:
            same += y[node] == y[seed]
        out[seed] = same / nodes.size
        place[nodes] = -1


@njit(cache=True, nogil=True)
def _sift_up(keys: _Floats, nodes: _Ids, spot: int, key: float, node: Any) -> None:
    """Puts an entry into a heap that has had ``spot`` of them."""
    while spot and keys[(spot - 1) // 2] > key:
        above = (spot - 1) // 2
        keys[spot], nodes[spot] = keys[above], nodes[above]
        spot = above
    keys[spot], nodes[spot] = key, node


@njit(cache=True, nogil=True)
def _sift_down(keys: _Floats, nodes: _Ids, size: int, key: float, node: int) -> None:
    """Puts an entry in the place of the least one of a heap that has ``size`` left."""
    spot = 0
    while 2 * spot + 1 < size:
        below = 2 * spot + 1
        if below + 1 < size and keys[below + 1] < keys[below]:
            below += 1
        if keys[below] >= key:
            break
        keys[spot], nodes[spot] = keys[below], nodes[below]
        spot = below
    keys[spot], nodes[spot] = key, node


@njit(cache=True, nogil=True)
def _doubled(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    larger = np.empty(2 * array.size, array.dtype)
    larger[: array.size] = array
    return larger
