"""Balls around seeds: nodes by exact hop distance against the edges, and the edges among them."""

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from graphattn.graph import CSRGraph
from graphattn.kernels.ball import ball, ball_edges
from graphattn.kernels.launch import read_only

_Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Ball:
    """The nodes within some hops of a seed, nearest first, and the edges into its first rows.

    Args:
        nodes: ``[n]``, the seed first.
        starts: ``[hops + 2]``: hop h stands from ``starts[h]`` to ``starts[h + 1]``.
        row_starts: ``[rows + 1]``, where the edges into each of the first rows start.
        sources: The place in ``nodes`` of each edge's source.
        positions: The number of each edge in the order of the rows.
    """

    nodes: _Ids
    starts: _Ids
    row_starts: _Ids
    sources: _Ids
    positions: _Ids

    def targets(self) -> _Ids:
        """The place in ``nodes`` of each edge's target."""
        return np.repeat(np.arange(self.row_starts.size - 1), np.diff(self.row_starts))


class EdgeRows:
    """All edges of a PyG graph by target, repeated ones kept, each with its number there.

    :class:`~graphattn.graph.CSRGraph` merges repeated edges, which a model counts twice.

    Args:
        edge_index: ``[2, edges]``: sources, then targets.
        num_nodes: Number of nodes, isolated ones at the end included.

    Example:
        >>> rows = EdgeRows(torch.tensor([[0, 1], [1, 2]]), 4)
        >>> rows.ball(2, 1).nodes.tolist(), rows.ball(3, 1).nodes.tolist()
        ([2, 1], [3])
    """

    def __init__(self, edge_index: Tensor, num_nodes: int) -> None:
        source, target = edge_index.detach().cpu().numpy().astype(np.int64)
        self.number = np.argsort(target, kind="stable")
        rowptr = np.zeros(num_nodes + 1, np.int64)
        np.cumsum(np.bincount(target, minlength=num_nodes), out=rowptr[1:])
        self.rowptr, self.col = read_only(rowptr), read_only(source[self.number].astype(np.int32))
        self._lent = threading.local()  # one table of places a thread

    @property
    def num_nodes(self) -> int:
        """Number of nodes."""
        return int(self.rowptr.size) - 1

    def ball(self, seed: int, hops: int, *, edge_hops: int | None = None) -> Ball:
        """Finds a ball and the edges among its nodes.

        Args:
            seed: The centre.
            hops: The farthest hop.
            edge_hops: Edges are listed whose target is within so many hops; by default all.

        Returns:
            The ball.
        """
        place = getattr(self._lent, "place", None)
        if place is None:
            place = self._lent.place = np.full(self.num_nodes, -1, np.int64)
        nodes, starts = ball(self.rowptr, self.col, seed, hops, place)
        rows = int(starts[1 + (hops if edge_hops is None else edge_hops)])
        edges = ball_edges(self.rowptr, self.col, nodes, rows, place)
        place[nodes] = -1
        return Ball(nodes, starts, *edges)

    def numbers(self, found: Ball) -> Tensor:
        """The numbers of a ball's edges in ``edge_index``."""
        return torch.from_numpy(self.number[found.positions])


def hop_sets(graph: CSRGraph, seed: int, max_hops: int) -> list[npt.NDArray[np.int64]]:
    """Lists the nodes at each exact distance from which a seed is reached along the edges.

    The sets are disjoint; the work is proportional to the edges of the ball, not of the graph.

    Args:
        graph: Row i lists the nodes that send to i.
        seed: The node that is reached.
        max_hops: The farthest hop.

    Returns:
        ``max_hops + 1`` arrays of ids; the first holds the seed.

    Raises:
        ValueError: The seed is no node, or ``max_hops`` is negative.

    Example:
        >>> graph = CSRGraph.from_edge_index(np.array([[0, 1, 0], [1, 2, 2]]))
        >>> [hop.tolist() for hop in hop_sets(graph, 2, 2)]
        [[2], [0, 1], []]
    """
    if not 0 <= seed < graph.num_nodes:
        raise ValueError(f"seed must be a node, 0 to {graph.num_nodes - 1}: got {seed}.")
    if max_hops < 0:
        raise ValueError(f"max_hops must be at least 0: got max_hops={max_hops}.")
    place: Any = np.full(graph.num_nodes, -1, np.int64)
    rows = read_only(graph.rowptr), read_only(graph.col)
    nodes, starts = ball(*rows, seed, max_hops, place)
    return [nodes[starts[hop] : starts[hop + 1]] for hop in range(max_hops + 1)]
