"""Measurements of influence of several models side by side, on one HTML page."""

import html
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from graphattn.diagnostics.plots import cumulative_plot, hop_plot
from graphattn.diagnostics.report import distance, interval, name_of, percent
from graphattn.diagnostics.result import InfluenceResult
from graphattn.page import grid, made_with, write_page

_ALIKE = ("semantics", "max_hops", "distance", "input_scale", "codebook")
_WHY = {
    "semantics": "on balls cut out of the graph the last hops weigh more",
    "max_hops": "R counts influence up to the last hop only",
    "distance": "R is in another unit",
    "input_scale": "features weigh otherwise",
    "codebook": "a codebook held fixed passes no influence on",
}


def write_comparison(
    path: Path, found: Mapping[str, InfluenceResult], *, title: str = "", command: str = ""
) -> Path:
    """Writes a page: R by model, depth and data set, the curves on one another, what differs.

    Args:
        path: Ends in ``.html``.
        found: Measurements by a name of their own, such as that of their file.
        title: Heading of the page.
        command: What makes the page again.

    Returns:
        The path.

    Raises:
        ValueError: The ending is another, or there is nothing to compare.
        OSError: The file cannot be written.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> one = InfluenceResult(np.ones((2, 2)), np.arange(2), np.zeros(2), np.ones(2) / 2, {})
        >>> write_comparison(Path(tempfile.mkdtemp()) / "a.html", {"a": one, "b": one}).name
        'a.html'
    """
    if path.suffix not in (".html", ".htm"):
        raise ValueError(f"path must end in .html: got {path.name!r}.")
    if not found:
        raise ValueError("a comparison needs at least one measurement: got none.")
    title = title or "How far models see"
    named = labels(found)
    shown = dict(zip(named, found.values(), strict=True))
    odd = _odd(found)
    notes = "".join(f"<li>{html.escape(text)}</li>" for text in differences(found))
    warning = (
        f"<section><h2>Not comparable as they stand</h2><ul>{notes}</ul>"
        "<p class='note'>† below: differs from most in one of these.</p></section>"
        if notes
        else ""
    )
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        "<p>R is the mean distance of the influence on a node, with its 95\u00a0% interval over "
        "seeds. A model sees farther where R is larger and its curve falls more slowly.</p>",
        warning,
        f"<section><h2>R by model, depth and data</h2>{_by_data(found, odd)}</section>",
        "<section><h2>Influence by hop</h2>"
        f"{hop_plot(shown, share=True)}{cumulative_plot(shown)}</section>",
        f"<section><h2>Every measurement</h2>{_every(found, named, odd)}</section>",
    ]
    return write_page(path, title, "\n".join([*parts, made_with(command)]))


def differences(found: Mapping[str, InfluenceResult]) -> list[str]:
    """Says in what measurements differ that must be alike for their figures to be compared.

    Args:
        found: Measurements by name.

    Returns:
        A sentence each; none if all is alike.

    Example:
        >>> import numpy as np
        >>> table, zero = np.ones((1, 2)), np.zeros(1)
        >>> a, b = ({"semantics": kind} for kind in ("full", "pyg"))
        >>> one, two = (InfluenceResult(table, np.arange(1), zero, zero, about) for about in (a, b))
        >>> differences({"a": one, "b": two})
        ['semantics differs (on balls ...): full in a; pyg in b.']
    """
    said = []
    for key in _ALIKE:
        groups: dict[str, list[str]] = {}
        for name, one in found.items():
            if key != "codebook" or key in one.about:
                groups.setdefault(str(one.about.get(key, "not said")), []).append(name)
        if len(groups) > 1:
            parts = "; ".join(f"{value} in {', '.join(names)}" for value, names in groups.items())
            said.append(f"{key} differs ({_WHY[key]}): {parts}.")
    graphs: dict[Any, dict[Any, list[str]]] = {}
    for name, one in found.items():
        size = (one.about.get("num_nodes"), one.about.get("num_edges"))
        graphs.setdefault(one.about.get("data"), {}).setdefault(size, []).append(name)
    for data, sizes in graphs.items():
        if data is not None and len(sizes) > 1:
            parts = "; ".join(
                f"{n} nodes and {e} edges in {', '.join(names)}" for (n, e), names in sizes.items()
            )
            said.append(f"{data} is not one graph: {parts}.")
    return said


