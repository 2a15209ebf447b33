"""The drawings of a hypergraph's sizes and degrees."""

from collections.abc import Sequence

from graphattn.drawing import Figure, MaxNLocator, colour, label, style, svg

_SPAN = 100.0  # between counts, from which on the axis is logarithmic


def counts_plot(bars: tuple[Sequence[str], Sequence[int]], name: str, of: str) -> str:
    """Draw a bar for each value or bin of values.

    Args:
        bars: What each is called, and its count.
        name: What is counted, for the axis below.
        of: What has it, for the axis at the side.

    Returns:
        A `<figure>`.

    Example:
        >>> "<svg" in counts_plot((["1", "2"], [3, 400]), "nodes of a hyperedge", "hyperedges")
        True
    """
    labels, counts = bars
    with style():
        figure = Figure(figsize=(4.6, 3.2), layout="constrained")
        axes = figure.add_subplot()
        axes.bar(range(len(counts)), counts, color=colour(0), width=0.8)
        axes.set_axisbelow(True)
        axes.grid(False, axis="x")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        long = any(len(each) > 3 for each in labels)
        axes.set_xticks(range(len(counts)), labels, rotation=60 if long else 0)
        label(axes, name, of)
        text = f"How many {of} there are by {name}."
        if counts and max(counts) > _SPAN * min(counts):
            axes.set_yscale("log")
            text += " The axis at the side is logarithmic."
        return svg(figure, f"{of} by {name}", text)
