"""What the readout does to one token or one seed's scores, compiled into its kernels."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

FAST = {"reassoc", "contract", "nsz", "arcp"}  # sums may be vectorised; NaN stays NaN
_EPS = 1e-5  # as torch.nn.LayerNorm

_Floats = npt.NDArray[Any]
_Bools = npt.NDArray[np.bool_]


@njit(cache=True, nogil=True, fastmath=FAST)
def grad_token(
    grad: _Floats,
    share: float,
    towards: float,
    unit: _Floats,
    inverse: float,
    scale: _Floats,
    shift: _Floats,
    score: _Floats,
    kept: _Floats,
    partial: _Floats,
    grad_gathered: _Floats,
    grad_residual: _Floats,
) -> None:
    """Goes back from one token: ``share`` of ``grad`` and ``towards`` the score."""
    hidden = unit.size
    mean, along = unit.dtype.type(0), unit.dtype.type(0)
    for c in range(hidden):
        at_token = share * grad[c] + towards * score[c]
        partial[0, c] += at_token * unit[c]
        partial[1, c] += at_token
        partial[2, c] += towards * (unit[c] * scale[c] + shift[c])
        at_unit = at_token * scale[c]
        grad_residual[c] = at_unit
        mean += at_unit
        along += at_unit * unit[c]
    mean /= hidden
    along /= hidden
    for c in range(hidden):
        before = inverse * (grad_residual[c] - mean - unit[c] * along) * kept[1, c]
        grad_residual[c] = before
        grad_gathered[c] = before * kept[0, c]


@njit(cache=True, nogil=True, fastmath=FAST)
def add_residual(gathered: _Floats, residual: _Floats, kept: _Floats, token: _Floats) -> None:
    for c in range(token.size):
        token[c] = (residual[c] + gathered[c] * kept[0, c]) * kept[1, c]


@njit(cache=True, nogil=True, fastmath=FAST)
def normalise(token: _Floats) -> float:
    """Brings a token to mean 0 and variance 1; returns what it was multiplied by."""
    mean, square = token.dtype.type(0), token.dtype.type(0)
    for c in range(token.size):
        mean += token[c]
    mean /= token.size
    for c in range(token.size):
        token[c] -= mean
        square += token[c] * token[c]
    inverse = token.dtype.type(1) / np.sqrt(square / token.size + token.dtype.type(_EPS))
    for c in range(token.size):
        token[c] *= inverse
    return inverse


@njit(cache=True, nogil=True, fastmath=FAST)
def affine_score(token: _Floats, scale: _Floats, shift: _Floats, score: _Floats) -> float:
    total = token.dtype.type(0)
    for c in range(token.size):
        token[c] = token[c] * scale[c] + shift[c]
        total += token[c] * score[c]
    return total


@njit(cache=True, nogil=True, fastmath=FAST)
def scores(
    unit: _Floats, scale: _Floats, shift: _Floats, score: _Floats, grad: _Floats
) -> tuple[float, float]:
    """Returns the token's products with the score and with the gradient."""
    first, second = unit.dtype.type(0), unit.dtype.type(0)
    for c in range(unit.size):
        token = unit[c] * scale[c] + shift[c]
        first += token * score[c]
        second += token * grad[c]
    return first, second


@njit(cache=True, nogil=True)
def soften(weights: _Floats, mask: _Bools) -> None:
    """Makes scores into the softmax over the tokens that exist, the seed left out."""
    largest, total = -np.inf, 0.0
    for i in range(1, weights.size):
        if mask[i]:
            largest = max(largest, weights[i])
    for i in range(1, weights.size):
        weights[i] = np.exp(weights[i] - largest) if mask[i] else 0
        total += weights[i]
    for i in range(1, weights.size):
        weights[i] = weights[i] / total if mask[i] else 0


@njit(cache=True, nogil=True)
def draw_kept(key: npt.NDArray[np.uint64], token: int, num_tokens: int, kept: _Floats) -> None:
    """Fills two rows with 0 where dropped, else the factor that keeps the mean.

    Two 16-bit lanes of a hash of (key, token, channel): SplitMix64 names the token, the finaliser
    of MurmurHash3 the channel.
    """
    threshold = np.uint32(key[0])
    factor = kept.dtype.type(65536.0 / (65536.0 - np.float64(key[0])))
    if threshold == 0:
        kept[:] = factor
        return
    word = key[1] + (key[2] * np.uint64(num_tokens) + np.uint64(token) + np.uint64(1)) * np.uint64(
        0x9E3779B97F4A7C15
    )
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    word = word ^ (word >> np.uint64(31))
    start = np.uint32(word)
    for c in range(kept.shape[1]):
        lane = np.uint32(start + np.uint32(c) * np.uint32(0x9E3779B1))
        lane = np.uint32((lane ^ (lane >> np.uint32(16))) * np.uint32(0x85EBCA6B))
        lane = np.uint32((lane ^ (lane >> np.uint32(13))) * np.uint32(0xC2B2AE35))
        lane = lane ^ (lane >> np.uint32(16))
        kept[0, c] = factor if (lane & np.uint32(0xFFFF)) >= threshold else 0
        kept[1, c] = factor if (lane >> np.uint32(16)) >= threshold else 0
