"""The nodes within so many hops of a seed, and the edges among them, in time of the ball's size."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

_Ids = npt.NDArray[np.int64]


@njit(cache=True, nogil=True)
def ball(
    rowptr: _Ids, col: npt.NDArray[Any], seed: int, hops: int, place: _Ids
) -> tuple[_Ids, _Ids]:
    """Finds the nodes from which a seed is reached within ``hops`` hops, nearest first.

    Args:
        rowptr: int64 ``[N + 1]``, where rows start in ``col``.
        col: Integer ``[E]``; row i lists the nodes that send to i, repeated ones too.
        seed: The centre.
        hops: The farthest hop.
        place: int64 ``[N]``, all -1 when called; afterwards the place of each node of the ball in
            what is returned. The caller writes the -1 back.

    Returns:
        The nodes, int64; and int64 ``[hops + 2]``: those of hop h stand from ``starts[h]`` to
        ``starts[h + 1]``.

    Example:
        >>> rowptr, col = np.array([0, 0, 1, 2]), np.array([0, 1], np.int32)  # 0 -> 1 -> 2
        >>> nodes, starts = ball(rowptr, col, 2, 3, np.full(3, -1))
        >>> nodes.tolist(), starts.tolist()
        ([2, 1, 0], [0, 1, 2, 3, 3])
    """
    nodes = np.empty(64, np.int64)
    starts = np.empty(hops + 2, np.int64)
    nodes[0], starts[0], starts[1] = seed, 0, 1
    place[seed] = 0
    count = 1
    for hop in range(1, hops + 1):
        for i in range(starts[hop - 1], starts[hop]):
            row = nodes[i]
            for e in range(rowptr[row], rowptr[row + 1]):
                sender = np.int64(col[e])
                if place[sender] < 0:
                    if count == nodes.size:
                        larger = np.empty(2 * count, np.int64)
                        larger[:count] = nodes
                        nodes = larger
                    nodes[count] = sender
                    place[sender] = count
                    count += 1
        starts[hop + 1] = count
    return nodes[:count].copy(), starts


@njit(cache=True, nogil=True)
def ball_edges(
    rowptr: _Ids, col: npt.NDArray[Any], nodes: _Ids, num_rows: int, place: _Ids
) -> tuple[_Ids, _Ids, _Ids]:
    """Lists the edges from nodes of a ball to its first ``num_rows`` nodes, by target.

    Args:
        rowptr: As for :func:`ball`.
        col: As for :func:`ball`.
        nodes: The ball.
        num_rows: How many of them are targets.
        place: As :func:`ball` left it.

    Returns:
        Where the edges of each target start, int64 ``[num_rows + 1]``; the places of their
        sources; and where each edge stands in ``col``.

    Example:
        >>> rowptr, col, place = np.array([0, 0, 1, 2]), np.array([0, 1], np.int32), np.full(3, -1)
        >>> nodes, starts = ball(rowptr, col, 2, 2, place)
        >>> [array.tolist() for array in ball_edges(rowptr, col, nodes, 3, place)]
        [[0, 1, 2, 2], [1, 2], [1, 0]]
    """
    most = 0
    for i in range(num_rows):
        most += rowptr[nodes[i] + 1] - rowptr[nodes[i]]
    starts = np.empty(num_rows + 1, np.int64)
    sources, positions = np.empty(most, np.int64), np.empty(most, np.int64)
    starts[0], count = 0, 0
    for i in range(num_rows):
        for e in range(rowptr[nodes[i]], rowptr[nodes[i] + 1]):
            if place[col[e]] >= 0:
                sources[count] = place[col[e]]
                positions[count] = e
                count += 1
        starts[i + 1] = count
    return starts, sources[:count].copy(), positions[:count].copy()
