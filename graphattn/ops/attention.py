"""Attention over the tokens of many seeds at once, and a weighted readout, as pure functions."""

from typing import NamedTuple

from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F


class AttentionWeights(NamedTuple):
    """How much each seed attends to each of its tokens, and how far these are; None: nowhere."""

    name: str
    weights: Float[Tensor, "seeds heads tokens"]
    hop: Int[Tensor, "seeds tokens"] | None


def token_attention(
    q: Float[Tensor, "seeds tokens hidden"],
    k: Float[Tensor, "seeds tokens hidden"],
    v: Float[Tensor, "seeds tokens hidden"],
    heads: int,
    *,
    mask: Bool[Tensor, "seeds tokens"] | None = None,
) -> Float[Tensor, "seeds tokens hidden"]:
    r"""Lets the tokens of each seed attend to each other, several heads side by side.

    .. math:: y_i = \sum_j \mathrm{softmax}_j(q_i^\top k_j / \sqrt{c})\, v_j,
        \qquad c = \text{hidden} / \text{heads}

    No token-by-token matrix is kept for the backward pass: PyTorch's fused kernels recompute it.

    Args:
        q: Queries, the heads side by side in the last axis.
        k: Keys, laid out as ``q``.
        v: Values, laid out as ``q``.
        heads: Number of heads; divides ``hidden``.
        mask: ``True`` where a token exists. A padding token is attended to by nobody.

    Returns:
        What each token gathered, the heads side by side. Rows of padding tokens mean nothing.

    Example:
        >>> import torch
        >>> x = torch.randn(2, 5, 8)
        >>> token_attention(x, x, x, heads=4).shape
        torch.Size([2, 5, 8])
    """
    size = q.size(-1) // heads
    q, k, v = (t.view(*t.shape[:2], heads, size).transpose(1, 2) for t in (q, k, v))
    bias = None if mask is None else mask[:, None, None, :]
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias).transpose(1, 2).flatten(2)


def seed_weights(
    q: Float[Tensor, "seeds tokens hidden"],
    k: Float[Tensor, "seeds tokens hidden"],
    heads: int,
    *,
    mask: Bool[Tensor, "seeds tokens"] | None = None,
) -> Float[Tensor, "seeds heads tokens"]:
    """Gives the weights by which :func:`token_attention` lets token 0 of each seed attend.

    Args:
        q: Queries, as there.
        k: Keys, as there.
        heads: Number of heads.
        mask: ``True`` where a token exists; token 0 must.

    Returns:
        Weights that sum to 1.

    Example:
        >>> import torch
        >>> seed_weights(torch.zeros(1, 2, 4), torch.zeros(1, 2, 4), heads=2)[0, 0].tolist()
        [0.5, 0.5]
    """
    size = q.size(-1) // heads
    query, key = q[:, 0].view(q.size(0), heads, size), k.view(*k.shape[:2], heads, size)
    scores = (query.unsqueeze(1) * key).sum(-1).transpose(1, 2) * size**-0.5
    if mask is not None:
        scores = scores.masked_fill(~mask.unsqueeze(1), float("-inf"))
    return scores.softmax(dim=-1)


def readout_weights(
    scores: Float[Tensor, "seeds tokens"], *, mask: Bool[Tensor, "seeds tokens"] | None = None
) -> Float[Tensor, "seeds tokens"]:
    """Gives the weights of :func:`weighted_readout`: the softmax of scores over existing tokens.

    Args:
        scores: One score a token.
        mask: ``True`` where a token exists.

    Returns:
        Weights that sum to 1, or to 0 for a seed without any token.

    Example:
        >>> import torch
        >>> readout_weights(torch.zeros(1, 2), mask=torch.tensor([[True, False]])).tolist()
        [[1.0, 0.0]]
    """
    if mask is None:
        return scores.softmax(dim=-1)
    scores = scores.masked_fill(~mask, float("-inf"))
    # A seed without tokens has only -inf: its scores become 0 first, its weights 0 after.
    empty = ~mask.any(dim=-1, keepdim=True)
    return scores.masked_fill(empty, 0.0).softmax(dim=-1).masked_fill(~mask, 0.0)


def weighted_readout(
    scores: Float[Tensor, "seeds tokens"],
    values: Float[Tensor, "seeds tokens hidden"],
    *,
    mask: Bool[Tensor, "seeds tokens"] | None = None,
) -> Float[Tensor, "seeds hidden"]:
    r"""Sums the tokens of each seed, weighted by the softmax of their scores.

    .. math:: r = \sum_i \mathrm{softmax}_i(s_i)\, v_i

    Args:
        scores: One score a token.
        values: What is summed.
        mask: ``True`` where a token exists. A seed without any token reads zero.

    Returns:
        One vector a seed.

    Example:
        >>> import torch
        >>> weighted_readout(torch.zeros(1, 2), torch.tensor([[[1.0], [3.0]]]))
        tensor([[2.]])
    """
    weights = readout_weights(scores, mask=mask)
    return (weights.to(values.dtype).unsqueeze(1) @ values).squeeze(1)
