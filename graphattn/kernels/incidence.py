"""The order of incidences: by hyperedge, then node, with those that repeat one set apart."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from graphattn.kernels.edge_attention import order_edges

_Ints = npt.NDArray[Any]


def order_incidences(
    node: _Ints, edge: _Ints, num_nodes: int, num_hyperedges: int
) -> tuple[_Ints, _Ints, int]:
    """Sorts incidences by hyperedge, then node; those that repeat one go to the end.

    Args:
        node: Integer ``[I]``, in range.
        edge: Integer ``[I]`` of the same type, in range.
        num_nodes: Number of nodes.
        num_hyperedges: Number of hyperedges.

    Returns:
        The incidences in order, ``[I]``; for each incidence its place in that order, where a
        repeated one has the place of the first, ``[I]``; and how many are distinct.

    Example:
        >>> perm, place, count = order_incidences(np.array([2, 0, 2]), np.array([0, 0, 0]), 3, 1)
        >>> perm.tolist(), place.tolist(), count
        ([1, 0, 2], [1, 0, 1], 2)
    """
    _, by_node = order_edges(node, num_nodes)
    _, by_edge = order_edges(edge[by_node], num_hyperedges)
    return _set_apart(by_node[by_edge], node, edge)


@njit(cache=True, nogil=True)
def _set_apart(perm: _Ints, node: _Ints, edge: _Ints) -> tuple[_Ints, _Ints, int]:
    place, repeats = np.empty_like(perm), np.empty_like(perm)
    count, num_repeats = 0, 0
    for slot in range(perm.size):
        one = perm[slot]
        if count:
            last = perm[count - 1]
            if node[one] == node[last] and edge[one] == edge[last]:
                repeats[num_repeats] = one
                num_repeats += 1
                place[one] = count - 1
                continue
        perm[count] = one
        place[one] = count
        count += 1
    perm[count:] = repeats[:num_repeats]
    return perm, place, count
