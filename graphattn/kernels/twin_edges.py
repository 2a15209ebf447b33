"""Edges of a random graph with hubs and communities, drawn node by node in any cut into blocks."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from graphattn.kernels.random_words import mix, stream

_IN_GROUP, _IN_BLOCK = 0.35, 0.35  # shares of edges that stay inside the two levels
_TRIES = 64  # draws by weight before any node will do


@njit(cache=True, nogil=True)
def draw_edges(
    nodes: tuple[int, int],
    quota: npt.NDArray[np.int64],
    sums: npt.NDArray[np.float64],
    guide: npt.NDArray[np.int64],
    sizes: tuple[int, int],
    one_way: bool,
    key: npt.NDArray[np.uint64],
    mark: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
) -> int:
    """Draws the edges of the nodes from ``nodes[0]`` to ``nodes[1] - 1``, distinct, no self-loops.

    The other end is drawn by weight in the node's group, block, or anywhere. Where each edge stands
    for its reverse too, a hash gives every pair of nodes to one of the two, so that no pair is
    drawn from both sides.

    Args:
        nodes: First node, and one more than the last.
        quota: int64 ``[N]``, edges to draw for each node.
        sums: float64 ``[N + 1]``, sums of the weights before each node.
        guide: int64, where equal shares of all weight begin.
        sizes: Nodes of a group and of a block.
        one_way: Whether an edge and its reverse are different edges.
        key: Of the draw.
        mark: int64 ``[N]``, below 0 at first; kept from call to call.
        ends: int64 ``[2, edges]``, written to: the nodes, and what they were joined to.

    Returns:
        Edges written; fewer than asked for where a node has nobody left to be joined to.

    Example:
        >>> sums, key, ends = np.arange(101.0), np.zeros(2, np.uint64), np.zeros((2, 3), np.int64)
        >>> quota, mark = np.full(100, 3), np.full(100, -1)
        >>> draw_edges((0, 1), quota, sums, np.array([0, 99]), (10, 50), True, key, mark, ends)
        3
    """
    num_nodes = quota.size
    done = 0
    for node in range(nodes[0], nodes[1]):
        name, counter = stream(key, node), np.uint64(0)
        for _ in range(quota[node]):
            found, tries = -1, 0
            while found < 0 and tries < _TRIES + num_nodes:
                if tries < _TRIES:
                    other, counter = _draw(node, sums, guide, sizes, name, counter)
                    last = other
                else:
                    other = (last + tries) % num_nodes
                tries += 1
                free = other != node and mark[other] != node
                if free and (one_way or _owner(node, other, num_nodes, key) == node):
                    found = other
            if found < 0:
                return done
            mark[found] = node
            ends[0, done], ends[1, done] = node, found
            done += 1
    return done


@njit(cache=True, nogil=True)
def _owner(one: int, other: int, num_nodes: int, key: npt.NDArray[np.uint64]) -> int:
    low, high = min(one, other), max(one, other)
    word = mix(np.uint64(low) * np.uint64(num_nodes) + np.uint64(high) + mix(key[0] + key[1]))
    return high if word & np.uint64(1) else low


@njit(cache=True, nogil=True)
def _uniform(name: np.uint64, counter: np.uint64) -> float:
    """Draws a number in [0, 1)."""
    word = mix(name + counter * np.uint64(0x9E3779B97F4A7C15))
    return float(word >> np.uint64(11)) * 2.0**-53


@njit(cache=True, nogil=True)
def _draw(
    node: int,
    sums: npt.NDArray[np.float64],
    guide: npt.NDArray[np.int64],
    sizes: tuple[int, int],
    name: np.uint64,
    counter: np.uint64,
) -> tuple[int, Any]:
    """Draws the other end of an edge; returns it and how many numbers were drawn so far."""
    num_nodes = sums.size - 1
    level = _uniform(name, counter + np.uint64(1))
    share = _uniform(name, counter + np.uint64(2))
    counter += np.uint64(2)
    if level < _IN_GROUP + _IN_BLOCK:
        size = sizes[0] if level < _IN_GROUP else sizes[1]
        first = node // size * size
        last = min(first + size, num_nodes)
        wanted = sums[first] + share * (sums[last] - sums[first])
        return bisect_weights(sums, first, last - 1, wanted), counter
    part = int(share * (guide.size - 1))
    last = min(guide[part + 1], num_nodes - 1)
    return bisect_weights(sums, min(guide[part], last), last, share * sums[num_nodes]), counter


@njit(cache=True, nogil=True)
def bisect_weights(sums: npt.NDArray[np.float64], low: int, high: int, wanted: float) -> int:
    """Finds the node from ``low`` to ``high`` in whose part of the weights ``wanted`` is.

    Args:
        sums: ``[N + 1]``, sums of the weights of the nodes before each.
        low: The first node that may be.
        high: The last one.
        wanted: From ``sums[low]`` to below ``sums[high + 1]``.

    Returns:
        The node.

    Example:
        >>> bisect_weights(np.array([0.0, 1.0, 4.0]), 0, 1, 2.5)
        1
    """
    while low < high:
        middle = (low + high) // 2
        if sums[middle + 1] > wanted:
            high = middle
        else:
            low = middle + 1
    return low
