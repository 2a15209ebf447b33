"""The page of a measurement: whole, alone, with every figure, and honest where one is missing."""

import sys
from pathlib import Path

import numpy as np
import pytest
from html_page import Page, check_alone

from graphattn.diagnostics import InfluenceResult
from graphattn.diagnostics.report import headline, hop_table, percent
from graphattn.diagnostics.smoothing import LayerEnergy
from graphattn.diagnostics.structure import StructuralInfluence


def measured(num_seeds: int = 30, **about: object) -> InfluenceResult:
    """Seeds whose influence halves with each hop, none of it beyond hop 3."""
    generator = np.random.default_rng(0)
    table = 0.5 ** np.arange(5) * generator.uniform(1, 2, (num_seeds, 1))
    table[:, 4] = 0.0
    breadth = table @ np.arange(5) / table.sum(1) + generator.normal(0, 0.1, num_seeds)
    facts = {"num_nodes": 60, "semantics": "full", "distance": "hops", **about}
    return InfluenceResult(table, np.arange(num_seeds) * 2, np.zeros(num_seeds), breadth, facts)


def test_the_page_is_whole_and_needs_nothing(tmp_path: Path) -> None:
    layers = np.array([3.0, 1.0, 0.0])
    energy = LayerEnergy(("x", "convs.0", "convs.1"), layers, layers / 4, layers / 5)
    generator = np.random.default_rng(1)
    y = generator.integers(-1, 4, 60)
    found = measured(model="gcn", depth=4, data="cora")
    path = found.report(
        tmp_path / "deep" / "a.html",
        y=y,
        predicted=np.roll(y, 1),
        pos=generator.random((60, 2)),
        energy=energy,
        structure=StructuralInfluence(found.T[::-1], found.seeds, np.ones(30), 3),
        command="graphattn diagnose runs/a",
    )
    text = path.read_text(encoding="utf-8")
    page = check_alone(text)
    for words in (
        "Influence: gcn, 4 layers, on cora",
        "R by correctness and by class",
        "R of each seed on the map",
        "Energy of each layer",
        "Learned and structural influence",
        "full: the Jacobian on the whole graph",
        "Again: graphattn diagnose runs/a",
        "h50 = ",
    ):
        assert words in page.text or f'aria-label="{words}"' in text
    assert "nan" not in page.text.replace("nanometre", "")
    assert [p.name for p in path.parent.iterdir()] == ["a.html"]


def test_what_is_not_given_is_not_drawn(tmp_path: Path) -> None:
    text = measured().report(tmp_path / "a.html").read_text(encoding="utf-8")
    assert check_alone(text).text.count("R by") == 0
    assert "R of each seed on the map" not in text
    unlabelled = measured().report(tmp_path / "b.html", y=np.full(60, -1), predicted=np.zeros(60))
    assert "No labelled seed." in unlabelled.read_text(encoding="utf-8")
    several = measured().report(tmp_path / "c.html", y=np.zeros((60, 3)))
    assert "Several labels a node" in several.read_text(encoding="utf-8")


def test_figures_stand_in_the_table() -> None:
    table = np.array([[8.0, 4.0, 2.0, 1.0], [8.0, 4.0, 2.0, 1.0]])
    found = InfluenceResult(table, np.arange(2), np.ones(2), np.full(2, 11 / 15), {})
    text = Page(hop_table(found)).text
    for figure in ("50.0\xa0%", "75.0\xa0%", "93.8\xa0%", "6.2\xa0%", "8 to 8"):
        assert figure in text
    said = Page(headline(found)).text
    assert "R = 0.733 hops (95\xa0%: 0.733 to 0.733)" in said
    assert "half lies within 0 hops (h50) and nine tenths lies within 3 hops (h90)" in said
    assert "6.2\xa0% lies beyond hop 3" in said


def test_what_was_not_measured_is_told_as_such(tmp_path: Path) -> None:
    found = measured()
    unknown = InfluenceResult(
        found.T, found.seeds, np.full(30, np.nan), found.R_per_node, {"semantics": "pyg"}
    )
    text = Page(unknown.report(tmp_path / "a.html").read_text(encoding="utf-8")).text
    assert "what lies beyond hop 4 was not measured" in text
    assert "not measured" in Page(hop_table(unknown)).text
    blind = InfluenceResult(np.zeros((2, 3)), np.arange(2), np.zeros(2), np.zeros(2), {})
    page = blind.report(tmp_path / "b.html", y=np.zeros(2)).read_text(encoding="utf-8")
    assert "R is not defined" in check_alone(page).text
    assert "<svg" not in page
    single = measured(1).report(tmp_path / "c.html", y=np.zeros(60), pos=np.zeros((60, 2)))
    assert "95\xa0%: n/a" in check_alone(single.read_text(encoding="utf-8")).text


def test_names_are_text_not_markup(tmp_path: Path) -> None:
    found = measured(model="<b>&\"'$x_1$", data="<script>", run="</code><script>")
    text = found.report(tmp_path / "a.html", title=None, command="<p>").read_text(encoding="utf-8")
    check_alone(text)
    assert "$x_1$" in text


def test_inputs_of_another_size_are_refused(tmp_path: Path) -> None:
    found = measured()
    with pytest.raises(ValueError, match=r"y must have a row for each of 60 nodes: got \[59\]"):
        found.report(tmp_path / "a.html", y=np.zeros(59))
    with pytest.raises(ValueError, match=r"pos must be \[nodes, 2\]: got \[60, 3\]"):
        found.report(tmp_path / "a.html", pos=np.zeros((60, 3)))
    other = StructuralInfluence(np.ones((3, 2)), np.arange(3), np.ones(3), 2)
    with pytest.raises(ValueError, match=r"structure must be of .*, \[30, 5\]: got \[3, 2\]"):
        found.report(tmp_path / "a.html", structure=other)
    with pytest.raises(ValueError, match=r"path must end in \.html: got 'a\.pdf'"):
        found.report(tmp_path / "a.pdf")
    assert not list(tmp_path.iterdir())


def test_more_classes_than_fit_are_the_largest(tmp_path: Path) -> None:
    table = np.ones((200, 2))
    found = InfluenceResult(table, np.arange(200), np.zeros(200), np.full(200, 0.5), {})
    y = np.concatenate([np.arange(100), np.arange(100) % 40])
    text = found.report(tmp_path / "a.html", y=y).read_text(encoding="utf-8")
    assert "The 40 largest of 100 classes." in text
    assert "class 39 (" in text
    assert "class 40 (" not in text


def test_little_is_not_written_as_nothing() -> None:
    assert [percent(share) for share in (0, 1e-6, 4e-4, 0.5)] == [
        "0\xa0%",
        "0.0001\xa0%",
        "0.04\xa0%",
        "50.0\xa0%",
    ]


def test_without_matplotlib_the_pip_line_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for module in ("graphattn.diagnostics.report", "graphattn.diagnostics.plots"):
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delitem(sys.modules, "graphattn.drawing")
    with pytest.raises(ImportError, match=r"pip install 'graphattn\[plot\]'"):
        measured().report(tmp_path / "a.html")
