"""Products of nodes along edges, softmax over the edges of a row, and weighted sums of rows."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import get_num_threads, njit

from graphattn.kernels.launch import run_chunks

_FEW = 4096  # edges below which waking threads costs more than it saves
_REORDER = {"reassoc", "contract"}  # a fixed other order of the terms of a product

_Floats = npt.NDArray[Any]
_Ints = npt.NDArray[Any]


@njit(cache=True, nogil=True)
def order_edges(index: _Ints, num_rows: int) -> tuple[_Ints, _Ints]:
    """Sorts edges by one of their ends in one counting sort that keeps equal ones in order.

    Args:
        index: Integer ``[E]``, a row for each edge.
        num_rows: Number of rows ``N``.

    Returns:
        Where the edges of each row start, ``[N + 1]``, and the edges in order, ``[E]``.

    Example:
        >>> [part.tolist() for part in order_edges(np.array([1, 0, 1]), 2)]
        [[0, 1, 3], [1, 0, 2]]
    """
    ptr = np.zeros(num_rows + 1, index.dtype)
    for row in index:
        ptr[row + 1] += 1
    for row in range(num_rows):
        ptr[row + 1] += ptr[row]
    fill = ptr[:-1].copy()
    perm = np.empty_like(index)
    for edge in range(index.size):
        row = index[edge]
        perm[fill[row]] = edge
        fill[row] += 1
    return ptr, perm


def edge_dots(ptr: _Ints, perm: _Ints, col: _Ints, q: _Floats, k: _Floats, out: _Floats) -> None:
    """Multiplies, for each edge and head, the vectors at its two ends.

    Args:
        ptr: Integer ``[N + 1]``, where the edges of each row start in ``perm``.
        perm: Integer ``[E]``, edges by row; those after the last row are set apart, and get 0.
        col: Integer ``[E]``, the other end of each edge.
        q: ``[N, H, D]``.
        k: ``[M, H, D]``.
        out: ``[E, H]``; written.

    Example:
        >>> ptr, perm, col = np.array([0, 1]), np.array([0]), np.array([0])
        >>> out = np.empty((1, 1))
        >>> edge_dots(ptr, perm, col, np.full((1, 1, 2), 2.0), np.ones((1, 1, 2)), out)
        >>> out.tolist()
        [[4.0]]
    """
    out[perm[ptr[-1] :]] = 0.0
    run_chunks(_dots, num_edge_chunks(perm), ptr, perm, col, q, k, out)


def add_ends(ptr: _Ints, perm: _Ints, col: _Ints, a: _Floats, b: _Floats, out: _Floats) -> None:
    """Adds, for each edge and head, the numbers at its two ends.

    Args:
        ptr: As for :func:`edge_dots`.
        perm: As there.
        col: As there.
        a: ``[N, H]``.
        b: ``[M, H]``.
        out: ``[E, H]``; written.

    Example:
        >>> out = np.empty((1, 1))
        >>> ptr, perm, col = np.array([0, 1]), np.array([0]), np.array([0])
        >>> add_ends(ptr, perm, col, np.full((1, 1), 2.0), np.ones((1, 1)), out)
        >>> out.tolist()
        [[3.0]]
    """
    out[perm[ptr[-1] :]] = 0.0
    run_chunks(_add_ends, num_edge_chunks(perm), ptr, perm, col, a, b, out)


def edge_sums(
    ptr: _Ints, perm: _Ints, col: _Ints, weights: _Floats, v: _Floats, out: _Floats
) -> None:
    """Adds up, for each row and head, the vectors at the other ends, weighted, in order of edges.

    Args:
        ptr: As for :func:`edge_dots`.
        perm: As there.
        col: As there.
        weights: ``[E, H]``.
        v: ``[M, H, D]``.
        out: ``[N, H, D]``; written.

    Example:
        >>> ptr, perm, col = np.array([0, 1]), np.array([0]), np.array([0])
        >>> out = np.empty((1, 1, 1))
        >>> edge_sums(ptr, perm, col, np.full((1, 1), 2.0), np.ones((1, 1, 1)), out)
        >>> out.tolist()
        [[[2.0]]]
    """
    run_chunks(_sums, num_edge_chunks(perm), ptr, perm, col, weights, v, out)


def edge_shift(ptr: _Ints, perm: _Ints, scores: _Floats, out: _Floats) -> None:
    """Takes from each score the largest of its row and head, so that no exponential overflows.

    Args:
        ptr: As for :func:`edge_dots`.
        perm: As there; edges set apart get what ends as 0.
        scores: ``[E, H]``.
        out: ``[E, H]``; written.

    Example:
        >>> out = np.empty((2, 1))
        >>> edge_shift(np.array([0, 2]), np.array([0, 1]), np.array([[3.0], [5.0]]), out)
        >>> out.tolist()
        [[-2.0], [0.0]]
    """
    out[perm[ptr[-1] :]] = -np.inf
    run_chunks(_shift, num_edge_chunks(perm), ptr, perm, scores, out)


def edge_normalize(ptr: _Ints, perm: _Ints, out: _Floats) -> None:
    """Divides each number by the sum of its row and head.

    Args:
        ptr: As for :func:`edge_dots`.
        perm: As there.
        out: ``[E, H]``; changed in place.

    Example:
        >>> out = np.array([[1.0], [3.0]])
        >>> edge_normalize(np.array([0, 2]), np.array([0, 1]), out)
        >>> out.tolist()
        [[0.25], [0.75]]
    """
    run_chunks(_normalize, num_edge_chunks(perm), ptr, perm, out)


def num_edge_chunks(perm: _Ints) -> int:
    """Gives how many chunks the rows of these edges are worth: one a thread, or one."""
    return get_num_threads() if perm.size >= _FEW else 1


@njit(cache=True, nogil=True)
def chunk_rows(chunk: int, num_chunks: int, ptr: _Ints) -> tuple[Any, Any]:
    """Gives the first row of a chunk and the one after its last: about as many edges in each."""
    num_edges = np.int64(ptr[-1])
    start = np.searchsorted(ptr, chunk * num_edges // num_chunks)
    stop = np.searchsorted(ptr, (chunk + 1) * num_edges // num_chunks)
    return (0 if chunk == 0 else start), (ptr.size - 1 if chunk == num_chunks - 1 else stop)


@njit(cache=True, nogil=True, fastmath=_REORDER)
def _dots(
    chunk: int,
    num_chunks: int,
    ptr: _Ints,
    perm: _Ints,
    col: _Ints,
    q: _Floats,
    k: _Floats,
    out: _Floats,
) -> None:
    start, stop = chunk_rows(chunk, num_chunks, ptr)
    for row in range(start, stop):
        for slot in range(ptr[row], ptr[row + 1]):
            edge = perm[slot]
            other = col[edge]
            for head in range(q.shape[1]):
                total = q[row, head, 0] * k[other, head, 0]
                for c in range(1, q.shape[2]):
                    total += q[row, head, c] * k[other, head, c]
                out[edge, head] = total


@njit(cache=True, nogil=True)
def _add_ends(
    chunk: int,
    num_chunks: int,
    ptr: _Ints,
    perm: _Ints,
    col: _Ints,
    a: _Floats,
    b: _Floats,
    out: _Floats,
) -> None:
    start, stop = chunk_rows(chunk, num_chunks, ptr)
    for row in range(start, stop):
        own = a[row]
        for slot in range(ptr[row], ptr[row + 1]):
            edge = perm[slot]
            other, total = b[col[edge]], out[edge]
            for head in range(own.size):
                total[head] = own[head] + other[head]


@njit(cache=True, nogil=True)
def _sums(
    chunk: int,
    num_chunks: int,
    ptr: _Ints,
    perm: _Ints,
    col: _Ints,
    weights: _Floats,
    v: _Floats,
    out: _Floats,
) -> None:
    start, stop = chunk_rows(chunk, num_chunks, ptr)
    if v.shape[2] == 1:  # numbers, not vectors: heads side by side
        _number_sums(start, stop, ptr, perm, col, weights, v[:, :, 0], out[:, :, 0])
        return
    for row in range(start, stop):
        out[row] = 0.0
        for slot in range(ptr[row], ptr[row + 1]):
            edge = perm[slot]
            other = col[edge]
            for head in range(v.shape[1]):
                weight = weights[edge, head]
                for c in range(v.shape[2]):
                    out[row, head, c] += weight * v[other, head, c]


@njit(cache=True, nogil=True)
def _number_sums(
    start: int,
    stop: int,
    ptr: _Ints,
    perm: _Ints,
    col: _Ints,
    weights: _Floats,
    v: _Floats,
    out: _Floats,
) -> None:
    for row in range(start, stop):
        total = out[row]
        total[:] = 0.0
        for slot in range(ptr[row], ptr[row + 1]):
            edge = perm[slot]
            weight, value = weights[edge], v[col[edge]]
            for head in range(total.size):
                total[head] += weight[head] * value[head]


@njit(cache=True, nogil=True)
def _shift(
    chunk: int, num_chunks: int, ptr: _Ints, perm: _Ints, scores: _Floats, out: _Floats
) -> None:
    start, stop = chunk_rows(chunk, num_chunks, ptr)
    largest = np.empty(scores.shape[1], scores.dtype)
    for row in range(start, stop):
        largest[:] = -np.inf
        for slot in range(ptr[row], ptr[row + 1]):
            score = scores[perm[slot]]
            for head in range(largest.size):
                largest[head] = max(largest[head], score[head])
        for slot in range(ptr[row], ptr[row + 1]):
            edge = perm[slot]
            for head in range(largest.size):
                out[edge, head] = scores[edge, head] - largest[head]


@njit(cache=True, nogil=True)
def _normalize(chunk: int, num_chunks: int, ptr: _Ints, perm: _Ints, out: _Floats) -> None:
    start, stop = chunk_rows(chunk, num_chunks, ptr)
    total = np.empty(out.shape[1], out.dtype)
    for row in range(start, stop):
        total[:] = 0.0
        for slot in range(ptr[row], ptr[row + 1]):
            part = out[perm[slot]]
            for head in range(total.size):
                total[head] += part[head]
        for slot in range(ptr[row], ptr[row + 1]):
            part = out[perm[slot]]
            for head in range(total.size):
                part[head] /= total[head]
