"""Layer-wise sampling: a few neighbours of the seeds, a few of theirs, as one small graph."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int64, Shaped
from torch import Tensor

from graphattn.edges import id_dtype
from graphattn.graph import CSRGraph
from graphattn.kernels.fanout import Clock, Drawn, check_seeds, draw_fanout
from graphattn.kernels.renumber import induce
from graphattn.sampling.seeds import moments


class Subgraph(NamedTuple):
    """A sampled graph: its nodes and edges by their ids in the whole graph, and its own edges.

    Nodes stand in the order in which they were found, the seeds first; edges by hop, then target.
    """

    n_id: Int64[Tensor, " nodes"]
    edge_index: Int64[Tensor, "2 edges"]
    e_id: Int64[Tensor, " edges"]
    num_sampled_nodes: list[int]
    num_sampled_edges: list[int] | None
    batch: Int64[Tensor, " nodes"] | None


def sample_fanout(
    graph: CSRGraph,
    seeds: Int64[Tensor, " seeds"],
    num_neighbors: Sequence[int],
    *,
    replace: bool = False,
    directed: bool = True,
    disjoint: bool = False,
    node_time: Shaped[Tensor, " nodes"] | None = None,
    seed_time: Shaped[Tensor, " seeds"] | None = None,
    seed: int = 0,
    epoch: int = 0,
) -> Subgraph:
    """Draws senders of the seeds, then of the nodes found, one hop for each number given.

    A draw is uniform among a node's senders and depends on (seed, epoch, node, hop) and the
    options only: not on threads, batches or their order. So two seeds that find a node at the same
    hop of the same epoch see the same senders of it. A node is expanded once, at the hop that
    found it; in a disjoint draw once in each tree.

    Source: GraphSAGE, https://arxiv.org/abs/1706.02216, algorithm 2; order and names as in PyG.

    Args:
        graph: The graph.
        seeds: Ids of nodes. One that repeats has a row and edges for each place; where it is
            found as a sender, that is the first.
        num_neighbors: How many senders to draw at each hop; -1 takes all, 0 none.
        replace: Draw with replacement, as many as asked wherever there is a sender.
        directed: Return the edges drawn; else all edges of the graph among the nodes drawn.
        disjoint: Give each seed a tree that shares no node with the others.
        node_time: When each node came; a seed's tree takes only nodes that came no later than
            the seed. Implies ``disjoint``. Reads a node's whole row: ``NeighborLoader``, which
            sorts rows by time once, is faster where rows are long.
        seed_time: For each seed the last moment to see; by default its ``node_time``.
        seed: Any integer.
        epoch: Another epoch is another draw.

    Returns:
        ``n_id``, the nodes, seeds first; ``edge_index``, sources and targets as positions in
        ``n_id``; ``e_id``, columns of ``graph.edge_index()``; how many nodes are new at each hop,
        the seeds being hop 0; how many edges were drawn at each, none where not ``directed``; and
        ``batch``, the position of the seed whose tree a node is in, none where not disjoint.

    Raises:
        ValueError: A seed is no node, a number of neighbours is below -1, times do not fit, or a
            disjoint draw is to be undirected.
        TypeError: Times are no numbers, or of two kinds.

    Example:
        >>> graph = CSRGraph.from_edge_index(torch.tensor([[1, 2, 3, 0], [0, 0, 1, 3]]))
        >>> found = sample_fanout(graph, torch.tensor([0]), [-1, 1])
        >>> found.n_id.tolist(), found.edge_index.tolist(), found.e_id.tolist()
        ([0, 1, 2, 3], [[1, 2, 3], [0, 0, 1]], [0, 1, 2])
        >>> found.num_sampled_nodes, found.num_sampled_edges
        ([1, 2, 1], [2, 1])
    """
    disjoint = disjoint or node_time is not None
    if disjoint and not directed:
        raise ValueError(
            "a draw in disjoint trees (which times imply) must be directed: "
            f"got directed={directed}; leave out disjoint and times, or directed=False."
        )
    if node_time is None and seed_time is not None:
        raise ValueError("seed_time needs the times of all nodes: got node_time=None.")
    ids, clock = seeds.detach().cpu().numpy(), None
    if node_time is not None:
        check_seeds(ids, graph.num_nodes)
        time = moments("node_time", node_time, graph.num_nodes)
        limit = time[ids]
        if seed_time is not None:
            limit = moments("seed_time", seed_time, ids.size, time.dtype)
        clock = Clock(time, limit, of_edges=False)
    rows = (graph.rowptr, graph.col)
    drawn = draw_fanout(*rows, ids, num_neighbors, replace, disjoint, clock, (seed, epoch))
    return as_subgraph(rows, drawn, directed=directed, disjoint=disjoint)


def as_subgraph(
    rows: tuple[npt.NDArray[Any], npt.NDArray[Any]], drawn: Drawn, *, directed: bool, disjoint: bool
) -> Subgraph:
    """Wraps what the kernel drew.

    Args:
        rows: rowptr and col it was drawn from.
        drawn: The draw.
        directed: Keep the edges drawn; else list all among the nodes drawn.
        disjoint: Say which tree each node is in.

    Returns:
        The subgraph; ``e_id`` are positions in col.

    Example:
        >>> rows = np.array([0, 1, 2]), np.array([1, 0], dtype=np.int32)  # 0 <-> 1
        >>> drawn = draw_fanout(*rows, np.array([1]), [1], False, False, None, (0, 0))
        >>> as_subgraph(rows, drawn, directed=False, disjoint=False).e_id.tolist()
        [1, 0]
    """
    edge_index, edges = drawn.edge_index, drawn.edges
    if not directed:
        edge_index, edges = induce(*rows, drawn.n_id)
    batch = None
    if disjoint:
        trees = np.arange(drawn.bounds.shape[1] - 1)
        batch = np.concatenate([np.repeat(trees, np.diff(bounds)) for bounds in drawn.bounds])
    return Subgraph(
        torch.from_numpy(drawn.n_id),
        torch.from_numpy(edge_index),
        torch.from_numpy(edges),
        (drawn.bounds[:, -1] - drawn.bounds[:, 0]).tolist(),
        drawn.num_edges if directed else None,
        None if batch is None else torch.from_numpy(batch),
    )


class EdgeRows(NamedTuple):
    """A list of edges as rows: what sends to each node, with repeats.

    Row i is ``col[rowptr[i] : rowptr[i + 1]]``, sorted by time where there are times, else in the
    order of the list; ``origin`` says where in the list each edge stood.
    """

    rowptr: npt.NDArray[np.int64]
    col: npt.NDArray[Any]
    origin: npt.NDArray[Any]
    time: npt.NDArray[Any] | None


def rows_of_edges(
    edges: npt.NDArray[np.int64], num_nodes: int, time: npt.NDArray[Any] | None
) -> EdgeRows:
    """Sorts checked edges by target.

    Args:
        edges: ``[2, edges]``, sources, then targets.
        num_nodes: Number of nodes.
        time: ``[edges]``, or none.

    Returns:
        The rows.

    Example:
        >>> rows_of_edges(np.array([[2, 1, 1], [1, 0, 0]]), 3, None).origin.tolist()
        [1, 2, 0]
    """
    targets = torch.from_numpy(edges[1].astype(id_dtype(num_nodes)))
    if time is None:
        order = targets.sort(stable=True).indices
    else:
        by_time = torch.from_numpy(time).sort(stable=True).indices
        order = by_time[targets[by_time].sort(stable=True).indices]
    origin = order.numpy().astype(id_dtype(edges.shape[1]))
    col = edges[0].astype(id_dtype(num_nodes))[origin]
    rowptr = np.zeros(num_nodes + 1, np.int64)
    np.cumsum(np.bincount(edges[1], minlength=num_nodes), out=rowptr[1:])
    return EdgeRows(rowptr, col, origin, None if time is None else time[origin])
