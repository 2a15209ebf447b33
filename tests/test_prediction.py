"""Predictions from a run's folder: which nodes, from which working folder, of which files."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from graphattn.catalogue import write_npz
from graphattn.config import DataOptions, RunConfig, StoreOptions
from graphattn.experiment import run_experiment
from graphattn.loading import load_data
from graphattn.prediction import load_run, read_ids
from graphattn.training.errors import CorruptCheckpoint
from graphattn.training.options import FitOptions, TokenOptions

SHORT = {"train": FitOptions(epochs=1)}
SMALL = {"hidden_channels": 8, "codebook_size": 8, "global_channels": 4}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder, with the club as k.npz in a folder of it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GRAPHATTN_DATA", raising=False)
    write_npz(load_data(DataOptions("karate")), Path("d/k.npz"), name="k")
    return tmp_path


@pytest.mark.parametrize("data", [DataOptions("d/k.npz"), DataOptions("k", root="d")])
def test_a_run_on_relative_paths_is_predicted_from_anywhere(here, monkeypatch, data):
    np.save("pe.npy", np.ones((34, 2), np.float32))
    config = RunConfig(
        data,
        model_options=SMALL,
        store=StoreOptions(pe="pe.npy", store="s"),
        tokens=TokenOptions(num_samples=4),
        out="run",
        **SHORT,
    )
    result = run_experiment(config)
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    trained = load_run(Path("../run"))
    assert trained.config.store.store == str(here / "s")
    assert len(trained.nodes("test")) == 24
    assert sum(len(ids) for ids, _ in trained.probabilities(trained.nodes("test"))) == 24
    assert not list((here / "elsewhere").iterdir())
    monkeypatch.chdir(here)
    again = run_experiment(config)  # the paths are the same paths: what is finished is kept
    assert again.fits[0].test == result.fits[0].test
    assert again.config.data.title == "k"


def test_data_that_moved_are_found_in_the_root_and_compared(here):
    run_experiment(RunConfig(DataOptions("d/k.npz"), model="mlp", out="run", **SHORT))
    Path("d").rename("e")
    with pytest.raises(
        ValueError, match=r"data.name must be a \.npz file that exists: got .*k.npz"
    ):
        load_run(Path("run"))
    assert load_run(Path("run"), root="e").task.graph.num_nodes == 34
    other = load_data(DataOptions("karate"))
    other.x = other.x + 1
    write_npz(other, Path("e/k.npz"), name="k")
    with pytest.raises(ValueError, match="trained on other data"):
        load_run(Path("run"), root="e")


def test_where_a_file_lies_decides_no_weight(here):
    config = RunConfig(DataOptions("d/k.npz"), store=StoreOptions(pe="a/pe.npy"))
    assert config.anywhere().fingerprint() == config.fingerprint()
    assert config.fingerprint()["data"]["name"] == "k.npz"
    other = dataclasses.replace(config, data=DataOptions("d/l.npz"))
    assert other.fingerprint() != config.fingerprint()
    named = RunConfig(DataOptions("karate"))
    assert named.anywhere() == named


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", r"ids\.txt must hold the id of a node to predict for: got none\."),
        (b"\n \n", "must hold the id of a node"),
        (b"1\ntwo\n", r"ids\.txt must hold one whole id a line: got 'two' in line 2\."),
        (b"1 2\n", "must hold one whole id a line: got '1 2' in line 1"),
        (b"1.5\n", "got '1.5' in line 1"),
        (b"99999999999999999999\n", "must hold one whole id a line: got one too large"),
        (b"\xff\xfe\x00", "must hold one whole id a line"),
        (b"0\n34\n-1\n", r"ids\.txt: ids run 0\.\.33: got \[34, -1\] in rows \[1, 2\]; 2 in all"),
    ],
)
def test_files_of_ids_that_are_none(tmp_path, content, words):
    file = tmp_path / "ids.txt"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=words) as caught:
        read_ids(file, 34)
    assert "\n" not in str(caught.value)


def test_arrays_of_ids_that_are_none(tmp_path):
    file = tmp_path / "ids.npy"
    for array, words in (
        (np.zeros((2, 2), int), r"one whole id a row: got int64 \[2, 2\]"),
        (np.zeros(2), r"one whole id a row: got float64 \[2\]"),
        (np.zeros(0), "must hold the id of a node"),
    ):
        np.save(file, array)
        with pytest.raises(ValueError, match=words):
            read_ids(file, 34)
    file.write_bytes(b"garbage")
    with pytest.raises(ValueError, match=r"ids\.npy cannot be read as an array"):
        read_ids(file, 34)
    np.save(file, np.array([3, 0], np.uint8))
    assert read_ids(file, 34).tolist() == [3, 0]


def test_a_run_is_named_by_what_was_asked(here):
    run_experiment(RunConfig(DataOptions("karate"), model="mlp", out="run", **SHORT))
    with pytest.raises(ValueError, match=r"run holds no run of split 3: it holds split 0 seed 0\."):
        load_run(Path("run"), split=3)
    with pytest.raises(ValueError, match="no run of split 3 and seed 1: "):
        load_run(Path("run"), split=3, seed=1)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("result.json", "{", r"result\.json cannot be read as JSON .* Delete .*split0-seed0 to"),
        (
            "result.json",
            '{"test": 1}',
            r"result\.json must hold the figures of a run as numbers\. Delete",
        ),
        ("metrics.jsonl", "torn", r"metrics\.jsonl, line 1 must be a JSON object"),
    ],
)
def test_damaged_results_are_corrupt_not_wrong_input(here, name, content, words):
    config = RunConfig(DataOptions("karate"), model="mlp", out="run", **SHORT)
    run_experiment(config)
    (here / "run/split0-seed0" / name).write_text(content)
    with pytest.raises(CorruptCheckpoint, match=words):
        run_experiment(config)


def test_figures_that_are_no_numbers_are_corrupt(here):
    config = RunConfig(DataOptions("karate"), model="mlp", out="run", **SHORT)
    run_experiment(config)
    path = here / "run/split0-seed0/result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"test": "good"}))
    with pytest.raises(CorruptCheckpoint, match="must hold the figures of a run as numbers"):
        run_experiment(config)


def test_a_damaged_config_of_a_run_is_corrupt(here):
    run_experiment(RunConfig(DataOptions("karate"), model="mlp", out="run", **SHORT))
    (here / "run/split0-seed0/config.yaml").write_text("data: [")
    with pytest.raises(CorruptCheckpoint, match=r"config\.yaml is no config of a run: .* line 1"):
        load_run(Path("run"))
