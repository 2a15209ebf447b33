"""Weights of tokens for each other: who sees whom, scores, and what stays of them."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class AttentionRule(NamedTuple):
    """How scores become weights.

    ``normalize`` is "softmax" or "sigmoid". Then weights up to ``threshold`` become 0, then all
    but the ``top_k`` largest of a row (and those that tie with the last, but for rounding); what
    stays keeps its value. ``dropout`` is the share of weights dropped at last.
    """

    normalize: str = "softmax"
    threshold: float | None = None
    top_k: int | None = None
    dropout: float = 0.0

    @property
    def keeps_all(self) -> bool:
        """Whether no weight is cut."""
        return self.threshold is None and self.top_k is None


class Contrast(NamedTuple):
    """Second queries and keys, whose attention is subtracted ``share`` times."""

    q: Float[Tensor, "batch heads tokens size"]
    k: Float[Tensor, "batch heads tokens size"]
    share: Float[Tensor, ""]


class Scene(NamedTuple):
    """Who may see whom."""

    mask: Tensor | None
    bias: Tensor | None
    is_causal: bool

    def allowed(self, start: int, stop: int, num_tokens: int, device: torch.device) -> Tensor:
        """Whether the tokens from start to stop see each, ``[B | 1, H | 1, stop - start, N]``."""
        seen = torch.ones(1, 1, stop - start, num_tokens, dtype=torch.bool, device=device)
        if self.is_causal:
            seen = seen.tril(start)
        if self.mask is not None:
            seen = seen & self.mask[:, None, None, :]
        if self.bias is not None:
            seen = seen & (self.bias[:, :, start:stop] != -torch.inf)
        return seen


def query_weights(
    q: Tensor,
    k: Tensor,
    rule: AttentionRule,
    scene: Scene,
    contrast: Contrast | None,
    start: int,
    stop: int,
) -> tuple[Tensor, Tensor]:
    """Gives weights of the queries from start to stop, and which of them are not cut.

    Args:
        q: Queries, ``[B, H, N, D]``.
        k: Keys.
        rule: How scores become weights.
        scene: Who may see whom.
        contrast: A second attention that is subtracted.
        start: The first query.
        stop: The one after the last.

    Returns:
        Both ``[B, H, stop - start, N]``; the second may be 1 wide in the first two.
    """
    allowed = scene.allowed(start, stop, k.size(2), q.device)
    bias = None if scene.bias is None else scene.bias[:, :, start:stop]
    weights = _normalized(q[:, :, start:stop], k, rule, allowed, bias)
    if contrast is not None:
        other = _normalized(contrast.q[:, :, start:stop], contrast.k, rule, allowed, bias)
        weights = weights - contrast.share * other
    kept = allowed
    if rule.threshold is not None:
        kept = kept & (weights > rule.threshold)
    if rule.top_k is not None:
        count = min(rule.top_k, weights.size(3))
        ranked = weights.detach().masked_fill(~allowed, -torch.inf)
        kept = kept & (weights >= lower_tie(ranked.topk(count).values[..., -1:]))
    return (weights if rule.keeps_all else weights.masked_fill(~kept, 0.0)), kept


def lower_tie(weights: Tensor) -> Tensor:
    """Gives the least numbers that count as equal to these weights.

    The same score at two places may differ in its last bits: vector and scalar instructions round
    apart, and which of them a place gets depends on the machine.

    Example:
        >>> bool(lower_tie(torch.tensor(1.0)) < 1 - torch.finfo(torch.float32).eps)
        True
    """
    return weights - weights.abs() * (4 * torch.finfo(weights.dtype).eps)


def _normalized(
    q: Tensor, k: Tensor, rule: AttentionRule, allowed: Tensor, bias: Tensor | None
) -> Tensor:
    scores = q @ k.transpose(2, 3) * q.size(3) ** -0.5
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    scores = scores if bias is None else scores + bias
    if rule.normalize == "sigmoid":
        return scores.masked_fill(~allowed, -torch.inf).sigmoid()
    # A token that sees none has only -inf: its scores become 0 first, its weights 0 after.
    sees_any = allowed.any(-1, keepdim=True)
    scores = scores.masked_fill(~allowed & sees_any, -torch.inf).masked_fill(~sees_any, 0.0)
    return scores.softmax(dim=-1).masked_fill(~allowed, 0.0)
