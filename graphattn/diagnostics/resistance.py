"""Effective resistance: of all nodes of a ball by one inverse, of any pairs of a graph by CG."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg.lapack import dpotrf, dpotri
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from graphattn.checks import check_least

_TOGETHER = 32  # pairs solved side by side

_Ids = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]


def effective_resistance(
    edge_index: Tensor | npt.NDArray[Any],
    pairs: Tensor | npt.NDArray[Any],
    *,
    num_nodes: int | None = None,
    tol: float = 1e-10,
    max_steps: int = 20_000,
) -> _Floats:
    r"""Computes the effective resistance between pairs of nodes of the whole graph.

    .. math:: R_{uv} = (e_u - e_v)^\top L^+ (e_u - e_v)

    Each edge is a resistor of 1, in both directions and once however often it is there; loops
    carry no current. Twice the number of edges times :math:`R_{uv}` is the commute time of a random
    walk. One system a pair is solved by conjugate gradients with the degrees as preconditioner.
    Source: Black et al. 2023, https://arxiv.org/abs/2302.06835, section 2.

    Args:
        edge_index: ``[2, edges]``; the direction of edges does not count.
        pairs: ``[2, pairs]``, node ids.
        num_nodes: Number of nodes; by default one more than the largest id.
        tol: Residual at which a solve ends, as a share of its right-hand side.
        max_steps: Steps of conjugate gradients after which it is given up.

    Returns:
        float64 ``[pairs]``, in units of one edge's resistance: 0 for a node with itself, infinite
        between components.

    Raises:
        ValueError: ``edge_index`` or ``pairs`` is no ``[2, ...]`` of node ids, or ``max_steps`` are
            too few for ``tol``.

    Example:
        >>> ring = np.array([[0, 1, 2, 3], [1, 2, 3, 0]])
        >>> effective_resistance(ring, np.array([[0, 0], [1, 2]])).round(6).tolist()
        [0.75, 1.0]
    """
    edges, asked = _ids("edge_index", edge_index), _ids("pairs", pairs)
    least = 1 + max([int(part.max()) for part in (edges, asked) if part.size], default=-1)
    num_nodes = least if num_nodes is None else num_nodes
    if num_nodes < least:
        raise ValueError(f"num_nodes must be at least {least}: got num_nodes={num_nodes}.")
    check_least(1, max_steps=max_steps)
    adjacency = _adjacency(edges, num_nodes)
    _, part = connected_components(adjacency, directed=False)
    source, target = asked
    found = np.where(part[source] == part[target], 0.0, np.inf)
    todo = np.flatnonzero((part[source] == part[target]) & (source != target))
    for start in range(0, todo.size, _TOGETHER):
        some = todo[start : start + _TOGETHER]
        found[some] = _solve(adjacency, source[some], target[some], tol, max_steps)
    return found


def ball_resistance(targets: _Ids, sources: _Ids, size: int) -> _Floats:
    """Computes the resistance from node 0 to every node of a connected graph, by a dense inverse.

    With node 0 at voltage 0, it is the diagonal of the inverse of the Laplacian without its row and
    column.

    Args:
        targets: Ends of edges, 0 to ``size - 1``; the direction does not count.
        sources: Their other ends.
        size: Number of nodes, all connected with node 0.

    Returns:
        float64 ``[size]``; 0 for node 0.

    Example:
        >>> ball_resistance(np.array([0, 1, 2]), np.array([1, 2, 0]), 3).round(6).tolist()
        [0.0, 0.666667, 0.666667]
    """
    matrix = np.zeros((size, size))
    matrix[targets, sources] = matrix[sources, targets] = -1.0
    np.fill_diagonal(matrix, 0.0)
    np.fill_diagonal(matrix, -matrix.sum(1))
    if size == 1:
        return np.zeros(1)
    factor, bad = dpotrf(matrix[1:, 1:], lower=1)
    inverse, _ = dpotri(factor, lower=1)
    if bad:
        raise ValueError(f"all {size} nodes must be connected with node 0: node {bad} is not.")
    return np.concatenate([[0.0], np.diag(inverse)])


def _ids(name: str, values: Any) -> _Ids:
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    if array.ndim != 2 or len(array) != 2 or (array.size and array.dtype.kind not in "iu"):
        raise ValueError(
            f"{name} must be node ids [2, ...]: got {array.dtype} {list(array.shape)}."
        )
    if array.size and array.min() < 0:
        raise ValueError(f"{name} must be node ids, 0 or more: got {array.min()}.")
    return array.astype(np.int64)


def _adjacency(edges: _Ids, num_nodes: int) -> csr_matrix:
    """Ones where there is an edge, in either direction, between two nodes."""
    source, target = edges[:, edges[0] != edges[1]]
    rows, cols = np.concatenate([source, target]), np.concatenate([target, source])
    matrix = coo_matrix((np.ones(rows.size), (rows, cols)), shape=(num_nodes, num_nodes)).tocsr()
    matrix.data[:] = 1.0
    return matrix


def _solve(
    adjacency: csr_matrix, source: _Ids, target: _Ids, tol: float, max_steps: int
) -> _Floats:
    """Conjugate gradients on the Laplacian, many right-hand sides side by side."""
    count = source.size
    degree = np.maximum(np.asarray(adjacency.sum(1)).reshape(-1, 1), 1.0)
    column = np.arange(count)
    b = np.zeros((adjacency.shape[0], count))
    b[source, column], b[target, column] = 1.0, -1.0
    x, r = np.zeros_like(b), b.copy()
    z = r / degree
    p, rho = z.copy(), (r * z).sum(0)
    for _ in range(max_steps):
        going = np.linalg.norm(r, axis=0) > tol * np.sqrt(2.0)
        if not going.any():
            break
        q = degree * p - adjacency @ p
        step = np.where(going, rho / np.where(going, (p * q).sum(0), 1.0), 0.0)
        x += step * p
        r -= step * q
        z = r / degree
        new = (r * z).sum(0)
        p = z + np.where(going, new / np.where(rho > 0, rho, 1.0), 0.0) * p
        rho = new
    else:
        raise ValueError(
            f"max_steps must suffice for tol={tol}: got max_steps={max_steps}, after which "
            f"{int(going.sum())} of {count} pairs are not solved."
        )
    return np.asarray(x[source, column] - x[target, column])
