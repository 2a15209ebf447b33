"""Attention with sigmoids in place of softmax, in blocks that stay in the cache and are computed
again in the backward pass: what fused kernels do for softmax.
"""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

_CHUNK = 1 << 17  # scores of a block: 512 KB in float32


def sigmoid_attention(
    q: Float[Tensor, "batch heads tokens size"],
    k: Float[Tensor, "batch heads tokens size"],
    v: Float[Tensor, "batch heads tokens width"],
    mask: Bool[Tensor, "batch tokens"] | None = None,
    *,
    is_causal: bool = False,
) -> Float[Tensor, "batch heads tokens width"]:
    r"""Sums values by sigmoids: :math:`z_i = \sum_j \sigma(q_i^\top k_j / \sqrt{c})\, v_j`.

    Args:
        q: Queries.
        k: Keys, of one dtype with the queries and values.
        v: Values.
        mask: ``True`` where a token exists; the others are seen by nobody.
        is_causal: Whether a token sees only itself and those before it.

    Returns:
        One vector a token and head, 0 where it sees none.

    Example:
        >>> zero, v = torch.zeros(1, 1, 2, 4), torch.tensor([1.0, 3.0]).view(1, 1, 2, 1)
        >>> sigmoid_attention(zero, zero, v).flatten(), sigmoid_attention(
        ...     zero, zero, v, is_causal=True
        ... ).flatten()
        (tensor([2., 2.]), tensor([0.5000, 2.0000]))
    """
    scaled = q * q.size(3) ** -0.5
    seen = None if mask is None else mask.repeat_interleave(q.size(1), dim=0)
    flat = (part.flatten(0, 1) for part in (scaled, k, v))
    out: Tensor = _forward(*flat, seen, is_causal)
    return out.view(v.shape)


@torch.library.custom_op("graphattn::sigmoid_attention", mutates_args=())
def _forward(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, is_causal: bool) -> Tensor:
    out = v.new_empty(v.shape)
    for batch, rows, keys in _blocks(q, is_causal):
        weights = _weights(q, k, mask, is_causal, batch, rows, keys)
        out[batch, rows] = torch.bmm(weights, v[batch, keys])
    return out


@_forward.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, is_causal: bool) -> Tensor:
    return v.new_empty(v.shape)


@torch.library.custom_op("graphattn::sigmoid_attention_backward", mutates_args=())
def _backward(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, is_causal: bool
) -> tuple[Tensor, Tensor, Tensor]:
    grad_q, grad_k, grad_v = q.new_empty(q.shape), k.new_zeros(k.shape), v.new_zeros(v.shape)
    for batch, rows, keys in _blocks(q, is_causal):
        weights, towards = _weights(q, k, mask, is_causal, batch, rows, keys), grad[batch, rows]
        grad_v[batch, keys].baddbmm_(weights.transpose(1, 2), towards)
        back = torch.bmm(towards, v[batch, keys].transpose(1, 2))
        # A weight that is hidden is 0, and so is its gradient.
        back = torch.ops.aten.sigmoid_backward(back, weights)
        grad_q[batch, rows] = torch.bmm(back, k[batch, keys])
        grad_k[batch, keys].baddbmm_(back.transpose(1, 2), q[batch, rows])
    return grad_q, grad_k, grad_v


@_backward.register_fake
def _(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, is_causal: bool
) -> tuple[Tensor, Tensor, Tensor]:
    return q.new_empty(q.shape), k.new_empty(k.shape), v.new_empty(v.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.is_causal = inputs
    ctx.save_for_backward(*tensors)


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    q, k, v, mask = ctx.saved_tensors
    if not torch.is_grad_enabled():
        return *_backward(grad, q, k, v, mask, ctx.is_causal), None, None
    # Somebody wants a second derivative: all scores at once.
    every = slice(None)
    weights = _weights(q, k, mask, ctx.is_causal, every, slice(0, q.size(1)), every)
    back = torch.bmm(grad, v.transpose(1, 2)) * weights * (1 - weights)
    return back @ k, back.mT @ q, weights.mT @ grad, None, None


_forward.register_autograd(_differentiate, setup_context=_keep)


def _weights(
    q: Tensor,
    k: Tensor,
    mask: Tensor | None,
    is_causal: bool,
    batch: slice,
    rows: slice,
    keys: slice,
) -> Tensor:
    weights = torch.bmm(q[batch, rows], k[batch, keys].transpose(1, 2)).sigmoid()
    if is_causal:
        weights = weights.tril(rows.start)
    if mask is not None:
        weights = weights.masked_fill(~mask[batch, keys].unsqueeze(1), 0.0)
    return weights


def _blocks(q: Tensor, is_causal: bool) -> Iterator[tuple[slice, slice, slice]]:
    """Entries of the batch, queries and keys of each block; keys of the future left out."""
    count, tokens = q.size(0), q.size(1)
    limit = _CHUNK if q.device.type == "cpu" else 64 * _CHUNK
    step = min(max(1, limit // max(tokens, 1)), max(tokens, 1))
    width = max(1, limit // (step * max(tokens, 1)))
    for first in range(0, count, width):
        for start in range(0, tokens, step):
            stop = min(start + step, tokens)
            keys = slice(0, stop if is_causal else tokens)
            yield slice(first, min(first + width, count)), slice(start, stop), keys
