"""A measurement of influence on one HTML page that needs no network."""

import html
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from graphattn.diagnostics.plots import (
    cumulative_plot,
    energy_plot,
    group_plot,
    hop_plot,
    map_plot,
    spread_plot,
    structure_plot,
)
from graphattn.diagnostics.result import InfluenceResult
from graphattn.diagnostics.smoothing import LayerEnergy
from graphattn.diagnostics.structure import StructuralInfluence
from graphattn.page import facts, grid, made_with, write_page

_Floats = npt.NDArray[np.float64]

_MOST_GROUPS = 40  # classes of which R is drawn
_READ = {
    "semantics": {
        "full": "full: the Jacobian on the whole graph",
        "pyg": "pyg: the Jacobian on induced balls of max_hops hops, each cut out of the graph",
    },
    "channels": {"all": "all: exact"},
    "input_scale": {"None": "none: features count as the model was given them"},
}

_MEANING = (
    "<p>The influence of node u on node v is the sum, over outputs c and features p, of "
    "|∂ output<sub>c</sub>(v) / ∂ x<sub>p</sub>(u)|, in evaluation mode. A hop counts edges "
    "against their direction, from v to those it hears from. R is the mean over seeds of the "
    "mean distance of their influence up to the last hop (Liang et al. 2025, arXiv:2503.09008). "
    "Intervals are over seeds. A gradient tells how an output would move with a small change of "
    "a feature, not how much accuracy the feature is worth.</p>"
)


def write_report(
    path: Path,
    found: InfluenceResult,
    *,
    nodes: Mapping[str, Any],
    energy: LayerEnergy | None = None,
    structure: StructuralInfluence | None = None,
    title: str | None = None,
    command: str = "",
) -> Path:
    """Writes the page; see :meth:`InfluenceResult.report`.

    Args:
        path: Ends in ``.html``.
        found: The measurement.
        nodes: ``y``, ``predicted`` and ``pos``, a row for each node, or None.
        energy: The energy of each layer, where that was measured.
        structure: What the graph alone passes on to the same seeds, where that was measured.
        title: Heading of the page.
        command: What makes the page again.

    Returns:
        The path.

    Raises:
        ValueError: The ending is another, or an input has not a row for each node.
        OSError: The file cannot be written.

    Example:
        >>> import tempfile
        >>> found = InfluenceResult(np.ones((1, 2)), np.arange(1), np.zeros(1), np.ones(1), {})
        >>> write_report(Path(tempfile.mkdtemp()) / "a.html", found, nodes={}).name
        'a.html'
    """
    if path.suffix not in (".html", ".htm"):
        raise ValueError(f"path must end in .html: got {path.name!r}.")
    if structure is not None and structure.S.shape != found.T.shape:
        raise ValueError(
            f"structure must be of the seeds and hops measured, {list(found.T.shape)}: got "
            f"{list(structure.S.shape)}."
        )
    y, predicted, pos = (_rows(nodes.get(key), key, found) for key in ("y", "predicted", "pos"))
    unit, about = found.unit, found.about
    title = title or f"Influence: {name_of(found)}"
    one = {"influence": found}
    parts = [f"<h1>{html.escape(title)}</h1>", headline(found)]
    if found.counted.any():
        parts += [
            f'<section><h2>How far it sees</h2><div class="pair">{hop_plot(one, share=False)}'
            f"{cumulative_plot(one)}</div>{hop_table(found)}</section>",
            f'<section><h2>Which nodes see how far</h2><div class="pair">'
            f"{spread_plot(found, unit)}{_groups(found, y, predicted, unit)}</div></section>",
        ]
        if pos is not None:
            parts.append(f"<section><h2>Where</h2>{map_plot(found, pos, unit)}</section>")
    if structure is not None and found.counted.any():
        drawn = structure_plot(found, structure)
        parts.append(f"<section><h2>What the graph lets through</h2>{drawn}</section>")
    if energy is not None:
        parts.append(f"<section><h2>What layers smooth out</h2>{energy_plot(energy)}</section>")
    assumed = {
        key: _READ.get(key, {}).get(str(value), _short(value)) for key, value in about.items()
    }
    parts.append(f"<section><h2>What was assumed</h2>{_MEANING}{facts(assumed)}</section>")
    return write_page(path, title, "\n".join([*parts, made_with(command)]))


def headline(found: InfluenceResult) -> str:
    """Says in a paragraph how far the model sees.

    Example:
        >>> found = InfluenceResult(np.ones((2, 2)), np.arange(2), np.zeros(2), np.ones(2) / 2, {})
        >>> "<b>R = 0.500 hops</b>" in headline(found)
        True
    """
    if not found.counted.any():
        return (
            f"<p><b>No influence.</b> None of the {found.seeds.size:,} seeds has an output that a "
            "feature within the last hop moves: R is not defined.</p>"
        )
    last = found.T.shape[1] - 1
    said = " and ".join(
        f"{words} {_within(found.hop_within(share), last)} (h{100 * share:.0f})"
        for words, share in (("half", 0.5), ("nine tenths", 0.9))
    )
    tail = found.tail_share
    beyond = (
        f"what lies beyond hop {last} was not measured."
        if math.isnan(tail)
        else f"<b>{percent(tail) if tail else 'nothing'}</b> lies beyond hop {last}, the last one "
        "told apart."
    )
    zero = f"; {found.num_zero:,} seeds without influence left out" if found.num_zero else ""
    return (
        f"<p><b>R = {distance(found.R)} {found.unit}</b> (95\u00a0%: {interval(found)}), the mean "
        f"distance of the influence on a node, over {int(found.counted.sum()):,} seeds{zero}. "
        f"Of the influence on a node, {said}; {beyond}</p>"
    )


