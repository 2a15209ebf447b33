"""Return probabilities of random walks by pushing probability outwards from every node."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import get_num_threads, njit, prange

from graphattn.kernels.launch import LAUNCH, read_only

Rows = tuple[npt.NDArray[np.int64], npt.NDArray[Any]]
"""rowptr and col of a graph."""

Vectors = tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]
"""Two dense vectors, now and next, and the ids at which they are not zero."""


def return_probabilities(
    rows: Rows,
    receivers: Rows,
    num_steps: int,
    budget: int,
) -> npt.NDArray[np.float32]:
    """Probability that a walk is back where it began after 2, 3, ..., num_steps + 1 steps.

    A walk of a + b steps from i to i is met in the middle: sum over j of (P^a)_ij (P^b)_ji, with
    a = b or a = b + 1, so that only half the walk is ever pushed, (P^a) along the senders and
    (P^b) along the receivers. Work a node is counted in edges; when it is used up, what is
    missing stays NaN, whatever the threads.

    Args:
        rows: rowptr and col; row i lists the nodes a walk may go to from i.
        receivers: rowptr and col of the reversed graph.
        num_steps: number of columns.
        budget: edges that may be walked for one node.

    Returns:
        ``[N, num_steps]``, NaN where the budget ended before.

    Example:
        >>> pair = (np.array([0, 1, 2]), np.array([1, 0], dtype=np.int32))  # 0 <-> 1
        >>> return_probabilities(pair, pair, 2, 100).tolist()
        [[1.0, 0.0], [1.0, 0.0]]
    """
    num_nodes = rows[0].size - 1
    out = np.full((num_nodes, num_steps), np.nan, np.float32)
    chunks = min(max(num_nodes, 1), get_num_threads())
    there = (read_only(rows[0]), read_only(rows[1]))
    back = (read_only(receivers[0]), read_only(receivers[1]))
    with LAUNCH:
        _return_probabilities(there, back, budget, chunks, out)
    return out


@njit(cache=True, nogil=True, parallel=True)
def _return_probabilities(
    rows: Rows,
    receivers: Rows,
    budget: int,
    chunks: int,
    out: npt.NDArray[np.float32],
) -> None:
    num_nodes, num_steps = out.shape
    for chunk in prange(chunks):
        ahead = (np.zeros((2, num_nodes)), np.empty((2, num_nodes), np.int64))
        back = (np.zeros((2, num_nodes)), np.empty((2, num_nodes), np.int64))
        for node in range(chunk, num_nodes, chunks):
            ahead[1][0, 0] = back[1][0, 0] = node
            ahead[0][0, node] = back[0][0, node] = 1.0
            num_ahead, num_back, a, b, work = 1, 1, 0, 0, 0
            for step in range(1, num_steps + 2):
                if step % 2:
                    work += _count(rows[0], ahead[1][a], num_ahead)
                else:
                    work += _count(receivers[0], back[1][b], num_back)
                if work > budget:
                    break
                if step % 2:
                    num_ahead = _go_ahead(rows, ahead, a, num_ahead)
                    a = 1 - a
                else:
                    num_back = _go_back(receivers, rows[0], back, b, num_back)
                    b = 1 - b
                if step > 1:
                    out[node, step - 2] = _meet(ahead[0][a], back[0][b], back[1][b], num_back)
            for i in range(num_ahead):
                ahead[0][a, ahead[1][a, i]] = 0.0
            for i in range(num_back):
                back[0][b, back[1][b, i]] = 0.0


@njit(cache=True, nogil=True)
def _count(rowptr: npt.NDArray[np.int64], ids: npt.NDArray[np.int64], size: int) -> int:
    edges = size
    for i in range(size):
        edges += rowptr[ids[i] + 1] - rowptr[ids[i]]
    return edges


@njit(cache=True, nogil=True)
def _meet(
    ahead: npt.NDArray[np.float64],
    back: npt.NDArray[np.float64],
    back_ids: npt.NDArray[np.int64],
    num_back: int,
) -> float:
    total = 0.0
    for i in range(num_back):
        total += ahead[back_ids[i]] * back[back_ids[i]]
    return total


@njit(cache=True, nogil=True)
def _go_ahead(rows: Rows, vectors: Vectors, now: int, size: int) -> int:
    """Moves the vector one step along the rows, from now to next; returns its number of ids."""
    (rowptr, col), (mass, ids) = rows, vectors
    count = 0
    for i in range(size):
        node = ids[now, i]
        degree = rowptr[node + 1] - rowptr[node]
        share = mass[now, node] / max(degree, 1)
        mass[now, node] = 0.0
        if share == 0.0:  # underflow: an id would be listed twice
            continue
        for edge in range(rowptr[node], rowptr[node + 1]):
            other = col[edge]
            if mass[1 - now, other] == 0.0:
                ids[1 - now, count] = other
                count += 1
            mass[1 - now, other] += share
    return count


@njit(cache=True, nogil=True)
def _go_back(
    receivers: Rows,
    rowptr: npt.NDArray[np.int64],
    vectors: Vectors,
    now: int,
    size: int,
) -> int:
    """Moves the vector one step against the walk, weighted by the choices of the node reached."""
    (receiver_rowptr, receiver_col), (mass, ids) = receivers, vectors
    count = 0
    for i in range(size):
        node = ids[now, i]
        value = mass[now, node]
        mass[now, node] = 0.0
        for edge in range(receiver_rowptr[node], receiver_rowptr[node + 1]):
            other = receiver_col[edge]
            share = value / (rowptr[other + 1] - rowptr[other])
            if share == 0.0:
                continue
            if mass[1 - now, other] == 0.0:
                ids[1 - now, count] = other
                count += 1
            mass[1 - now, other] += share
    return count
