"""Drawings take the page's ink, share no id, and tell many lines apart."""

import re

from graphattn.drawing import INK, Figure, colour, dash, style, svg


def drawn(name: str) -> str:
    with style():
        figure = Figure(figsize=(2, 2))
        axes = figure.add_subplot()
        axes.plot([0, 1], [1, 0], color=INK, clip_on=True)
        axes.fill_between([0, 1], [0, 1])
        return svg(figure, name, "a < b")


def test_ink_ids_and_words() -> None:
    one, two = drawn("one"), drawn("two")
    assert INK not in one
    assert "currentColor" in one
    assert "a &lt; b" in one
    first, second = (set(re.findall(r'id="([^"]+)"', text)) for text in (one, two))
    assert first
    assert not first & second


def test_thirty_six_lines_are_told_apart() -> None:
    assert len({(colour(n), str(dash(n))) for n in range(36)}) == 36
    assert len({colour(n) for n in range(6)}) == len({str(dash(n)) for n in range(6)}) == 6
