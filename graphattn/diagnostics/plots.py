"""The drawings of a measurement of influence: by hop, added up, on a map, by group of nodes."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from graphattn.diagnostics.result import InfluenceResult, half_width
from graphattn.diagnostics.smoothing import LayerEnergy
from graphattn.diagnostics.structure import StructuralInfluence
from graphattn.drawing import (
    INK,
    Axes,
    Figure,
    LogLocator,
    MaxNLocator,
    colour,
    dash,
    label,
    style,
    svg,
)

_Floats = npt.NDArray[np.float64]

_DECADES = 12  # shown below the largest influence
_MOST_BACKGROUND = 50_000  # nodes that a map shows without a value
_GREY = "#8c8c8c"  # seen on white and on black


def hop_plot(found: Mapping[str, InfluenceResult], *, share: bool) -> str:
    """Draws influence against hop, on a logarithmic scale, with the 95 % interval as a band.

    Args:
        found: Measurements by name.
        share: As a share of all influence on a seed, mean over seeds; else in its units, summed
            over the nodes of a hop.

    Returns:
        A ``<figure>``.
    """
    with style():
        figure = Figure(figsize=(4.6, 3.4) if len(found) == 1 else (9, 4), layout="constrained")
        axes = figure.add_subplot()
        seen = {name: one for name, one in found.items() if one.counted.any()}
        rows = {name: one.shares if share else one.T[one.counted] for name, one in seen.items()}
        for number, (name, values) in enumerate(rows.items()):
            _line(axes, number, values, name)
        drawn = [values.mean(0) for values in rows.values()]
        _logarithmic(axes, drawn)
        label(axes, "hop", "share of influence" if share else "influence of all nodes at this hop")
        _whole_hops(axes, max(one.T.shape[1] for one in found.values()) - 1)
        if len(rows) > 1:
            figure.legend(loc="outside right upper", handlelength=4)
        what = "Share of a node's influence at each hop" if share else "Influence by hop"
        text = f"{what}, mean over seeds; band: 95 % interval over seeds. Logarithmic scale"
        zero = any((mean == 0).any() for mean in drawn)
        text += ", on which hops without any influence are not drawn." if zero else "."
        return svg(figure, what, text)


def cumulative_plot(found: Mapping[str, InfluenceResult]) -> str:
    """Draws the share of influence within each hop; of a single measurement with h50 and h90.

    Args:
        found: Measurements by name.

    Returns:
        A ``<figure>``.
    """
    with style():
        figure = Figure(figsize=(4.6, 3.4) if len(found) == 1 else (9, 4), layout="constrained")
        axes = figure.add_subplot()
        rows = {n: np.cumsum(o.shares, axis=1) for n, o in found.items() if o.counted.any()}
        for number, (name, values) in enumerate(rows.items()):
            _line(axes, number, values, name)
        for level in (0.5, 0.9):
            axes.axhline(level, color=INK, lw=0.8, alpha=0.5)
        if len(found) == 1:
            _mark(axes, next(iter(found.values())))
        label(axes, "hop", "share of influence within this hop")
        _whole_hops(axes, max(one.T.shape[1] for one in found.values()) - 1)
        axes.set_ylim(0, 1.03)
        axes.set_yticks(
            [0, 0.25, 0.5, 0.75, 0.9, 1], ["0", "25 %", "50 %", "75 %", "90 %", "100 %"]
        )
        if len(rows) > 1:
            figure.legend(loc="outside right upper", handlelength=4)
        text = "Mean over seeds; band: 95 % interval over seeds."
        if len(found) > 1:
            text += " A line that ends below 100 % leaves the rest beyond its last hop."
        return svg(figure, "Share of influence within each hop", text)


def map_plot(found: InfluenceResult, pos: _Floats, unit: str) -> str:
    """Draws where the seeds are and how far each sees, all other nodes in grey.

    Args:
        found: The measurement; a seed has influence.
        pos: ``[nodes, 2]``, in a plane.
        unit: Of R.

    Returns:
        A ``<figure>``.
    """
    seeds, values = found.seeds[found.counted], found.R_per_node[found.counted]
    with style({"axes.spines.left": False, "axes.spines.bottom": False}):
        figure = Figure(figsize=(9, 6), layout="compressed")
        axes = figure.add_subplot()
        others = np.setdiff1d(np.flatnonzero(np.isfinite(pos).all(1)), seeds)
        some = others[:: max(1, math.ceil(others.size / _MOST_BACKGROUND))]
        axes.scatter(
            pos[some, 0],
            pos[some, 1],
            s=_dot(some.size) / 2,
            c=_GREY,
            alpha=0.6,
            lw=0,
            rasterized=True,
        )
        low, high = np.quantile(values, [0.02, 0.98])
        order = np.random.default_rng(0).permutation(values.size)  # no value always on top
        dots = axes.scatter(
            pos[seeds[order], 0],
            pos[seeds[order], 1],
            s=_dot(values.size),
            c=values[order],
            cmap="cividis",
            vmin=low,
            vmax=high if high > low else low + 1,
            lw=0,
            rasterized=True,
        )
        axes.set_aspect("equal")
        axes.set_xticks([])
        axes.set_yticks([])
        bar = figure.colorbar(dots, ax=axes, shrink=0.7, extend="both", pad=0.01)
        bar.set_label(f"R of the node ({unit})")
        bar.outline.set_visible(False)
        text = (
            f"{values.size:,} seeds by R, the mean distance of their influence; other nodes in "
            "grey. Colours end at the 2nd and the 98th percentile."
        )
        return svg(figure, "R of each seed on the map", text)


def group_plot(kinds: Mapping[str, Sequence[tuple[str, _Floats]]], unit: str) -> str:
    """Draws the mean R of groups of seeds with its 95 % interval, on one scale.

    Args:
        kinds: By what the seeds are grouped; then the name of each group and the R of its seeds,
            at least one.
        unit: Of R.

    Returns:
        A ``<figure>``.
    """
    with style():
        count = sum(map(len, kinds.values()))
        figure = Figure(figsize=(4.6, max(1.2 + 0.24 * count, 2.0)), layout="constrained")
        axes = figure.add_subplot()
        names, at = list[str](), list[float]()
        for number, groups in enumerate(kinds.values()):
            rows = np.arange(len(groups)) + (at[-1] + 1.8 if at else 0.0)
            means = [values.mean() for _, values in groups]
            half = np.nan_to_num([float(half_width(values)) for _, values in groups])
            look: dict[str, Any] = {"fmt": "os"[number % 2], "color": colour(number)}
            axes.errorbar(means, rows, xerr=half, ms=5, capsize=3, lw=1.5, **look)
            names += [f"{name} ({values.size:,})" for name, values in groups]
            at += rows.tolist()
        axes.set_yticks(at, names)
        axes.invert_yaxis()
        label(axes, f"R ({unit})", "")
        what = f"R by {' and by '.join(kinds)}"
        text = f"{what}: mean over seeds, whose number is in brackets, and its 95 % interval."
        return svg(figure, what, text)


def spread_plot(found: InfluenceResult, unit: str) -> str:
    """Draws how many seeds have which R.

    Args:
        found: The measurement.
        unit: Of R.

    Returns:
        A ``<figure>``.
    """
    values = found.R_per_node[found.counted]
    with style():
        figure = Figure(figsize=(4.6, 3.4), layout="constrained")
        axes = figure.add_subplot()
        axes.hist(values, bins=min(40, max(8, int(values.size**0.5))), color=colour(0))
        axes.axvline(found.R, color=INK, lw=1.2, ls=dash(1))
        label(axes, f"R of a seed ({unit})", "seeds")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        return svg(figure, "R of the seeds", "How many seeds have which R. Dashed: their mean.")


def structure_plot(found: InfluenceResult, structure: StructuralInfluence) -> str:
    """Draws the share of each hop as the model learnt it and as propagation alone would have it.

    Args:
        found: The measurement.
        structure: Of the same seeds and hops.

    Returns:
        A ``<figure>``.
    """
    with style():
        figure = Figure(figsize=(9, 3.4), layout="constrained")
        axes = figure.add_subplot()
        total = structure.S.sum(1) + structure.tail_mass
        alone = structure.S[total > 0] / total[total > 0, None]
        _line(axes, 0, found.shares, "the model")
        _line(axes, 1, alone, "the graph alone")
        _logarithmic(axes, [found.shares.mean(0), alone.mean(0)])
        label(axes, "hop", "share of influence")
        _whole_hops(axes, found.T.shape[1] - 1)
        axes.legend(handlelength=4)
        text = (
            "Share of each hop, mean over seeds: of the model's influence, and of what "
            f"{structure.num_layers} steps of a GCN's propagation let through. Where the model "
            "lies above, it has learnt to carry on what the graph dilutes."
        )
        return svg(figure, "Learned and structural influence", text)


def energy_plot(energy: LayerEnergy) -> str:
    """Draws how different nodes are in the features and after each layer.

    Args:
        energy: Of the layers.

    Returns:
        A ``<figure>``.
    """
    with style():
        figure = Figure(figsize=(9, 3.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        at = np.arange(len(energy.names))
        look: dict[str, Any] = {"marker": "o", "ms": 4, "lw": 1.8}
        left.plot(at, energy.dirichlet, color=colour(0), **look)
        _logarithmic(left, [energy.dirichlet])
        right.plot(at, energy.mad, color=colour(0), ls=dash(0), label="neighbours", **look)
        right.plot(at, energy.mad_all, color=colour(1), ls=dash(1), label="all pairs", **look)
        right.set_ylim(bottom=0)
        right.legend(handlelength=3)
        for axes, what in ((left, "Dirichlet energy"), (right, "mean cosine distance")):
            label(axes, "layer (0: the features)", what)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        text = (
            "How different nodes are after each layer, before its norm and activation; what falls "
            "towards 0 is smoothed out. Left on a logarithmic scale."
        )
        return svg(figure, "Energy of each layer", text)


def _line(axes: Axes, number: int, values: _Floats, name: str) -> None:
    mean, half = values.mean(0), half_width(values)
    hops = np.arange(mean.size)
    drawn = mean > 0
    low = np.maximum(mean - half, 1e-300)
    axes.fill_between(hops, low, mean + half, where=drawn, color=colour(number), alpha=0.25, lw=0)
    options = {"color": colour(number), "ls": dash(number), "lw": 1.8, "marker": "o", "ms": 3.5}
    axes.plot(hops[drawn], mean[drawn], label=name, **options)


def _logarithmic(axes: Axes, drawn: Sequence[_Floats]) -> None:
    """A logarithmic scale for what is above 0, its ticks named as plain numbers."""
    positive = np.concatenate([np.ones(0), *(values[values > 0] for values in drawn)])
    if not positive.size:
        return
    high = positive.max()
    low = max(positive.min(), high * 10.0**-_DECADES)
    few = (1.0,) if high > 100 * low else (1.0, 2.0, 5.0)
    axes.set_yscale("log", nonpositive="mask")
    axes.set_ylim(low / 2, high * 2)
    axes.yaxis.set_major_locator(LogLocator(subs=few))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(lambda *_: "")


def _mark(axes: Axes, found: InfluenceResult) -> None:
    for name, level in (("h50", 0.5), ("h90", 0.9)):
        hop = found.hop_within(level)
        if hop is not None:
            axes.axvline(hop, color=INK, lw=1.0, ls=dash(1), alpha=0.8)
            axes.annotate(f"{name} = {hop}", (hop, level), (5, -13), textcoords="offset points")


def _whole_hops(axes: Axes, last: int) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.set_xlim(-0.02 * max(last, 1), max(last, 1) * 1.02)


def _dot(count: int) -> float:
    return float(np.clip(30_000 / max(count, 1), 2.0, 40.0))
