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


def edge_softmax(ptr: _Ints, perm: _Ints, scores: _Floats, out: _Floats) -> None:
    """Computes, for each head, the softmax over the edges of each row.

    Args:
        ptr: As for :func:`edge_dots`.
        perm: As there.
        scores: ``[E, H]``.
        out: ``[E, H]``; written.

    Example:
        >>> out = np.empty((2, 1))
        >>> edge_softmax(np.array([0, 2]), np.array([0, 1]), np.zeros((2, 1)), out)
        >>> out.tolist()
        [[0.5], [0.5]]
    """
    out[perm[ptr[-1] :]] = 0.0
    run_chunks(_softmax, num_edge_chunks(perm), ptr, perm, scores, out)


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
def _softmax(
    chunk: int, num_chunks: int, ptr: _Ints, perm: _Ints, scores: _Floats, out: _Floats
) -> None:
    start, stop = chunk_rows(chunk, num_chunks, ptr)
    for row in range(start, stop):
        edges = perm[ptr[row] : ptr[row + 1]]
        for head in range(scores.shape[1]):
            largest = -np.inf
            for edge in edges:
                largest = max(largest, scores[edge, head])
            total = 0.0
            for edge in edges:
                out[edge, head] = np.exp(scores[edge, head] - largest)
                total += out[edge, head]
            for edge in edges:
                out[edge, head] /= total
