"""What features beyond a hop are worth: accuracy when they are taken away."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphattn.checks import check_choice, check_least
from graphattn.diagnostics.balls import Ball, EdgeRows
from graphattn.diagnostics.coupling import CANNOT_RUN
from graphattn.diagnostics.subject import Subject, hops_read, undisturbed

_LOG = logging.getLogger(__name__)
_MOST_NODES = 200_000  # of the balls that are run at once

_Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class HopAblation:
    """How well seeds are classified when only features up to a hop are left.

    Args:
        accuracy: ``[hops + 1]``, share of the labelled seeds classified rightly with the features
            up to each hop; 0 where no seed is labelled.
        agreement: ``[hops + 1]``, share of all seeds classified as with all features.
        intact: Accuracy with all features.
        seeds: ``[seeds]``, node ids.
        num_labelled: How many of them have a label.
        engine: ``"union"``: balls around seeds, side by side; ``"whole"``: the whole graph, once a
            seed and hop, which is right for any model.
    """

    accuracy: npt.NDArray[np.float64]
    agreement: npt.NDArray[np.float64]
    intact: float
    seeds: _Ids
    num_labelled: int
    engine: str


def hop_ablation(
    model_or_forward: Callable[..., Tensor],
    data: Data,
    seeds: Sequence[int] | Tensor | _Ids,
    *,
    max_hops: int,
    replace: Literal["shuffle", "zero", "mean"] = "shuffle",
    seed: int = 0,
) -> HopAblation:
    r"""Measures accuracy with the features beyond each hop replaced, edges left as they are.

    .. math:: \mathrm{acc}_h = \frac{1}{|S|} \sum_{v \in S}
        \mathbf 1\left[\operatorname{argmax} f_v(X^{(v,h)}) = y_v\right], \qquad
        X^{(v,h)}_u = X_u \text{ if } d(u \to v) \le h \text{ else } \tilde X_u

    It is a causal check on influence, which is a gradient: a hop may move an output and yet be
    worth nothing. Balls that hold all a model reads are run side by side, one forward a hop. Where
    the intact balls do not give the outputs on the whole graph (global attention, norms over all
    nodes), each seed and hop takes a forward over the whole graph.
    Source: permutation importance, Breiman 2001, https://doi.org/10.1023/A:1010933404324, by hop.

    Args:
        model_or_forward: As for :func:`~graphattn.diagnostics.influence`; it gives one logit a
            class. It is run in evaluation mode and left as it was.
        data: Has ``x``, ``edge_index`` and ``y``, a class a node, below 0 where unknown.
        seeds: The nodes to classify; each counts as often as it is named.
        max_hops: The last hop after which features are replaced.
        replace: By the features of another node, one permutation of all nodes (``"shuffle"``), by
            zeros, or by the mean over all nodes.
        seed: Of the permutation.

    Returns:
        Accuracy by the last hop left, and with all features.

    Raises:
        ValueError: An option is unknown, a seed no node, or ``data.y`` is not a class a node.
        TypeError: ``data.x`` is not of a float type.

    Example:
        >>> data = Data(torch.eye(3), torch.tensor([[0, 1], [1, 2]]), y=torch.arange(3))
        >>> found = hop_ablation(lambda x, edge_index: x, data, [0, 1, 2], max_hops=1)
        >>> found.accuracy.tolist(), found.intact
        ([1.0, 1.0], 1.0)
    """
    check_choice(("shuffle", "zero", "mean"), replace=replace)
    check_least(0, max_hops=max_hops)
    subject = Subject(model_or_forward, data)
    nodes, labels = _asked(seeds, data, subject.num_nodes)
    rows = EdgeRows(subject.edge_index, subject.num_nodes)
    other = _replacement(subject.x, replace, seed)
    with undisturbed(subject.model), torch.no_grad():
        index = torch.from_numpy(nodes)
        intact = subject.whole(subject.x, index if subject.takes_seeds else None)
        intact = intact if subject.takes_seeds else intact.index_select(0, index.to(intact.device))
        engine, found = "union", _by_balls(subject, rows, nodes, max_hops, other, intact)
        if found is None:
            engine, found = "whole", _by_seed(subject, rows, nodes, max_hops, other)
    said, kept = intact.argmax(1).cpu().numpy(), labels >= 0
    count = max(int(kept.sum()), 1)
    right = (found == labels) & kept
    return HopAblation(
        right.sum(1) / count,
        (found == said).mean(1),
        float(((said == labels) & kept).sum() / count),
        nodes,
        int(kept.sum()),
        engine,
    )


def _asked(seeds: Any, data: Data, num_nodes: int) -> tuple[_Ids, npt.NDArray[Any]]:
    nodes = np.asarray(seeds).reshape(-1)
    if not nodes.size or nodes.dtype.kind not in "iu" or not 0 <= nodes.min() <= nodes.max():
        raise ValueError(f"seeds must be node ids, at least one: got {nodes.size} {nodes.dtype}.")
    if nodes.max() >= num_nodes:
        raise ValueError(f"seeds must be nodes, 0 to {num_nodes - 1}: got {nodes.max()}.")
    y = data.y
    if not isinstance(y, Tensor) or y.numel() != num_nodes or len(y) != num_nodes:
        got = list(y.shape) if isinstance(y, Tensor) else type(y).__name__
        raise ValueError(f"data.y must be a class for each of {num_nodes} nodes: got {got}.")
    values = y.detach().cpu().reshape(-1)
    if values.is_floating_point():
        values = values.nan_to_num(-1.0)
    return nodes.astype(np.int64), values.long().numpy()[nodes]


def _replacement(x: Tensor, replace: str, seed: int) -> Tensor:
    """What stands in for each node's features."""
    if replace == "shuffle":
        order = torch.from_numpy(np.random.default_rng(seed).permutation(x.size(0)))
        return x.index_select(0, order.to(x.device))
    return torch.zeros_like(x) if replace == "zero" else x.mean(0).expand_as(x)


