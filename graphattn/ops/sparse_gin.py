"""From the attention of a frozen transformer to a sparse graph between tokens, and messages along
it: heads are aggregated, sharpened and cut, in chunks of queries, so that no tensor of heads by
tokens by tokens exists.
"""

from contextlib import nullcontext
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

_CHUNK = 1 << 22  # numbers in one tensor of a chunk of queries: 16 MB in float32
_HASH = (0x9E3779B1, 0x85EBCA77, 0x27D4EB2F)  # odd factors below 2**32


class AdjacencyRule(NamedTuple):
    """How attention weights become edges.

    ``head_agg`` makes one weight of those of all heads: "sum" (at most 1), "mean" or "max"; "each"
    keeps a graph a head. Then weights are sharpened to ``sigmoid(sharpness * (a - threshold))``,
    unless ``sharpness`` is 0, and those up to ``cutoff`` become 0. ``self_loops`` says whether a
    token may be its own neighbour, ``causal`` whether only tokens before it may.

    ``pattern`` is "attention", or for comparisons "diagonal" (self loops alone) or "shuffled":
    each token keeps its weights, and sends them to as many others drawn at random by ``seed``.
    """

    head_agg: str = "sum"
    sharpness: float = 10.0
    threshold: float = 0.1
    cutoff: float = 0.6
    self_loops: bool = True
    causal: bool = False
    pattern: str = "attention"
    seed: int = 0


class TokenEdges(NamedTuple):
    """A sparse adjacency: for each edge its graph (sample x group), target and source, in order.

    ``size`` is (batch, groups, queries, keys).
    """

    ends: Int[Tensor, "3 edges"]
    weight: Float[Tensor, " edges"]
    size: tuple[int, int, int, int]


def weights_to_adjacency(
    weights: Float[Tensor, "batch heads queries keys"],
    rule: AdjacencyRule = AdjacencyRule(),  # noqa: B008 - immutable
    *,
    visible: Bool[Tensor, "batch_or_1 1 queries keys"] | None = None,
    first: int | None = None,
) -> Float[Tensor, "batch groups queries keys"]:
    r"""Aggregates the heads, sharpens, cuts and masks.

    .. math::
        \tilde A_{ij} = \sigma(\kappa(a_{ij} - \theta))\,
        [\sigma(\kappa(a_{ij} - \theta)) > \epsilon],
        \qquad a_{ij} = \min(1, \textstyle\sum_h A^h_{ij})

    An edge stays where :math:`a_{ij} > \theta + \ln(\epsilon / (1 - \epsilon)) / \kappa`.

    Source: https://arxiv.org/abs/2501.02393, with messages from *j* to *i*, as meant there.

    Args:
        weights: How much each query attends to each key.
        rule: What becomes an edge.
        visible: ``False`` where a query must not see a key, whatever the rule.
        first: Index, among the keys, of the first query; the queries are the last keys by default.

    Returns:
        Weights of the edges, one group, or a group a head for ``head_agg="each"``.

    Example:
        >>> attention = torch.tensor([[[[1.0, 0.0], [0.9, 0.1]]]])
        >>> (weights_to_adjacency(attention) > 0).int().tolist()
        [[[[1, 0], [1, 0]]]]
    """
    first = weights.size(3) - weights.size(2) if first is None else first
    if rule.head_agg == "sum":
        a = weights.sum(dim=1, keepdim=True).clamp(max=1.0)
    elif rule.head_agg == "mean":
        a = weights.mean(dim=1, keepdim=True)
    else:
        a = weights.amax(dim=1, keepdim=True) if rule.head_agg == "max" else weights
    if rule.sharpness > 0:
        a = (rule.sharpness * (a - rule.threshold)).sigmoid()
    column = torch.arange(a.size(3), device=a.device)
    row = torch.arange(first, first + a.size(2), device=a.device).unsqueeze(1)
    if rule.causal:
        before = (column <= row)[None, None]
        visible = before if visible is None else visible & before
    a = a.masked_fill(a <= rule.cutoff, 0.0)
    a = a if visible is None else a.masked_fill(~visible, 0.0)
    if rule.pattern == "shuffled":
        a = _shuffle(a, visible, row, column, rule.seed)
    elif rule.pattern == "diagonal":
        a = a.masked_fill(column != row, 0.0)
    return a if rule.self_loops else a.masked_fill(column == row, 0.0)


