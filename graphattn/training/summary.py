"""What a report tells of a model and of each of its runs, read back from their folders."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graphattn.files import read_json
from graphattn.training.result import read_history


@dataclass(frozen=True)
class FitRecord:
    """What a report tells of one run.

    Args:
        split: Number of the split.
        seed: Seed of the run.
        val: Metric on the validation nodes at the best epoch.
        test: Metric on the test nodes with that epoch's weights.
        best_epoch: Counted from 0.
        epochs_run: Epochs trained.
        seconds_per_epoch: Mean seconds of training an epoch.
        peak_memory_bytes: Most host memory of the process.
        history: One entry an epoch, as in `metrics.jsonl`.
        confusion: Test nodes of each true class (row) by predicted class (column).
        smoothed: What came of Correct & Smooth, if that was asked for: `val`, `test`, and what was
            chosen on the validation nodes.

    Example:
        >>> FitRecord(0, 1, 0.9, 0.8, 3, 10, 0.1, 10**9, [], []).seed
        1
    """

    split: int
    seed: int
    val: float
    test: float
    best_epoch: int
    epochs_run: int
    seconds_per_epoch: float
    peak_memory_bytes: int
    history: list[dict[str, Any]]
    confusion: list[list[int]]
    smoothed: dict[str, Any] | None = None


@dataclass(frozen=True)
class RunSummary:
    """What a report tells of one model: its runs over splits and seeds.

    Args:
        name: The model, as the reader shall see it.
        metric: Name of the metric.
        num_parameters: Trainable numbers.
        fits: Its runs, at least one.
        command: What was typed.
        notes: Further facts, shown as they are.

    Raises:
        ValueError: There is no run.

    Example:
        >>> fit = FitRecord(0, 0, 0.9, 0.8, 3, 10, 0.1, 10**9, [], [])
        >>> RunSummary("gcn", "accuracy", 1000, [fit]).name
        'gcn'
    """

    name: str
    metric: str
    num_parameters: int
    fits: Sequence[FitRecord]
    command: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a model without a run."""
        if not self.fits:
            raise ValueError(f"{self.name} must have a finished run to be reported: got none.")


def read_fit(folder: Path, *, split: int, seed: int) -> FitRecord:
    """Read a finished run's folder.

    Args:
        folder: Holds `result.json` and `metrics.jsonl`.
        split: Number of its split.
        seed: Its seed.

    Raises:
        ValueError: The run is not finished, or a file is not ours.

    Example:
        >>> read_fit(Path("nowhere"), split=0, seed=0)
        Traceback (most recent call last):
        ...
        graphattn.corrupt.CorruptFile: nowhere/result.json cannot be read as JSON ...
    """
    result = read_json(folder / "result.json")
    numbers = ("test", "best_epoch", "epochs_run", "seconds_per_epoch", "peak_memory_bytes")
    missing = [k for k in ("best_val", "confusion", *numbers) if k not in result]
    if missing:
        raise ValueError(
            f"{folder / 'result.json'} must be a finished run's: {', '.join(missing)} missing."
        )
    values: dict[str, Any] = {
        k: math.nan if result[k] is None else result[k] for k in ("best_val", *numbers)
    }
    return FitRecord(
        split=split,
        seed=seed,
        val=values.pop("best_val"),
        history=read_history(folder / "metrics.jsonl"),
        confusion=result["confusion"],
        smoothed=result.get("smoothed"),
        **values,
    )
