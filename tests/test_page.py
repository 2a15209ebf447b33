"""The frame of every report: tables, facts and foot, all of them text."""

from pathlib import Path

from html_page import Page, check_alone

from graphattn.page import facts, grid, made_with, write_page


def test_a_page_replaces_the_one_before_and_leaves_nothing_else(tmp_path: Path) -> None:
    body = grid(["a & b", "<n>"], [["<b>1</b>", "2"]]) + facts({"<k>": "a & b"}) + made_with("x <y")
    for _ in range(2):
        path = write_page(tmp_path / "deep" / "a.html", "<title>", body)
    assert [p.name for p in path.parent.iterdir()] == ["a.html"]
    text = check_alone(path.read_text(encoding="utf-8")).text
    assert "a & b" in text
    assert "Again: x <y" in text


def test_nothing_to_tell_is_nothing() -> None:
    assert facts({}) == ""
    assert "Again" not in Page(made_with()).text
    assert ", a GPU." in Page(made_with(device="a GPU")).text
