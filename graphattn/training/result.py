"""What a finished run says: the figures of `result.json`, and the logits behind them."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

_IN_MEMORY_ONLY = {"history", "val_logits", "test_logits"}


@dataclass(frozen=True)
class FitResult:
    """Figures of one run, from the weights that were best on the validation nodes.

    Args:
        metric: Name of the metric.
        best_val: Metric on the validation nodes at `best_epoch`; NaN without validation nodes.
        test: Metric on the test nodes, computed once; NaN without test nodes.
        best_epoch: Epoch of the weights kept, counted from 0.
        epochs_run: Epochs trained.
        stopped: "epochs" (all were run) or "patience" (no better for long enough).
        seconds_per_epoch: Mean seconds of the training part of an epoch.
        eval_seconds: Mean seconds of an evaluation on the validation nodes.
        peak_memory_bytes: Most host memory of the process during the run.
        peak_cuda_bytes: Most memory on the CUDA device; 0 on the CPU.
        num_parameters: Trainable numbers.
        num_train: Labelled training nodes.
        num_val: Validation nodes.
        num_test: Test nodes.
        history: One entry an epoch: epoch, loss, lr, val, val_loss, seconds, eval_seconds.
        confusion: Test nodes of each true class (row) by predicted class (column); empty where a
            node has several labels.
        val_logits: Logits of the validation nodes, in the split's order.
        test_logits: Logits of the test nodes, in the split's order.

    Example:
        >>> FitResult.__dataclass_fields__["best_val"].type
        <class 'float'>
    """

    metric: str
    best_val: float
    test: float
    best_epoch: int
    epochs_run: int
    stopped: str
    seconds_per_epoch: float
    eval_seconds: float
    peak_memory_bytes: int
    peak_cuda_bytes: int
    num_parameters: int
    num_train: int
    num_val: int
    num_test: int
    history: list[dict[str, Any]]
    confusion: list[list[int]]
    val_logits: Float[Tensor, "val classes"]
    test_logits: Float[Tensor, "test classes"]

    def to_dict(self) -> dict[str, Any]:
        """Return what `result.json` holds: all but the logits and the history; NaN becomes None."""
        return {k: plain(v) for k, v in vars(self).items() if k not in _IN_MEMORY_ONLY}


def plain(value: Any) -> Any:
    """Return a value as JSON has it: None for a number that is not finite.

    Example:
        >>> plain(math.nan) is None
        True
    """
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_history(path: Path, history: list[dict[str, Any]]) -> None:
    """Write `metrics.jsonl` anew: one line an epoch.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "metrics.jsonl"
        >>> write_history(path, [{"epoch": 0, "val": math.nan}])
        >>> read_history(path)
        [{'epoch': 0, 'val': nan}]
    """
    partial = path.with_name(f"{path.name}.part")
    partial.write_text("".join(_line(entry) for entry in history), encoding="utf-8")
    partial.replace(path)


def append_history(path: Path, entry: dict[str, Any]) -> None:
    """Add an epoch's line to `metrics.jsonl`.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "metrics.jsonl"
        >>> append_history(path, {"epoch": 0})
        >>> read_history(path)
        [{'epoch': 0}]
    """
    with path.open("a", encoding="utf-8") as file:
        file.write(_line(entry))


def read_history(path: Path) -> list[dict[str, Any]]:
    """Read `metrics.jsonl`; what was None is NaN again.

    Raises:
        ValueError: A line is no JSON object; it is named.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "metrics.jsonl"
        >>> _ = path.write_text("torn")
        >>> read_history(path)
        Traceback (most recent call last):
        ...
        ValueError: .../metrics.jsonl, line 1 must be a JSON object: got 'torn'.
    """
    history = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            entry = None
        if not isinstance(entry, dict):
            raise ValueError(f"{path}, line {number} must be a JSON object: got {line[:40]!r}.")
        history.append({k: math.nan if v is None else v for k, v in entry.items()})
    return history


def _line(entry: dict[str, Any]) -> str:
    return json.dumps({k: plain(v) for k, v in entry.items()}) + "\n"
