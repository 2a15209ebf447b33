"""Positional encodings of nodes, by name, in seconds on sparse graphs of some 10^5 nodes."""

import logging
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.sparse.csgraph import breadth_first_order, connected_components, dijkstra
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh, splu
from torch import Tensor

from graphattn.graph import CSRGraph
from graphattn.kernels.positions import return_probabilities
from graphattn.ops.threads import as_many_threads_as_torch

logger = logging.getLogger(__name__)

TOTAL_WORK, NODE_WORK = 1_000_000_000, 8_000
"""Edges that exact walks may pass: in all, and a node however many nodes there are."""
NUM_PROBES = 256
MAX_RESTARTS = 100
DENSE_NODES = 1_000
"""Up to this many nodes the eigenvectors come from one dense decomposition."""


def positions(
    graph: CSRGraph,
    name: Literal["random_walk", "spectral"],
    channels: int,
    *,
    seed: int = 0,
) -> Float[Tensor, "nodes channels"]:
    """Positions of all nodes, by one of two names.

    Args:
        graph: the graph; "spectral" ignores the direction of its edges.
        name: "random_walk" (see `random_walk_positions`) or "spectral" (`spectral_positions`).
        channels: how many columns, at least 1.
        seed: of the parts that are estimated; the same seed gives the same positions.

    Returns:
        float32 positions, always finite.

    Raises:
        ValueError: the name is unknown or channels is below 1.

    Example:
        >>> ring = CSRGraph.from_edge_index(torch.tensor([[0, 1, 2, 1, 2, 0], [1, 2, 0, 0, 1, 2]]))
        >>> positions(ring, "random_walk", 2).tolist()
        [[0.5, 0.25], [0.5, 0.25], [0.5, 0.25]]
    """
    known = {"random_walk": random_walk_positions, "spectral": spectral_positions}
    if name not in known:
        raise ValueError(f"positions are 'random_walk' or 'spectral': got {name!r}.")
    if channels < 1:
        raise ValueError(f"positions need at least one channel: got channels={channels}.")
    return known[name](graph, channels, seed=seed)


