"""The backward pass over one seed's ball, layer by layer, all output channels side by side."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

_Ids = npt.NDArray[np.int64]
_Reals = npt.NDArray[np.floating[Any]]


@njit(cache=True, nogil=True)
def backward(
    starts: _Ids,
    row_starts: _Ids,
    sources: _Ids,
    positions: _Ids,
    weight: _Reals,
    nodes: _Ids,
    widths: _Ids,
    neighbor: _Reals,
    own: _Reals,
    bits: npt.NDArray[np.uint8],
    slopes: _Reals,
    grad: _Reals,
    memory: _Reals,
) -> _Reals:
    """Passes gradients of one node's output back to the features of its ball.

    Args:
        starts: int64 ``[at least layers + 2]``, where the hops of the ball start.
        row_starts: As :func:`~graphattn.kernels.ball.ball_edges` gives it, for all but the last
            hop; so are ``sources`` and ``positions``.
        sources: int64.
        positions: int64.
        weight: ``[E]``, of the edges.
        nodes: int64, the ball.
        widths: int64 ``[layers + 1]``, channels before each layer, and of the output.
        neighbor: The weights of all layers, ``[out, in]`` each, one after another.
        own: Those of the node itself, or empty.
        bits: uint8, the open units behind each layer but the last, ``[N, ceil(width / 8)]`` each.
        slopes: The slopes of the norms behind these layers, one after another.
        grad: ``[C, widths[-1]]``, what is passed back from the seed.
        memory: ``[3, at least ball * C * widest]``, overwritten.

    Returns:
        A view of ``memory``: ``[ball, C, widths[0]]``.
    """
    layers, channels = widths.size - 1, grad.shape[0]
    matrix, table, slope = neighbor.size, bits.size, slopes.size
    now = memory[0, : grad.size].reshape(channels, grad.shape[1])
    now[:] = grad
    turn = 0
    for layer in range(layers - 1, -1, -1):
        rows, more = starts[layers - layer], starts[layers - layer + 1]
        width, wide = widths[layer], widths[layer + 1]
        matrix -= width * wide
        place = slice(matrix, matrix + width * wide)
        back = memory[2, : rows * channels * width].reshape(rows * channels, width)
        np.dot(now, neighbor[place].reshape(wide, width), back)
        turn = 1 - turn
        out = memory[turn, : more * channels * width].reshape(more * channels, width)
        kept = 0
        if own.size:
            kept = rows * channels
            np.dot(now, own[place].reshape(wide, width), out[:kept])
        out[kept:] = 0.0
        flat = out.reshape(more, channels * width)
        passed = back.reshape(rows, channels * width)
        spread_back(row_starts, sources, positions, weight, passed, flat)
        if layer:
            row_bytes = (width + 7) >> 3
            num_nodes = bits.size // max(1, _bytes_a_node(widths))
            table -= num_nodes * row_bytes
            slope -= width
            gates = bits[table : table + num_nodes * row_bytes].reshape(num_nodes, row_bytes)
            gate(gates, slopes[slope : slope + width], nodes, out.reshape(more, channels, width))
        now = out
    return now.reshape(now.shape[0] // channels, channels, widths[0])


@njit(cache=True, nogil=True)
def _bytes_a_node(widths: _Ids) -> int:
    total = 0
    for layer in range(1, widths.size - 1):
        total += (widths[layer] + 7) >> 3
    return total


@njit(cache=True, nogil=True, fastmath={"contract"})
def spread_back(
    starts: _Ids,
    sources: _Ids,
    positions: _Ids,
    weight: npt.NDArray[np.floating[Any]],
    grad: npt.NDArray[np.floating[Any]],
    out: npt.NDArray[np.floating[Any]],
) -> None:
    """Adds to each source what its targets pass back: ``out[u] += sum weight[e] * grad[v]``.

    Args:
        starts: int64 ``[at least R + 1]``, as :func:`~graphattn.kernels.ball.ball_edges` gives it.
        sources: int64, the place of each edge's source.
        positions: int64, where each edge's weight stands.
        weight: ``[E]``.
        grad: ``[R, C]``, of the targets.
        out: ``[at least R, C]``, changed in place.

    Example:
        >>> out, starts, first = np.zeros((2, 1)), np.array([0, 1]), np.array([0])
        >>> spread_back(starts, np.array([1]), first, np.array([0.5]), np.ones((1, 1)), out)
        >>> out.tolist()
        [[0.0], [0.5]]
    """
    for v in range(grad.shape[0]):
        for e in range(starts[v], starts[v + 1]):
            factor = weight[positions[e]]
            u = sources[e]
            for c in range(grad.shape[1]):
                out[u, c] += factor * grad[v, c]


@njit(cache=True, nogil=True)
def gate(
    bits: npt.NDArray[np.uint8],
    scale: npt.NDArray[np.floating[Any]],
    nodes: _Ids,
    grad: npt.NDArray[np.floating[Any]],
) -> None:
    """Multiplies gradients by the derivative of norm and ReLU, in place.

    Args:
        bits: uint8 ``[N, ceil(H / 8)]``: which units of each node are open, the lowest bit first.
        scale: ``[H]``, the slope of the folded norm.
        nodes: int64 ``[R]``, the node of each row.
        grad: ``[R, C, H]``.

    Example:
        >>> grad = np.ones((1, 1, 2))
        >>> gate(np.array([[2]], np.uint8), np.array([3.0, 4.0]), np.array([0]), grad)
        >>> grad.tolist()
        [[[0.0, 4.0]]]
    """
    slope = np.empty(scale.size, grad.dtype)
    for i in range(grad.shape[0]):
        row = nodes[i]
        for h in range(scale.size):
            is_open = (bits[row, h >> 3] >> np.uint8(h & 7)) & np.uint8(1)
            slope[h] = scale[h] if is_open else 0.0
        for c in range(grad.shape[1]):
            for h in range(scale.size):
                grad[i, c, h] *= slope[h]
