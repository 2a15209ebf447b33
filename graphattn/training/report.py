"""A report: models, their runs and curves on one HTML page that needs no network."""

import html
import math
from collections.abc import Sequence
from pathlib import Path

import torch

from graphattn.page import facts, grid, made_with, write_page
from graphattn.training.metrics import mean_std
from graphattn.training.summary import FitRecord, RunSummary, read_fit

__all__ = ["FitRecord", "RunSummary", "read_fit", "write_report"]

_METRIC_WORDS = {"accuracy": "accuracy", "rocauc": "ROC AUC", "macro_f1": "macro F1"}


def write_report(
    path: Path,
    runs: Sequence[RunSummary],
    *,
    title: str,
    class_names: Sequence[str] | None = None,
    command: str = "",
    sections: Sequence[str] = (),
) -> Path:
    """Write a self-contained page: table, learning curves, confusion matrices, what was run.

    Args:
        path: The `.html` file.
        runs: One a model, all with the same metric.
        title: Heading of the page.
        class_names: Names of the classes; by default their numbers.
        command: What makes this page again.
        sections: More, as HTML, such as `hypergraph_section` gives.

    Returns:
        `path`.

    Raises:
        ValueError: No run, or runs with different metrics.
        ImportError: matplotlib is missing.

    Example:
        >>> import tempfile
        >>> entry = {"epoch": 0, "loss": 1.0, "val": 0.5, "val_loss": 1.1}
        >>> fit = FitRecord(0, 0, 0.5, 0.5, 0, 1, 0.1, 10**9, [entry], [[1, 0], [1, 0]])
        >>> file = Path(tempfile.mkdtemp()) / "report.html"
        >>> "gcn" in write_report(
        ...     file, [RunSummary("gcn", "accuracy", 10, [fit])], title="Demo").read_text()
        True
    """
    metrics = {run.metric for run in runs}
    if len(metrics) != 1:
        raise ValueError(
            "a report compares runs of one metric, and at least one run: "
            f"got metrics {sorted(metrics)} of {len(runs)} runs."
        )
    from graphattn.training.plots import confusion_plot, loss_plot, metric_plot

    metric = _METRIC_WORDS.get(runs[0].metric, runs[0].metric)
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        _headline(runs, metric),
        _table(runs, metric),
        f"<h2>Learning curves</h2>{metric_plot(runs, metric)}",
    ]
    for run in runs:
        parts.append(
            f"<section><h2>{html.escape(run.name)}</h2>"
            f'<div class="pair">{loss_plot(run)}{confusion_plot(run, class_names)}</div>'
            f"{_notes(run)}</section>"
        )
    parts += sections
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    parts += [f"<h2>Every run</h2>{_every_run(runs, metric)}", made_with(command, device)]
    return write_page(path, title, "\n".join(parts))


def _headline(runs: Sequence[RunSummary], metric: str) -> str:
    best = _best(runs)
    if best is None:
        return ""
    test = _spread([fit.test for fit in best.fits])
    return (
        f"<p>Highest validation {html.escape(metric)}: <b>{html.escape(best.name)}</b>; "
        f"its test {html.escape(metric)} is <b>{test}</b>. Each model's weights and epoch were "
        "chosen on the validation nodes; the test nodes were looked at once, at the end.</p>"
    )


def _best(runs: Sequence[RunSummary]) -> RunSummary | None:
    means = [(mean_std([fit.val for fit in run.fits])[0], run) for run in runs]
    judged = [pair for pair in means if not math.isnan(pair[0])]
    return max(judged, key=lambda pair: pair[0])[1] if judged else None


def _table(runs: Sequence[RunSummary], metric: str) -> str:
    best = _best(runs)
    head = ["Model", "Runs", f"Validation {metric}", f"Test {metric}"]
    head += ["Epochs", "Seconds an\u00a0epoch", "Peak memory", "Parameters"]
    rows = []
    for run in runs:
        fits = run.fits
        splits, seeds = len({f.split for f in fits}), len({f.seed for f in fits})
        mark = " ★" if run is best and len(runs) > 1 else ""
        rows.append(
            [
                html.escape(run.name) + mark,
                f"{_count(splits, 'split')}, {_count(seeds, 'seed')}",
                _spread([fit.val for fit in fits]),
                _spread([fit.test for fit in fits]),
                f"{math.fsum(f.epochs_run for f in fits) / len(fits):.0f}",
                f"{math.fsum(f.seconds_per_epoch for f in fits) / len(fits):.3g}",
                f"{max(f.peak_memory_bytes for f in fits) / 1e6:,.0f} MB",
                f"{run.num_parameters:,}",
            ]
        )
    note = "± is the standard deviation over runs (unbiased)."
    if len(runs) > 1 and best is not None:
        note = "★ highest on the validation nodes. " + note
    note += " Peak memory is that of the whole process, data and libraries included."
    return f"{grid(head, rows)}<p class='note'>{note}</p>"


def _every_run(runs: Sequence[RunSummary], metric: str) -> str:
    head = ["Model", "Split", "Seed", f"Validation {metric}", f"Test {metric}"]
    head += ["Best epoch", "Epochs", "Seconds an\u00a0epoch"]
    rows = [
        [
            html.escape(run.name),
            str(fit.split),
            str(fit.seed),
            _number(fit.val),
            _number(fit.test),
            str(fit.best_epoch + 1),
            str(fit.epochs_run),
            f"{fit.seconds_per_epoch:.3g}",
        ]
        for run in runs
        for fit in run.fits
    ]
    note = "Epochs are counted from 1 on this page, from 0 in metrics.jsonl."
    return f"{grid(head, rows)}<p class='note'>{note}</p>"


def _notes(run: RunSummary) -> str:
    return facts({**run.notes, **({"Command": run.command} if run.command else {})})


def _spread(values: Sequence[float]) -> str:
    mean, std = mean_std(values)
    return _number(mean) if math.isnan(std) else f"{mean:.4f} ± {std:.4f}"


def _number(value: float) -> str:
    return "n/a" if math.isnan(value) else f"{value:.4f}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