def random_walk_positions(
    graph: CSRGraph, channels: int, *, seed: int = 0
) -> Float[Tensor, "nodes channels"]:
    """How likely a random walk is back where it began after 2, 3, ..., channels + 1 steps.

    Column k - 2 is diag(P^k) with P = D^-1 A: from i the walk goes to one of the nodes that send
    to i, each as likely. (One step returns by a self-loop alone, so it is left out.) A node that
    nobody sends to has zeros.

    Exact wherever that is affordable: nodes walk outwards, meeting half-way, until together they
    have passed about 1e9 edges. What remains, long walks in dense graphs, is estimated from 256
    random sign vectors z as the mean of (P^a z) * (P^bT z), a + b steps, for an undirected graph
    without the part that is known exactly (the stationary d_i / sum of d). The standard error of
    an even column is then at most 9 % of its value (sqrt(2 / 256)); directed graphs have no such
    bound. Estimates are clipped to [0, 1].

    Source: Dwivedi et al. 2022, https://arxiv.org/abs/2110.07875; the estimator: Achlioptas
    2003, https://doi.org/10.1016/S0022-0000(03)00025-4.

    Args:
        graph: the graph.
        channels: how many numbers of steps.
        seed: of the sign vectors.

    Returns:
        Probabilities, float32 in [0, 1].

    Example:
        >>> pair = CSRGraph.from_edge_index(torch.tensor([[0, 1], [1, 0]]))
        >>> random_walk_positions(pair, 3)[0].tolist()
        [1.0, 0.0, 1.0]
    """
    budget = max(TOTAL_WORK // max(graph.num_nodes, 1), NODE_WORK)
    back = graph if graph.is_undirected else graph.reverse()
    with as_many_threads_as_torch():
        out = return_probabilities(
            (graph.rowptr, graph.col), (back.rowptr, back.col), channels, budget
        )
    missing = np.isnan(out)
    if missing.any():
        logger.info("random_walk: %.1f %% of the values are estimated", 100 * missing.mean())
        first = int(missing.any(axis=0).argmax())
        out[missing] = _estimate_returns(graph, channels, first, seed)[missing]
    return torch.from_numpy(out)


def _estimate_returns(graph: CSRGraph, channels: int, first: int, seed: int) -> NDArray[np.float32]:
    """The columns from `first` on, from sign vectors, a few at a time."""
    num_nodes, block = graph.num_nodes, 32
    degrees = graph.degree().astype(np.float64)
    shape = (num_nodes, num_nodes)
    walk = sp.csr_array((np.ones(graph.num_edges, np.float32), graph.col, graph.rowptr), shape)
    null = None
    if graph.is_undirected:  # D^-1/2 A D^-1/2 has the same diagonals, and is symmetric
        null = _NullSpace(walk, degrees)
        scale = sp.diags_array(np.maximum(degrees, 1.0).astype(np.float32) ** -0.5)
        walk = (scale @ walk @ scale).tocsr()
    else:
        walk = (sp.diags_array(np.maximum(degrees, 1.0).astype(np.float32) ** -1.0) @ walk).tocsr()
    generator = np.random.default_rng(seed)
    total = np.zeros((num_nodes, channels), np.float32)
    for _ in range(NUM_PROBES // block):
        probe = 2.0 * generator.integers(0, 2, (num_nodes, block), dtype=np.int8) - 1.0
        ahead = (null.remove(probe) if null else probe).astype(np.float32)
        back = ahead
        for step in range(1, channels + 2):
            if step % 2:
                ahead = walk @ ahead
            else:
                back = ahead if null else walk.T @ back
            if step >= first + 2:
                total[:, step - 2] += np.einsum("np,np->n", ahead, back)
    total /= NUM_PROBES
    if null:
        total += (null.squares() * (degrees > 0)).astype(np.float32)[:, None]
    return total.clip(0.0, 1.0)


def spectral_positions(
    graph: CSRGraph, channels: int, *, seed: int = 0
) -> Float[Tensor, "nodes channels"]:
    """The eigenvectors of the normalised Laplacian with the smallest eigenvalues above zero.

    L = I - D^-1/2 A D^-1/2 of the graph without directions and self-loops. Its null space, one
    vector a connected component, says nothing but the degree and is left out; a disconnected
    graph so gets the slowest vectors within its components. Columns are ordered by eigenvalue
    and scaled to a mean square of 1; the sign is such that the entry of largest size is positive.
    Where fewer than `channels` vectors exist, zeros follow. Isolated nodes have zeros.

    A graph of up to 1,000 nodes, or 4 a channel, is decomposed densely. A long, thin one (roads,
    grids), whose eigenvalues are tiny and lie close, is factorised and inverted (Lanczos on L^-1);
    any other takes Lanczos on L. Of equal eigenvalues it is one basis of many, fixed by the seed.

    Source: Dwivedi et al. 2020, https://arxiv.org/abs/2003.00982; ARPACK, by SciPy.

    Args:
        graph: the graph.
        channels: how many eigenvectors.
        seed: of the starting vector.

    Returns:
        float32 coordinates.

    Example:
        >>> path = CSRGraph.from_edge_index(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
        >>> [round(abs(value), 3) for value in spectral_positions(path, 1).flatten().tolist()]
        [1.225, 0.0, 1.225]
    """
    num_nodes = graph.num_nodes
    adjacency = _simple_adjacency(graph)
    degrees = np.diff(adjacency.indptr).astype(np.float64)
    scale = sp.diags_array(1.0 / np.sqrt(np.maximum(degrees, 1.0)))
    smooth = (scale @ adjacency @ scale).tocsr()
    null = _NullSpace(adjacency, degrees)
    num_vectors = min(channels, num_nodes - null.count)
    out = np.zeros((num_nodes, channels), np.float32)
    if num_vectors > 0:
        if num_nodes <= max(DENSE_NODES, 4 * num_vectors):
            vectors = _dense_vectors(smooth, null, num_vectors)
        else:
            thin = _is_thin(adjacency)
            vectors = (_inverted if thin else _direct)(smooth, null, num_vectors, seed)
        out[:, : vectors.shape[1]] = _fix(vectors)
    return torch.from_numpy(out)


class _NullSpace:
    """The null space of L: one unit vector, D^1/2, on each connected component."""

    def __init__(self, adjacency: sp.csr_array, degrees: NDArray[np.float64]) -> None:
        self.count, labels = connected_components(adjacency, directed=False)
        # An isolated node has no degree; its vector is 1 on itself.
        weight = np.where(degrees > 0, degrees, 1.0)
        unit = np.sqrt(weight / np.bincount(labels, weight, self.count)[labels])
        rows = np.arange(len(labels) + 1)
        self.basis = sp.csr_array((unit, labels, rows), shape=(len(labels), self.count))
        self.transposed = self.basis.T.tocsr()

    def remove(self, vectors: NDArray[Any]) -> NDArray[Any]:
        """The part of one vector, or of each column, that is orthogonal to the null space."""
        return vectors - self.basis @ (self.transposed @ vectors)

    def squares(self) -> NDArray[np.float64]:
        """Each node's entry of the projection onto the null space: d_i / sum of d."""
        return self.basis.data**2


def _simple_adjacency(graph: CSRGraph) -> sp.csr_array:
    """The graph without directions and self-loops, all entries 1."""
    shape = (graph.num_nodes, graph.num_nodes)
    ones = np.ones(graph.num_edges)
    one_way = sp.csr_array((ones, graph.col, graph.rowptr), shape=shape).tocoo()
    keep = one_way.row != one_way.col
    one_way = sp.csr_array((one_way.data[keep], (one_way.row[keep], one_way.col[keep])), shape)
    return one_way.maximum(one_way.T).tocsr()


def _is_thin(adjacency: sp.csr_array) -> bool:
    """Whether L can be factorised with little fill: sparse, and no breadth-first level is wide.

    Seen from the end of a largest-degree node's component, an expander has most nodes in one
    level; a road network or grid has some sqrt(N).
    """
    num_nodes = adjacency.shape[0]
    if adjacency.nnz > 8 * num_nodes:
        return False
    start = int(np.diff(adjacency.indptr).argmax())
    far = breadth_first_order(adjacency, start, return_predecessors=False)[-1]
    levels = dijkstra(adjacency, unweighted=True, indices=far)
    widest = np.bincount(levels[np.isfinite(levels)].astype(np.int64)).max()
    return bool(widest <= 32 * np.sqrt(num_nodes))


def _dense_vectors(smooth: sp.csr_array, null: _NullSpace, count: int) -> NDArray[np.float64]:
    # Sending the null space to -2 leaves the wanted vectors, eigenvalues in [-1, 1), on top.
    moved = smooth.toarray() - 3.0 * (null.basis @ null.transposed).toarray()
    _, vectors = np.linalg.eigh(moved)
    return vectors[:, ::-1][:, :count]


def _inverted(smooth: sp.csr_array, null: _NullSpace, count: int, seed: int) -> NDArray[np.float64]:
    num_nodes = smooth.shape[0]
    shifted = (sp.eye_array(num_nodes) * (1.0 + 1e-9) - smooth).tocsc()
    factors = splu(
        shifted,
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )

    def invert(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        return null.remove(factors.solve(null.remove(vector.ravel())))

    return _lanczos(invert, num_nodes, count, seed=seed, tolerance=1e-8)


def _direct(smooth: sp.csr_array, null: _NullSpace, count: int, seed: int) -> NDArray[np.float64]:
    def step(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        inner = null.remove(vector.ravel())
        return null.remove(inner + smooth @ inner)

    return _lanczos(step, smooth.shape[0], count, seed=seed, tolerance=1e-4)


def _lanczos(
    multiply: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    num_nodes: int,
    count: int,
    *,
    seed: int,
    tolerance: float,
) -> NDArray[np.float64]:
    """Eigenvectors of the largest eigenvalues; what has not converged in time is left out."""
    operator = LinearOperator((num_nodes, num_nodes), multiply, dtype=np.float64)
    start = np.random.default_rng(seed).standard_normal(num_nodes)
    inner = max(4 * count, 20)  # fewer than the nodes
    try:
        values, vectors = eigsh(
            operator, count, which="LA", v0=start, ncv=inner, tol=tolerance, maxiter=MAX_RESTARTS
        )
    except ArpackNoConvergence as stopped:
        values, vectors = stopped.eigenvalues, stopped.eigenvectors
        logger.warning(
            "spectral: %d of %d eigenvectors converged; the other columns are zero",
            len(values),
            count,
        )
    return vectors[:, np.argsort(-values, kind="stable")]


def _fix(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean square 1; the first of the entries of (nearly) largest size is positive."""
    sizes = np.abs(vectors)
    leader = (sizes >= sizes.max(axis=0) * (1 - 1e-6)).argmax(axis=0)
    signs = np.where(vectors[leader, np.arange(vectors.shape[1])] < 0, -1.0, 1.0)
    lengths = np.linalg.norm(vectors, axis=0)
    return vectors * (signs * np.sqrt(len(vectors)) / lengths)
