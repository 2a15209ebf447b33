"""Sums over pairs of a row and a column that were added and cut at zero, forth and back."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import get_num_threads, njit

from graphattn.kernels.launch import run_chunks

_FEW = 4096  # pairs below which waking threads costs more than it saves

_Floats = npt.NDArray[Any]
_Ints = npt.NDArray[Any]


def rectified_sums(
    ptr: _Ints, perm: _Ints, col: _Ints, u: _Floats, w: _Floats, out: _Floats
) -> None:
    """Adds up, for each row, the positive parts of its own vector plus that of each column.

    Args:
        ptr: Integer ``[N + 1]``, where the pairs of each row start in ``perm``.
        perm: Integer ``[E]``, pairs by row.
        col: Integer ``[E]``, the column of each pair.
        u: ``[N, C]``.
        w: ``[M, C]``.
        out: ``[N, C]``; written.

    Example:
        >>> ptr, perm, col = np.array([0, 2]), np.array([0, 1]), np.array([0, 1])
        >>> out = np.empty((1, 1))
        >>> rectified_sums(ptr, perm, col, np.array([[1.0]]), np.array([[2.0], [-5.0]]), out)
        >>> out.tolist()
        [[3.0]]
    """
    run_chunks(_sums, _num_chunks(perm), ptr, perm, col, u, w, out)


def rectified_gradients(
    ptr: _Ints,
    perm: _Ints,
    col: _Ints,
    u: _Floats,
    w: _Floats,
    grad: _Floats,
    grad_u: _Floats,
) -> None:
    """Computes the gradient of the rows' vectors.

    Args:
        ptr: As for :func:`rectified_sums`.
        perm: As there.
        col: As there.
        u: As there.
        w: As there.
        grad: ``[N, C]``, of the sums.
        grad_u: ``[N, C]``; written.

    Example:
        >>> ptr, perm, col = np.array([0, 2]), np.array([0, 1]), np.array([0, 1])
        >>> grad_u, one = np.empty((1, 1)), np.ones((1, 1))
        >>> rectified_gradients(ptr, perm, col, one, np.array([[2.0], [-5.0]]), one, grad_u)
        >>> grad_u.tolist()
        [[1.0]]
    """
    run_chunks(_back, _num_chunks(perm), ptr, perm, col, u, w, grad, grad_u)


def rectified_spread(
    t_ptr: _Ints,
    t_perm: _Ints,
    row: _Ints,
    u: _Floats,
    w: _Floats,
    grad: _Floats,
    grad_w: _Floats,
) -> None:
    """Computes the gradient of the columns' vectors.

    Args:
        t_ptr: Integer ``[M + 1]``, where the pairs of each column start in ``t_perm``.
        t_perm: Integer ``[E]``, pairs by column.
        row: Integer ``[E]``, the row of each pair.
        u: As for :func:`rectified_sums`.
        w: As there.
        grad: ``[N, C]``, of the sums.
        grad_w: ``[M, C]``; written.

    Example:
        >>> t_ptr, t_perm, row = np.array([0, 1]), np.array([0]), np.array([0])
        >>> grad_w, one = np.empty((1, 1)), np.ones((1, 1))
        >>> rectified_spread(t_ptr, t_perm, row, one, one, 3 * one, grad_w)
        >>> grad_w.tolist()
        [[3.0]]
    """
    arrays = (t_ptr, t_perm, row, u, w, grad, grad_w)
    run_chunks(_spread, _num_chunks(t_perm), *arrays)


def _num_chunks(perm: _Ints) -> int:
    return get_num_threads() if perm.size >= _FEW else 1


@njit(cache=True, nogil=True)
def _rows(chunk: int, num_chunks: int, ptr: _Ints) -> tuple[Any, Any]:
    """The rows of a chunk: about as many pairs in each."""
    total = np.int64(ptr[-1])
    start = np.searchsorted(ptr, chunk * total // num_chunks)
    stop = np.searchsorted(ptr, (chunk + 1) * total // num_chunks)
    return (0 if chunk == 0 else start), (ptr.size - 1 if chunk == num_chunks - 1 else stop)


@njit(cache=True, nogil=True)
def _sums(
    chunk: int,
    num_chunks: int,
    ptr: _Ints,
    perm: _Ints,
    col: _Ints,
    u: _Floats,
    w: _Floats,
    out: _Floats,
) -> None:
    start, stop = _rows(chunk, num_chunks, ptr)
    for row in range(start, stop):
        out[row] = 0.0
        for slot in range(ptr[row], ptr[row + 1]):
            other = col[perm[slot]]
            for c in range(u.shape[1]):
                total = u[row, c] + w[other, c]
                out[row, c] += total if not total < 0.0 else 0.0  # NaN stays


@njit(cache=True, nogil=True)
def _back(
    chunk: int,
    num_chunks: int,
    ptr: _Ints,
    perm: _Ints,
    col: _Ints,
    u: _Floats,
    w: _Floats,
    grad: _Floats,
    grad_u: _Floats,
) -> None:
    start, stop = _rows(chunk, num_chunks, ptr)
    for row in range(start, stop):
        grad_u[row] = 0.0
        for slot in range(ptr[row], ptr[row + 1]):
            other = col[perm[slot]]
            for c in range(u.shape[1]):
                if u[row, c] + w[other, c] > 0.0:
                    grad_u[row, c] += grad[row, c]


@njit(cache=True, nogil=True)
def _spread(
    chunk: int,
    num_chunks: int,
    t_ptr: _Ints,
    t_perm: _Ints,
    row: _Ints,
    u: _Floats,
    w: _Floats,
    grad: _Floats,
    grad_w: _Floats,
) -> None:
    start, stop = _rows(chunk, num_chunks, t_ptr)
    for other in range(start, stop):
        grad_w[other] = 0.0
        for slot in range(t_ptr[other], t_ptr[other + 1]):
            one = row[t_perm[slot]]
            for c in range(u.shape[1]):
                if u[one, c] + w[other, c] > 0.0:
                    grad_w[other, c] += grad[one, c]
