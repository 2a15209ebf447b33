"""`graphattn diagnose`: runs of ours, models of others, and all that can be wrong."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from html_page import check_alone
from torch_geometric.nn import GCN

from graphattn.cli import main
from graphattn.config import DataOptions
from graphattn.diagnostics import influence, read_influence
from graphattn.loading import load_data

BUILD = """
from torch_geometric.nn import GCN

def build(in_channels, out_channels):
    return GCN(in_channels, 8, 3, out_channels)

def plain():
    return GCN(34, 8, 3, 2)

def number():
    return 3

def broken():
    raise KeyError("lin")

def wide():
    return GCN(5, 8, 3, 2)
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A GCN, a GAT of the strong form and LargeGT, trained for a moment."""
    folder = tmp_path_factory.mktemp("runs")
    short = ["--data.name", "karate", "--train.epochs", "2", "--device", "cpu"]
    for name, options in {
        "gcn": ["--model.name", "gcn", "--model.num_layers", "3"],
        "gat": ["--model.name", "gat", "--model.residual", "true", "--model.norm", "layer"],
        "largegt": ["--model.hidden_channels", "8", "--tokens.num_samples", "4"],
    }.items():
        out = str(folder / name)
        assert main(["train", *short, *options, "--out", out]) == 0
    return folder


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A working folder with a model of the user's own, and weights of it."""
    monkeypatch.chdir(tmp_path)
    Path("my.py").write_text(BUILD)
    torch.manual_seed(3)
    torch.save(GCN(34, 8, 3, 2).state_dict(), "c.pt")
    return ["diagnose", "--model", "my.py:build", "--data", "karate", "--max-hops", "4"]


@pytest.mark.parametrize("name", ["gcn", "gat", "largegt"])
def test_a_run_is_measured_as_it_predicts(runs, tmp_path, capsys, name):
    page, figures = tmp_path / "a.html", tmp_path / "a.json"
    out = ["--html", str(page), "--json", str(figures), "--max-hops", "4"]
    assert main(["diagnose", str(runs / name), *out]) == 0
    shown = capsys.readouterr().out
    found = read_influence(figures)
    assert str(found) in shown
    assert f"report: {page}" in shown
    text = check_alone(page.read_text(encoding="utf-8")).text
    assert f"Influence: {name}" in text
    assert "right (" in text
    about = found.about
    assert about["data"] == "karate"
    assert (
        about["test"] == json.loads((runs / name / "split0-seed0/result.json").read_text())["test"]
    )
    if name != "largegt":  # what is measured gives the logits that predict
        assert (found.T.sum(1) > 0).all()


def test_the_model_in_the_form_engines_know_gives_the_same_numbers(runs, tmp_path):
    from graphattn.prediction import load_run

    figures = tmp_path / "a.npz"
    assert main(["diagnose", str(runs / "gcn"), "--max-hops", "3", "--json", str(figures)]) == 0
    trained = load_run(runs / "gcn", device="cpu")
    expected = influence(
        trained.model, trained.task.data, max_hops=3, seeds=range(34), engine="single"
    )
    found = read_influence(figures)
    order = np.argsort(found.seeds)
    np.testing.assert_allclose(found.T[order], expected.T, rtol=1e-4, atol=1e-7)
    assert found.about["engine"] == "fused"


def test_chosen_nodes_are_measured(runs, tmp_path, capsys):
    run, figures = str(runs / "gcn"), tmp_path / "a.json"
    given = ["diagnose", run, "--json", str(figures)]
    assert main([*given, "--seeds", "test"]) == 0
    assert len(read_influence(figures).seeds) == 24
    assert main([*given, "--seeds", "test", "--num-seeds", "5"]) == 0
    some = read_influence(figures).seeds
    assert len(some) == 5
    assert main([*given, "--num-seeds", "7", "--channels", "1", "--name", "mine"]) == 0
    found = read_influence(figures)
    assert (len(found.seeds), found.about["channels"], found.about["model"]) == (7, 1, "mine")
    ids = tmp_path / "ids.txt"
    ids.write_text("3\n1\n")
    assert main([*given, "--seeds", str(ids)]) == 0
    assert read_influence(figures).seeds.tolist() == [3, 1]
    assert "seeds" not in capsys.readouterr().err  # no bar without a terminal


def test_a_model_of_ones_own_with_its_weights(mine, capsys):
    assert main([*mine, "--ckpt", "c.pt", "--json", "a.json", "--html", "a.html"]) == 0
    torch.manual_seed(3)
    model = GCN(34, 8, 3, 2)
    data = load_data(DataOptions("karate"))
    expected = influence(model, data, max_hops=4)
    found = read_influence("a.json")
    np.testing.assert_array_equal(found.seeds, expected.seeds)
    np.testing.assert_allclose(found.T, expected.T, rtol=1e-5)
    text = check_alone(Path("a.html").read_text(encoding="utf-8")).text
    assert "Influence: my.py:build, 3 layers, on karate" in text
    assert found.about["weights"] == "c.pt"
    nested = {"state_dict": model.state_dict(), "epoch": 3}
    torch.save(nested, "nested.pt")
    assert main([*mine, "--ckpt", "nested.pt", "--json", "b.json"]) == 0
    np.testing.assert_allclose(read_influence("b.json").T, found.T)
    capsys.readouterr()


class _Hostile:
    def __reduce__(self):
        return os.mkdir, ("hacked",)


