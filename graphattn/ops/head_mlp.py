"""One small network a head: in chunks of rows that stay in the cache and are computed again in the
backward pass, so that nothing of the hidden width is kept.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from graphattn.ops.dropout import fast_dropout

EPS = 1e-6
"""Added to the mean square before its root."""

_CHUNK = 1 << 16  # hidden numbers of a chunk: 256 KB in float32, a few of which fit a cache


def head_mlp(
    z: Float[Tensor, "rows heads in_channels"],
    weight_in: Float[Tensor, "heads in_channels hidden"],
    bias_in: Float[Tensor, "heads hidden"],
    weight_out: Float[Tensor, "heads hidden out_channels"],
    bias_out: Float[Tensor, "heads out_channels"],
    scale: Float[Tensor, "heads hidden"] | None,
    act: str,
) -> Float[Tensor, "rows heads out_channels"]:
    r"""Updates each head of each row: :math:`W'\,\phi(\mathrm{norm}(W z + b)) + b'`.

    Args:
        z: What comes in; float32 or float64.
        weight_in: Weights of the first layer of each head.
        bias_in: Its biases.
        weight_out: Weights of the second layer.
        bias_out: Its biases.
        scale: What hidden channels are multiplied by after division by their root mean square;
            None: no norm.
        act: "silu", "relu", "gelu" or "identity".

    Returns:
        What goes out.

    Example:
        >>> z, eye = torch.ones(1, 1, 2), torch.eye(2).unsqueeze(0)
        >>> none = torch.zeros(1, 2)
        >>> head_mlp(z, eye, none, eye, none, None, "relu")
        tensor([[[1., 1.]]])
    """
    return _forward(z, weight_in, bias_in, weight_out, bias_out, scale, act)


def plain_head_mlp(
    z: Tensor,
    weight_in: Tensor,
    bias_in: Tensor,
    weight_out: Tensor,
    bias_out: Tensor,
    scale: Tensor | None,
    act: str,
    dropout: float = 0.0,
) -> Tensor:
    """:func:`head_mlp` in PyTorch's operations, heads before rows; any dtype, any device.

    Args:
        z: ``[..., heads, rows, in_channels]``.
        weight_in: As there, and so all others.
        bias_in: As there.
        weight_out: As there.
        bias_out: As there.
        scale: As there.
        act: As there.
        dropout: Share of the hidden channels that is dropped, before the norm.

    Returns:
        ``[..., heads, rows, out_channels]``.
    """
    hidden = torch.matmul(z, weight_in) + bias_in.unsqueeze(1)
    hidden = fast_dropout(hidden, dropout) if dropout else hidden
    if scale is not None:
        hidden = F.rms_norm(hidden, hidden.shape[-1:], eps=EPS) * scale.unsqueeze(1)
    return torch.matmul(_activate(hidden, act), weight_out) + bias_out.unsqueeze(1)


@torch.library.custom_op("graphattn::head_mlp", mutates_args=())
def _forward(
    z: Tensor,
    weight_in: Tensor,
    bias_in: Tensor,
    weight_out: Tensor,
    bias_out: Tensor,
    scale: Tensor | None,
    act: str,
) -> Tensor:
    out = z.new_empty(z.size(0), z.size(1), weight_out.size(2))
    for rows in _chunks(z, weight_in):
        hidden, _ = _hidden(z[rows].transpose(0, 1), weight_in, bias_in, scale)
        hidden = hidden if scale is None else hidden * scale.unsqueeze(1)
        found = torch.baddbmm(bias_out.unsqueeze(1), _activate(hidden, act), weight_out)
        out[rows] = found.transpose(0, 1)
    return out


@_forward.register_fake
def _(z: Tensor, weight_in: Tensor, bias_in: Tensor, weight_out: Tensor, *_: Any) -> Tensor:
    return z.new_empty(z.size(0), z.size(1), weight_out.size(2))


@torch.library.custom_op("graphattn::head_mlp_backward", mutates_args=())
def _backward(
    grad: Tensor,
    z: Tensor,
    weight_in: Tensor,
    bias_in: Tensor,
    weight_out: Tensor,
    scale: Tensor | None,
    act: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    grad_z = torch.empty_like(z, memory_format=torch.contiguous_format)
    grad_in, grad_out = torch.zeros_like(weight_in), torch.zeros_like(weight_out)
    grad_bias_in = torch.zeros_like(bias_in)
    grad_bias_out = grad.sum(dim=0)
    grad_scale = torch.zeros_like(bias_in)
    for rows in _chunks(z, weight_in):
        part, towards = z[rows].transpose(0, 1), grad[rows].transpose(0, 1)
        normed, inverse = _hidden(part, weight_in, bias_in, scale)
        scaled = normed if scale is None else normed * scale.unsqueeze(1)
        grad_out.baddbmm_(_activate(scaled, act).transpose(1, 2), towards)
        back = _activate_backward(torch.bmm(towards, weight_out.transpose(1, 2)), scaled, act)
        if scale is not None and inverse is not None:
            grad_scale += (back * normed).sum(dim=1)
            back = back * scale.unsqueeze(1)
            share = (back * normed).mean(dim=-1, keepdim=True)
            back = back.addcmul_(normed, share, value=-1.0).mul_(inverse)
        grad_bias_in += back.sum(dim=1)
        grad_in.baddbmm_(part.transpose(1, 2), back)
        grad_z[rows] = torch.bmm(back, weight_in.transpose(1, 2)).transpose(0, 1)
    return grad_z, grad_in, grad_bias_in, grad_out, grad_bias_out, grad_scale


@_backward.register_fake
def _(
    grad: Tensor,
    z: Tensor,
    weight_in: Tensor,
    bias_in: Tensor,
    weight_out: Tensor,
    scale: Tensor | None,
    act: str,
) -> tuple[Tensor, ...]:
    grad_z = torch.empty_like(z, memory_format=torch.contiguous_format)
    bias_out = grad.new_empty(grad.shape[1:])
    like = torch.empty_like
    return grad_z, like(weight_in), like(bias_in), like(weight_out), bias_out, like(bias_in)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.act = inputs
    ctx.save_for_backward(*tensors)


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    z, weight_in, bias_in, weight_out, bias_out, scale = saved = ctx.saved_tensors
    if torch.is_grad_enabled():  # somebody wants a second derivative
        found = plain_head_mlp(
            z.transpose(0, 1), weight_in, bias_in, weight_out, bias_out, scale, ctx.act
        )
        wanted = [t for t in saved if t is not None and t.requires_grad]
        grads = iter(torch.autograd.grad(found.transpose(0, 1), wanted, grad, create_graph=True))
        return *[next(grads) if t is not None and t.requires_grad else None for t in saved], None
    found = _backward(grad, z, weight_in, bias_in, weight_out, scale, ctx.act)
    return *found[:5], (None if scale is None else found[5]), None


_forward.register_autograd(_differentiate, setup_context=_keep)


def _chunks(z: Tensor, weight_in: Tensor) -> list[slice]:
    num_rows = z.size(0)
    step = max(1, _CHUNK // (weight_in.size(0) * max(weight_in.size(1), weight_in.size(2))))
    step = step if z.device.type == "cpu" else max(1, num_rows)
    return [slice(start, min(start + step, num_rows)) for start in range(0, num_rows, step)]


def _hidden(
    z: Tensor, weight: Tensor, bias: Tensor, scale: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Hidden channels, divided by their root mean square where there is a scale; its inverse."""
    hidden = torch.baddbmm(bias.unsqueeze(1), z, weight)
    if scale is None:
        return hidden, None
    square = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True).square()
    inverse = (square / hidden.size(-1)).add_(EPS).rsqrt_()
    return hidden.mul_(inverse), inverse


def _activate(x: Tensor, act: str) -> Tensor:
    if act == "silu":
        return F.silu(x)
    if act == "relu":
        return F.relu(x)
    return F.gelu(x) if act == "gelu" else x


def _activate_backward(grad: Tensor, x: Tensor, act: str) -> Tensor:
    if act == "silu":
        return torch.ops.aten.silu_backward(grad, x)
    if act == "relu":
        return torch.ops.aten.threshold_backward(grad, x, 0)
    return torch.ops.aten.gelu_backward(grad, x) if act == "gelu" else grad