def _within(hop: int | None, last: int) -> str:
    if hop is None:
        return f"is not reached within {last} hops"
    return f"lies within {hop} {'hop' if hop == 1 else 'hops'}"


def hop_table(found: InfluenceResult) -> str:
    """Sets the curve in a table: influence with its interval, and shares.

    Example:
        >>> found = InfluenceResult(np.ones((2, 2)), np.arange(2), np.zeros(2), np.ones(2) / 2, {})
        >>> hop_table(found).count("<tr>")
        4
    """
    curve, (low, high) = found.curve, found.curve_ci
    shares = found.shares.mean(0)
    rows = [
        [
            str(hop),
            f"{curve[hop]:.4g}",
            "n/a" if math.isnan(low[hop]) else f"{max(low[hop], 0):.4g} to {high[hop]:.4g}",
            percent(shares[hop]),
            percent(shares[: hop + 1].sum()),
        ]
        for hop in range(curve.size)
    ]
    tail, known = found.tail_mass[found.counted].mean(), not math.isnan(found.tail_share)
    rest = [f"{tail:.4g}", "", percent(found.tail_share), percent(1.0)]
    rows.append(["beyond", *(rest if known else ["not measured", "", "n/a", "n/a"])])
    head = ["Hop", "Influence", "95\u00a0% interval", "Share", "Share within"]
    return grid(head, rows)


def name_of(found: InfluenceResult) -> str:
    """Names a measurement by its model and data, where it knows them.

    Example:
        >>> zero, about = np.zeros(1), {"model": "gcn", "depth": 4, "data": "cora"}
        >>> name_of(InfluenceResult(np.ones((1, 2)), np.arange(1), zero, zero, about))
        'gcn, 4 layers, on cora'
    """
    about = found.about
    model, depth, data = (about.get(key) for key in ("model", "depth", "data"))
    layers = f", {depth} {'layer' if depth == 1 else 'layers'}" if depth else ""
    return f"{model or 'a model'}{layers}{f', on {data}' if data else ''}"


def interval(found: InfluenceResult) -> str:
    """Writes the interval of R.

    Example:
        >>> found = InfluenceResult(np.ones((2, 2)), np.arange(2), np.zeros(2), np.ones(2) / 2, {})
        >>> interval(found)
        '0.500 to 0.500'
    """
    low, high = found.R_ci
    return "n/a" if math.isnan(low) else f"{distance(low)} to {distance(high)}"


def distance(value: float) -> str:
    """Writes a distance.

    Example:
        >>> distance(2.4154), distance(155.7638)
        ('2.415', '155.8')
    """
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.1f}"


def percent(share: float) -> str:
    """Writes a share so that little is not taken for nothing.

    Example:
        >>> percent(0.25), percent(0.0), percent(1e-9), percent(float("nan"))
        ('25.0\\xa0%', '0\\xa0%', '1e-07\\xa0%', 'n/a')
    """
    if math.isnan(share):
        return "n/a"
    value = 100 * share
    text = "0" if value == 0 else f"{value:.1f}" if value >= 0.05 else f"{value:.1g}"
    return f"{text}\u00a0%"


def _groups(found: InfluenceResult, y: Any, predicted: Any, unit: str) -> str:
    """R by class and by correctness, where labels and predictions are there."""
    if y is None:
        return "<div></div>"  # what stands beside it keeps its size
    if y.ndim != 1 or (predicted is not None and predicted.ndim != 1):
        return "<p class='note'>Several labels a node: R is not told by class.</p>"
    seeds, values = found.seeds[found.counted], found.R_per_node[found.counted]
    kinds, note = {}, ""
    if predicted is not None:
        known = (y[seeds] >= 0) & (predicted[seeds] >= 0)
        right = y[seeds] == predicted[seeds]
        named = [("right", known & right), ("wrong", known & ~right)]
        kinds["correctness"] = [(name, values[mask]) for name, mask in named if mask.any()]
    classes, counts = np.unique(y[seeds][y[seeds] >= 0], return_counts=True)
    largest = np.sort(classes[np.argsort(-counts, kind="stable")[:_MOST_GROUPS]])
    kinds["class"] = [(f"class {c}", values[y[seeds] == c]) for c in largest]
    if classes.size > _MOST_GROUPS:
        note = f"<p class='note'>The {_MOST_GROUPS} largest of {classes.size} classes.</p>"
    kinds = {kind: groups for kind, groups in kinds.items() if groups}
    return f"{group_plot(kinds, unit)}{note}" if kinds else "<p class='note'>No labelled seed.</p>"


def _rows(values: Any, key: str, found: InfluenceResult) -> npt.NDArray[Any] | None:
    """An input as an array with a row for each node of the graph."""
    if values is None:
        return None
    values = values.detach().cpu() if isinstance(values, Tensor) else values
    array: npt.NDArray[Any] = np.asarray(values)
    if key != "pos" and array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    least = int(found.seeds.max()) + 1
    wanted = found.about.get("num_nodes")
    if array.ndim < 1 or len(array) < least or (wanted is not None and len(array) != wanted):
        count = f"{wanted:,}" if wanted is not None else f"at least {least:,}"
        raise ValueError(f"{key} must have a row for each of {count} nodes: got {_shape(array)}.")
    if key == "pos" and (array.ndim != 2 or array.shape[1] != 2):
        raise ValueError(f"pos must be [nodes, 2]: got {_shape(array)}.")
    return array


def _short(value: Any) -> Any:
    return f"{value:.4g}" if isinstance(value, float) else value


def _shape(array: npt.NDArray[Any]) -> Sequence[int]:
    return list(array.shape)
