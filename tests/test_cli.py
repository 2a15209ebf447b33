"""The command line: what it prints, writes and returns."""

import csv
import errno
import json
import pickle
import shutil
import signal
import subprocess
import sys
import time
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from graphattn import cli
from graphattn.commands import doctor
from graphattn.training.errors import CorruptCheckpoint, Interrupted, NonFiniteLoss

GCN = ["--model.name", "gcn", "--model.hidden_channels", "8", "--train.lr", "0.01"]
LARGEGT = [
    *("--model.hidden_channels", "8", "--model.codebook_size", "16"),
    *("--tokens.num_samples", "5", "--train.batch_size", "4"),
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder, no folder of data sets, and the import path as it was after."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GRAPHATTN_DATA", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def train(*argv: str) -> int:
    return cli.main(["train", "--data.name", "karate", "--train.epochs", "3", *argv])


def test_help_and_version(capsys):
    assert cli.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(command in shown for command in cli.COMMANDS)
    assert cli.main([]) == 2
    assert cli.main(["--version"]) == 0
    assert cli.main(["trian"]) == 2
    assert "did you mean train?" in capsys.readouterr().err


def test_help_is_quick_and_takes_no_torch():
    code = (
        "import sys; from graphattn.cli import main; main(['--help']);"
        "print([n for n in ('torch', 'numpy', 'jsonargparse') if n in sys.modules])"
    )
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")
    assert time.perf_counter() - start < 10  # under 2 s warm; a loaded machine may be slower


def test_train_prints_the_table_and_writes_the_folder(here, capsys):
    assert train(*GCN, "--seeds", "0-1", "--html", "a/report.html") == 0
    shown = capsys.readouterr().out
    assert "±" in shown
    assert "run folder: runs/karate-gcn" in shown
    folder = here / "runs" / "karate-gcn"
    result = json.loads((folder / "result.json").read_text())
    assert [run["seed"] for run in result["runs"]] == [0, 1]
    values = [run["test"] for run in result["runs"]]
    assert result["test"]["mean"] == pytest.approx(np.mean(values))
    assert result["test"]["std"] == pytest.approx(np.std(values, ddof=1))
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["data"]["features"] == "none"  # as resolved, no longer "auto"
    assert config["model"]["dropout"] == 0.5
    for name in ("config.yaml", "metrics.jsonl", "result.json", "best", "last"):
        assert (folder / "split0-seed1" / name).exists()
    assert "<html" in (here / "a" / "report.html").read_text()


def test_a_finished_run_is_kept_and_more_seeds_are_added(here, capsys):
    assert train(*GCN) == 0
    best = here / "runs/karate-gcn/split0-seed0/best/weights.safetensors"
    before = best.stat().st_mtime_ns
    capsys.readouterr()
    assert train(*GCN, "--seeds", "0-1") == 0
    assert "finished already: kept" in capsys.readouterr().err
    assert best.stat().st_mtime_ns == before
    assert train(*GCN, "--resume") == 0


def test_another_config_in_the_same_folder_is_refused_unless_overwritten(here, capsys):
    assert train(*GCN, "--out", "a") == 0
    assert train(*GCN, "--out", "a", "--train.lr", "0.5") == 2
    assert "train.lr was 0.01 and is 0.5" in capsys.readouterr().err
    (here / "a" / "mine.txt").write_text("kept")
    assert train(*GCN, "--out", "a", "--train.lr", "0.5", "--overwrite") == 0
    assert (here / "a" / "mine.txt").exists()
    assert train(*GCN, "--out", "b", "--resume") == 2
    assert train(*GCN, "--out", "a", "--resume", "--overwrite") == 2


def test_the_resolved_config_runs_again_to_the_same_figures(here, capsys):
    assert train(*LARGEGT, "--out", "a") == 0
    assert cli.main(["train", "--config", "a/config.yaml", "--out", "b"]) == 0
    first, second = (json.loads(Path(f, "result.json").read_text())["runs"][0] for f in "ab")
    for key in ("val", "test", "best_epoch"):
        assert first[key] == second[key]
    a, b = (Path(f, "split0-seed0/best/weights.safetensors").read_bytes() for f in "ab")
    assert a == b


def test_stopped_by_ctrl_c_it_goes_on_with_the_command_it_prints(here, capsys, monkeypatch):
    from graphattn import building

    class Impatient(building.FullBatchFeed):
        def train_batches(self, epoch):
            if epoch == 2:
                signal.raise_signal(signal.SIGINT)
            return super().train_batches(epoch)

    assert train(*GCN, "--out", "whole") == 0
    with monkeypatch.context() as patch:
        patch.setattr(building, "FullBatchFeed", Impatient)
        assert train(*GCN, "--out", "a b") == 130
    told = capsys.readouterr().err
    assert "graphattn train --config 'a b/config.yaml' --resume" in told
    assert cli.main(["train", "--config", "a b/config.yaml", "--resume"]) == 0
    whole, resumed = (
        Path(f, "split0-seed0/best/weights.safetensors").read_bytes() for f in ("whole", "a b")
    )
    assert whole == resumed


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--model.heds", "3"], "unknown key model.heds: did you mean model.heads"),
        (["--lr", "3"], "unknown key lr: did you mean train.lr"),
        (["--model.num_own_hops", "3"], "did you mean tokens.num_own_hops"),
        (["--train.lr", "fast"], "train.lr"),
        (["--tokens.pool", "bag"], "tokens.pool"),
        (["--model.name", "larggt"], "Did you mean 'largegt'"),
        (["--model.name", "math.sqrt"], "model.name"),
        (["--tokens.sampler", "neighborhod"], "tokens.sampler"),
        (["--splits", "1"], r"splits must lie in 0..0"),
        (["--seeds", "x"], "seeds must be numbers"),
        (["--device", "abacus"], "device must be one"),
        (["--data.metric", "acuracy"], "Did you mean 'accuracy'"),
        (["--tokens.pe", "spectrum"], "tokens.pe must be none, random_walk"),
        (["--tokens.pe", "no.npy"], "tokens.pe must be a .npy file that exists"),
        (["--config", "no.yaml"], "no.yaml cannot be read"),
        (["--model.heads", "3", "--model.hidden_channels", "0"], "hidden_channels"),
    ],
)
def test_wrong_input_is_exit_2_with_a_hint(here, capsys, argv, words):
    assert train(*argv) == 2
    told = capsys.readouterr().err
    assert words in told
    assert "Traceback" not in told
    assert not list(here.glob("runs/*/split*"))


