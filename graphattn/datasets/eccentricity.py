"""Labels that need many hops to tell: k-hop eccentricity, its quantiles, and k-hop homophily.

All after Liang et al. 2025 (City-Networks), https://arxiv.org/abs/2503.09008.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float64, Int64
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import reverse_cuthill_mckee
from torch import Tensor

from graphattn.edges import check_edges
from graphattn.kernels.eccentricity import alike, farthest
from graphattn.kernels.launch import read_only

_BLOCK = 1024  # nodes a thread takes at a time

Rows = tuple[NDArray[np.int64], NDArray[Any]]


@runtime_checkable
class HasEdges(Protocol):
    """A graph that lists its edges, such as `graphattn.graph.CSRGraph`."""

    num_nodes: int

    def edge_index(self) -> Tensor:
        """List the edges, `[2, edges]`: sources, then targets."""
        ...


def khop_eccentricity(
    edge_index: Tensor | NDArray[Any] | HasEdges,
    weight: ArrayLike | Tensor | None,
    k: int,
    *,
    num_nodes: int | None = None,
) -> Float64[Tensor, " nodes"]:
    """Measures for each node how far the farthest node within k hops is.

    ``ecc(v) = max over u in B_k(v) of d(v, u)``, where the ball B_k(v) holds the nodes from which v
    is reached along at most k edges, and d is the length of the shortest path inside the graph that
    the ball induces. Paths take an edge either way. Of several edges between two nodes, in whatever
    direction, the one listed last tells the length, as in a `networkx.Graph` that they are added
    to. So the result is that of the authors' code (`networkx.eccentricity`) bit for bit, on
    directed graphs too. An isolated node has 0.

    Nodes are taken in an order in which neighbours are near (reverse Cuthill-McKee), on as many
    threads as torch is set to; the result does not depend on them.

    Source: Liang et al. 2025, https://arxiv.org/abs/2503.09008.

    Args:
        edge_index: `[2, edges]`, or a `CSRGraph`.
        weight: Length of each edge, at least 0, such as metres; of a `CSRGraph` in the order of its
            `edge_index()`. None counts hops.
        k: Hops, at least 0.
        num_nodes: By default one more than the largest id.

    Returns:
        In the unit of the weights.

    Raises:
        ValueError: k is negative, an id is wrong, or weights are negative, not finite or not one an
            edge.

    Example:
        >>> path = torch.tensor([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]])
        >>> khop_eccentricity(path, [5.0, 5.0, 7.0, 7.0, 1.0, 1.0], 2).tolist()
        [12.0, 8.0, 12.0, 8.0]
    """
    edges, num_nodes = _edges(edge_index, num_nodes, k)
    length = _lengths(weight, edges.shape[1])
    order = _near(edges, num_nodes)
    place = np.empty_like(order)
    place[order] = np.arange(num_nodes)
    edges = place[edges]
    rows = _ball_rows(edges, num_nodes)
    walk = _walk_rows(edges, length, num_nodes)
    if all(np.array_equal(*pair) for pair in zip(rows, walk, strict=False)):
        rows = walk[:2]  # the same arrays: half as much to keep in the cache
    arrays = tuple(map(read_only, (*rows, *walk)))
    found = _over_nodes(farthest, num_nodes, k, arrays)
    return torch.from_numpy(found[place])


def quantile_labels(values: Tensor | ArrayLike, num_classes: int = 10) -> Int64[Tensor, " nodes"]:
    """Cuts values into classes of equally many, from the lowest to the highest.

    Values are sorted in ascending order and cut into chunks of `n // num_classes + 1`, as the
    authors of City-Networks do; so the last class is smaller, and few values give fewer classes (25
    values in chunks of 3 give 9 of 10). Where equal values fall on both sides of a cut, those of
    lower position get the lower class (a stable sort; the authors' own is not).

    Args:
        values: `[nodes]`, without NaN.
        num_classes: At least 1.

    Returns:
        Classes from 0 on.

    Raises:
        ValueError: There are NaN, or num_classes is below 1.

    Example:
        >>> quantile_labels([30.0, 10.0, 20.0, 20.0, 5.0], 2).tolist()
        [1, 0, 0, 1, 0]
    """
    array = _numpy(values)
    if num_classes < 1:
        raise ValueError(f"num_classes must be at least 1: got {num_classes}.")
    if array.ndim != 1 or (array.dtype.kind == "f" and np.isnan(array).any()):
        raise ValueError(
            f"values must be one number a node: got {list(array.shape)}, "
            f"{int(np.isnan(array).sum())} of them NaN."
        )
    labels = np.empty(len(array), np.int64)
    ranks = np.arange(len(array))
    labels[np.argsort(array, kind="stable")] = ranks // (len(array) // num_classes + 1)
    return torch.from_numpy(labels)


def khop_homophily(
    edge_index: Tensor | NDArray[Any] | HasEdges,
    y: Tensor | ArrayLike,
    k: int,
    *,
    num_nodes: int | None = None,
) -> Float64[Tensor, " nodes"]:
    """Measures for each node the share of its k-hop ball, itself included, that has its label.

    The mean over the nodes at k = 1 is the homophily that City-Networks reports. An isolated node
    has 1.

    Source: Liang et al. 2025, https://arxiv.org/abs/2503.09008.

    Args:
        edge_index: `[2, edges]`, or a `CSRGraph`; a ball is found along edges to its centre.
        y: Label of each node, a whole number.
        k: Hops, at least 0.
        num_nodes: By default as many as there are labels.

    Returns:
        From 1 / (nodes of the ball) to 1.

    Raises:
        ValueError: k is negative, an id is wrong, or there is not one whole label a node.

    Example:
        >>> path = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> khop_homophily(path, [0, 0, 1], 1).tolist()
        [1.0, 0.666..., 0.5]
    """
    labels = _numpy(y)
    edges, num_nodes = _edges(edge_index, len(labels) if num_nodes is None else num_nodes, k)
    if labels.shape != (num_nodes,) or labels.dtype.kind not in "iub":
        raise ValueError(
            f"y must be {num_nodes} whole numbers, one a node: got {labels.dtype} "
            f"{list(labels.shape)}."
        )
    order = _near(edges, num_nodes)
    place = np.empty_like(order)
    place[order] = np.arange(num_nodes)
    rows = _ball_rows(place[edges], num_nodes)
    arrays = tuple(map(read_only, (*rows, labels[order].astype(np.int64))))
    return torch.from_numpy(_over_nodes(alike, num_nodes, k, arrays)[place])


def _edges(
    given: Tensor | NDArray[Any] | HasEdges, num_nodes: int | None, k: int
) -> tuple[NDArray[np.int64], int]:
    if k < 0:
        raise ValueError(f"k is a number of hops, at least 0: got {k}.")
    if isinstance(given, HasEdges) and not isinstance(given, Tensor):
        return check_edges(given.edge_index(), given.num_nodes)
    return check_edges(given, num_nodes)


def _lengths(weight: ArrayLike | Tensor | None, count: int) -> NDArray[np.float64]:
    if weight is None:
        return np.ones(count)
    length = _numpy(weight).astype(np.float64)
    if length.shape != (count,):
        raise ValueError(f"weight must be {count} numbers, one an edge: got {list(length.shape)}.")
    wrong = np.flatnonzero(~(np.isfinite(length) & (length >= 0)))
    if len(wrong):
        raise ValueError(
            f"weight must be finite and at least 0: got {length[wrong[0]]} of edge {wrong[0]} "
            f"({len(wrong)} such edges)."
        )
    return length


def _numpy(values: Any) -> NDArray[Any]:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def _near(edges: NDArray[np.int64], num_nodes: int) -> NDArray[np.int64]:
    """Orders the nodes so that neighbours are near; gives the node of each place."""
    if not num_nodes:
        return np.empty(0, np.int64)
    both = np.concatenate([edges, edges[::-1]], axis=1)
    ones = np.ones(both.shape[1], np.int8)
    matrix = csr_array((ones, (both[1], both[0])), shape=(num_nodes, num_nodes))
    return reverse_cuthill_mckee(matrix, symmetric_mode=True).astype(np.int64)


def _ball_rows(edges: NDArray[np.int64], num_nodes: int) -> Rows:
    """Makes sorted rows of senders, without repeated edges and self-loops."""
    sources, targets = edges[:, edges[0] != edges[1]]
    return _rows(np.unique(targets * num_nodes + sources), num_nodes)


def _walk_rows(
    edges: NDArray[np.int64], length: NDArray[np.float64], num_nodes: int
) -> tuple[NDArray[np.int64], NDArray[Any], NDArray[np.float64]]:
    """Makes sorted rows of both directions; of the edges of a pair, the last tells the length."""
    kept = edges[0] != edges[1]
    low, high = np.sort(edges[:, kept], axis=0)
    _, backwards = np.unique((low * num_nodes + high)[::-1], return_index=True)
    last = len(low) - 1 - backwards
    ends = np.concatenate([low[last] * num_nodes + high[last], high[last] * num_nodes + low[last]])
    order = np.argsort(ends)
    both = np.concatenate([length[kept][last]] * 2)
    return *_rows(ends[order], num_nodes), both[order]


def _rows(keys: NDArray[np.int64], num_nodes: int) -> Rows:
    rowptr = np.zeros(num_nodes + 1, np.int64)
    np.cumsum(np.bincount(keys // max(num_nodes, 1), minlength=num_nodes), out=rowptr[1:])
    col = keys % max(num_nodes, 1)
    return rowptr, col.astype(np.int32 if num_nodes < 2**31 else np.int64)


def _over_nodes(
    kernel: Callable[..., None], num_nodes: int, hops: int, arrays: tuple[NDArray[Any], ...]
) -> NDArray[np.float64]:
    """Runs a kernel that leaves the interpreter's lock alone on blocks of nodes, in threads."""
    out = np.zeros(num_nodes)
    hops = min(hops, num_nodes)  # none is farther
    starts = range(0, num_nodes, _BLOCK)
    with ThreadPoolExecutor(torch.get_num_threads(), "graphattn-balls") as threads:
        done = [
            threads.submit(kernel, first, min(first + _BLOCK, num_nodes), hops, *arrays, out)
            for first in starts
        ]
        for block in done:
            block.result()
    return out