def labels(found: Mapping[str, InfluenceResult]) -> list[str]:
    """Names each measurement by model, depth and data, and by its own name where need be.

    Example:
        >>> import numpy as np
        >>> zero = np.zeros(1)
        >>> one = InfluenceResult(np.ones((1, 2)), np.arange(1), zero, zero, {"model": "gcn"})
        >>> labels({"a": one, "b": one})
        ['gcn (a)', 'gcn (b)']
    """
    plain = [name_of(one) for one in found.values()]
    return [
        label if plain.count(label) == 1 else f"{label} ({name})"
        for label, name in zip(plain, found, strict=True)
    ]


def _odd(found: Mapping[str, InfluenceResult]) -> set[str]:
    """Names of measurements that differ from most in what must be alike."""
    odd = set()
    for key in _ALIKE:
        values = {name: str(one.about.get(key)) for name, one in found.items()}
        usual = Counter(values.values()).most_common(1)[0][0]
        odd |= {name for name, value in values.items() if value != usual}
    return odd


def _by_data(found: Mapping[str, InfluenceResult], odd: Collection[str]) -> str:
    """A row a model and depth, a column a data set."""
    cells: dict[tuple[str, str], dict[str, list[str]]] = {}
    columns = list(dict.fromkeys(_data_of(one) for one in found.values()))
    models = list(dict.fromkeys(_model_of(name, one) for name, one in found.items()))
    for name, one in sorted(
        found.items(), key=lambda pair: (models.index(_model_of(*pair)), _depth(pair[1]))
    ):
        key = (_model_of(name, one), str(one.about.get("depth") or ""))
        mark = "†" if name in odd else ""
        cells.setdefault(key, {}).setdefault(_data_of(one), []).append(_cell(one) + mark)
    rows = [
        [html.escape(model), html.escape(depth), *("<br>".join(row.get(c, ["-"])) for c in columns)]
        for (model, depth), row in cells.items()
    ]
    units = {one.unit for one in found.values()}
    note = f"R in {units.pop()}." if len(units) == 1 else "R in hops where no unit stands with it."
    note += " In brackets its 95\u00a0% interval."
    return f"{grid(['Model', 'Layers', *columns], rows)}<p class='note'>{html.escape(note)}</p>"


def _model_of(name: str, one: InfluenceResult) -> str:
    return str(one.about.get("model") or name)


def _data_of(one: InfluenceResult) -> str:
    return str(one.about.get("data") or "unnamed data")


def _depth(one: InfluenceResult) -> float:
    depth = one.about.get("depth")
    return float(depth) if isinstance(depth, int | float) else 0.0


def _cell(one: InfluenceResult) -> str:
    if not one.counted.any():
        return "no influence"
    unit = "" if one.unit == "hops" else f" {html.escape(one.unit)}"
    return f"<b>{distance(one.R)}</b>{unit}<br>({interval(one)})"  # a wide table is cut on paper


def _every(found: Mapping[str, InfluenceResult], named: Sequence[str], odd: Collection[str]) -> str:
    metrics = {str(one.about["metric"]) for one in found.values() if "metric" in one.about}
    score = f"Test {metrics.pop()}" if len(metrics) == 1 else "Test"
    scores = any("test" in one.about for one in found.values())
    head = ["Measurement", "R (95\u00a0% interval)", "h50", "h90", "Beyond the last hop"]
    head += ["Seeds (left out)", *([score] if scores else [])]
    rows = []
    for (name, one), label in zip(found.items(), named, strict=True):
        last = one.T.shape[1] - 1
        head_of_row = html.escape(label).replace(", on ", ",<br>on ")
        row = [head_of_row + ("†" if name in odd else ""), _cell(one)]
        near = (one.hop_within(share) for share in (0.5, 0.9))
        row += [f"over {last}" if hop is None else str(hop) for hop in near]
        tail = "not measured" if math.isnan(one.tail_share) else percent(one.tail_share)
        row += [f"{tail} ({last})", f"{int(one.counted.sum()):,} ({one.num_zero:,})"]
        rows.append(
            row + ([html.escape(_score(one.about, named=score == "Test"))] if scores else [])
        )
    note = (
        "h50 and h90: the hop within which half and nine tenths of the influence on a node lie, "
        "mean over seeds. In brackets the last hop, and the seeds without any influence."
    )
    return f"{grid(head, rows)}<p class='note'>{note}</p>"


def _score(about: Mapping[str, Any], *, named: bool) -> str:
    score = about.get("test")
    if not isinstance(score, int | float):
        return "n/a"
    return f"{score:.3f} {about.get('metric') or ''}".strip() if named else f"{score:.3f}"