def test_unknown_keys_of_a_file_are_named_with_the_file(here, capsys):
    Path("c.yaml").write_text("train: {learning_rate: 1}")
    assert train("--config", "c.yaml") == 2
    assert "c.yaml: unknown key train.learning_rate" in capsys.readouterr().err


def test_data_sets_that_are_not_there(here, capsys):
    assert cli.main(["train", "--data.name", "karatee"]) == 2
    assert "did you mean 'karate'" in capsys.readouterr().err
    assert cli.main(["train", "--data.name", "my_own"]) == 3
    assert "GRAPHATTN_DATA" in capsys.readouterr().err
    assert cli.main(["train"]) == 2
    assert "data.name must be given" in capsys.readouterr().err
    assert cli.main(["train", "--data.name", "gone.npz"]) == 2
    Path("torn.npz").write_bytes(b"PK torn")
    assert cli.main(["train", "--data.name", "torn.npz"]) == 4


def test_own_positions_are_checked(here, capsys):
    np.save("pe.npy", np.ones((34, 2), np.float32))
    assert train(*LARGEGT, "--tokens.pe", "pe.npy") == 0
    np.save("pe.npy", np.ones((33, 2), np.float32))
    assert train(*LARGEGT, "--tokens.pe", "pe.npy", "--out", "b") == 2
    assert (
        "tokens.pe must hold finite numbers [34, channels]: got [33, 2]" in capsys.readouterr().err
    )


