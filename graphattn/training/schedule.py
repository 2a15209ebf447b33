"""The learning rate of each epoch: warm-up, then constant, cosine, or halved on a plateau."""

import math
from typing import Any

from graphattn.training.options import FitOptions

_PLATEAU_PATIENCE, _PLATEAU_FACTOR, _SMALLEST = 10, 0.5, 1e-3


class Schedule:
    """Learning rate by epoch; only the plateau remembers anything.

    Args:
        options: `lr`, `schedule`, `warmup` and `epochs` are read.

    Example:
        >>> schedule = Schedule(FitOptions(lr=1.0, warmup=1, epochs=3, schedule="cosine"))
        >>> [round(schedule.lr(epoch), 3) for epoch in range(3)]
        [0.5, 1.0, 0.5]
    """

    def __init__(self, options: FitOptions) -> None:
        self._options = options
        self._factor = 1.0
        self._best = -math.inf
        self._stale = 0

    def lr(self, epoch: int) -> float:
        """Return the rate of an epoch, counted from 0."""
        o = self._options
        if epoch < o.warmup:
            return o.lr * (epoch + 1) / (o.warmup + 1)
        if o.schedule == "cosine":
            done = (epoch - o.warmup) / max(o.epochs - o.warmup, 1)
            return o.lr * 0.5 * (1 + math.cos(math.pi * done))
        return o.lr * self._factor

    def observe(self, value: float) -> None:
        """Take note of a validation metric (higher is better); NaN counts as no better."""
        if self._options.schedule != "plateau":
            return
        if value > self._best:
            self._best, self._stale = value, 0
            return
        self._stale += 1
        if self._stale > _PLATEAU_PATIENCE:
            self._factor = max(self._factor * _PLATEAU_FACTOR, _SMALLEST)
            self._stale = 0

    def state_dict(self) -> dict[str, Any]:
        """Return what the plateau remembers."""
        return {"factor": self._factor, "best": self._best, "stale": self._stale}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` gave."""
        self._factor, self._best = state["factor"], state["best"]
        self._stale = state["stale"]