def attention_adjacency(
    q: Float[Tensor, "batch heads queries size"],
    k: Float[Tensor, "batch key_heads keys size"],
    rule: AdjacencyRule = AdjacencyRule(),  # noqa: B008 - immutable
    *,
    scaling: float | None = None,
    mask: Bool[Tensor, "b_or_1 h_or_1 q_or_1 k"] | Float[Tensor, "b_or_1 h_or_1 q_or_1 k"] | None,
    is_causal: bool = False,
    detach: bool = True,
    as_edges: bool = False,
) -> Float[Tensor, "batch groups queries keys"] | TokenEdges:
    """Reads the graph off queries and keys, a chunk of queries at a time.

    Args:
        q: Queries, after any rotation.
        k: Keys; each serves ``heads / key_heads`` heads.
        rule: What becomes an edge.
        scaling: Factor of the scores, ``size ** -0.5`` by default.
        mask: What may be seen (boolean), or what is added to the scores (the lowest number of
            the type, or ``-inf``, hides a key).
        is_causal: Whether a query sees only keys up to its own index; used without a mask only.
        detach: Whether no gradient flows into the weights of the edges.
        as_edges: Whether to list the edges; without gradient only.

    Returns:
        The adjacency of :func:`weights_to_adjacency`.

    Raises:
        ValueError: Edges were asked for together with a gradient.

    Example:
        >>> x = torch.zeros(1, 2, 3, 4)
        >>> found = attention_adjacency(x, x, AdjacencyRule(), mask=None, is_causal=True)
        >>> (found > 0).int().tolist()
        [[[[1, 0, 0], [1, 1, 0], [1, 1, 1]]]]
    """
    if as_edges and not detach:
        raise ValueError("as_edges takes detach=True: got detach=False; ask for the matrix.")
    (batch, heads, queries, size), keys = q.shape, k.size(2)
    scaling = size**-0.5 if scaling is None else scaling
    grouped = q.reshape(batch, k.size(1), heads // k.size(1), queries, size)
    first, step = keys - queries, max(1, _CHUNK // max(1, batch * heads * keys))
    parts: list[Tensor] = []
    edges: list[TokenEdges] = []
    with torch.no_grad() if detach else nullcontext():
        for start in range(0, queries, step):
            stop = min(start + step, queries)
            scores = grouped[:, :, :, start:stop] @ k.unsqueeze(2).transpose(3, 4)
            scores = scores.flatten(1, 2).float() * scaling
            visible, bias = _seen(mask, is_causal, start, stop, keys, q.device)
            scores = scores if bias is None else scores + bias
            if visible is not None:
                scores = scores.masked_fill(~visible, -torch.inf)
            weights = scores.softmax(dim=-1)
            if visible is not None:  # a query that sees nothing has NaN
                weights = weights.masked_fill(~visible, 0.0)
                visible = visible.any(dim=1, keepdim=True)
            part = weights_to_adjacency(weights, rule, visible=visible, first=first + start)
            if as_edges:
                edges.append(to_edges(part.to(q.dtype)))
                edges[-1].ends[1] += start
            else:
                parts.append(part.to(q.dtype))
        if not as_edges:
            return torch.cat(parts, dim=2)
    groups = heads if rule.head_agg == "each" else 1
    ends = torch.cat([part.ends for part in edges], dim=1)
    weight = torch.cat([part.weight for part in edges])
    order = (ends[0] * queries + ends[1]).argsort(stable=True)
    return TokenEdges(ends[:, order], weight[order], (batch, groups, queries, keys))


def to_edges(adjacency: Float[Tensor, "batch groups queries keys"]) -> TokenEdges:
    """Lists what is not 0.

    Example:
        >>> to_edges(torch.tensor([[[[0.0, 0.7]]]])).ends.tolist()
        [[0], [0], [1]]
    """
    ends = adjacency.detach().flatten(0, 1).nonzero().t()
    weight = adjacency.detach().flatten(0, 1)[tuple(ends)]
    size = (adjacency.size(0), adjacency.size(1), adjacency.size(2), adjacency.size(3))
    return TokenEdges(ends, weight, size)


def send_messages(
    adjacency: Float[Tensor, "batch groups queries keys"] | TokenEdges,
    z: Float[Tensor, "batch groups keys channels"],
) -> Float[Tensor, "batch groups queries channels"]:
    r"""Sums, at each target, what its sources hold: :math:`m_i = \sum_j \tilde A_{ij} z_j`.

    Args:
        adjacency: The edges, as a matrix or as a list.
        z: What the keys hold.

    Returns:
        What arrives.

    Example:
        >>> z = torch.tensor([[[[1.0], [2.0]]]])
        >>> a = torch.tensor([[[[0.5, 0.5]]]])
        >>> send_messages(a, z).item(), send_messages(to_edges(a), z).item()
        (1.5, 1.5)
    """
    if isinstance(adjacency, Tensor):
        return adjacency.to(z.dtype) @ z
    batch, groups, queries, keys = adjacency.size
    graph, target, source = adjacency.ends
    blocks = torch.sparse_coo_tensor(
        torch.stack([graph * queries + target, graph * keys + source]),
        adjacency.weight.float(),
        (batch * groups * queries, batch * groups * keys),
        is_coalesced=True,
        check_invariants=False,
    )
    with torch.autocast(z.device.type, enabled=False):
        found = torch.sparse.mm(blocks, z.float().flatten(0, 2))
    return found.view(batch, groups, queries, -1).to(z.dtype)


def _seen(
    mask: Tensor | None, is_causal: bool, start: int, stop: int, keys: int, device: torch.device
) -> tuple[Tensor | None, Tensor | None]:
    """Who may be seen by the queries from start to stop, and what is added to their scores."""
    if mask is None:
        if not is_causal:
            return None, None
        row = torch.arange(start, stop, device=device).unsqueeze(1)
        return (torch.arange(keys, device=device) <= row)[None, None], None
    mask = mask[..., :keys]
    mask = mask if mask.size(2) == 1 else mask[:, :, start:stop]
    mask = mask.expand(-1, -1, stop - start, -1)
    if mask.dtype == torch.bool:
        return mask, None
    return mask > torch.finfo(mask.dtype).min / 2, mask


def _shuffle(a: Tensor, visible: Tensor | None, row: Tensor, column: Tensor, seed: int) -> Tensor:
    """Permutes each row among the keys it may see, the same way for the same row, key and seed."""
    noise = (row + 1) * _HASH[0] + (column + 1) * _HASH[1] + seed * _HASH[2]
    for shift, factor in ((15, _HASH[1]), (13, _HASH[2]), (16, 1)):
        noise = ((noise ^ (noise >> shift)) * factor) & 0xFFFFFFFF
    noise = noise.double()[None, None].expand_as(a)
    hidden = torch.zeros_like(a, dtype=torch.bool) if visible is None else ~visible.expand_as(a)
    drawn = noise.masked_fill(hidden, torch.inf).argsort(dim=-1)
    in_order = hidden.to(torch.int8).argsort(dim=-1, stable=True)
    return torch.zeros_like(a).scatter(3, drawn, a.gather(3, in_order))
