"""The report: everything is on the page, nothing comes from elsewhere, names cannot break it."""

import math
import sys

import pytest
import torch
from html_page import Page, check_alone

from graphattn.training.fitting import FitOptions, fit
from graphattn.training.plots import confusion_plot
from graphattn.training.report import FitRecord, RunSummary, read_fit, write_report


def _record(split: int = 0, seed: int = 0, *, classes: int = 3, val: float = 0.5) -> FitRecord:
    history = [
        {"epoch": e, "loss": 2 / (e + 1), "val": val, "val_loss": 2.0, "lr": 0.1} for e in range(5)
    ]
    confusion = [[3 if i == j else 1 for j in range(classes)] for i in range(classes)]
    return FitRecord(split, seed, val, 0.75, 2, 5, 0.125, 650_000_000, history, confusion)


def _two_models() -> list[RunSummary]:
    return [
        RunSummary(
            "largegt", "accuracy", 45_706, [_record(0, s, val=0.5 + s / 10) for s in (0, 1)]
        ),
        RunSummary("mlp", "accuracy", 4_810, [_record()], command="graphattn train ..."),
    ]


def test_the_page_is_whole_and_needs_nothing(tmp_path):
    path = write_report(
        tmp_path / "deep" / "report.html", _two_models(), title="Demo", command="make"
    )
    text = path.read_text(encoding="utf-8")
    check_alone(text)
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


def test_figures_stand_in_the_table(tmp_path):
    text = write_report(tmp_path / "r.html", _two_models(), title="Demo").read_text(
        encoding="utf-8"
    )
    for figure in ("0.5500 ± 0.0707", "1 split, 2 seeds", "45,706", "650 MB", "0.125"):
        assert figure in text
    assert "largegt ★" in text
    assert "Highest validation accuracy: <b>largegt</b>" in text


def test_names_are_text_not_markup(tmp_path):
    runs = [
        RunSummary("<b>&\"'$x_1$", "accuracy", 1, [_record()], notes={"<i>": "</code><script>"})
    ]
    names = ["<u>", "$\\frac$", "a & b"]
    path = write_report(tmp_path / "r.html", runs, title="<h1>", class_names=names, command="<p>")
    text = path.read_text(encoding="utf-8")
    assert Page(text).open == []
    for markup in ("<script", "<i>", "<u>", "<h1><h1>"):
        assert markup not in text
    assert "$\\frac$" in text


def test_runs_without_validation_or_test_are_told_as_such(tmp_path):
    history = [{"epoch": 0, "loss": 1.0, "val": math.nan, "val_loss": math.nan}]
    record = FitRecord(0, 0, math.nan, math.nan, 0, 1, 0.1, 1, history, [[0, 0], [0, 0]])
    runs = [RunSummary("gcn", "rocauc", 1, [record])]
    text = write_report(tmp_path / "r.html", runs, title="Demo").read_text(encoding="utf-8")
    assert "n/a" in text
    assert "No labelled test nodes" in text
    assert "Highest" not in text
    assert "nan" not in Page(text).text


def test_many_classes_are_drawn_without_numbers():
    run = RunSummary("gcn", "accuracy", 1, [_record(classes=40)])
    numbered = RunSummary("gcn", "accuracy", 1, [_record(classes=10)])
    assert confusion_plot(run).count("<text") < 40
    assert confusion_plot(numbered).count("<text") > 100


def test_a_finished_folder_is_read_back(make_line, split, tmp_path):
    result = fit(*make_line(), split, options=FitOptions(epochs=2), out=tmp_path)
    record = read_fit(tmp_path, split=3, seed=4)
    assert (record.split, record.seed, record.test) == (3, 4, result.test)
    assert record.history == result.history
    assert record.confusion == result.confusion
    assert torch.tensor(record.confusion).sum() == len(split.test)


def test_what_is_no_run_is_named(tmp_path):
    (tmp_path / "result.json").write_text('{"test": 1.0}')
    with pytest.raises(ValueError, match=r"finished run's: best_val, confusion, best_epoch"):
        read_fit(tmp_path, split=0, seed=0)
    with pytest.raises(ValueError, match="gcn must have a finished run"):
        RunSummary("gcn", "accuracy", 1, [])
    with pytest.raises(ValueError, match=r"got metrics \[\] of 0 runs"):
        write_report(tmp_path / "r.html", [], title="Demo")
    mixed = [RunSummary("a", name, 1, [_record()]) for name in ("accuracy", "rocauc")]
    with pytest.raises(ValueError, match=r"got metrics \['accuracy', 'rocauc'\]"):
        write_report(tmp_path / "r.html", mixed, title="Demo")


def test_without_matplotlib_the_pip_line_is_given(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for module in ("graphattn.training.plots", "graphattn.drawing"):
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(ImportError, match=r"pip install 'graphattn\[plot\]'"):
        write_report(tmp_path / "r.html", _two_models(), title="Demo")