def test_hostile_and_torn_checkpoints_are_exit_4_and_run_nothing(mine, capsys):
    Path("evil.pt").write_bytes(pickle.dumps({"weight": _Hostile()}))
    torch.save({"weight": _Hostile()}, "evil2.pt")
    whole = Path("c.pt").read_bytes()
    Path("torn.pt").write_bytes(whole[: len(whole) // 2])
    Path("torn.safetensors").write_bytes(b"\xff" * 40)
    Path("empty.pt").touch()
    for name in ("evil.pt", "evil2.pt", "torn.pt", "torn.safetensors", "empty.pt"):
        assert main([*mine, "--ckpt", name]) == 4, name
        (line,) = capsys.readouterr().err.splitlines()
        assert name in line
    assert not Path("hacked").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--model", "my.py:biuld"], "there is no 'biuld' in it"),
        (["--model", "mine.py:build"], "must be FILE.py:FUNCTION, a file that exists"),
        (["--model", "my.py"], "must be FILE.py:FUNCTION"),
        (["--model", "my.py:number"], "must make a torch module: my.py:number gave int"),
        (["--model", "my.py:broken"], "--model my.py:broken raised KeyError: 'lin'"),
        (["--model", "my.py:wide"], "--model my.py:wide raised"),
        (["--ckpt", "none.pt"], "ckpt must be a file of weights that exists: got none.pt"),
        (["--ckpt", "other.pt"], "other.pt belongs to another model"),
        (["--ckpt", "list.pt"], "must hold a state_dict, tensors by name: got int 'epoch'"),
        (["--data", "karat"], "did you mean 'karate'"),
        (["--features", "auto"], "--features must be none, standardize or row: got 'auto'"),
        (["--max-hops", "-1"], "max_hops must be at least 0"),
        (["--max-hops", "few"], "--max-hops must be a whole number: got 'few'"),
        (["--tol", "0"], "tol is a share of R above 0"),
        (["--num-seeds", "0"], "--num-seeds must be auto or a number of at least 1: got '0'"),
        (["--channels", "some"], "--channels must be all or a number of at least 1: got 'some'"),
        (["--distance", "miles"], "distance must be one of"),
        (["--distance", "weight"], "needs data with edge_length or edge_weight: got neither"),
        (["--distance", "euclid"], "needs data.pos"),
        (["--semantics", "half"], "semantics must be one of full, pyg"),
        (["--input-scale", "max"], "input_scale must be None or 'std'"),
        (["--engine", "steam"], "engine must be one of"),
        (["--device", "abacus"], "device must be one that this machine has"),
        (["--seeds", "tset"], "nodes must be train, val, test, all or a file"),
        (["--split", "1"], "--split is of a run folder: got --split 1 without one"),
        (["--trust"], "--trust is of a run folder: got --trust without one"),
        (["--html", "a.pdf"], "html must end in .html or .htm"),
        (["--json", "a.txt"], "json must end in .json"),
        (["--hops", "3"], "there is no argument --hops"),
    ],
)
def test_wrong_input_is_exit_2_in_one_sentence(mine, capsys, change, words):
    torch.save(GCN(34, 9, 3, 2).state_dict(), "other.pt")
    torch.save({"epoch": 3}, "list.pt")
    assert main([*mine, *change]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "takes a run folder, or --model and --data: got none"),
        (["a", "--model", "b"], "got a and --model b"),
        (["--model", "my.py:build"], "--model needs --data"),
        (["nowhere"], "nowhere is no run folder"),
        (["nowhere", "--ckpt", "a.pt"], "--ckpt is of a model of your own"),
    ],
)
def test_a_run_or_a_model(mine, capsys, argv, words):
    assert main(["diagnose", *argv]) == 2
    assert words in capsys.readouterr().err


def test_label_inputs_and_follow_are_refused_where_they_make_no_sense(runs, tmp_path, capsys):
    given = ["train", "--data.name", "digits", "--model.name", "mlp", "--train.epochs", "1"]
    out = str(tmp_path / "a")
    assert main([*given, "--train.label_inputs", "0.5", "--out", out]) == 0
    assert main(["diagnose", out]) == 2
    assert "a run with train.label_inputs cannot be diagnosed" in capsys.readouterr().err
    assert main(["diagnose", str(runs / "gcn"), "--follow"]) == 2
    assert "--follow is of models with a codebook: got gcn" in capsys.readouterr().err
    assert main(["diagnose", str(runs / "largegt"), "--semantics", "pyg"]) == 2
    assert "--semantics pyg" in capsys.readouterr().err


def test_metres_along_the_roads_and_a_map(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my.py").write_text(BUILD)
    given = ["diagnose", "--model", "my.py:build", "--data", "road", "--features", "standardize"]
    given += ["--num-seeds", "20", "--max-hops", "4"]
    for distance in ("weight", "euclid", "hops"):
        out = ["--json", f"{distance}.json"] + ["--html", "hops.html"] * (distance == "hops")
        assert main([*given, "--distance", distance, *out]) == 0
    by = {name: read_influence(f"{name}.json") for name in ("weight", "euclid", "hops")}
    np.testing.assert_allclose(by["weight"].T, by["hops"].T)  # lengths weigh no edge of the model
    assert by["weight"].unit == "metres"
    assert (by["weight"].R_per_node >= by["euclid"].R_per_node - 1e-6).all()
    assert "R of each seed on the map" in Path("hops.html").read_text(encoding="utf-8")
    assert " metres (95 %:" in capsys.readouterr().out
