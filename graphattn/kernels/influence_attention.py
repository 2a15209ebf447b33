"""The backward pass over one seed's ball through layers of attention, all channels side by side."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from graphattn.kernels.influence import add_up, gate

_Ids = npt.NDArray[np.int64]
_Reals = npt.NDArray[np.floating[Any]]


@njit(cache=True, nogil=True)
def attention_backward(
    starts: _Ids,
    row_starts: _Ids,
    sources: _Ids,
    positions: _Ids,
    nodes: _Ids,
    attention: _Reals,
    slope_below: float,
    widths: _Ids,
    inner: _Ids,
    values: _Reals,
    vectors: _Reals,
    matrices: _Reals,
    own: _Reals,
    bits: npt.NDArray[np.uint8],
    slopes: _Reals,
    scale: _Reals,
    grad: _Reals,
    memory: _Reals,
) -> npt.NDArray[np.float64]:
    """Passes gradients of one node's output back to the features of its ball, and adds them up.

    As :func:`~graphattn.kernels.influence.backward`, whose arguments of the same names it takes.

    Args:
        starts: int64 ``[at least layers + 2]``.
        row_starts: int64.
        sources: int64.
        positions: int64.
        nodes: int64, the ball.
        attention: ``[layers, E, H]``: what an edge counts in each head, with a minus where its
            logit was below zero.
        slope_below: The slope of LeakyReLU there.
        widths: int64 ``[layers + 1]``.
        inner: int64 ``[layers]``, channels of all heads together. Where it is not the width of the
            output, that is the mean of the heads.
        values: What is attended to, ``[N, inner]`` a layer, one after another.
        vectors: ``[2, sum of inner]``: what a source's value and a target's add to the logit.
        matrices: From features to values, ``[inner, in]`` a layer, one after another.
        own: The weights of the residual, ``[out, in]`` a layer, one after another, or empty.
        bits: uint8.
        slopes: Of the norms.
        scale: ``[widths[0]]``.
        grad: ``[C, widths[-1]]``.
        memory: As there, the widest being that of ``widths[1:]`` and ``inner``.

    Returns:
        float64 ``[ball]``.
    """
    layers, channels = widths.size - 1, grad.shape[0]
    matrix, itself, vector = matrices.size, own.size, vectors.shape[1]
    table, slope, value = bits.size, slopes.size, values.size
    num_nodes = values.size // vectors.shape[1]
    now = memory[0, : grad.size].reshape(channels, grad.shape[1])
    now[:] = grad
    turn = 0
    for layer in range(layers - 1, -1, -1):
        rows, more = starts[layers - layer], starts[layers - layer + 1]
        width, wide, within = widths[layer], widths[layer + 1], inner[layer]
        matrix -= within * width
        vector -= within
        value -= num_nodes * within
        back = memory[2, : more * channels * within].reshape(more * channels, within)
        back[:] = 0.0
        spread_attention_back(
            row_starts,
            sources,
            positions,
            nodes,
            attention[layer],
            slope_below,
            values[value : value + num_nodes * within].reshape(num_nodes, within),
            vectors[:, vector : vector + within],
            now.reshape(rows, channels, wide),
            back.reshape(more, channels, within),
        )
        project = matrices[matrix : matrix + within * width].reshape(within, width)
        residual = own[:0].reshape(0, 0)
        if own.size:
            itself -= wide * width
            residual = own[itself : itself + wide * width].reshape(wide, width)
        turn = 1 - turn
        if not layer:
            return add_up(back, project, now, residual, scale, channels, memory[turn])
        out = memory[turn, : more * channels * width].reshape(more * channels, width)
        np.dot(back, project, out)
        if own.size:
            kept = rows * channels
            extra = memory[2, : kept * width].reshape(kept, width)
            np.dot(now, residual, extra)
            out[:kept] += extra
        row_bytes = (width + 7) >> 3
        table -= num_nodes * row_bytes
        slope -= width
        gates = bits[table : table + num_nodes * row_bytes].reshape(num_nodes, row_bytes)
        gate(gates, slopes[slope : slope + width], nodes, out.reshape(more, channels, width))
        now = out
    return np.zeros(0)


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def spread_attention_back(
    starts: _Ids,
    sources: _Ids,
    positions: _Ids,
    nodes: _Ids,
    attention: _Reals,
    slope_below: float,
    value: _Reals,
    vectors: _Reals,
    grad: _Reals,
    out: _Reals,
) -> None:
    r"""Adds to the value of each source and target what the targets pass back, logits included.

    With :math:`\alpha_e` the softmax over the edges e = (u, v) of a target of
    :math:`\mathrm{LeakyReLU}(a \cdot z_u + b \cdot z_v)`, and :math:`g_v` what v passes back,

    .. math:: r_e = \alpha_e \sigma_e \Big(g_v \cdot z_u - \sum_f \alpha_f\, g_v \cdot z_f\Big),
        \quad \partial z_u \mathrel{+}= \alpha_e g_v + r_e a,
        \quad \partial z_v \mathrel{+}= \sum_e r_e b.

    Args:
        starts: int64 ``[at least R + 1]``, as :func:`~graphattn.kernels.ball.ball_edges` gives it.
        sources: int64, the place of each edge's source.
        positions: int64, where each edge's attention stands.
        nodes: int64, the node of each place.
        attention: ``[E, H]``, with a minus where the logit was below zero.
        slope_below: The slope of LeakyReLU there.
        value: ``[N, H * D]``, the z of all nodes.
        vectors: ``[2, H * D]``, a and b.
        grad: ``[R, C, H * D]``, of the targets; or ``[R, C, D]``, of the mean of the heads.
        out: ``[at least R, C, H * D]``, changed in place.

    Example:
        >>> starts, ids, one = np.array([0, 2]), np.array([0, 1]), np.ones((1, 1, 1))
        >>> z, vectors, out = np.array([[1.0], [3.0]]), np.ones((2, 1)), np.zeros((2, 1, 1))
        >>> attention = np.array([[0.5], [0.5]])
        >>> spread_attention_back(starts, ids, ids, ids, attention, 0.2, z, vectors, one, out)
        >>> out[:, 0, 0].tolist()
        [0.0, 1.0]
    """
    heads, channels = attention.shape[1], grad.shape[1]
    size = value.shape[1] // heads
    apart = grad.shape[2] == value.shape[1]
    share = 1.0 if apart else 1.0 / heads
    most = 0
    for v in range(grad.shape[0]):
        most = max(most, starts[v + 1] - starts[v])
    products = np.empty((most, channels), grad.dtype)
    mean, pulled = np.empty(channels, grad.dtype), np.empty(channels, grad.dtype)
    for v in range(grad.shape[0]):
        first = starts[v]
        for head in range(heads):
            at = head * size
            of = at if apart else 0
            mean[:] = 0.0
            pulled[:] = 0.0
            for e in range(first, starts[v + 1]):
                weight = abs(attention[positions[e], head])
                row = nodes[sources[e]]
                for c in range(channels):
                    product = grad.dtype.type(0)
                    for d in range(size):
                        product += grad[v, c, of + d] * value[row, at + d]
                    products[e - first, c] = product
                    mean[c] += weight * product
            for e in range(first, starts[v + 1]):
                signed = attention[positions[e], head]
                weight = grad.dtype.type(abs(signed) * share)
                bent = weight if signed >= 0 else grad.dtype.type(weight * slope_below)
                u = sources[e]
                for c in range(channels):
                    raw = bent * (products[e - first, c] - mean[c])
                    pulled[c] += raw
                    for d in range(size):
                        out[u, c, at + d] += weight * grad[v, c, of + d] + raw * vectors[0, at + d]
            for c in range(channels):
                for d in range(size):
                    out[v, c, at + d] += pulled[c] * vectors[1, at + d]
