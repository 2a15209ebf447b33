"""Which engine measures a model: the fastest that a probe finds to give a lone seed's numbers."""

import logging
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from graphattn.diagnostics.coupling import CANNOT_RUN, Probe
from graphattn.diagnostics.engines import Engine, TrimmedEngine, UnionEngine, WholeEngine
from graphattn.diagnostics.fused import FusedEngine, is_fusable
from graphattn.diagnostics.subject import Subject, hops_read, reads_degrees

_LOG = logging.getLogger(__name__)
_PROBED = 4  # seeds, of which the two with the most influence are compared

ENGINES = ("fused", "trimmed", "union", "single")
"""The engines, the fastest first."""


class Measurement:
    """What is measured and how: the model, the graph, the hops and the meaning of the Jacobian.

    Args:
        subject: The model and its data.
        max_hops: The farthest hop told apart.
        semantics: ``"full"`` or ``"pyg"``.
        scale: What a feature counts, ``[features]``.
        order: The nodes to measure; the probe takes the first.
    """

    def __init__(
        self,
        subject: Subject,
        max_hops: int,
        semantics: str,
        scale: Tensor | None,
        order: npt.NDArray[np.int64],
    ) -> None:
        self.subject, self.max_hops, self.scale = subject, max_hops, scale
        self.full = semantics == "full"
        self.rows = subject.rows()
        self.probed = np.unique(order[:_PROBED])
        if self.probed.size < 2 and subject.num_nodes > 1:
            other = int(self.probed[0] + 1) % subject.num_nodes
            self.probed = np.append(self.probed, other)

    @cached_property
    def channels(self) -> int:
        """Channels of the output."""
        if self.subject.takes_seeds and isinstance(self.single, WholeEngine):
            return self.single.channels
        with torch.no_grad():
            if isinstance(single := self.__dict__.get("single"), WholeEngine):
                return single.channels
            return self._balls(self.max_hops, 1).run([self.rows.ball(0, self.max_hops)])[1].size(1)

    @cached_property
    def hops(self) -> int:
        """Radius of the balls that hold all a local model reads, and the degrees at their edge."""
        if not self.full:
            return self.max_hops
        engine = self._balls(1, 1)
        ball = self.rows.ball(int(self.probed[0]), 1)
        return (hops_read(self.subject, lambda: engine.run([ball])) or self.max_hops) + 1

    @cached_property
    def single(self) -> Engine:
        """One seed at a time, which is always right."""
        if self.full:
            return WholeEngine(self.subject, self.rows, self.max_hops, self.scale)
        return self._balls(self.max_hops, 1)

    def make(self, name: str) -> Engine | None:
        """Makes an engine; none where it does not suit the model."""
        outside = 0.0 if self.full else float("nan")
        depth = getattr(self.subject.model, "num_layers", None)
        if name == "single":
            return self.single
        if self.subject.takes_seeds:
            return None
        if name == "union":
            return self._balls(self.hops, 4)
        if name == "trimmed" and self.subject.takes_trim and isinstance(depth, int):
            return TrimmedEngine(
                self.subject,
                self.rows,
                depth,
                hops=None if self.full else self.max_hops,
                reads_degrees=reads_degrees(self.subject),
                scale=self.scale,
                outside=outside,
            )
        if name == "fused" and is_fusable(self.subject) and isinstance(depth, int):
            least = depth + reads_degrees(self.subject)  # else the edge of the ball changes them
            if self.full or self.max_hops >= least:
                return FusedEngine(self.subject, self.scale, outside=outside)
        return None

    def _balls(self, hops: int, batch_size: int) -> UnionEngine:
        outside = 0.0 if self.full else float("nan")
        options = {"batch_size": batch_size, "scale": self.scale, "outside": outside}
        return UnionEngine(self.subject, self.rows, hops, **options)  # type: ignore[arg-type]


def choose(run: Measurement, name: str) -> Engine:
    """Chooses the fastest engine that gives the right numbers.

    Args:
        run: What is measured.
        name: One of :data:`ENGINES`, or ``"auto"``.

    Returns:
        The engine.

    Raises:
        ValueError: The engine asked for does not suit the model, or a probe found other numbers.
    """
    subject = run.subject
    if name == "single" or (name == "auto" and (subject.takes_seeds or subject.is_hypergraph)):
        return run.single
    # Before the probe, which keeps memory: its forward pass needs more than all that follows.
    fused = run.make("fused") if name in ("auto", "fused") else None
    try:
        probe = Probe(run) if run.probed.size > 1 else None
    except CANNOT_RUN as error:
        _LOG.info("the model does not run on a part of the graph: %s", error)
        probe = None
    for candidate in ENGINES[:-1] if name == "auto" else (name,):
        if probe is None:
            break
        engine = fused if candidate == "fused" else run.make(candidate)
        if engine is not None and probe.accepts(engine):
            _LOG.info("engine %r measures", candidate)
            return engine
    if name != "auto":
        raise ValueError(
            f"engine must give the numbers of one seed alone: engine={name!r} does not suit this "
            "model or these options; engine='auto' finds one that does."
        )
    _LOG.info("one seed at a time: no faster engine gives its numbers")
    return run.single
