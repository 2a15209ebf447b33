"""`graphattn data` for OGB: twins made, trained on, put on a form; archives unpacked."""

import json
import zipfile

import numpy as np
import pytest
import torch

from graphattn import cli
from graphattn.commands import data as command
from graphattn.config import DataOptions, RunConfig
from graphattn.datasets.ogb import open_ogb
from graphattn.datasets.ogb_table import OGB
from graphattn.leaderboard import submission
from graphattn.task import load_task
from graphattn.training.metrics import ogb_metric


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHATTN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GRAPHATTN_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "root"


def synth(name, root, scale):
    assert cli.main(["data", "synth", name, "--scale", str(scale), "--out", str(root)]) == 0


FIELDS = [
    "OGB version",
    "Method",
    "External data",
    "Dataset",
    "Test performance",
    "Validation performance",
    "Contact",
    "Code",
    "Paper",
    "#Params",
    "Tuned hyper-parameters",
    "Hardware",
    "Officiality",
]


def test_from_raw_files_to_the_form(root, capsys):
    synth("ogbn-arxiv", root, 0.003)
    capsys.readouterr()
    argv = ["train", "--data.name", "ogbn-arxiv", "--data.root", str(root), "--model.name", "mlp"]
    argv += ["--train.epochs", "2", "--seeds", "0-1", "--splits", "all", "--out", "run"]
    assert cli.main(argv) == 0
    assert "metric: ogbn-arxiv: mean" in capsys.readouterr().out
    form = json.loads((root.parent / "run/leaderboard.json").read_text())
    result = json.loads((root.parent / "run/result.json").read_text())
    assert sorted(form["fields"]) == sorted(FIELDS)
    assert form["fields"]["Test performance"] == result["test"]
    assert form["fields"]["Validation performance"] == result["val"]
    assert form["fields"]["#Params"] == result["num_parameters"]
    assert {key for key, value in form["fields"].items() if value is None} == set(form["open"])
    assert form["problems"] == [
        "seeds must be 0-9: got 0,1",
        "the data are a made twin of ogbn-arxiv, not ogbn-arxiv: never submit this",
    ]
    page = (root.parent / "run/leaderboard.md").read_text().splitlines()
    rows = [line.split(" | ")[0].removeprefix("| ") for line in page if line.startswith("|")]
    assert rows[2:] == FIELDS
    assert page[2] == "Not ready: seeds must be 0-9: got 0,1."


def test_other_metrics_and_data_have_no_form(root):
    synth("ogbn-arxiv", root, 0.002)
    argv = ["train", "--model.name", "mlp", "--train.epochs", "1", "--data.root", str(root)]
    own = ["--data.name", "ogbn-arxiv", "--data.metric", "accuracy", "--out", "run"]
    assert cli.main([*argv, *own]) == 0
    assert not (root.parent / "run/leaderboard.json").exists()


def test_papers_ask_for_three_seeds(root):
    config = RunConfig(DataOptions("ogbn-papers100M", root=str(root)))
    form = submission(config, [0, 1, 2], (0.5, 0.1), (0.4, 0.1), 7)
    assert form["problems"] == []


def test_the_task_stays_on_disk_and_follows_its_options(root):
    synth("ogbn-arxiv", root, 0.003)
    plain = load_task(DataOptions("ogbn-arxiv", root=str(root)))
    opened = open_ogb("ogbn-arxiv", root)
    assert plain.x.data_ptr() != opened.x.data_ptr()
    assert torch.equal(plain.x, opened.x)
    assert (plain.metric, plain.num_classes) == ("ogbn-arxiv", 40)
    assert plain.options.features == "none"
    assert len(plain.splits) == 1
    both = load_task(DataOptions("ogbn-arxiv", root=str(root), undirected=True))
    assert both.graph.is_undirected
    assert both.digest != plain.digest
    scaled = load_task(DataOptions("ogbn-arxiv", root=str(root), features="standardize"))
    torch.testing.assert_close(scaled.x.mean(0), torch.zeros(128), atol=1e-5, rtol=0)
    torch.testing.assert_close(scaled.x.std(0, correction=0), torch.ones(128))
    with pytest.raises(ValueError, match=r"data.options.cach: did you mean data.options.cache\?"):
        load_task(DataOptions("ogbn-arxiv", root=str(root), options={"cach": "a"}))