def test_own_data_by_import_path(here, capsys):
    Path("own_data.py").write_text(
        "from graphattn.datasets.bundled import karate\n"
        "def club(seed: int = 0): return karate(seed=seed)\n"
        "def nothing(): return 3\n"
    )
    argv = ["--data.name", "own_data.club", "--data.options.seed", "3", *GCN]
    assert cli.main(["train", *argv, "--train.epochs", "1", "--out", "a"]) == 0
    assert cli.main(["train", "--data.name", "own_data.nothing"]) == 2
    assert "must return PyG Data: own_data.nothing gave int" in capsys.readouterr().err
    assert cli.main(["train", "--data.name", "own_data.club", "--data.options.sed", "3"]) == 2
    assert "did you mean data.options.seed" in capsys.readouterr().err
    del sys.modules["own_data"]


def test_features_as_asked_for(here):
    for features in ("standardize", "row", "none"):
        assert train(*GCN, "--data.features", features, "--out", features) == 0
    results = [json.loads(Path(f, "result.json").read_text()) for f in ("standardize", "none")]
    assert results[0]["runs"] != results[1]["runs"]


def test_print_config_is_a_config(here, capsys):
    assert train(*GCN, "--print_config") == 0
    printed = capsys.readouterr().out
    Path("c.yaml").write_text(printed)
    assert yaml.safe_load(printed)["model"]["name"] == "gcn"
    assert cli.main(["train", "--config", "c.yaml"]) == 0


def test_own_model_and_own_sampler_by_import_path(here, capsys):
    Path("mine.py").write_text(
        "import torch\n"
        "from graphattn.ops.neighborhood import sample_neighborhood\n"
        "class Plain(torch.nn.Module):\n"
        "    def __init__(self, in_channels: int, out_channels: int, *, scale: float = 1.0):\n"
        "        super().__init__()\n"
        "        self.lin, self.scale = torch.nn.Linear(in_channels, out_channels), scale\n"
        "    def forward(self, x, edge_index):\n"
        "        assert edge_index.shape[0] == 2 and edge_index.layout == torch.strided\n"
        "        return self.lin(x) * self.scale\n"
        "def closest(graph, seeds, num_samples, **options):\n"
        "    return sample_neighborhood(graph, seeds, num_samples, **{**options, 'num_hops': 1})\n"
    )
    assert train("--model.name", "mine.Plain", "--model.scale", "2.0") == 0
    assert "run folder: runs/karate-plain" in capsys.readouterr().out
    assert train("--model.name", "mine.Plain", "--model.scal", "2") == 2
    assert "did you mean model.scale" in capsys.readouterr().err
    assert train(*LARGEGT, "--tokens.sampler", "mine.closest", "--out", "b") == 0
    capsys.readouterr()
    assert cli.main(["predict", "runs/karate-plain", "--nodes", "all"]) == 2
    assert "names code of its own (model.name mine.Plain): pass --trust" in capsys.readouterr().err
    assert cli.main(["predict", "b"]) == 2
    assert "(tokens.sampler mine.closest)" in capsys.readouterr().err
    assert cli.main(["predict", "runs/karate-plain", "--nodes", "all", "--trust"]) == 0
    assert cli.main(["predict", "b", "--trust"]) == 0
    del sys.modules["mine"]


def test_a_pyg_model_by_import_path(here):
    assert train("--model.name", "torch_geometric.nn.GCN", "--model.num_layers", "2") == 0


@pytest.mark.parametrize("model", [GCN, LARGEGT])
def test_predict_from_the_folder_alone(here, model, capsys):
    assert train(*model, "--out", "a", "--seeds", "0-1") == 0
    assert cli.main(["predict", "a", "--out", "p.csv"]) == 0
    rows = list(csv.DictReader(Path("p.csv").read_text().splitlines()))
    assert len(rows) == 24
    shares = np.array([[float(row["p0"]), float(row["p1"])] for row in rows])
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-5)
    assert [int(row["class"]) for row in rows] == shares.argmax(axis=1).tolist()

    from graphattn.datasets.bundled import karate

    result = json.loads(Path("a/result.json").read_text())["runs"][0]
    right = [karate().y[int(row["node"])] == int(row["class"]) for row in rows]
    assert np.mean(right) == pytest.approx(result["test"])

    Path("ids.txt").write_text("33\n0\n")
    assert cli.main(["predict", "a", "--nodes", "ids.txt", "--seed", "1", "--out", "p.npy"]) == 0
    records = np.load("p.npy", allow_pickle=False)
    assert records["node"].tolist() == [33, 0]
    assert records["probabilities"].shape == (2, 2)
    assert cli.main(["predict", "a/split0-seed1", "--nodes", "val", "--out", "v.csv"]) == 0
    assert not list(here.glob("*.part"))


