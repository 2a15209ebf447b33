"""The drawings of a training report: curves by epoch, and which class is taken for which.

Models differ by colour and by dash; shares by brightness alone.
"""

import math
from collections.abc import Sequence
from typing import Any

from graphattn.drawing import Axes, Figure, MaxNLocator, colour, dash, label, style, svg
from graphattn.training.summary import FitRecord, RunSummary

_MOST_NUMBERED = 16  # classes of which a confusion matrix shows the counts


def metric_plot(runs: Sequence[RunSummary], metric: str) -> str:
    """Draw the validation metric of every model by epoch.

    Args:
        runs: The models.
        metric: Its name, for the axis.

    Returns:
        A `<figure>`, or a sentence where no model has validation nodes.
    """
    with style():
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        axes = figure.add_subplot()
        for number, run in enumerate(runs):
            _curve(axes, run.fits, "val", number, run.name)
            for fit in run.fits:
                if math.isfinite(fit.val):
                    axes.plot(fit.best_epoch + 1, fit.val, "o", ms=4, color=colour(number))
        if not axes.lines:
            return "<p class='note'>No validation nodes: no curve of the metric.</p>"
        _label(axes, "epoch", f"validation {metric}")
        figure.legend(loc="outside right upper", handlelength=3)
        several = any(len(run.fits) > 1 for run in runs)
        text = "Dots mark the epoch whose weights were kept."
        if several:
            text += " Thin lines are single runs, thick ones their mean."
        return svg(figure, f"Validation {metric} of each model by epoch", text)


def loss_plot(run: RunSummary) -> str:
    """Draw a model's loss by epoch, on the training and on the validation nodes.

    Args:
        run: The model.

    Returns:
        A `<figure>`.
    """
    with style():
        figure = Figure(figsize=(4.6, 3.4), layout="constrained")
        axes = figure.add_subplot()
        _curve(axes, run.fits, "loss", 0, "training")
        _curve(axes, run.fits, "val_loss", 1, "validation")
        _label(axes, "epoch", "cross-entropy")
        axes.set_ylim(bottom=0)
        if axes.lines:
            axes.legend(handlelength=3)
        text = "Training: mean over the epoch's steps, dropout on. Validation: after the epoch."
        return svg(figure, f"Loss of {run.name} by epoch", text)


def confusion_plot(run: RunSummary, class_names: Sequence[str] | None = None) -> str:
    """Draw which classes a model takes for which, on the test nodes of all its runs together.

    Args:
        run: The model.
        class_names: Names of the classes; by default their numbers.

    Returns:
        A `<figure>`, or a sentence where there are no test nodes.
    """
    if not any(fit.confusion for fit in run.fits):
        return "<p class='note'>Several labels a node, or numbers: no confusion matrix.</p>"
    counts = _added([fit.confusion for fit in run.fits])
    if not any(map(sum, counts)):
        return "<p class='note'>No labelled test nodes: no confusion matrix.</p>"
    classes = len(counts)
    names = list(class_names or [])
    names = [names[i] if i < len(names) else str(i) for i in range(classes)]
    shares = [[c / max(sum(row), 1) for c in row] for row in counts]
    with style({"axes.spines.left": False, "axes.spines.bottom": False}):
        figure = Figure(figsize=(4.6, 4.0), layout="constrained")
        axes = figure.add_subplot()
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        if classes <= _MOST_NUMBERED:
            _write_counts(axes, counts, shares)
        shown = range(0, classes, max(1, math.ceil(classes / _MOST_NUMBERED)))
        long = any(len(name) > 3 for name in names)
        axes.set_xticks(list(shown), [names[i] for i in shown], rotation=90 if long else 0)
        axes.set_yticks(list(shown), [names[i] for i in shown])
        axes.tick_params(length=0)
        axes.set_xlabel("predicted class")
        axes.set_ylabel("true class")
        text = "Test nodes by true and predicted class"
        text += "." if len(run.fits) == 1 else f", {len(run.fits)} runs added up."
        bar = figure.colorbar(image, ax=axes, shrink=0.7, format="{x:.0%}")
        bar.set_label("share of the true class")
        bar.outline.set_visible(False)
        return svg(figure, f"Confusion matrix of {run.name}", text)


def _curve(axes: Axes, fits: Sequence[FitRecord], key: str, number: int, name: str) -> None:
    look: dict[str, Any] = {"color": colour(number), "ls": dash(number)}
    curves = [
        {e["epoch"] + 1: e[key] for e in fit.history if math.isfinite(e.get(key, math.nan))}
        for fit in fits
    ]
    curves = [curve for curve in curves if curve]
    if not curves:
        return
    if len(curves) > 1:
        for curve in curves:
            axes.plot(list(curve), list(curve.values()), lw=0.6, alpha=0.45, color=look["color"])
    shared = sorted(set.intersection(*(set(curve) for curve in curves)))
    means = [math.fsum(curve[epoch] for curve in curves) / len(curves) for epoch in shared]
    marker = "o" if len(shared) == 1 else ""
    axes.plot(shared, means, lw=1.8, label=name, marker=marker, ms=4, **look)


def _write_counts(axes: Axes, counts: list[list[int]], shares: list[list[float]]) -> None:
    size = 9 if len(counts) <= 10 else 6.5
    for i, row in enumerate(counts):
        for j, count in enumerate(row):
            if count:
                ink = "white" if shares[i][j] > 0.55 else "black"
                axes.text(j, i, str(count), ha="center", va="center", color=ink, fontsize=size)


def _added(matrices: Sequence[list[list[int]]]) -> list[list[int]]:
    size = max((len(m) for m in matrices), default=0)
    total = [[0] * size for _ in range(size)]
    for matrix in matrices:
        for i, row in enumerate(matrix):
            for j, count in enumerate(row):
                total[i][j] += count
    return total


def _label(axes: Axes, x: str, y: str) -> None:
    label(axes, x, y)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.set_xlim(left=0)
