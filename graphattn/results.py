"""What an experiment found: figures over runs, as JSON, as a table, as a row of a report."""

import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from graphattn.config import RunConfig
from graphattn.datasets.ogb_table import OGB
from graphattn.files import write_json
from graphattn.leaderboard import submission, write_submission
from graphattn.training.metrics import mean_std
from graphattn.training.summary import FitRecord, RunSummary

_COLUMNS = (
    *("model", "data", "splits", "seeds", "validation", "test"),
    *("s/epoch", "peak memory", "parameters"),
)


@dataclass(frozen=True)
class ExperimentResult:
    """What an experiment found.

    Attributes:
        config: The config as resolved.
        metric: Name of the metric.
        num_parameters: Trained numbers of the model.
        fits: One record a split and seed.

    Example:
        >>> ExperimentResult.__name__
        'ExperimentResult'
    """

    config: RunConfig
    metric: str
    num_parameters: int
    fits: list[FitRecord]

    @property
    def val(self) -> tuple[float, float]:
        """Mean and unbiased standard deviation over runs of the best validation metric."""
        return mean_std([fit.val for fit in self.fits])

    @property
    def test(self) -> tuple[float, float]:
        """Mean and unbiased standard deviation over runs of the test metric."""
        return mean_std([fit.test for fit in self.fits])

    @property
    def smoothed(self) -> tuple[tuple[float, float], tuple[float, float]] | None:
        """The same of validation and test after Correct & Smooth, if that was asked for."""
        figures = [fit.smoothed for fit in self.fits if fit.smoothed]
        if not figures or len(figures) < len(self.fits):
            return None
        val, test = ([figure[part] for figure in figures] for part in ("val", "test"))
        return mean_std(val), mean_std(test)

    @property
    def seconds_per_epoch(self) -> float:
        """Mean seconds of training an epoch."""
        return mean_std([fit.seconds_per_epoch for fit in self.fits])[0]

    @property
    def peak_memory_bytes(self) -> int:
        """Largest memory any run held."""
        return max(fit.peak_memory_bytes for fit in self.fits)

    def to_mapping(self) -> dict[str, Any]:
        """Return the JSON-able content of result.json."""
        runs = [
            {key: value for key, value in vars(fit).items() if key not in ("history", "confusion")}
            for fit in self.fits
        ]
        content = {
            "data": self.config.data.name,
            "model": self.config.model,
            "metric": self.metric,
            "num_parameters": self.num_parameters,
            "val": dict(zip(("mean", "std"), self.val, strict=True)),
            "test": dict(zip(("mean", "std"), self.test, strict=True)),
            **self._smoothed_mapping(),
            "seconds_per_epoch": self.seconds_per_epoch,
            "peak_memory_bytes": self.peak_memory_bytes,
            "runs": runs,
            "versions": versions(),
        }
        return dict(_without_nan(content))

    def _smoothed_mapping(self) -> dict[str, Any]:
        if self.smoothed is None:
            return {}
        parts = zip(("val", "test"), self.smoothed, strict=True)
        return {
            "smoothed": {part: dict(zip(("mean", "std"), of, strict=True)) for part, of in parts}
        }

    def write(self, folder: Path) -> None:
        """Write result.json, and of OGB's data sets leaderboard.json and leaderboard.md.

        Args:
            folder: The run folder.

        Raises:
            OSError: The disk is full or cannot be written.
        """
        write_json(folder / "result.json", self.to_mapping())
        if self.metric in OGB and self.metric == self.config.data.name:
            seeds = [fit.seed for fit in self.fits]
            val, test = self.smoothed or (self.val, self.test)
            form = submission(self.config, seeds, val, test, self.num_parameters)
            write_submission(folder, form)

    def summary(self, name: str = "", command: str = "") -> RunSummary:
        """Return the experiment as a row of a report."""
        return RunSummary(
            name=name or self.config.model,
            metric=self.metric,
            num_parameters=self.num_parameters,
            fits=self.fits,
            command=command,
        )


def table(results: Sequence[ExperimentResult]) -> str:
    """Return experiments as the lines of a table, one row each.

    Args:
        results: Experiments on any data.

    Returns:
        Text whose columns stand under each other; one figure is shown without a deviation.

    Example:
        >>> print(table([]))
        model  data  splits  seeds  validation  test  s/epoch  peak memory  parameters
    """
    head = list(_COLUMNS)
    rows = [head]
    for result in results:
        config = result.config
        rows.append(
            [
                config.model.rpartition(".")[2],
                config.data.title,
                _span([fit.split for fit in result.fits]),
                _span([fit.seed for fit in result.fits]),
                spread(*result.val),
                spread(*result.test),
                f"{result.seconds_per_epoch:.3g}",
                f"{result.peak_memory_bytes / 1e6:,.0f} MB",
                f"{result.num_parameters:,}",
            ]
        )
        if result.smoothed is not None:
            val, test = result.smoothed
            after = f"{config.model.rpartition('.')[2]} + C&S"
            rows.append([after, *rows[-1][1:4], spread(*val), spread(*test), *rows[-1][6:]])
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = ("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def spread(mean: float, std: float) -> str:
    """Return a mean and its deviation as text: "n/a" where there is no figure.

    Example:
        >>> spread(0.5, 0.01), spread(0.5, math.nan), spread(math.nan, math.nan)
        ('0.5000 ± 0.0100', '0.5000', 'n/a')
    """
    if math.isnan(mean):
        return "n/a"
    return f"{mean:.4f}" if math.isnan(std) else f"{mean:.4f} ± {std:.4f}"


def versions() -> dict[str, str]:
    """Return the versions that a result depends on.

    Example:
        >>> sorted(versions())[:2]
        ['numba', 'numpy']
    """
    found = {"python": platform.python_version()}
    for name in ("numba", "numpy", "torch", "torch-geometric"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "?"
    return found


def _without_nan(value: Any) -> Any:
    """Replace NaN, which JSON does not have, by null."""
    if isinstance(value, Mapping):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _span(numbers: Sequence[int]) -> str:
    """Write distinct numbers as 0-9 where they follow each other, else as 0,3."""
    distinct = sorted(set(numbers))
    first, last = distinct[0], distinct[-1]
    if len(distinct) > 1 and last - first + 1 == len(distinct):
        return f"{first}-{last}"
    return ",".join(map(str, distinct))
