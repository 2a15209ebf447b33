"""The backward pass over one seed's ball, layer by layer, all output channels side by side."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

ROWS_AT_ONCE = 1 << 17
"""Numbers that the last step keeps in the cache; ``memory`` has room for twice as many."""

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
    scale: _Reals,
    grad: _Reals,
    memory: _Reals,
) -> npt.NDArray[np.float64]:
    """Passes gradients of one node's output back to the features of its ball, and adds them up.

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
        scale: ``[widths[0]]``, what a feature counts.
        grad: ``[C, widths[-1]]``, what is passed back from the seed.
        memory: ``[3, at least max(ball * C * widest, 2 * max(ROWS_AT_ONCE, widths[0]))]``, where
            the widest is that of ``widths[1:]``; overwritten.

    Returns:
        float64 ``[ball]``: the absolute gradients of each node, times ``scale``, added up.
    """
    layers, channels = widths.size - 1, grad.shape[0]
    matrix, table, slope = neighbor.size, bits.size, slopes.size
    num_nodes = bits.size // max(1, bytes_a_node(widths))
    now = memory[0, : grad.size].reshape(channels, grad.shape[1])
    now[:] = grad
    turn = 0
    for layer in range(layers - 1, 0, -1):
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
        row_bytes = (width + 7) >> 3
        table -= num_nodes * row_bytes
        slope -= width
        gates = bits[table : table + num_nodes * row_bytes].reshape(num_nodes, row_bytes)
        gate(gates, slopes[slope : slope + width], nodes, out.reshape(more, channels, width))
        now = out
    rows, more, wide = starts[layers], starts[layers + 1], widths[1]
    out = memory[1 - turn, : more * channels * wide].reshape(more * channels, wide)
    out[:] = 0.0
    passed = now.reshape(rows, channels * wide)
    flat = out.reshape(more, channels * wide)
    spread_back(row_starts, sources, positions, weight, passed, flat)
    first = neighbor[: widths[0] * wide].reshape(wide, widths[0])
    itself = own[:0].reshape(0, 0)
    if own.size:
        itself = own[: widths[0] * wide].reshape(wide, widths[0])
    return add_up(out, first, now, itself, scale, channels, memory[2])


@njit(cache=True, nogil=True)
def bytes_a_node(widths: _Ids) -> int:
    """Counts the bytes of a node's open units behind all layers but the last."""
    total = 0
    for layer in range(1, widths.size - 1):
        total += (widths[layer] + 7) >> 3
    return total


@njit(cache=True, nogil=True)
def add_up(
    grad: _Reals,
    matrix: _Reals,
    own_grad: _Reals,
    own: _Reals,
    scale: _Reals,
    channels: int,
    memory: _Reals,
) -> npt.NDArray[np.float64]:
    """Adds up the absolute values of ``grad @ matrix + own_grad @ own`` for each node.

    A few rows at a time, so that the product, as wide as the features, stays in the cache.

    Args:
        grad: ``[nodes * channels, wide]``.
        matrix: ``[wide, features]``.
        own_grad: ``[at most nodes * channels, other]``, of the first rows.
        own: ``[other, features]``, or empty.
        scale: ``[features]``, what a feature counts.
        channels: Rows of a node.
        memory: At least ``2 * max(ROWS_AT_ONCE, features)``, overwritten.

    Returns:
        float64 ``[nodes]``.

    Example:
        >>> grad, matrix, none = np.array([[1.0], [-2.0]]), np.array([[1.0, 3.0]]), np.ones((0, 0))
        >>> memory = np.empty(2 * ROWS_AT_ONCE)
        >>> add_up(grad, matrix, none, none, np.array([1.0, 0.5]), 1, memory).tolist()
        [2.5, 5.0]
    """
    width, total = matrix.shape[1], np.zeros(grad.shape[0] // channels)
    step = max(1, ROWS_AT_ONCE // max(1, width))
    for start in range(0, grad.shape[0], step):
        end = min(start + step, grad.shape[0])
        out = memory[: (end - start) * width].reshape(end - start, width)
        np.dot(grad[start:end], matrix, out)
        kept = min(end, own_grad.shape[0]) - start
        if own.size and kept > 0:
            half = memory.size // 2
            more = memory[half : half + kept * width].reshape(kept, width)
            np.dot(own_grad[start : start + kept], own, more)
            out[:kept] += more
        _add_rows(out, scale, start, channels, total)
    return total


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _add_rows(
    out: _Reals, scale: _Reals, start: int, channels: int, total: npt.NDArray[np.float64]
) -> None:
    for row in range(out.shape[0]):
        size = scale.dtype.type(0)
        for f in range(out.shape[1]):
            size += abs(out[row, f]) * scale[f]
        total[(start + row) // channels] += size


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
