"""How a report draws: SVG that takes its ink from the page around it.

Lines differ by colour (Okabe and Ito's, told apart by colour-blind readers) and by dash.
"""

import html
import io
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

try:
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, MaxNLocator
except ImportError as error:
    raise ImportError(
        "a report needs matplotlib, which is not installed: pip install 'graphattn[plot]'"
    ) from error

__all__ = [
    "INK",
    "Axes",
    "Figure",
    "LogLocator",
    "MaxNLocator",
    "colour",
    "dash",
    "label",
    "style",
    "svg",
]

INK = "#010203"
"""Drawn with this, then replaced by the page's own colour."""

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_DASHES = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (5, 2, 1, 2)), (0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)))
_DPI = 200  # of what is drawn as points of a picture
_STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "text.parse_math": False,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "path.simplify_threshold": 0.5,
}


def style(changes: Mapping[str, Any] | None = None) -> AbstractContextManager[None]:
    """Draw in the style of a report while in this context.

    Args:
        changes: Settings of matplotlib that differ.

    Example:
        >>> with style():
        ...     drawn = svg(Figure(figsize=(2, 1)), "Nothing", "An empty drawing.")
        >>> drawn.startswith("<figure><svg role=")
        True
    """
    settings: Any = {**_STYLE, **(changes or {})}
    return mpl.rc_context(settings)


def colour(number: int) -> str:
    """Return the colour of the line of a number.

    Example:
        >>> colour(0) == colour(6)
        True
    """
    return _COLOURS[number % len(_COLOURS)]


def dash(number: int) -> Any:
    """Return the dash of the line of a number; with its colour, 36 lines are told apart.

    Example:
        >>> dash(0), dash(0) == dash(6)
        ('-', False)
    """
    return _DASHES[(number + number // len(_DASHES)) % len(_DASHES)]


def label(axes: Axes, x: str, y: str) -> None:
    """Name both axes, and lay a light grid under what is drawn.

    Example:
        >>> axes = Figure().add_subplot()
        >>> label(axes, "hop", "influence")
        >>> axes.get_xlabel()
        'hop'
    """
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.25, lw=0.6, color=INK)


def svg(figure: Figure, name: str, caption: str) -> str:
    """Return a drawing as a `<figure>` to stand in a page.

    Args:
        figure: Drawn within :func:`style`.
        name: What it shows, for those who cannot see it; no two on a page have the same.
        caption: Stands below.

    Example:
        >>> with style():
        ...     "<figcaption>By hop.</figcaption>" in svg(Figure(), "Influence", "By hop.")
        True
    """
    buffer = io.StringIO()
    # A salt of its own, so that two drawings on a page share no id.
    with mpl.rc_context({"svg.hashsalt": name}):
        metadata = {"Date": None}
        figure.savefig(buffer, format="svg", dpi=_DPI, transparent=True, metadata=metadata)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' id="[A-Za-z0-9.]+_[0-9]+"', "", text)  # names of groups that none refers to
    text = text.replace(INK, "currentColor")
    text = text.replace("<svg ", f'<svg role="img" aria-label="{html.escape(name)}" ', 1)
    return f"<figure>{text}<figcaption>{html.escape(caption)}</figcaption></figure>"
