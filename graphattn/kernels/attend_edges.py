"""Attention along edges in one pass over the rows of targets, and its gradient in one pass over
targets and one over sources: the vectors of an edge are read, and nothing of their size is written.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from graphattn.kernels.edge_attention import chunk_rows, num_edge_chunks
from graphattn.kernels.launch import run_chunks
from graphattn.kernels.prefetch import prefetch

_AHEAD = 4  # edges whose vectors are asked for before they are used
_LINE = 64  # bytes of a line of the cache
_REORDER = {"reassoc", "contract"}  # a fixed other order of the terms of a product

_Floats = npt.NDArray[Any]
_Ints = npt.NDArray[Any]


def attend_edges(
    ptr: _Ints,
    perm: _Ints,
    col: _Ints,
    q: _Floats,
    k: _Floats,
    v: _Floats,
    towards: _Floats,
    along: _Floats,
    scale: _Floats,
    is_sigmoid: bool,
    weights: _Floats,
    out: _Floats,
) -> None:
    """Weighs the edges of each row by products of both ends, and adds up their other ends.

    Args:
        ptr: Integer ``[N + 1]``, where the edges of each row start in ``perm``.
        perm: Integer ``[E]``, edges by row.
        col: Integer ``[E]``, the other end of each edge.
        q: ``[N, H, D]``.
        k: ``[M, H, D]``.
        v: ``[M, H, D]``.
        towards: ``[N, H, A]``, multiplied with ``along``; ``A`` may be 0.
        along: ``[E, A]``, features of the edges.
        scale: ``[H]``, what scores are multiplied by.
        is_sigmoid: Whether weights are sigmoids of the scores, not their softmax over a row.
        weights: ``[E, H]``; written.
        out: ``[N, H, D]``; written.

    Example:
        >>> ptr, perm, col = np.array([0, 2]), np.array([0, 1]), np.array([0, 1])
        >>> q, v, none = np.zeros((1, 1, 1)), np.array([[[1.0]], [[3.0]]]), np.empty((2, 0))
        >>> weights, out = np.empty((2, 1)), np.empty((1, 1, 1))
        >>> attend_edges(
        ...     ptr, perm, col, q, v, v, q[:, :, :0], none, np.ones(1), False, weights, out
        ... )
        >>> out.tolist()
        [[[2.0]]]
    """
    arrays = (ptr, perm, col, q, k, v, towards, along, scale, is_sigmoid, weights, out)
    run_chunks(_attend, num_edge_chunks(perm), *arrays)


def attend_edges_backward(
    ptr: _Ints,
    perm: _Ints,
    col: _Ints,
    t_ptr: _Ints,
    t_perm: _Ints,
    row: _Ints,
    q: _Floats,
    k: _Floats,
    v: _Floats,
    towards: _Floats,
    along: _Floats,
    scale: _Floats,
    is_sigmoid: bool,
    weights: _Floats,
    grad: _Floats,
    grad_scores: _Floats,
    found: tuple[_Floats, _Floats, _Floats, _Floats, _Floats],
) -> None:
    """Gives the gradients of :func:`attend_edges`.

    Args:
        ptr: As there, and so all others up to ``is_sigmoid``.
        perm: As there.
        col: As there.
        t_ptr: Integer ``[M + 1]``, where the edges of each source start in ``t_perm``.
        t_perm: Integer ``[E]``, edges by source.
        row: Integer ``[E]``, the target of each edge.
        q: As there.
        k: As there.
        v: As there.
        towards: As there.
        along: As there.
        scale: As there.
        is_sigmoid: As there.
        weights: ``[E, H]``, as found there.
        grad: ``[N, H, D]``, the gradient of ``out``.
        grad_scores: ``[E, H]``, the gradient of ``weights``; overwritten by that of the scores.
        found: Gradients of ``q``, ``k``, ``v`` and ``towards``, and for each row that of ``scale``,
            ``[N, H]``; written.

    Example:
        >>> ptr, perm, col = np.array([0, 1]), np.array([0]), np.array([0])
        >>> one, none = np.ones((1, 1, 1)), np.empty((1, 0))
        >>> found = [np.empty((1, 1, width)) for width in (1, 1, 1, 0)] + [np.empty((1, 1))]
        >>> attend_edges_backward(
        ...     ptr, perm, col, ptr, perm, col, one, one, one, one[:, :, :0], none, np.ones(1),
        ...     False, np.ones((1, 1)), one, np.zeros((1, 1)), tuple(found)
        ... )
        >>> found[2].tolist()                           # softmax of one edge is 1, whatever q is
        [[[1.0]]]
    """
    grad_q, grad_k, grad_v, grad_towards, grad_scale = found
    num_chunks = num_edge_chunks(perm)
    arrays = (ptr, perm, col, q, k, v, towards, along, scale, is_sigmoid, weights, grad)
    written = (grad_scores, grad_q, grad_towards, grad_scale)
    run_chunks(_by_target, num_chunks, *arrays, *written)
    by_source = (t_ptr, t_perm, row, q, grad, weights, grad_scores, grad_k, grad_v)
    run_chunks(_by_source, num_chunks, *by_source)


@njit(cache=True, nogil=True, inline="always")
def _ask(slot: int, perm: _Ints, col: _Ints, one: _Floats, two: _Floats) -> None:
    """Asks for the vectors of an edge a few slots on."""
    if slot + _AHEAD < perm.size:
        other = np.int64(col[perm[slot + _AHEAD]])
        width = one.shape[1] * one.shape[2]
        for c in range(0, width, _LINE // one.itemsize):
            prefetch(one, other * width + c)
            prefetch(two, other * width + c)


@njit(cache=True, nogil=True, fastmath=_REORDER)
def _attend(
    chunk: int, num_chunks: int, ptr: _Ints, perm: _Ints, col: _Ints, q: _Floats, k: _Floats,
    v: _Floats, towards: _Floats, along: _Floats, scale: _Floats, is_sigmoid: bool,
    weights: _Floats, out: _Floats,
) -> None:  # fmt: skip
    start, stop = chunk_rows(chunk, num_chunks, ptr)
    for row in range(start, stop):
        for slot in range(ptr[row], ptr[row + 1]):
            _ask(slot, perm, col, k, v)
            edge = perm[slot]
            other = col[edge]
            for head in range(q.shape[1]):
                total = q[row, head, 0] * k[other, head, 0]
                for c in range(1, q.shape[2]):
                    total += q[row, head, c] * k[other, head, c]
                for c in range(along.shape[1]):
                    total += towards[row, head, c] * along[edge, c]
                weights[edge, head] = scale[head] * total
        edges = perm[ptr[row] : ptr[row + 1]]
        _normalize(edges, is_sigmoid, weights)
        out[row] = 0.0
        for edge in edges:
            other = col[edge]
            for head in range(q.shape[1]):
                weight = weights[edge, head]
                for c in range(v.shape[2]):
                    out[row, head, c] += weight * v[other, head, c]


@njit(cache=True, nogil=True)
def _normalize(edges: _Ints, is_sigmoid: bool, weights: _Floats) -> None:
    """Turns the scores of the edges of a row into weights."""
    for head in range(weights.shape[1]):
        if is_sigmoid:
            for edge in edges:
                raised = np.exp(-np.abs(weights[edge, head]))
                share = 1 / (1 + raised)
                weights[edge, head] = share if weights[edge, head] >= 0 else raised * share
            continue
        largest = -np.inf
        for edge in edges:
            largest = max(largest, weights[edge, head])
        total = 0.0
        for edge in edges:
            weights[edge, head] = np.exp(weights[edge, head] - largest)
            total += weights[edge, head]
        for edge in edges:
            weights[edge, head] /= total


@njit(cache=True, nogil=True, fastmath=_REORDER)
def _by_target(
    chunk: int, num_chunks: int, ptr: _Ints, perm: _Ints, col: _Ints, q: _Floats, k: _Floats,
    v: _Floats, towards: _Floats, along: _Floats, scale: _Floats, is_sigmoid: bool,
    weights: _Floats, grad: _Floats, grad_scores: _Floats, grad_q: _Floats, grad_towards: _Floats,
    grad_scale: _Floats,
) -> None:  # fmt: skip
    """Gradients of scores (times scale), queries and scale."""
    mean = np.empty(q.shape[1], q.dtype)
    start, stop = chunk_rows(chunk, num_chunks, ptr)
    for row in range(start, stop):
        mean[:] = 0.0
        for slot in range(ptr[row], ptr[row + 1]):
            _ask(slot, perm, col, k, v)
            edge = perm[slot]
            other = col[edge]
            for head in range(q.shape[1]):
                total = grad[row, head, 0] * v[other, head, 0]
                for c in range(1, q.shape[2]):
                    total += grad[row, head, c] * v[other, head, c]
                grad_scores[edge, head] += total
                mean[head] += weights[edge, head] * grad_scores[edge, head]
        grad_q[row] = 0.0
        grad_towards[row] = 0.0
        for slot in range(ptr[row], ptr[row + 1]):
            edge = perm[slot]
            other = col[edge]
            for head in range(q.shape[1]):
                weight = weights[edge, head]
                if is_sigmoid:
                    back = weight * (1 - weight) * grad_scores[edge, head]
                else:
                    back = weight * (grad_scores[edge, head] - mean[head])
                grad_scores[edge, head] = scale[head] * back
                for c in range(q.shape[2]):
                    grad_q[row, head, c] += back * k[other, head, c]
                for c in range(along.shape[1]):
                    grad_towards[row, head, c] += back * along[edge, c]
        _scale_row(q[row], towards[row], scale, grad_q[row], grad_towards[row], grad_scale[row])


@njit(cache=True, nogil=True)
def _scale_row(
    q: _Floats, towards: _Floats, scale: _Floats,
    grad_q: _Floats, grad_towards: _Floats, grad_scale: _Floats,
) -> None:  # fmt: skip
    """Gives the gradient of scale, and multiplies those of what it multiplies."""
    for head in range(scale.size):
        total = q[head, 0] * grad_q[head, 0]
        for c in range(1, q.shape[1]):
            total += q[head, c] * grad_q[head, c]
        for c in range(towards.shape[1]):
            total += towards[head, c] * grad_towards[head, c]
        grad_scale[head] = total
        for c in range(q.shape[1]):
            grad_q[head, c] *= scale[head]
        for c in range(towards.shape[1]):
            grad_towards[head, c] *= scale[head]


@njit(cache=True, nogil=True)
def _by_source(
    chunk: int, num_chunks: int, ptr: _Ints, perm: _Ints, col: _Ints, q: _Floats, grad: _Floats,
    weights: _Floats, grad_scores: _Floats, grad_k: _Floats, grad_v: _Floats,
) -> None:  # fmt: skip
    """Gradients of keys and values."""
    start, stop = chunk_rows(chunk, num_chunks, ptr)
    for row in range(start, stop):
        grad_k[row] = 0.0
        grad_v[row] = 0.0
        for slot in range(ptr[row], ptr[row + 1]):
            _ask(slot, perm, col, q, grad)
            edge = perm[slot]
            other = col[edge]
            for head in range(q.shape[1]):
                weight, back = weights[edge, head], grad_scores[edge, head]
                for c in range(q.shape[2]):
                    grad_k[row, head, c] += back * q[other, head, c]
                    grad_v[row, head, c] += weight * grad[other, head, c]
