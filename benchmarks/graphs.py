"""Random graphs of a wanted size, for benchmarks: seeded, with hubs and communities."""

import numpy as np
import numpy.typing as npt
from numba import njit

from graphattn.graph import CSRGraph
from graphattn.kernels.twin_edges import bisect_weights

_GROUP, _BLOCK = 72, 6_000  # nodes of the two levels of communities
_IN_GROUP, _IN_BLOCK = 0.35, 0.35  # shares of edges that stay inside them
_ROUND = 1.15  # edges drawn for one that is missing


def community_graph(num_nodes: int, num_edges: int, *, seed: int = 0) -> CSRGraph:
    """An undirected degree-corrected block model with two levels of communities, nodes shuffled.

    Weights are log-normal, those of 3 % of the nodes Pareto besides. Each edge has one end drawn by
    weight among all nodes and the other by weight in the first one's group, block, or anywhere.

    Args:
        num_nodes: Nodes.
        num_edges: Undirected edges, distinct and without self-loops; met exactly.
        seed: Any integer from 0 on.

    Returns:
        The graph; twice as many directed edges.
    """
    generator = np.random.default_rng(seed)
    weight, label = _draw_nodes(num_nodes, generator)
    sums = np.concatenate([[0.0], np.cumsum(weight)])
    guide = np.searchsorted(sums[1:], np.linspace(0.0, sums[-1], num_nodes + 1))
    keys = np.empty(0, np.int64)
    while keys.size < num_edges:
        drawn = np.empty(int(_ROUND * (num_edges - keys.size)) + 1_000, np.int64)
        _draw_edges(sums, guide, label, generator, drawn)
        drawn = np.concatenate([keys, drawn])
        del keys
        drawn.sort()
        new = np.empty(drawn.size, np.bool_)
        new[0] = drawn[0] >= 0  # -1 is a self-loop
        np.not_equal(drawn[1:], drawn[:-1], out=new[1:])
        new &= drawn >= 0
        keys = drawn[new]
        del drawn, new
    surplus = generator.choice(keys.size, size=keys.size - num_edges, replace=False)
    return CSRGraph(*_both_ways(np.delete(keys, surplus), num_nodes))


def community_order(num_nodes: int, *, seed: int = 0) -> npt.NDArray[np.int64]:
    """The nodes of :func:`community_graph` group by group: the order that a search can only guess.

    Args:
        num_nodes: As for the graph.
        seed: As for the graph.

    Returns:
        The node of each place.
    """
    return _draw_nodes(num_nodes, np.random.default_rng(seed))[1]


def _draw_nodes(
    num_nodes: int, generator: np.random.Generator
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """The weight of each member of the groups, and the node that it is."""
    weight = generator.lognormal(sigma=1.05, size=num_nodes)
    tail = generator.choice(num_nodes, size=num_nodes * 3 // 100, replace=False)
    weight[tail] += 8.0 * generator.pareto(1.9, size=tail.size)
    return weight, generator.permutation(np.arange(num_nodes, dtype=np.int64))


@njit(cache=True)
def _draw_edges(
    sums: npt.NDArray[np.float64],
    guide: npt.NDArray[np.int64],
    label: npt.NDArray[np.int64],
    generator: np.random.Generator,
    keys: npt.NDArray[np.int64],
) -> None:
    """Writes ``smaller * N + larger`` for each edge, or -1 for a self-loop."""
    num_nodes = label.size
    for edge in range(keys.size):
        one = _anywhere(sums, guide, generator)
        level = generator.random()
        if level < _IN_GROUP + _IN_BLOCK:
            size = _GROUP if level < _IN_GROUP else _BLOCK
            first = one // size * size
            last = min(first + size, num_nodes)
            wanted = sums[first] + generator.random() * (sums[last] - sums[first])
            other = bisect_weights(sums, first, last - 1, wanted)
        else:
            other = _anywhere(sums, guide, generator)
        u, v = label[one], label[other]
        keys[edge] = min(u, v) * num_nodes + max(u, v) if u != v else -1


@njit(cache=True)
def _anywhere(
    sums: npt.NDArray[np.float64], guide: npt.NDArray[np.int64], generator: np.random.Generator
) -> int:
    """Draws a node by weight; the guide says between which it is."""
    share = generator.random()
    part = int(share * (guide.size - 1))
    last = min(guide[part + 1], guide.size - 2)
    return bisect_weights(sums, min(guide[part], last), last, share * sums[-1])


@njit(cache=True)
def _both_ways(
    keys: npt.NDArray[np.int64], num_nodes: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Makes rows of sorted edges: a row's smaller neighbours come first, then its larger ones."""
    rowptr = np.zeros(num_nodes + 1, np.int64)
    for key in keys:
        rowptr[key // num_nodes + 1] += 1
        rowptr[key % num_nodes + 1] += 1
    for node in range(num_nodes):
        rowptr[node + 1] += rowptr[node]
    fill = rowptr[:-1].copy()
    col = np.empty(2 * keys.size, np.int32)
    for key in keys:
        u, v = key // num_nodes, key % num_nodes
        col[fill[u]] = v
        col[fill[v]] = u
        fill[u] += 1
        fill[v] += 1
    return rowptr, col
