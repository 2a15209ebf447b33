"""What tokens gather by attention: weighted sums, means, variances and extremes of their values,
through fused kernels where the mathematics allows, and in chunks of queries elsewhere.
"""

from collections.abc import Sequence
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from graphattn.ops.dropout import fast_dropout
from graphattn.ops.sigmoid_attention import sigmoid_attention
from graphattn.ops.token_scores import AttentionRule, Contrast, Scene, query_weights

_CHUNK = 1 << 21  # numbers in one tensor of a chunk of queries: 8 MB in float32


def gather_tokens(
    q: Float[Tensor, "batch heads tokens size"],
    k: Float[Tensor, "batch heads tokens size"],
    v: Float[Tensor, "batch heads tokens width"],
    *,
    aggregators: Sequence[str] = ("sum",),
    rule: AttentionRule = AttentionRule(),  # noqa: B008 - immutable
    mask: Bool[Tensor, "batch tokens"] | None = None,
    attn_bias: Float[Tensor, "batch_or_1 heads_or_1 tokens tokens"] | None = None,
    is_causal: bool = False,
    contrast: Contrast | None = None,
) -> list[Float[Tensor, "batch heads tokens width"]]:
    r"""Aggregates, for each token and head, the values of all tokens by attention.

    .. math::
        A = \mathrm{softmax}(q^\top k / \sqrt{c} + b) \text{ or } \sigma(\cdot), \qquad
        \mathrm{sum} = A V, \quad \mathrm{mean} = A V / \deg, \quad
        \mathrm{var} = A V^2 / \deg - \mathrm{mean}^2, \qquad \deg_i = \sum_j A_{ij}

    "max" and "min" go over the tokens that :math:`i` may see and whose weight is not cut; where
    there are none, they are :math:`v_i`, and the rest is 0. No token-by-token matrix is kept for
    the backward pass, save ``attn_bias``.

    Args:
        q: Queries.
        k: Keys.
        v: Values.
        aggregators: Some of "sum", "mean", "var", "max", "min".
        rule: How scores become weights.
        mask: ``True`` where a token exists; the others are seen by nobody.
        attn_bias: Added to the scores; ``-inf`` hides a token from another.
        is_causal: Whether a token sees only itself and those before it.
        contrast: A second attention that is subtracted.

    Returns:
        What each aggregator gathered, in their order.

    Example:
        >>> x = torch.randn(1, 2, 5, 4)
        >>> [part.shape for part in gather_tokens(x, x, x, aggregators=("sum", "max"))]
        [torch.Size([1, 2, 5, 4]), torch.Size([1, 2, 5, 4])]
    """
    if not q.size(2):
        return [v for _ in aggregators]
    scene = Scene(mask, attn_bias, is_causal)
    if _is_fused(aggregators, rule, scene):
        return _fused(q, k, v, aggregators, rule.dropout, scene, contrast)
    if _is_sigmoid_sum(q, k, v, aggregators, rule, scene, contrast):
        return [sigmoid_attention(q, k, v, mask, is_causal=is_causal)]
    widest = v.size(3) if {"max", "min"} & set(aggregators) else 1
    step = max(1, _CHUNK // (q.size(0) * q.size(1) * q.size(2) * widest))
    chunks = []
    for start in range(0, q.size(2), step):
        stop = min(start + step, q.size(2))
        inputs = (q, k, v, tuple(aggregators), rule, scene, contrast, start, stop)
        if torch.is_grad_enabled():
            part = checkpoint(_gather_chunk, *inputs, use_reentrant=False)
        else:
            part = _gather_chunk(*inputs)
        chunks.append(part)
    return [torch.cat(parts, dim=2) for parts in zip(*chunks, strict=True)]


def token_weights(
    q: Float[Tensor, "batch heads tokens size"],
    k: Float[Tensor, "batch heads tokens size"],
    *,
    rule: AttentionRule = AttentionRule(),  # noqa: B008 - immutable
    mask: Bool[Tensor, "batch tokens"] | None = None,
    attn_bias: Float[Tensor, "batch_or_1 heads_or_1 tokens tokens"] | None = None,
    is_causal: bool = False,
    contrast: Contrast | None = None,
) -> Float[Tensor, "batch heads tokens tokens"]:
    """Gives the weights of :func:`gather_tokens` before dropout; arguments as there.

    Returns:
        How much each token attends to each.

    Example:
        >>> x = torch.zeros(1, 1, 2, 4)
        >>> token_weights(x, x, is_causal=True)[0, 0].tolist()
        [[1.0, 0.0], [0.5, 0.5]]
    """
    scene = Scene(mask, attn_bias, is_causal)
    return query_weights(q, k, rule, scene, contrast, 0, q.size(2))[0]


def rotate(
    x: Float[Tensor, "batch heads tokens size"],
    rotary: tuple[Float[Tensor, "*batch tokens size"], Float[Tensor, "*batch tokens size"]],
) -> Float[Tensor, "batch heads tokens size"]:
    """Turns pairs of channels by angles that grow with the position of the token.

    Source: RoFormer, https://arxiv.org/abs/2104.09864, with channel ``c`` paired with
    ``c + size / 2``.

    Args:
        x: Queries or keys.
        rotary: Cosines and sines of the angles.

    Returns:
        The turned vectors.

    Example:
        >>> rotate(torch.ones(1, 1, 1, 2), (torch.zeros(1, 2), torch.ones(1, 2))).tolist()
        [[[[-1.0, 1.0]]]]
    """
    cos, sin = (part if part.dim() == 2 else part.unsqueeze(1) for part in rotary)
    left, right = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-right, left], dim=-1) * sin