def test_predict_in_pieces_is_predict_at_once(here, monkeypatch):
    from graphattn import prediction

    assert train(*LARGEGT, "--out", "a") == 0
    assert cli.main(["predict", "a", "--nodes", "all", "--out", "once.csv"]) == 0
    monkeypatch.setattr(prediction, "_CHUNK", 5)
    assert cli.main(["predict", "a", "--nodes", "all", "--out", "pieces.csv"]) == 0
    once, pieces = (np.loadtxt(f, delimiter=",", skiprows=1) for f in ("once.csv", "pieces.csv"))
    np.testing.assert_allclose(once, pieces, atol=1e-5)


def test_predict_refuses_what_is_no_run(here, capsys):
    assert train(*GCN, "--out", "a") == 0
    assert cli.main(["predict", "nowhere"]) == 2
    assert cli.main(["predict", "a", "--out", "p.txt"]) == 2
    assert cli.main(["predict", "a", "--nodes", "tset"]) == 2
    assert cli.main(["predict", "a", "--seed", "7"]) == 2
    Path("ids.txt").write_text("34\n")
    assert cli.main(["predict", "a", "--nodes", "ids.txt"]) == 2
    assert "ids run 0..33: got [34]" in capsys.readouterr().err
    weights = Path("a/split0-seed0/best/weights.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert cli.main(["predict", "a"]) == 4
    assert "weights.safetensors" in capsys.readouterr().err
    assert not Path("predictions.csv").exists()


@pytest.mark.parametrize(
    ("section", "key"), [("model", "name"), ("tokens", "sampler"), ("data", "name")]
)
def test_predict_runs_no_code_of_the_folder(here, capsys, section, key):
    Path("hostile.py").write_text("import pathlib\npathlib.Path('marker').touch()\n")
    assert train(*GCN, "--out", "a") == 0
    path = Path("a/split0-seed0/config.yaml")
    config = yaml.safe_load(path.read_text())
    config[section][key] = "hostile.run"
    path.write_text(yaml.safe_dump(config))
    assert cli.main(["predict", "a"]) == 2
    assert f"names code of its own ({section}.{key} hostile.run)" in capsys.readouterr().err
    assert not Path("marker").exists()


@pytest.mark.parametrize("there", ["same", "other", "none"])
def test_predict_writes_no_store(here, there):
    assert train(*LARGEGT, "--out", "a", "--tokens.store", "s") == 0
    assert cli.main(["predict", "a", "--out", "one.csv"]) == 0
    if there != "same":
        shutil.rmtree("s")
    if there == "other":
        argv = ["--data.name", "karate", "--tokens.num_hops", "1", "--out", "s"]
        assert cli.main(["tokenize", *argv]) == 0
    before = {path: path.stat().st_mtime_ns for path in here.rglob("*")}
    assert cli.main(["predict", "a", "--out", "two.csv"]) == 0
    after = {path: path.stat().st_mtime_ns for path in here.rglob("*") if path.name != "two.csv"}
    assert after == before
    assert Path("one.csv").read_text() == Path("two.csv").read_text()


def test_predict_on_another_device(here, capsys):
    assert train(*GCN, "--out", "a") == 0
    path = Path("a/split0-seed0/config.yaml")
    path.write_text(path.read_text().replace("device: auto", "device: cuda:7"))
    assert cli.main(["predict", "a"]) == 0
    assert cli.main(["predict", "a", "--device", "cpu"]) == 0
    assert cli.main(["predict", "a", "--device", "abacus"]) == 2
    assert "device must be one" in capsys.readouterr().err


def test_positions_that_changed_are_noticed(here, capsys):
    np.save("pe.npy", np.ones((34, 2), np.float32))
    assert train(*LARGEGT, "--tokens.pe", "pe.npy", "--out", "a") == 0
    assert cli.main(["predict", "a"]) == 0
    np.save("pe.npy", np.zeros((34, 2), np.float32))
    assert cli.main(["predict", "a"]) == 2
    assert "those of pe.npy have changed since" in capsys.readouterr().err
    assert train(*LARGEGT, "--tokens.pe", "pe.npy", "--out", "a") == 2
    assert "pe_digest was" in capsys.readouterr().err


def test_predict_refuses_data_that_changed(here, capsys):
    assert cli.main(["data", "convert", "karate", "--out", "k.npz"]) == 0
    assert cli.main(["train", "--data.name", "k.npz", *GCN, "--train.epochs", "2"]) == 0
    arrays = dict(np.load("k.npz"))
    arrays["x"][0, 1] = 1
    np.savez("k.npz", **arrays)
    assert cli.main(["predict", "runs/k-gcn"]) == 2
    assert "trained on other data" in capsys.readouterr().err
    assert cli.main(["train", "--data.name", "k.npz", *GCN, "--train.epochs", "2"]) == 2
    assert "data_digest" in capsys.readouterr().err


def test_tokenize_builds_a_store_that_train_takes(here, capsys):
    Path("c.yaml").write_text(
        "data: {name: karate}\ntokens: {num_own_hops: 3, pe: random_walk, pe_channels: 4}\n"
        "model: {name: largegt, hidden_channels: 8, codebook_size: 16}\ntrain: {epochs: 2}\n"
    )
    assert cli.main(["tokenize", "--config", "c.yaml"]) == 0
    shown = capsys.readouterr().out
    assert "stores/karate: 34 nodes, 3 contexts of 34 channels, 3 own hops, 4 position" in shown
    made = {f: f.stat().st_mtime_ns for f in Path("stores").rglob("*.npy")}
    assert cli.main(["train", "--config", "c.yaml", "--tokens.store", "stores/karate"]) == 0
    assert {f: f.stat().st_mtime_ns for f in Path("stores").rglob("*.npy")} == made
    assert cli.main(["train", "--config", "c.yaml", "--out", "memory"]) == 0
    a, b = (
        Path(f, "split0-seed0/best/weights.safetensors").read_bytes()
        for f in ("memory", "runs/karate-largegt")
    )
    assert a == b


def test_data_list_info_convert(here, capsys):
    assert cli.main(["data", "list"]) == 0
    assert "karate" in capsys.readouterr().out
    assert cli.main(["data", "info", "karate"]) == 0
    assert "classes" in capsys.readouterr().out
    Path("e.csv").write_text("source,target\n0,1\n1,2\n2,3\n3,0\n")
    np.save("x.npy", np.eye(8, dtype=np.float32))
    Path("y.txt").write_text("cat\ndog\n" * 4)
    files = ["--edges", "e.csv", "--x", "x.npy", "--y", "y.txt"]
    assert cli.main(["data", "convert", *files, "--out", "my.npz"]) == 0
    assert "classes: 0 cat, 1 dog" in capsys.readouterr().out
    assert cli.main(["data", "list", "--root", "."]) == 0
    assert "my" in capsys.readouterr().out
    assert cli.main(["train", "--data.name", "my", "--data.root", ".", *GCN]) == 0
    Path("e.csv").write_text("0,9\n")
    assert cli.main(["data", "convert", *files, "--out", "my.npz"]) == 2
    assert "edge_index[1,0]=9" in capsys.readouterr().err
    Path("e.csv").write_text("0,1.7\n")
    assert cli.main(["data", "convert", *files, "--out", "my.npz"]) == 2
    assert cli.main(["data", "convert", "--edges", "e.csv", "--out", "my.npz"]) == 2
    assert cli.main(["data", "convert", "karate", "--out", "my.csv"]) == 2


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (
            ["data", "list", "--root", "nope"],
            2,
            "root must be a folder of .npz data sets: got nope",
        ),
        (
            ["data", "frob"],
            2,
            "list | info | convert | download | synth must be given: got 'frob'.",
        ),
        (["data", "convert", "karate", "--metric", "f1", "--out", "k.npz"], 2, "got 'f1'"),
        (["data", "convert", "karate", "--seed", "1", "--out", "k.npz"], 2, "keeps its own split"),
        (["data", "convert", "karate", "--out", "."], 2, "out must end in .npz: got ."),
        (["data", "convert", "--out", "k.npz"], 2, "got none of them."),
        (["predict"], 2, "run must be given: got none."),
        (["predict", "a", "--split", "none"], 2, "--split must be a whole number: got 'none'."),
        (["predict", "a", "--sede", "1"], 2, "there is no argument --sede: did you mean --seed?"),
        (["doctor", "--x"], 2, "there is no argument --x."),
        (["train", "--html"], 2, "--html must have a value: got none."),
        (["train", "--data.name", "karate", "--html", "f"], 2, "html must end in .html or .htm"),
        (["train", "--data.name", "karate", "--out", "f"], 2, "out must be a folder: got f, which"),
        (["train", "--data.name", "karate", "--out", "f/a"], 2, "got f/a: f, which is a file."),
        (["train", "--data.name", "karate", "--out", "/proc/a/b"], 3, "out cannot be written"),
        (["tokenize", "--data.name", "karate", "--out", "f"], 2, "f exists and is no token store"),
        (["tokenize", "--data.name", "karate", "--out", "f/a"], 2, "must be a folder: got"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(here, capsys, argv, code, words):
    Path("f").write_text("mine")
    assert cli.main(argv) == code
    told = capsys.readouterr().err
    assert words in told
    assert told.startswith("graphattn: ")
    assert told.count("\n") == 1
    assert Path("f").read_text() == "mine"


def test_every_option_of_data_and_predict_says_what_it_does(here, capsys):
    for command in (["data", "convert"], ["data", "info"], ["predict"]):
        assert cli.main([*command, "--help"]) == 0
        shown = capsys.readouterr().out
        options = shown.partition("options:\n")[2].splitlines()
        assert not [
            line
            for line in options
            if line.startswith("  -")
            and not line[22:].strip()
            and not options[options.index(line) + 1].startswith("      ")
        ]


def test_a_store_of_something_else_is_refused_and_nothing_is_lost(here, capsys):
    stored = [*LARGEGT, "--tokens.store", "s"]
    assert train(*stored, "--out", "a") == 0
    before = {f: f.read_bytes() for f in here.rglob("*") if f.is_file()}
    capsys.readouterr()
    assert train(*stored, "--tokens.num_own_hops", "2", "--out", "b") == 2
    told = capsys.readouterr().err
    assert "(num_own_hops: the store has 0, asked 2): choose another folder, or delete it." in told
    assert cli.main(["tokenize", "--data.name", "ring", "--out", "s"]) == 2
    told = capsys.readouterr().err
    assert "graph: the store has another; features: the store has others" in told
    again = ["--tokens.norm", "row", "--out", "a", "--overwrite"]
    assert train(*stored, *again) == 2
    assert "norm: the store has sym, asked row" in capsys.readouterr().err
    after = {f: f.read_bytes() for f in before}
    assert after == before  # not even the runs that were to be overwritten
    shutil.rmtree("s")
    assert train(*stored, *again) == 0


OWN = """
import torch
from torch_geometric.data import Data

class Bug(torch.nn.Module):
    def __init__(self, in_channels: int, out_channels: int, *, early: bool = False):
        super().__init__()
        self.lin = torch.nn.Linear(in_channels, out_channels + 3)
        if early:
            raise RuntimeError("too early")
    def forward(self, x, edge_index):
        return self.line(x)

class Wide(Bug):
    def forward(self, x, edge_index):
        return self.lin(x)

class Empty(torch.nn.Module):
    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
    def forward(self, x, edge_index):
        return x[:, :2]

def draw(graph, seeds, num_samples, **options):
    return {}["a"]

def three(graph, seeds, num_samples, **options):
    return 3

def data():
    return Data().nothing
"""


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--model.name", "own.Bug"], "the model own.Bug raised AttributeError: 'Bug' object has"),
        (["--model.name", "own.Bug", "--model.early", "true"], "model.name own.Bug raised Runtime"),
        (["--model.name", "own.Wide"], "the model own.Wide must return [34, 2] (nodes, classes): "),
        (["--model.name", "own.Empty"], "a model must have parameters to train: got none in own.E"),
        ([*LARGEGT, "--tokens.sampler", "own.draw"], "the sampler own.draw raised KeyError: 'a';"),
        ([*LARGEGT, "--tokens.sampler", "own.three"], "own.three must return a Neighborhood (ids"),
        (["--data.name", "own.data"], "data.name own.data raised AttributeError: "),
    ],
)
def test_a_fault_of_own_code_is_told_as_such(here, capsys, argv, words):
    Path("own.py").write_text(OWN)
    assert train(*argv) == 2
    told = capsys.readouterr().err
    assert words in told
    assert "fault of graphattn" not in told
    if "raised" in words:
        assert told.endswith("; --debug shows the traceback.\n")
        assert train(*argv, "--debug") == 2
        assert "own.py" in capsys.readouterr().err
    del sys.modules["own"]


