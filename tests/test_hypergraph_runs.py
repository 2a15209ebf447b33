"""Hypergraphs through the command line: train, resume, sample, predict, describe, refuse."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypergraph_sets import HYPEREDGES, NODES, make_data, write

from graphattn import cli
from graphattn.config import DataOptions, RunConfig
from graphattn.description import describe
from graphattn.estimator import NodeClassifier
from graphattn.experiment import run_experiment, run_one
from graphattn.loading import load_data
from graphattn.prediction import load_run
from graphattn.task import load_task, task_of
from graphattn.training.loop import Loop
from graphattn.training.options import FitOptions, TokenOptions

WOMEN = ["--data.name", "southern_women", "--train.epochs", "3", "--model.hidden_channels", "8"]
MODELS = ["hypergraph_transformer", "allset_transformer", "edhnn", "hcha", "mlp"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder with three hypergraphs, which is the folder of data sets."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRAPHATTN_DATA", str(tmp_path))
    write(make_data(typed=True), tmp_path / "planted.npz")
    write(make_data(numbers=True), tmp_path / "numbers.npz")
    bare = make_data()
    del bare.x
    write(bare, tmp_path / "bare.npz")
    return tmp_path


@pytest.mark.parametrize("model", MODELS)
def test_every_model_trains_and_predicts(here, model, capsys):
    assert cli.main(["train", *WOMEN, "--model.name", model, "--html", "report.html"]) == 0
    run = here / "runs" / f"southern_women-{model}"
    assert json.loads((run / "result.json").read_text())["metric"] == "accuracy"
    report = (here / "report.html").read_text()
    assert "<h2>The hypergraph</h2>" in report
    assert "hyperedges by nodes of a hyperedge" in report
    assert cli.main(["predict", str(run), "--nodes", "all", "--out", "p.csv"]) == 0
    rows = list(csv.DictReader(Path("p.csv").read_text().splitlines()))
    assert len(rows) == 18
    assert all(float(row["p0"]) + float(row["p1"]) == pytest.approx(1, abs=1e-4) for row in rows)
    capsys.readouterr()
    asked = ["--max-hops", "3", "--html", "seen.html", "--json", "seen.json"]
    assert cli.main(["diagnose", str(run), *asked]) == 0
    assert "left out on a hypergraph: the energy of layers" in capsys.readouterr().out
    seen = json.loads(Path("seen.json").read_text())
    assert seen["about"]["num_hyperedges"] == 14
    assert (seen["R"] > 0) == (model != "mlp")
    assert Path("seen.html").stat().st_size > 1000


def test_a_planted_hypergraph_is_learnt_and_a_run_is_kept(here):
    config = RunConfig(
        DataOptions("planted"),
        model="hypergraph_transformer",
        model_options={"hidden_channels": 16, "dropout": 0.2},
        train=FitOptions(epochs=40, lr=0.01),
        seeds="0-1",
        out="run",
    )
    result = run_experiment(config)
    assert min(fit.test for fit in result.fits) > 0.7
    before = (here / "run" / "result.json").read_bytes()
    again = run_experiment(config)
    assert [fit.test for fit in again.fits] == [fit.test for fit in result.fits]
    assert (here / "run" / "result.json").read_bytes() == before
    trained = load_run(here / "run", seed=1)
    assert trained.task.hyperedge_type.shape == (HYPEREDGES,)
    _, shares = next(trained.probabilities(trained.nodes("test")))
    right = shares.argmax(1) == trained.task.y[trained.nodes("test")]
    assert float(right.float().mean()) == pytest.approx(result.fits[1].test)


def test_a_run_cut_short_goes_on_to_the_same_weights(here, monkeypatch):
    def config(out, epochs):
        tokens = TokenOptions(hyperedges=3, members=3, batch_size=16)
        options = {"hidden_channels": 8}
        fitting = FitOptions(epochs=epochs, schedule="constant", save_seconds=0.0)
        data, name = DataOptions("planted"), "hypergraph_transformer"
        return RunConfig(
            data, model=name, model_options=options, tokens=tokens, train=fitting, out=out
        )

    run_experiment(config("whole", 6))

    class Cut(Exception):
        pass

    before, count = Loop._finish_epoch, []

    def stop(self, watch):
        count.append(1)
        if len(count) == 4:
            raise Cut
        return before(self, watch)

    monkeypatch.setattr(Loop, "_finish_epoch", stop)
    with pytest.raises(Cut):
        run_experiment(config("cut", 6))
    monkeypatch.setattr(Loop, "_finish_epoch", before)
    run_experiment(config("cut", 6))
    weights = [load_run(Path(name)).model.state_dict() for name in ("whole", "cut")]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_sampled_training_learns_as_the_whole_does(here):
    shared = [
        *("--data.name", "planted", "--model.name", "hypergraph_transformer"),
        *("--model.hidden_channels", "16", "--model.dropout", "0.2", "--train.lr", "0.01"),
    ]
    drawn = ["--tokens.hyperedges", "3", "--tokens.members", "3", "--train.batch_size", "10"]
    assert cli.main(["train", *shared, "--train.epochs", "15", *drawn, "--out", "s"]) == 0
    assert cli.main(["train", *shared, "--train.epochs", "40", "--out", "w"]) == 0
    sampled, whole = (json.loads(Path(run, "result.json").read_text()) for run in ("s", "w"))
    assert sampled["test"]["mean"] > whole["test"]["mean"] - 0.15
    assert cli.main(["predict", "s", "--out", "p.npy"]) == 0
    assert len(np.load("p.npy")) == 15


def test_meta_hgnie_trains_with_its_own_loss_and_predicts_numbers(here):
    data = make_data(typed=True, numbers=True)
    data.x_text = torch.randn(NODES, 6, generator=torch.Generator().manual_seed(0))
    task = task_of(data, DataOptions("mine"))
    config = RunConfig(
        DataOptions("mine"),
        model="meta_hgnie",
        model_options={"hidden_channels": 4, "heads": 2, "num_layers": 1},
        train=FitOptions(epochs=3, lr=0.01),
    )
    fitted = run_one(config, task, split=0, seed=0, store=None, out=None)
    assert fitted.model.text is not None
    assert fitted.model.struct is not None
    logits = fitted.feed.predict(fitted.model, torch.arange(NODES))
    assert logits.shape == (NODES, 1)
    assert logits.isfinite().all()


def test_numbers_are_judged_by_their_ranks(here):
    argv = ["--data.name", "numbers", "--model.name", "hypergraph_transformer", "--out", "run"]
    argv += ["--train.epochs", "40", "--model.hidden_channels", "16", "--train.lr", "0.01"]
    assert cli.main(["train", *argv, "--html", "report.html"]) == 0
    result = json.loads(Path("run/result.json").read_text())
    assert result["metric"] == "spearman"
    assert result["test"]["mean"] > 0.4
    figures = json.loads(Path("run/split0-seed0/result.json").read_text())["importance"]
    assert sorted(figures) == ["median_ae", "ndcg@100", "overlap@100", "rmse", "spearman"]
    assert figures["spearman"] == pytest.approx(result["test"]["mean"], abs=1e-6)
    for name in ("p.csv", "p.npy"):
        assert cli.main(["predict", "run", "--nodes", "val", "--out", name]) == 0
    assert Path("p.csv").read_text().splitlines()[0] == "node,number"
    assert np.load("p.npy").dtype.names == ("node", "number")
    columns = np.loadtxt("p.csv", delimiter=",", skiprows=1)
    np.testing.assert_allclose(columns[:, 1], np.load("p.npy")["number"], rtol=1e-4)


def test_label_noise_makes_features_where_there_are_none(here, capsys):
    argv = ["--data.name", "bare", "--model.name", "edhnn", "--train.epochs", "2"]
    assert cli.main(["train", *argv, "--out", "a"]) == 2
    assert "got no x; --data.options.label_noise 1.0 makes" in capsys.readouterr().err
    noisy = [*argv, "--data.options.label_noise", "1.0"]
    assert cli.main(["train", *noisy, "--out", "b"]) == 0
    config = yaml.safe_load(Path("b/config.yaml").read_text())
    assert config["data"]["options"] == {"label_noise": 1.0}
    assert cli.main(["predict", "b", "--out", "p.csv"]) == 0
    one, other = (
        load_task(DataOptions("bare", options={"label_noise": 1.0, "label_seed": seed}))
        for seed in (0, 1)
    )
    assert one.x.shape == (NODES, 100)
    assert one.digest != other.digest
    assert cli.main(["train", *argv, "--data.options.label_nois", "1.0"]) == 2
    assert "did you mean data.options.label_noise?" in capsys.readouterr().err


def test_a_clique_expansion_is_a_graph(here):
    task = load_task(DataOptions("planted", clique=5))
    assert task.graph.is_undirected
    dense = torch.zeros(NODES, HYPEREDGES)
    data = load_data(DataOptions("planted"))
    dense[data.edge_index[0], data.edge_index[1]] = 1
    shared = (dense @ dense.t()).fill_diagonal_(0)
    assert task.graph.num_edges == int((shared > 0).sum())
    argv = ["--data.name", "planted", "--data.clique", "5", "--train.epochs", "2"]
    assert cli.main(["train", *argv, "--model.name", "gcn", "--out", "run"]) == 0
    assert cli.main(["predict", "run", "--out", "p.csv"]) == 0


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--model.name", "gcn"], "must be a model of hypergraphs (hypergraph_transformer, "),
        (["--model.name", "largegt"], "--data.clique SIZE makes a graph of it"),
        (
            ["--model.name", "edhnn", "--data.name", "karate"],
            "must be a model of graphs for karate, which is a graph: got edhnn",
        ),
        (["--model.name", "edhnn", "--data.clique", "3"], "exceeds max_size=3"),
        (["--model.name", "gcn", "--data.name", "karate", "--data.clique", "3"], "a graph already"),
        (["--model.name", "edhnn", "--data.undirected", "true"], "data.undirected is for graphs"),
        (["--model.name", "edhnn", "--data.nan", "drop"], "error, zero or mean for a hypergraph"),
        (["--model.name", "edhnn", "--data.metric", "spearman"], "must judge classes"),
        (
            ["--model.name", "edhnn", "--train.correct_and_smooth", "true"],
            "correct_and_smooth needs a graph: southern_women is a hypergraph",
        ),
        (["--model.name", "edhnn", "--tokens.members", "3"], "must be given together"),
        (
            ["--data.name", "karate", "--tokens.hyperedges", "3", "--tokens.members", "3"],
            "tokens.hyperedges is for hypergraphs: karate is a graph",
        ),
    ],
)
def test_what_does_not_go_together(here, argv, words, capsys):
    assert cli.main(["train", *WOMEN, *argv]) == 2
    assert words in capsys.readouterr().err
    assert not (here / "runs").exists()


def test_the_digest_tells_hypergraphs_apart_and_their_old_fingerprints_stay():
    data = make_data(typed=True)
    first = task_of(data, DataOptions("mine"))
    assert task_of(make_data(typed=True), DataOptions("mine")).digest == first.digest
    data.hyperedge_type = 1 - data.hyperedge_type
    assert task_of(data, DataOptions("mine")).digest != first.digest
    data = make_data(typed=True)
    data.edge_index = data.edge_index[:, 1:]
    assert task_of(data, DataOptions("mine")).digest != first.digest
    mapping = RunConfig(DataOptions("karate"), model="gcn").fingerprint()
    assert set(mapping["data"]) == {
        *("name", "options", "features", "nan", "undirected", "metric"),
    }
    assert not {"hyperedges", "members"} & set(mapping["tokens"])
    assert "eval_batch_size" not in mapping["train"]
    drawn = RunConfig(DataOptions("mine"), tokens=TokenOptions(hyperedges=2, members=-1))
    assert drawn.fingerprint()["train"]["eval_batch_size"] == 1024


def test_a_graph_is_not_made_of_a_hypergraph_unasked():
    task = load_task(DataOptions("southern_women"))
    with pytest.raises(ValueError, match="southern_women is a hypergraph, and this needs a graph"):
        _ = task.graph
    assert task.num_nodes == 18


def test_what_is_in_a_hypergraph(here, capsys):
    told = dict(describe(DataOptions("planted")))
    assert told["nodes"] == "60"
    assert told["hyperedges"] == "45"
    assert told["incidences"] == "220"
    assert told["size"] == "mean 4.9, largest 5"
    assert told["types"] == "2 with 23, 22 hyperedges"
    assert told["splits"] == "1; the first has 30/15/15 nodes (train/val/test)"
    assert dict(describe(DataOptions("numbers")))["numbers"].startswith("of 59 nodes")
    assert dict(describe(DataOptions("numbers")))["metric"] == "spearman"
    assert cli.main(["data", "info", "southern_women"]) == 0
    assert "hyperedges" in capsys.readouterr().out
    assert cli.main(["data", "list"]) == 0
    assert "hypergraph, numbers of nodes" in capsys.readouterr().out
    assert cli.main(["data", "convert", "southern_women", "--out", "w.npz"]) == 2
    assert "southern_women is a hypergraph" in capsys.readouterr().err


def test_features_that_are_missing_are_filled(here):
    data = make_data()
    data.x[4, 1] = torch.nan
    write(data, here / "holes.npz")
    with pytest.raises(ValueError, match="must be finite numbers"):
        load_task(DataOptions("holes"))
    assert float(load_task(DataOptions("holes", nan="zero")).x[4, 1]) == 0.0


@pytest.mark.parametrize("name", ["cora_cocite", "cora_coauth", "house_committees"])
def test_real_hypergraphs_are_ready_to_learn_on(real_data, name):
    noise = {"label_noise": 1.0} if name == "house_committees" else {}
    task = load_task(DataOptions(name, root=str(real_data), options=noise))
    assert len(task.splits) == 10
    parts = task.splits[0]
    assert len(parts.train) == task.num_nodes // 2
    assert task.num_classes == (2 if noise else 7)


def test_a_classifier_of_hypergraphs_predicts_on_the_one_fitted_to_and_on_others():
    data = make_data(typed=True)
    classifier = NodeClassifier("hypergraph_transformer", hidden_channels=16, epochs=30, lr=0.01)
    classifier.fit(data)
    assert classifier.score(data) > 0.6
    other = make_data(typed=True)
    del other.y
    assert torch.equal(classifier.predict(other), classifier.predict(data))
    other.hyperedge_type = 1 - other.hyperedge_type
    assert not torch.equal(classifier.predict_proba(other), classifier.predict_proba(data))
