"""The end of a local attention block in one pass over its tokens: dropout, residual, dropout,
layer norm, readout. Nothing is kept for the backward pass, which draws the same masks again.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import get_num_threads, njit

from graphattn.kernels.launch import run_chunks
from graphattn.kernels.token import (
    FAST,
    add_residual,
    affine_score,
    draw_kept,
    grad_token,
    normalise,
    scores,
    soften,
)

BLOCK = 8  # seeds whose gradients of the weights are summed together, whatever the threads
_FEW = 4096  # tokens below which waking threads costs more than it saves

_Floats = npt.NDArray[Any]
_Bools = npt.NDArray[np.bool_]


class ReadoutWeights(NamedTuple):
    """Scale and shift of the layer norm and the score of the readout, ``[hidden]`` each."""

    scale: _Floats
    shift: _Floats
    score: _Floats


class DropoutKey(NamedTuple):
    """What is dropped: a share of ``threshold / 65536``, by masks named by seed and token.

    ``first_seed`` is the number of the first seed given among those that share the key.
    """

    threshold: int
    key: int
    first_seed: int


def read_tokens(
    gathered: _Floats,
    residual: _Floats,
    mask: _Bools,
    weights: ReadoutWeights,
    dropout: DropoutKey,
    out: _Floats,
) -> None:
    r"""Reads the tokens of each seed at the seed.

    .. math::
        T_i &= \mathrm{LN}(\mathrm{drop}(r_i + \mathrm{drop}(g_i))) \\
        \mathrm{out} &= T_0 + \sum_{i \ge 1} \mathrm{softmax}_i(w^\top T_i)\, T_i

    Args:
        gathered: ``[B, T, hidden]``, what each token gathered: g.
        residual: ``[B, T, hidden]``: r.
        mask: ``[B, T]``, true where a token exists; column 0 must.
        weights: Of the norm and the readout.
        dropout: What is dropped; threshold 0 for nothing.
        out: ``[B, hidden]``; written.

    Example:
        >>> g, r, ones = np.zeros((1, 1, 2)), np.array([[[1.0, 3.0]]]), np.ones(2)
        >>> out, mask = np.empty((1, 2)), np.ones((1, 1), np.bool_)
        >>> read_tokens(g, r, mask, ReadoutWeights(ones, 0 * ones, ones), DropoutKey(0, 0, 0), out)
        >>> out.round().tolist()
        [[-1.0, 1.0]]
    """
    arrays = (gathered, residual, mask, *weights, _key(dropout), out)
    run_chunks(_read_seeds, _count_chunks(mask), *arrays)


def read_tokens_backward(
    grad_out: _Floats,
    gathered: _Floats,
    residual: _Floats,
    mask: _Bools,
    weights: ReadoutWeights,
    dropout: DropoutKey,
) -> _Floats:
    """Writes over ``gathered`` and ``residual`` the gradients with respect to them.

    Args:
        grad_out: ``[B, hidden]``, with respect to the result.
        gathered: As given to :func:`read_tokens`.
        residual: As given to :func:`read_tokens`.
        mask: As given to :func:`read_tokens`.
        weights: As given to :func:`read_tokens`.
        dropout: As given to :func:`read_tokens`.

    Returns:
        ``[3, hidden]``, gradients with respect to the three weights; the same for any threads.
    """
    num_blocks = (mask.shape[0] + BLOCK - 1) // BLOCK
    partial = np.zeros((num_blocks, 3, gathered.shape[2]), gathered.dtype)
    arrays = (grad_out, gathered, residual, mask, *weights, _key(dropout), partial)
    run_chunks(_grad_blocks, _count_chunks(mask), *arrays)
    total: _Floats = partial.sum(axis=0)
    return total


def _key(dropout: DropoutKey) -> npt.NDArray[np.uint64]:
    return np.array([int(number) & 0xFFFFFFFFFFFFFFFF for number in dropout], np.uint64)


def _count_chunks(mask: _Bools) -> int:
    return get_num_threads() if mask.size >= _FEW else 1


@njit(cache=True, nogil=True, fastmath=FAST)
def _read_seeds(
    chunk: int,
    num_chunks: int,
    gathered: _Floats,
    residual: _Floats,
    mask: _Bools,
    scale: _Floats,
    shift: _Floats,
    score: _Floats,
    key: npt.NDArray[np.uint64],
    out: _Floats,
) -> None:
    """Reads one of ``num_chunks`` equal parts."""
    num_tokens, hidden = gathered.shape[1:]
    tokens = np.empty((num_tokens, hidden), gathered.dtype)
    weights = np.empty(num_tokens, gathered.dtype)
    kept = np.empty((2, hidden), gathered.dtype)
    first = chunk * mask.shape[0] // num_chunks
    for seed in range(first, (chunk + 1) * mask.shape[0] // num_chunks):
        for i in range(num_tokens):
            if mask[seed, i]:
                draw_kept(key, seed * num_tokens + i, num_tokens, kept)
                add_residual(gathered[seed, i], residual[seed, i], kept, tokens[i])
                normalise(tokens[i])
                weights[i] = affine_score(tokens[i], scale, shift, score)
        soften(weights, mask[seed])
        for c in range(hidden):
            out[seed, c] = tokens[0, c]
        for i in range(1, num_tokens):
            if mask[seed, i]:
                for c in range(hidden):
                    out[seed, c] += weights[i] * tokens[i, c]


@njit(cache=True, nogil=True, fastmath=FAST)
def _grad_blocks(
    chunk: int,
    num_chunks: int,
    grad_out: _Floats,
    gathered: _Floats,
    residual: _Floats,
    mask: _Bools,
    scale: _Floats,
    shift: _Floats,
    score: _Floats,
    key: npt.NDArray[np.uint64],
    partial: _Floats,
) -> None:
    """Goes back through one of ``num_chunks`` equal parts, and sums block by block."""
    num_tokens, hidden = gathered.shape[1:]
    unit = np.empty((num_tokens, hidden), gathered.dtype)  # before scale and shift
    inverse = np.empty(num_tokens, gathered.dtype)
    weights = np.empty(num_tokens, gathered.dtype)
    along = np.empty(num_tokens, gathered.dtype)  # grad_out . T_i
    kept = np.empty((2, hidden), gathered.dtype)
    first = chunk * partial.shape[0] // num_chunks * BLOCK
    last = (chunk + 1) * partial.shape[0] // num_chunks * BLOCK
    for seed in range(first, min(last, mask.shape[0])):
        grad, sums = grad_out[seed], partial[seed // BLOCK]
        for i in range(num_tokens):
            if mask[seed, i]:
                draw_kept(key, seed * num_tokens + i, num_tokens, kept)
                add_residual(gathered[seed, i], residual[seed, i], kept, unit[i])
                inverse[i] = normalise(unit[i])
                weights[i], along[i] = scores(unit[i], scale, shift, score, grad)
        soften(weights, mask[seed])
        mean = along.dtype.type(0)
        for i in range(1, num_tokens):
            if mask[seed, i]:
                mean += weights[i] * along[i]
        for i in range(num_tokens):
            if not mask[seed, i]:
                gathered[seed, i] = 0
                residual[seed, i] = 0
                continue
            towards = weights[i] * (along[i] - mean) if i else along.dtype.type(0)
            share = weights[i] if i else along.dtype.type(1)
            draw_kept(key, seed * num_tokens + i, num_tokens, kept)
            grad_token(
                grad, share, towards, unit[i], inverse[i], scale, shift, score, kept, sums,
                gathered[seed, i], residual[seed, i],
            )  # fmt: skip