def test_a_model_and_a_section_mistaken_for_each_other(here, capsys):
    for argv, words in (
        (["--model", "gcn"], "did you mean --model.name gcn?"),
        (["--model.name", "GCN"], "Did you mean 'gcn'?"),
        (["--model.name", "mlp", "--model.heads", "3"], "model.heads: mlp has name, hidden_"),
        (["--train.learning_rate", "3"], "did you mean train.lr?"),
    ):
        assert train(*argv) == 2
        assert words in capsys.readouterr().err


def test_an_own_file_in_the_place_of_a_lock_is_not_touched(here, capsys):
    for name in (".s.lock", "s.lock"):
        Path(name).write_text("mine")
    assert train(*LARGEGT, "--tokens.store", "s") == 2
    assert ".s.lock is needed as an empty lock file: got one of 4 bytes" in capsys.readouterr().err
    Path(".s.lock").unlink()
    assert train(*LARGEGT, "--tokens.store", "s") == 0
    assert Path("s.lock").read_text() == "mine"
    Path("a").mkdir()
    Path("a/.lock").write_text("mine")
    assert train(*GCN, "--out", "a") == 2
    assert Path("a/.lock").read_text() == "mine"


def test_damaged_weights_or_results_are_exit_4(here, capsys):
    assert train(*GCN, "--out", "a") == 0
    weights, result = (Path("a/split0-seed0", name) for name in ("best/weights.safetensors", "x"))
    result = result.with_name("result.json")
    whole, figures = weights.read_bytes(), result.read_text()
    weights.write_bytes(whole[:-1])
    assert cli.main(["predict", "a"]) == 4
    assert "weights.safetensors was altered" in capsys.readouterr().err
    weights.write_bytes(whole)
    result.write_text(figures[:40])
    assert train(*GCN, "--out", "a") == 4
    told = capsys.readouterr().err
    assert "result.json cannot be read as JSON" in told
    assert told.count("\n") == 1
    result.unlink()
    Path("a/split0-seed0/last/weights.safetensors").write_bytes(whole[:-1])
    assert train(*GCN, "--out", "a") == 4


