"""`graphattn compare`: what it prints and draws, and what it refuses."""

import numpy as np
import pytest
from html_page import check_alone

from graphattn.cli import main
from graphattn.diagnostics import InfluenceResult


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Two measurements that differ in their last hop, and a torn one."""
    monkeypatch.chdir(tmp_path)
    for name, hops in (("gcn", 2), ("gat", 3)):
        about = {"model": name, "depth": 2, "data": "karate", "max_hops": hops}
        table = np.ones((4, hops + 1)) * 0.5 ** np.arange(hops + 1)
        found = InfluenceResult(table, np.arange(4), np.zeros(4), np.full(4, 0.5), about)
        found.save(f"{name}.json")
        found.save(f"{name}.npz")
    (tmp_path / "torn.json").write_text((tmp_path / "gcn.json").read_text()[:100])
    return tmp_path


def test_it_prints_draws_and_warns(files, capsys):
    assert main(["compare", "gcn.json", "gat.npz", "--html", "c.html", "--title", "Reach"]) == 0
    shown = capsys.readouterr()
    assert "gcn, 2 layers, on karate  R = 0.500 (95 %: 0.500 to 0.500) over 4 seeds" in shown.out
    assert "report: c.html" in shown.out
    assert "not comparable: max_hops differs" in shown.err
    text = check_alone((files / "c.html").read_text(encoding="utf-8")).text
    assert "Not comparable as they stand" in text
    assert "Again: graphattn compare gcn.json gat.npz" in text


def test_what_is_alike_is_not_warned_of(files, capsys):
    assert main(["compare", "gcn.json", "gcn.npz"]) == 0
    shown = capsys.readouterr()
    assert "not comparable" not in shown.err
    assert "gcn, 2 layers, on karate (gcn.npz)" in shown.out


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["torn.json"], 4, "torn.json cannot be read as JSON"),
        (["none.json"], 2, "which is missing"),
        (["gcn.json", "gcn.json"], 2, "each measurement is compared once: got gcn.json twice"),
        (["gcn.json", "--html", "a.png"], 2, "html must end in .html or .htm: got a.png"),
        ([], 2, "files must be given: got none"),
    ],
)
def test_wrong_input_is_one_sentence(files, capsys, argv, code, words):
    assert main(["compare", *argv]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