def _by_seed(
    subject: Subject, rows: EdgeRows, nodes: _Ids, max_hops: int, other: Tensor
) -> npt.NDArray[np.int64]:
    """The class of each seed after each hop, ``[hops + 1, seeds]``, on the whole graph."""
    found = np.empty((max_hops + 1, nodes.size), np.int64)
    for s, node in enumerate(nodes.tolist()):
        for hop in range(max_hops + 1):
            found[hop, s] = int(_alone(subject, rows, node, hop, other).argmax())
    return found


def _alone(subject: Subject, rows: EdgeRows, node: int, hop: int, other: Tensor) -> Tensor:
    """The output of one seed on the whole graph, features up to a hop left."""
    near = torch.from_numpy(rows.ball(node, hop, edge_hops=0).nodes).to(other.device)
    x = other.clone().index_copy_(0, near, subject.x.index_select(0, near))
    out = subject.whole(x, torch.tensor([node]) if subject.takes_seeds else None)
    return out[0 if subject.takes_seeds else node]


def _by_balls(
    subject: Subject, rows: EdgeRows, nodes: _Ids, max_hops: int, other: Tensor, intact: Tensor
) -> npt.NDArray[np.int64] | None:
    """As :func:`_by_seed`, on balls side by side; None where that gives other outputs.

    Compared are all seeds with all features, and two of each batch with their own features only,
    which tells balls that see each other apart even if each of them is the whole graph.
    """
    if subject.takes_seeds:
        return None
    read = hops_read(subject, lambda: subject.whole(subject.x)) or max_hops
    found: list[npt.NDArray[np.int64]] = []
    exact = 1e-9 if subject.x.dtype == torch.float64 else 1e-4
    for balls in _batches(rows, nodes, read + 1):
        size = sum(len(parts) for parts in found)
        expected = intact[size : size + len(balls)]
        run = _Union(subject, rows, balls)
        away = other.index_select(0, run.nodes)
        try:
            near = run.classify(run.x)
            own = run.classify(torch.where((run.hop > 0)[:, None], away, run.x))
        except CANNOT_RUN as error:
            _LOG.info("on the whole graph: the model does not run on balls: %s", error)
            return None
        two = torch.tensor([0, len(balls) - 1])
        alone = [_alone(subject, rows, int(nodes[size + i]), 0, other) for i in two.tolist()]
        here = torch.cat([near, own[two.to(own.device)]])
        judge = torch.cat([expected, torch.stack(alone)])
        off = float((here - judge).abs().max())
        if not off <= exact * max(float(judge.abs().max()), 1e-30):
            _LOG.info("on the whole graph: balls give outputs that are %.2g off", off)
            return None
        said = [own.argmax(1)]
        for hop in range(1, max_hops + 1):
            x = torch.where((run.hop > hop)[:, None], away, run.x)
            said.append(run.classify(x).argmax(1))
        found.append(torch.stack(said, dim=1).cpu().numpy())
    return np.concatenate(found).T


def _batches(rows: EdgeRows, nodes: _Ids, hops: int) -> Iterator[list[Ball]]:
    """Balls of so many nodes together that they fit into memory; two at least, if there are."""
    balls: list[Ball] = []
    size = 0
    for node in nodes.tolist():
        ball = rows.ball(node, hops)
        if len(balls) > 1 and size + ball.nodes.size > _MOST_NODES:
            yield balls
            balls, size = [], 0
        balls.append(ball)
        size += ball.nodes.size
    yield balls


class _Union:
    """Balls as one graph of as many components."""

    def __init__(self, subject: Subject, rows: EdgeRows, balls: Sequence[Ball]) -> None:
        self._subject = subject
        sizes = np.array([ball.nodes.size for ball in balls])
        first = np.cumsum(sizes) - sizes
        pairs = [
            np.stack([ball.sources, ball.targets()]) + shift
            for ball, shift in zip(balls, first, strict=True)
        ]
        hops = [np.repeat(np.arange(ball.starts.size - 1), np.diff(ball.starts)) for ball in balls]
        device = subject.x.device
        self.nodes = torch.from_numpy(np.concatenate([ball.nodes for ball in balls])).to(device)
        self.hop = torch.from_numpy(np.concatenate(hops)).to(device)
        self.x = subject.x.index_select(0, self.nodes)
        self._first = torch.from_numpy(first).to(device)
        self._edges = torch.from_numpy(np.concatenate(pairs, axis=1))
        self._numbers = torch.cat([rows.numbers(ball) for ball in balls])
        self._batch = torch.from_numpy(np.repeat(np.arange(len(balls)), sizes))

    def classify(self, x: Tensor) -> Tensor:
        """The output of each seed."""
        out = self._subject.on(x, self._edges, self._numbers, batch=self._batch)
        return out.index_select(0, self._first)