def test_a_folder_of_another_run_names_each_key_that_differs(here, capsys):
    assert train(*GCN, "--out", "a") == 0
    capsys.readouterr()
    assert cli.main(["train", "--data.name", "ring", "--model.name", "mlp", "--out", "a"]) == 2
    told = capsys.readouterr().err
    for words in ("data.name was karate and is ring", "model.name was gcn and is mlp", "train.lr"):
        assert words in told
    assert told.count("\n") == 1


def test_doctor_says_what_is_live_and_what_mends_the_rest(here, capsys, monkeypatch):
    assert cli.main(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert "torch-geometric" in shown
    assert "export GRAPHATTN_DATA" in shown
    monkeypatch.setenv("GRAPHATTN_DATA", "gone")
    assert cli.main(["doctor"]) == 3
    assert "gone is no folder" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("source", "state", "words"),
    [
        ("raise OSError('undefined symbol: _ZN2at')", "broken", "built for another torch"),
        ("", "off", "an empty package"),
        ("def scatter(rows, index, dim, reduce): return rows", "broken", "other sums than torch"),
        ("def scatter(): ...", "broken", "other sums than torch"),
        (
            "def scatter(rows, index, dim, reduce):\n"
            "    return rows.new_zeros(2, 2).index_add(dim, index, rows)",
            "ok",
            "sums as torch does",
        ),
    ],
)
def test_doctor_knows_the_ways_torch_scatter_fails(here, monkeypatch, source, state, words):
    Path("torch_scatter.py").write_text(source)
    monkeypatch.syspath_prepend(str(here))
    monkeypatch.delitem(sys.modules, "torch_scatter", raising=False)
    found = {f.what: f for f in doctor.examine()}["torch-scatter"]
    assert (found.state, words in found.detail) == (state, True)
    sys.modules.pop("torch_scatter", None)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("heads"), 2),
        (TypeError("x"), 2),
        (OSError(errno.ENOSPC, "needs 12.4 GB"), 3),
        (MemoryError(), 3),
        (ImportError("matplotlib"), 3),
        (RuntimeError("CUDA out of memory. Tried"), 3),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you"), 3),
        (NonFiniteLoss("loss", epoch=0, step=0, lr=1.0, seeds=[1], out=None), 3),
        (CorruptCheckpoint("runs/a"), 4),
        (zipfile.BadZipFile("not a zip"), 4),
        (pickle.UnpicklingError("refused"), 4),
        (KeyboardInterrupt(), 130),
        (Interrupted(signal.SIGINT, Path("r/split0-seed0"), 3), 130),
        (Interrupted(signal.SIGTERM, None, 3), 143),
        (RuntimeError("what is this"), 1),
    ],
)
def test_exit_codes(monkeypatch, capsys, error, code):
    def fail(argv):
        raise error

    monkeypatch.setitem(sys.modules, "graphattn.commands.doctor", types.SimpleNamespace(main=fail))
    assert cli.main(["doctor"]) == code
    told = capsys.readouterr().err
    assert "Traceback" not in told
    assert len(told) > len("graphattn: \n")
    assert cli.main(["doctor", "--debug"]) == code
    assert "Traceback" in capsys.readouterr().err


def test_sigterm_outside_training_is_143(monkeypatch):
    def stop(argv):
        signal.raise_signal(signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setitem(sys.modules, "graphattn.commands.doctor", types.SimpleNamespace(main=stop))
    assert cli.main(["doctor"]) == 143
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_loss_that_is_no_number_is_exit_3_and_keeps_the_last_good(here, capsys):
    assert train(*GCN[:4], "--train.lr", "1e30", "--train.epochs", "9") == 3
    assert "not finite" in capsys.readouterr().err


def test_callers_random_state_is_left_alone(here):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    assert train(*GCN) == 0
    assert torch.equal(before, torch.get_rng_state())


def test_two_processes_do_not_share_a_folder(here, capsys):
    from filelock import FileLock

    Path("a").mkdir()
    with FileLock("a/.lock"):
        assert train(*GCN, "--out", "a") == 3
    assert "Another process" in capsys.readouterr().err


def test_python_m_graphattn_runs(here):
    done = subprocess.run(
        [sys.executable, "-m", "graphattn", "train", "--data.nam", "x"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[1],
    )
    assert done.returncode == 2
    assert done.stderr == "graphattn: unknown key data.nam: did you mean data.name?\n"
