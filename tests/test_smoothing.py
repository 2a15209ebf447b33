"""Correct & Smooth as a switch of training: both figures, the weights untouched."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from graphattn import cli
from graphattn.building import build_feed, build_model
from graphattn.config import DataOptions, RunConfig
from graphattn.datasets.splits import Split
from graphattn.datasets.twin import write_twin
from graphattn.experiment import run_experiment
from graphattn.results import table
from graphattn.smoothing import smoothed_figures
from graphattn.task import load_task
from graphattn.training.loop import Loop
from graphattn.training.options import FitOptions, LabelOptions

BLOCKS = DataOptions("sbm", options={"sizes": [60, 60, 60], "p_in": 0.2, "p_out": 0.02})


@pytest.fixture
def config(tmp_path, monkeypatch):
    """An MLP on blocks, which edges tell more of than features."""
    monkeypatch.chdir(tmp_path)
    smoothing = LabelOptions(correct_and_smooth=True)
    return RunConfig(
        BLOCKS, model="mlp", train=FitOptions(epochs=5), labels=smoothing, out="run", seeds="0-1"
    )


def test_raw_and_smoothed_figures_stand_side_by_side(config):
    result = run_experiment(config)
    written = json.loads(Path("run/result.json").read_text())
    assert written["smoothed"]["test"]["mean"] == pytest.approx(result.smoothed[1][0])
    assert written["test"]["mean"] == pytest.approx(result.test[0])
    one = json.loads(Path("run/split0-seed1/result.json").read_text())
    assert one["smoothed"] == written["runs"][1]["smoothed"]
    assert set(one["smoothed"]) == {"val", "test", "scaling", "correct_alpha", "smooth_alpha"}
    assert one["smoothed"]["val"] >= one["best_val"]
    assert result.smoothed[1][0] > result.test[0] + 0.05
    lines = table([result]).splitlines()
    assert [line.split("  ")[0] for line in lines] == ["model", "mlp", "mlp + C&S"]


def test_it_is_asked_for_afterwards_without_training_anew(config, monkeypatch):
    plain = run_experiment(replace(config, labels=LabelOptions()))
    assert plain.smoothed is None
    weights = Path("run/split0-seed0/best/weights.safetensors")
    before = weights.read_bytes()
    monkeypatch.delattr(Loop, "_train_step")
    later = run_experiment(config)
    assert weights.read_bytes() == before
    assert later.smoothed is not None
    assert later.test == plain.test
    assert run_experiment(config).smoothed == later.smoothed
    again = run_experiment(replace(config, labels=LabelOptions()))
    assert again.smoothed is None
    assert "smoothed" not in json.loads(Path("run/result.json").read_text())


def test_only_training_labels_are_spread(config):
    task = load_task(config.data)
    split = task.splits[0]
    model = build_model(config, task, seed=0)
    feed = build_feed(config, task, split.train, seed=0, store=None)
    found = smoothed_figures(model, feed, task, split)
    y = task.y.clone()
    y[split.test] = (y[split.test] + 1) % 3
    changed = smoothed_figures(model, feed, replace(task, y=y), split)
    assert changed.pop("test") != found.pop("test")
    assert changed == found


def test_without_validation_nodes_there_is_nothing_to_choose_by(config):
    task = load_task(config.data)
    split = task.splits[0]
    model = build_model(config, task, seed=0)
    feed = build_feed(config, task, split.train, seed=0, store=None)
    with pytest.raises(ValueError, match="chooses on validation nodes: got none"):
        smoothed_figures(model, feed, task, Split(split.train, split.val[:0], split.test))


def test_the_form_of_ogb_tells_the_smoothed_figure(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRAPHATTN_CACHE", str(tmp_path / "cache"))
    write_twin("ogbn-arxiv", tmp_path, scale=0.003, progress=False)
    argv = ["train", "--data.name", "ogbn-arxiv", "--data.root", str(tmp_path), "--out", "run"]
    argv += ["--model.name", "gcn", "--train.epochs", "3", "--train.label_inputs", "0.6"]
    assert cli.main([*argv, "--train.correct_and_smooth", "true"]) == 0
    assert "gcn + C&S" in capsys.readouterr().out
    form = json.loads(Path("run/leaderboard.json").read_text())["fields"]
    result = json.loads(Path("run/result.json").read_text())
    assert form["Method"] == "gcn + label inputs + C&S"
    assert form["Test performance"]["mean"] == result["smoothed"]["test"]["mean"]
    assert cli.main(["predict", "run", "--nodes", "all", "--out", "p.csv"]) == 0
    assert cli.main([*argv, "--train.label_inputs", "0.5", "--resume"]) == 2
    assert "label_inputs" in capsys.readouterr().err


def test_the_share_decides_the_weights_and_the_judging_does_not():
    plain = RunConfig(BLOCKS)
    judged = replace(plain, labels=LabelOptions(correct_and_smooth=True))
    given = replace(plain, labels=LabelOptions(label_inputs=0.5))
    assert plain.fingerprint() == judged.fingerprint()
    assert given.fingerprint()["train"].pop("label_inputs") == 0.5
    assert "label_inputs" not in plain.fingerprint()["train"]
    assert RunConfig.from_mapping(given.to_mapping()) == given
