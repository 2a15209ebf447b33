"""Engines that measure influence by autograd: on the whole graph, on balls, on trimmed balls."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from graphattn.diagnostics.balls import Ball, EdgeRows
from graphattn.diagnostics.row_sums import sums_by_rows
from graphattn.diagnostics.subject import Subject

_Ids = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]

_TOGETHER = 64  # seeds of one forward pass, for a model that takes them


class SeedInfluence(NamedTuple):
    """The influence of each node of a seed's ball, nearest first, and of all beyond together."""

    nodes: _Ids
    starts: _Ids
    influence: _Floats
    outside: float


@dataclass(frozen=True, eq=False)
class Picks:
    """Which output channels are followed for each seed, and by how much each counts.

    Args:
        ids: ``[seeds, picks]``, channels.
        factors: ``[seeds, picks]``, positive.
    """

    ids: _Ids
    factors: _Floats

    @classmethod
    def every(cls, num_seeds: int, channels: int) -> "Picks":
        """Every channel once."""
        ids = np.tile(np.arange(channels), (num_seeds, 1))
        return cls(ids, np.ones(ids.shape))

    def of(self, some: slice) -> "Picks":
        """Those of some of the seeds."""
        return Picks(self.ids[some], self.factors[some])


class Engine(Protocol):
    """Measures ``sum over picks of factor * sum over features of |d out[seed, pick] / d x[u]|``."""

    name: str

    def measure(self, seeds: _Ids, picks: Picks) -> Iterator[SeedInfluence]:
        """Measures seeds in their order."""
        ...


def absolute_gradients(
    out: Tensor, x: Tensor, picks: Picks, scale: Tensor | None
) -> npt.NDArray[np.float64]:
    """Sums ``factor * |d out[s, pick] / d x|`` over picks and features, all seeds at once.

    Right where no node is reached from two seeds.

    Args:
        out: ``[seeds, channels]``, computed from ``x``.
        x: ``[nodes, features]``.
        picks: For each seed.
        scale: ``[features]``, what a feature counts; by default 1.

    Returns:
        float64 ``[nodes]``.
    """
    total = np.zeros(x.size(0))
    num_picks = picks.ids.shape[1]
    if not out.requires_grad:  # an output that no feature enters
        return total
    rows = torch.arange(out.size(0), device=out.device)
    for pick in range(num_picks):
        cotangent = torch.zeros_like(out)
        columns = torch.from_numpy(picks.ids[:, pick]).to(out.device)
        cotangent[rows, columns] = torch.from_numpy(picks.factors[:, pick]).to(out)
        (grad,) = torch.autograd.grad(
            out, x, cotangent, retain_graph=pick + 1 < num_picks, allow_unused=True
        )
        if grad is None:
            return total
        size = grad.abs()
        size = size.sum(1) if scale is None else size @ scale
        total += size.double().cpu().numpy()
    return total


class WholeEngine:
    """One forward pass over the whole graph, then one seed at a time: right for any model.

    A model that takes ``seeds`` gives some of them at a time instead of all nodes at once.

    Args:
        subject: What is measured.
        rows: Its edges by target.
        hops: The farthest hop told apart.
        scale: What a feature counts.
    """

    name = "single"

    def __init__(
        self, subject: Subject, rows: EdgeRows, hops: int, scale: Tensor | None = None
    ) -> None:
        self._subject, self._rows, self._hops, self._scale = subject, rows, hops, scale
        self._x = subject.x.clone().requires_grad_()
        first = torch.zeros(1, dtype=torch.long)
        self._out = subject.whole(self._x, first if subject.takes_seeds else None)
        self.channels = self._out.size(1)

    def measure(self, seeds: _Ids, picks: Picks) -> Iterator[SeedInfluence]:
        """Measures seeds in their order."""
        for s, seed in enumerate(seeds.tolist()):
            if self._subject.takes_seeds and s % _TOGETHER == 0:
                some = torch.from_numpy(seeds[s : s + _TOGETHER])
                self._out = self._subject.whole(self._x, some)
            row = self._out[s % _TOGETHER if self._subject.takes_seeds else seed]
            one = picks.of(slice(s, s + 1))
            total = np.zeros(self._x.size(0))
            for pick in range(one.ids.shape[1]):
                value = row[int(one.ids[0, pick])]
                if not value.requires_grad:
                    break
                (grad,) = torch.autograd.grad(value, self._x, retain_graph=True, allow_unused=True)
                if grad is not None:
                    size = grad.abs()
                    size = size.sum(1) if self._scale is None else size @ self._scale
                    total += one.factors[0, pick] * size.double().cpu().numpy()
            found = self._rows.ball(seed, self._hops, edge_hops=0)
            inside = total[found.nodes]
            total[found.nodes] = 0.0
            yield SeedInfluence(found.nodes, found.starts, inside, float(total.sum()))