def _is_fused(aggregators: Sequence[str], rule: AttentionRule, scene: Scene) -> bool:
    """Whether fused kernels give the same."""
    extremes = bool({"max", "min"} & set(aggregators))
    return (
        rule.normalize == "softmax"
        and rule.keeps_all
        and not (scene.is_causal and scene.mask is not None)  # would need a mask of N x N
        and not (extremes and scene.bias is not None)  # what may be seen differs by token
        and not ({"mean", "var"} & set(aggregators) and rule.dropout)  # degrees drop, too
    )


def _is_sigmoid_sum(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    aggregators: Sequence[str],
    rule: AttentionRule,
    scene: Scene,
    contrast: Contrast | None,
) -> bool:
    """Whether it is a sum by sigmoids and nothing else."""
    return (
        rule.normalize == "sigmoid"
        and rule.keeps_all
        and not rule.dropout
        and tuple(aggregators) == ("sum",)
        and scene.bias is None
        and contrast is None
        and q.dtype == k.dtype == v.dtype
        and q.dtype in (torch.float32, torch.float64)
        and not torch.is_autocast_enabled(q.device.type)
    )


def _fused(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    aggregators: Sequence[str],
    dropout: float,
    scene: Scene,
    contrast: Contrast | None,
) -> list[Tensor]:
    hidden = None if scene.mask is None else scene.mask[:, None, None, :]
    if scene.bias is not None:
        hidden = scene.bias if hidden is None else scene.bias.masked_fill(~hidden, -torch.inf)
        if scene.is_causal:
            future = scene.allowed(0, q.size(2), q.size(2), q.device)
            hidden = hidden.masked_fill(~future, -torch.inf)
        hidden = hidden.to(q.dtype)
    is_causal = scene.is_causal and hidden is None

    attend = partial(
        F.scaled_dot_product_attention, attn_mask=hidden, dropout_p=dropout, is_causal=is_causal
    )
    total = attend(q, k, v) if {"sum", "mean"} & set(aggregators) else v
    if contrast is not None:
        total = total - contrast.share * attend(contrast.q, contrast.k, v)
    found = []
    for name in aggregators:
        if name in ("sum", "mean"):
            found.append(total)
        elif name == "var":
            with torch.autocast(q.device.type, enabled=False):  # a difference of near equals
                wide = torch.promote_types(v.dtype, torch.float32)
                q_wide, k_wide, v_wide = q.to(wide), k.to(wide), v.to(wide)
                if scene.bias is not None and hidden is not None:
                    attend = partial(attend, attn_mask=hidden.to(wide))
                mean = attend(q_wide, k_wide, v_wide)
                spread = attend(q_wide, k_wide, v_wide.square()) - mean.square()
            found.append(spread.clamp(min=0).to(v.dtype))
        else:
            sign = 1 if name == "max" else -1
            found.append(sign * _largest_seen(sign * v, scene))
    return found


def _largest_seen(v: Tensor, scene: Scene) -> Tensor:
    """Largest value of each channel among the tokens seen, where these are all, or all before."""
    if scene.is_causal:
        return v.cummax(dim=2).values
    if scene.mask is None:
        return v.amax(dim=2, keepdim=True).expand_as(v)
    largest = v.masked_fill(~scene.mask[:, None, :, None], -torch.inf).amax(dim=2, keepdim=True)
    return torch.where(largest == -torch.inf, v, largest)


def _gather_chunk(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    aggregators: tuple[str, ...],
    rule: AttentionRule,
    scene: Scene,
    contrast: Contrast | None,
    start: int,
    stop: int,
) -> tuple[Tensor, ...]:
    weights, kept = query_weights(q, k, rule, scene, contrast, start, stop)
    weights = fast_dropout(weights, rule.dropout)
    degree = weights.sum(dim=-1, keepdim=True)
    degree = degree.masked_fill(degree == 0, 1.0)
    wide = v.to(weights.dtype)
    with torch.autocast(q.device.type, enabled=False):
        found = [_aggregate(name, weights, degree, kept, wide, start) for name in aggregators]
    return tuple(part.to(v.dtype) for part in found)


def _aggregate(
    name: str, weights: Tensor, degree: Tensor, kept: Tensor, v: Tensor, start: int
) -> Tensor:
    if name == "sum":
        return weights @ v
    if name in ("mean", "var"):
        mean = weights @ v / degree
        if name == "mean":
            return mean
        return (weights @ v.square() / degree - mean.square()).clamp(min=0)
    sign = 1 if name == "max" else -1
    each = (sign * v).unsqueeze(2).masked_fill(~kept.unsqueeze(-1), -torch.inf)
    largest = sign * each.amax(dim=3)
    return torch.where(largest.isinf(), v[:, :, start : start + weights.size(2)], largest)
