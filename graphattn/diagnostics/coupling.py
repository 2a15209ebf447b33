"""The probe that finds out whether an engine gives seeds together the numbers of each alone."""

import logging
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from graphattn.diagnostics.balls import EdgeRows
from graphattn.diagnostics.engines import Engine, Picks, SeedInfluence, UnionEngine
from graphattn.diagnostics.subject import Subject

_LOG = logging.getLogger(__name__)
_SMALL = 3_000  # nodes up to which the Jacobian of the whole graph is the judge

CANNOT_RUN = (RuntimeError, ValueError, IndexError, TypeError)
"""What a model raises that is made for one graph and does not run on a part of it."""


class Measured(Protocol):
    """What the probe has to know of a measurement."""

    subject: Subject
    rows: EdgeRows
    full: bool
    scale: Tensor | None
    probed: npt.NDArray[np.int64]

    @property
    def hops(self) -> int:
        """Radius of the balls."""
        ...

    @property
    def channels(self) -> int:
        """Channels of the output."""
        ...

    @property
    def single(self) -> Engine:
        """One seed at a time."""
        ...


class Probe:
    """Measures two seeds in a way that cannot couple them, and compares engines with that.

    The judge is the Jacobian of each seed alone: on the whole graph (``"full"``) or on its ball
    (``"pyg"``). Above 3,000 nodes, where the former takes long, it is that of a ball two hops wider
    than the engine's, and outputs on it must be those on the whole graph (save for the fused
    engine, whose models are known to be local). An engine that batches seeds under global attention
    or a norm over all nodes is refused so.

    Args:
        run: What is measured. Of the probed seeds, the two with the most influence are compared:
            one whose Jacobian is zero tells nothing.
    """

    def __init__(self, run: Measured) -> None:
        subject, seeds = run.subject, run.probed
        self._tolerance = 1e-9 if subject.x.dtype == torch.float64 else 1e-4
        self._run, self._by_balls = run, run.full and subject.num_nodes > _SMALL
        judge = run.single if not self._by_balls else self._wide()
        found = list(judge.measure(seeds, Picks.every(seeds.size, run.channels)))
        mass = np.array([one.influence.sum() + np.nan_to_num(one.outside) for one in found])
        best = np.sort(np.argsort(-mass, kind="stable")[:2])
        self._seeds, self._found = seeds[best], [found[i] for i in best]
        self._picks = Picks.every(best.size, run.channels)

    def accepts(self, engine: Engine) -> bool:
        """Tells whether an engine gives the same numbers for both seeds together."""
        if engine.name != "fused" and not self._is_local:
            _LOG.info("engine %r: refused, the output reads beyond the ball", engine.name)
            return False
        try:
            measured = list(engine.measure(self._seeds, self._picks))
        except CANNOT_RUN as error:
            _LOG.info("engine %r: refused, the model does not run on it: %s", engine.name, error)
            return False
        for one, other in zip(measured, self._found, strict=True):
            ours, alone = _compared(one, other), _compared(other, other)
            off = float(np.abs(ours - alone).max())
            if not off <= self._tolerance * max(float(alone.max()), 1e-30):
                _LOG.info("engine %r: refused, %.2g off what a seed has alone", engine.name, off)
                return False
        return True

    @cached_property
    def _is_local(self) -> bool:
        """Whether balls give the outputs of the whole graph, where that is not the judge."""
        if not self._by_balls:
            return True
        run, wide = self._run, self._wide()
        x = run.subject.x
        with torch.no_grad():
            index = torch.from_numpy(run.probed).to(x.device)
            whole = run.subject.whole(x).index_select(0, index)
            balls = [run.rows.ball(seed, run.hops + 2) for seed in run.probed.tolist()]
            alone = torch.cat([wide.run([ball])[1] for ball in balls])
        error = float((whole - alone).abs().max())
        return error <= self._tolerance * max(float(whole.abs().max()), 1e-30)

    def _wide(self) -> UnionEngine:
        run = self._run
        return UnionEngine(run.subject, run.rows, run.hops + 2, batch_size=1, scale=run.scale)


def _compared(found: SeedInfluence, judge: SeedInfluence) -> npt.NDArray[np.float64]:
    """The influence of each node that the judge tells apart, and that of all together."""
    of = dict(zip(found.nodes.tolist(), found.influence.tolist(), strict=True))
    total = float(found.influence.sum() + np.nan_to_num(found.outside))
    return np.array([*(of.get(node, 0.0) for node in judge.nodes.tolist()), total])