class UnionEngine:
    """The balls of several seeds as one graph of as many components: right for local models.

    Args:
        subject: What is measured.
        rows: Its edges by target.
        hops: Radius of the balls; each is an induced subgraph.
        batch_size: Balls at once.
        scale: What a feature counts.
        outside: What is said of the mass outside the balls: 0 where the model cannot see beyond
            them, else NaN.
    """

    def __init__(
        self,
        subject: Subject,
        rows: EdgeRows,
        hops: int,
        *,
        batch_size: int = 4,
        scale: Tensor | None = None,
        outside: float = 0.0,
    ) -> None:
        self.name = "union" if batch_size > 1 else "single"
        self._subject, self._rows, self._hops = subject, rows, hops
        self._batch_size, self._scale, self._outside = batch_size, scale, outside

    def measure(self, seeds: _Ids, picks: Picks) -> Iterator[SeedInfluence]:
        """Measures seeds in their order."""
        for start in range(0, seeds.size, self._batch_size):
            some = slice(start, start + self._batch_size)
            balls = [self._rows.ball(seed, self._hops) for seed in seeds[some].tolist()]
            x, out = self.run(balls)
            ends = np.cumsum([0] + [found.nodes.size for found in balls])
            total = absolute_gradients(out, x, picks.of(some), self._scale)
            for i, found in enumerate(balls):
                inside = total[ends[i] : ends[i + 1]]
                yield SeedInfluence(found.nodes, found.starts, inside, self._outside)

    def run(self, balls: Sequence[Ball]) -> tuple[Tensor, Tensor]:
        """Runs the model on some balls.

        Args:
            balls: With all edges among their nodes.

        Returns:
            The features it was given, ball after ball, and the output of each seed.
        """
        sizes = np.array([found.nodes.size for found in balls])
        first = np.cumsum(sizes) - sizes
        edges = [
            np.stack([found.sources, found.targets()]) + shift
            for found, shift in zip(balls, first, strict=True)
        ]
        nodes = torch.from_numpy(np.concatenate([found.nodes for found in balls]))
        x = self._subject.x.index_select(0, nodes.to(self._subject.x.device)).requires_grad_()
        out = self._subject.on(
            x,
            torch.from_numpy(np.concatenate(edges, axis=1)),
            torch.cat([self._rows.numbers(found) for found in balls]),
            batch=torch.from_numpy(np.repeat(np.arange(len(balls)), sizes)),
        )
        return x, out.index_select(0, torch.from_numpy(first).to(out.device))


class TrimmedEngine:
    """Balls of several seeds, hop after hop; a layer leaves out the hops that no later one reads.

    A model of L layers reads L hops and, if it norms by the degrees of sources, as GCN does, those
    of the nodes at the last: the balls reach one hop farther then.

    Args:
        subject: What is measured; its model takes ``num_sampled_nodes_per_hop``.
        rows: Its edges by target.
        num_layers: Layers of the model, one hop each.
        hops: Radius of induced balls, where they are smaller than ``num_layers + 1``.
        reads_degrees: Whether a layer reads the degrees of the sources, or sums that depend on
            them, so that each is given a hop more.
        batch_size: Balls at once.
        scale: What a feature counts.
        outside: As for :class:`UnionEngine`.
    """

    name = "trimmed"

    def __init__(
        self,
        subject: Subject,
        rows: EdgeRows,
        num_layers: int,
        *,
        hops: int | None = None,
        reads_degrees: bool = True,
        batch_size: int = 16,
        scale: Tensor | None = None,
        outside: float = 0.0,
    ) -> None:
        self._subject, self._rows = subject, rows
        self._edge_hops = num_layers if reads_degrees else num_layers - 1
        self._hops = self._edge_hops + 1 if hops is None else min(self._edge_hops + 1, hops)
        self._batch_size, self._scale, self._outside = batch_size, scale, outside

    def measure(self, seeds: _Ids, picks: Picks) -> Iterator[SeedInfluence]:
        """Measures seeds in their order."""
        edge_hops = min(self._hops, self._edge_hops)
        for start in range(0, seeds.size, self._batch_size):
            some = slice(start, start + self._batch_size)
            centres = seeds[some].tolist()
            balls = [self._rows.ball(seed, self._hops, edge_hops=edge_hops) for seed in centres]
            with sums_by_rows(self._subject.model):
                x, out, places = self.run(balls)
            total = absolute_gradients(out[: len(balls)], x, picks.of(some), self._scale)
            for found, place in zip(balls, places, strict=True):
                yield SeedInfluence(found.nodes, found.starts, total[place], self._outside)

    def run(self, balls: Sequence[Ball]) -> tuple[Tensor, Tensor, list[Any]]:
        """Runs the model on some balls.

        Args:
            balls: With the edges that its layers read.

        Returns:
            The features it was given, hop after hop; the output, seeds first; and where the nodes
            of each ball stand among the features.
        """
        counts = np.stack([np.diff(found.starts) for found in balls])  # [seeds, hops + 1]
        by_hop = counts.T.reshape(-1)
        first = (np.cumsum(by_hop) - by_hop).reshape(counts.T.shape).T  # of each seed and hop
        nodes = np.empty(int(counts.sum()), np.int64)
        places, edges, target_hops, numbers = [], [], [], []
        for s, found in enumerate(balls):
            hop = np.repeat(np.arange(counts.shape[1]), counts[s])
            place = np.arange(found.nodes.size) + (first[s] - found.starts[:-1])[hop]
            nodes[place] = found.nodes
            targets = found.targets()
            edges.append(np.stack([place[found.sources], place[targets]]))
            target_hops.append(hop[targets])
            numbers.append(self._rows.numbers(found).numpy())
            places.append(place)
        hops = np.concatenate(target_hops)
        order = np.argsort(hops, kind="stable")
        edge_index = torch.from_numpy(np.concatenate(edges, axis=1)[:, order])
        trim = (
            _padded(counts.sum(0), self._edge_hops + 2),
            _padded(np.bincount(hops, minlength=1), self._edge_hops + 1),
        )
        index = torch.from_numpy(nodes).to(self._subject.x.device)
        x = self._subject.x.index_select(0, index).requires_grad_()
        ids = torch.from_numpy(np.concatenate(numbers)[order])
        return x, self._subject.on(x, edge_index, ids, trim=trim), places


def _padded(counts: npt.NDArray[Any], size: int) -> list[int]:
    return counts.tolist() + [0] * (size - counts.size)
