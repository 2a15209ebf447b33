"""How far attention reaches: its mean distance, what lies beyond some hops, and its entropy."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphattn.checks import check_least
from graphattn.diagnostics.balls import EdgeRows
from graphattn.diagnostics.subject import Subject, undisturbed
from graphattn.ops.attention import AttentionWeights

_FLAG = "return_attention_weights"

_Ids = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LayerAttention:
    """What one layer attends to, by hop, for each seed and head.

    Args:
        name: Of the layer; its second call in a forward has ``name#2``.
        by_hop: ``[seeds, heads, hops + 1]``, share of the attention on nodes at each exact hop.
        beyond: ``[seeds, heads]``, share on nodes beyond the last hop, or on codes that stand for
            nodes anywhere. With the hops it adds up to 1; to 0 where a seed attends to nothing.
        entropy: ``[seeds, heads]``, in nats; the logarithm of their number if all weights are one.
    """

    name: str
    by_hop: _Floats
    beyond: _Floats
    entropy: _Floats

    @property
    def distance(self) -> _Floats:
        """Mean distance of the attention within the last hop, ``[seeds, heads]``; 0 if none."""
        within = self.by_hop.sum(2)
        total = self.by_hop @ np.arange(self.by_hop.shape[2])
        return np.divide(total, within, out=np.zeros_like(total), where=within > 0)


@runtime_checkable
class WeighsTokens(Protocol):
    """A model on tokens that tells what it attends to; LargeGT is one.

    Example:
        >>> isinstance(nn.Linear(1, 1), WeighsTokens)
        False
    """

    def classify(self, *args: Any, **options: Any) -> Tensor:
        """Computes logits of some seeds."""
        ...

    def token_weights(self, *args: Any, **options: Any) -> list[AttentionWeights]:
        """Gives what those seeds attend to, from the same arguments."""
        ...


def attention_distance(
    model: nn.Module,
    data: Data,
    seeds: Sequence[int] | Tensor | _Ids,
    *,
    max_hops: int,
    forward: Callable[..., Tensor] | None = None,
) -> list[LayerAttention]:
    r"""Measures how far each attention layer and head of a model reaches, in one forward.

    .. math:: \mathrm{dist}_v = \sum_u a(v, u)\, d(u \to v), \qquad
        H_v = -\sum_u a(v, u) \log a(v, u)

    Read are all layers whose ``forward`` takes ``return_attention_weights`` (PyG's ``GATConv``,
    ``GATv2Conv``, ``TransformerConv`` and the like); and of LargeGT the attention of a seed's own
    token to its tokens, the readout of the tokens, and the codebook, all of which is beyond. Hops
    are those of ``data.edge_index``, also where a layer attends along other edges; a token counts
    the hop of its node. Weights are taken by size and to sum to 1 over a seed and head.
    Attention is not influence: it leaves out values, residuals and the layers below.
    Source: mean attention distance, Dosovitskiy et al. 2021, https://arxiv.org/abs/2010.11929,
    appendix D.7, with hops for pixels.

    Args:
        model: Has the layers. It is run in evaluation mode and left as it was.
        data: Has ``x`` and ``edge_index``.
        seeds: The nodes that attend.
        max_hops: The farthest hop told apart.
        forward: What is run, ``f(x, edge_index)`` or ``f(x, edge_index, seeds)``; by default the
            model. Of LargeGT, a call of ``node_forward``.

    Returns:
        One for each call of a layer, in their order.

    Raises:
        ValueError: A seed is no node, the model has no such layer or none was called, or a layer
            attends to other things than the nodes of the graph.
        TypeError: ``data.x`` is not of a float type.

    Example:
        >>> from torch_geometric.nn import GAT
        >>> edges = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> found = attention_distance(GAT(4, 8, 1, 3), Data(torch.zeros(3, 4), edges), [1],
        ...     max_hops=1)
        >>> found[0].name, found[0].by_hop.round(4).tolist()
        ('convs.0', [[[0.3333, 0.6667]]])
    """
    check_least(0, max_hops=max_hops)
    if forward is None and isinstance(model, WeighsTokens):
        raise ValueError(
            "forward must be given for a model on tokens, for instance "
            "lambda x, edge_index, seeds: model.node_forward(x, edge_index, seeds): got None."
        )
    subject = Subject(model if forward is None else forward, data)
    nodes = np.asarray(seeds).reshape(-1)
    if not nodes.size or not 0 <= nodes.min() <= nodes.max() < subject.num_nodes:
        raise ValueError(f"seeds must be nodes, 0 to {subject.num_nodes - 1}, at least one.")
    index = torch.from_numpy(nodes.astype(np.int64))
    on_edges: list[tuple[str, Tensor, Tensor, bool]] = []
    on_tokens: list[list[AttentionWeights]] = []
    with undisturbed(model), torch.no_grad(), _noted(model, on_edges, on_tokens):
        subject.whole(subject.x, index if subject.takes_seeds else None)
    hops = _Hops(subject, index.numpy(), max_hops)
    found = [hops.of_edges(*call) for call in on_edges]
    for calls in zip(*on_tokens, strict=True):
        parts = _joined(calls, None if subject.takes_seeds else index)
        found.append(_of_tokens(*parts, max_hops))
    if not found:
        raise ValueError(
            f"the model must call layers that take {_FLAG}, or be one on tokens: none was called."
        )
    return _numbered(found)


@contextmanager
def _noted(
    model: nn.Module,
    on_edges: list[tuple[str, Tensor, Tensor, bool]],
    on_tokens: list[list[AttentionWeights]],
) -> Iterator[None]:
    """Asks layers for their weights, and takes these out of what they return."""

    def ask(_module: nn.Module, args: Any, options: dict[str, Any]) -> Any:
        return args, {**options, _FLAG: True}

    def note(name: str) -> Callable[..., Tensor]:
        def called(module: Any, _args: Any, _options: Any, result: Any) -> Tensor:
            out, weights = result
            if not isinstance(weights, tuple):
                raise ValueError(f"layers must attend along an edge_index: {name!r} does not.")
            on_edges.append((name, *weights, module.flow == "source_to_target"))
            return out

        return called

    hooks = []
    for name, module in model.named_modules():
        if _FLAG in inspect.signature(module.forward).parameters:
            hooks.append(module.register_forward_pre_hook(ask, with_kwargs=True))
            hooks.append(module.register_forward_hook(note(name), with_kwargs=True))
    if isinstance(model, WeighsTokens):
        classify, weigh = model.classify, model.token_weights

        def classified(*args: Any, **options: Any) -> Tensor:
            on_tokens.append(weigh(*args, **options))
            return classify(*args, **options)

        vars(model)["classify"] = classified
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        vars(model).pop("classify", None)


class _Hops:
    """Tells how far the senders of seeds are."""

    def __init__(self, subject: Subject, seeds: _Ids, max_hops: int) -> None:
        self._num_nodes, self._seeds, self._max_hops = subject.num_nodes, seeds, max_hops
        rows = EdgeRows(subject.edge_index, subject.num_nodes)
        self._balls = [rows.ball(seed, max_hops, edge_hops=0) for seed in seeds.tolist()]

    def of_edges(
        self, name: str, edge_index: Tensor, weights: Tensor, forth: bool
    ) -> LayerAttention:
        """Attention along edges, ``[edges, heads]``."""
        source, target = edge_index.cpu().numpy()[:: 1 if forth else -1]
        if source.size and max(source.max(), target.max()) >= self._num_nodes:
            raise ValueError(
                f"layers must attend to the {self._num_nodes} nodes of the graph: {name!r} attends "
                f"to {source.max()} from {target.max()}."
            )
        heads = weights.detach() if weights.dim() > 1 else weights.detach().unsqueeze(1)
        value = heads.flatten(1).abs().double().cpu().numpy()
        order = np.argsort(target, kind="stable")
        ends = np.cumsum(np.bincount(target, minlength=self._num_nodes))
        hop_of = np.full(self._num_nodes, self._max_hops + 1)
        rows = []
        for seed, ball in zip(self._seeds.tolist(), self._balls, strict=True):
            hop_of[ball.nodes] = np.repeat(np.arange(self._max_hops + 1), np.diff(ball.starts))
            mine = order[(ends[seed - 1] if seed else 0) : ends[seed]]
            rows.append(_row(value[mine].T, hop_of[source[mine]], self._max_hops))
            hop_of[ball.nodes] = self._max_hops + 1
        return _layer(name, rows)


def _row(value: _Floats, hop: npt.NDArray[Any], max_hops: int) -> tuple[_Floats, _Floats]:
    """Shares by hop, the last of them beyond, and entropies of the heads of a seed."""
    total = value.sum(1, keepdims=True)
    share = np.divide(value, total, out=np.zeros_like(value), where=total > 0)
    near = np.minimum(hop, max_hops + 1)
    rows = [np.bincount(near, head, minlength=max_hops + 2) for head in share]
    table = np.stack(rows).astype(np.float64)
    logs = np.log(share, out=np.zeros_like(share), where=share > 0)
    return table, np.maximum(-(share * logs).sum(1), 0.0)


def _layer(name: str, rows: list[tuple[_Floats, _Floats]]) -> LayerAttention:
    table = np.stack([row[0] for row in rows])
    return LayerAttention(name, table[:, :, :-1], table[:, :, -1], np.stack([r[1] for r in rows]))


def _of_tokens(name: str, weights: Tensor, hop: Tensor | None, max_hops: int) -> LayerAttention:
    value = weights.double().cpu().numpy()
    far = np.full((len(value), value.shape[2]), max_hops + 1) if hop is None else hop.cpu().numpy()
    return _layer(name, [_row(*pair, max_hops) for pair in zip(value, far, strict=True)])


def _joined(
    calls: Sequence[AttentionWeights], index: Tensor | None
) -> tuple[str, Tensor, Tensor | None]:
    """One layer's weights of all batches, of the seeds asked for."""
    weights = torch.cat([call.weights for call in calls])
    hops = [call.hop for call in calls if call.hop is not None]
    hop = torch.cat(hops) if hops else None
    if index is not None:
        weights = weights.index_select(0, index.to(weights.device))
        hop = None if hop is None else hop.index_select(0, index.to(hop.device))
    return calls[0].name, weights, hop


def _numbered(found: list[LayerAttention]) -> list[LayerAttention]:
    calls: dict[str, int] = {}
    named = []
    for one in found:
        calls[one.name] = count = calls.get(one.name, 0) + 1
        name = one.name if count == 1 else f"{one.name}#{count}"
        named.append(LayerAttention(name, one.by_hop, one.beyond, one.entropy))
    return named