def test_many_labels_go_from_raw_files_to_the_form_and_to_predictions(root, capsys):
    synth("ogbn-proteins", root, 0.004)
    common = ["train", "--data.name", "ogbn-proteins", "--data.root", str(root)]
    whole = ["--model.name", "sage", "--train.epochs", "12", "--train.lr", "0.02", "--out", "run"]
    assert cli.main([*common, *whole, "--html", "run/report.html"]) == 0
    assert "metric: ogbn-proteins" in capsys.readouterr().out
    result = json.loads((root.parent / "run/result.json").read_text())
    form = json.loads((root.parent / "run/leaderboard.json").read_text())
    assert form["fields"]["Test performance"] == {"mean": result["test"]["mean"]}
    assert result["test"]["mean"] > 0.55  # 0.5 is chance
    assert "no confusion matrix" in (root.parent / "run/report.html").read_text()
    assert cli.main(["predict", "run", "--out", "p.csv"]) == 0
    lines = (root.parent / "p.csv").read_text().splitlines()
    assert lines[0] == ",".join(["node", *(f"p{task}" for task in range(112))])
    rows = np.array([line.split(",") for line in lines[1:]], dtype=float)
    opened = open_ogb("ogbn-proteins", root)
    assert rows[:, 0].astype(int).tolist() == opened.split.test.tolist()
    scores = torch.from_numpy(rows[:, 1:])
    own = ogb_metric("ogbn-proteins")(opened.y[opened.split.test], scores)
    assert own == pytest.approx(result["test"]["mean"], abs=1e-3)
    assert cli.main(["predict", "run", "--out", "p.npy"]) == 0
    records = np.load("p.npy")
    assert records.dtype.names == ("node", "probabilities")
    assert np.allclose(records["probabilities"], rows[:, 1:], atol=1e-5)


def test_token_models_learn_many_labels_and_resume(root, capsys):
    synth("ogbn-proteins", root, 0.004)
    argv = ["train", "--data.name", "ogbn-proteins", "--data.root", str(root), "--out", "run"]
    argv += ["--tokens.num_samples", "5", "--model.hidden_channels", "8", "--train.epochs", "2"]
    argv += ["--model.codebook_size", "16", "--train.label_inputs", "0.5"]
    assert cli.main(argv) == 0
    first = json.loads((root.parent / "run/result.json").read_text())
    assert cli.main([*argv, "--resume"]) == 0
    assert json.loads((root.parent / "run/result.json").read_text())["runs"] == first["runs"]
    assert cli.main([*argv[:5], "--train.correct_and_smooth", "true", "--out", "other"]) == 2
    assert "needs one class a node: got 112 labels" in capsys.readouterr().err
    assert cli.main([*argv[:5], "--data.metric", "accuracy", "--out", "other"]) == 2
    assert "got 112 labels a node" in capsys.readouterr().err
    weighed = ["--model.name", "mlp", "--train.class_weights", "true", "--out", "third"]
    assert cli.main([*argv[:5], *weighed]) == 2
    assert "class_weights must be False for several labels" in capsys.readouterr().err


def test_a_damaged_graph_is_corrupt(root, capsys):
    synth("ogbn-arxiv", root, 0.002)
    folder = open_ogb("ogbn-arxiv", root).folder
    (folder / "graph/col.npy").write_bytes(b"torn")
    options = ["--data.name", "ogbn-arxiv", "--data.root", str(root)]
    assert cli.main(["train", *options, "--out", "run"]) == 4
    assert f"delete {folder} to build it anew" in capsys.readouterr().err


def test_a_name_typed_wrongly_names_the_nearest(root, capsys):
    assert cli.main(["train", "--data.name", "ogbn-arvix", "--out", "run"]) == 2
    assert "did you mean 'ogbn-arxiv'?" in capsys.readouterr().err


def test_listed_and_described(root, capsys):
    synth("ogbn-arxiv", root, 0.002)
    capsys.readouterr()
    assert cli.main(["data", "info", "ogbn-arxiv", "--root", str(root)]) == 0
    facts = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert facts["nodes"] == "339"
    assert cli.main(["data", "list"]) == 0
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert rows["ogbn-papers100M"].startswith("OGB, read from a folder")
    assert (
        rows["snap-patents"] == "raw files, read from a folder: snap_patents.mat; fetched by hand"
    )
    assert "ind.cora.x and 7 more; `graphattn data download`" in rows["planetoid-cora"]


def test_download_unpacks_what_came(root, monkeypatch, capsys):
    synth("ogbn-arxiv", root.parent / "made", 0.002)
    made = root.parent / "made/ogbn_arxiv"

    def fetched(url, path, **options):
        assert url == OGB["ogbn-arxiv"].url
        assert options == {"sha256": None, "size": 80_000_000, "yes": True}
        with zipfile.ZipFile(path, "w") as archive:
            for file in made.rglob("*.*"):
                archive.write(file, f"arxiv/{file.relative_to(made)}")
        return "ab" * 32

    root.mkdir()
    monkeypatch.setattr(command, "fetch", fetched)
    argv = ["data", "download", "ogbn-arxiv", "--data.root", str(root), "--yes"]
    assert cli.main(argv) == 0
    assert "(sha256 abab" in capsys.readouterr().out
    assert len(open_ogb("ogbn-arxiv", root).x) == 339
    assert cli.main(argv) == 0
    assert "already" in capsys.readouterr().out


def test_download_needs_a_name_and_a_folder(root, capsys):
    assert cli.main(["data", "download", "ogbn-arxiv"]) == 2
    assert "give --root, or GRAPHATTN_DATA" in capsys.readouterr().err
    assert cli.main(["data", "download", "cora", "--root", str(root)]) == 2
    assert "download knows ogbn-arxiv, " in capsys.readouterr().err
    assert not root.exists()
