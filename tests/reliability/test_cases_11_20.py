"""Cases 11 to 20 of the reliability contract: odd graphs, odd sizes, names, and no network."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from graphattn.graph import CSRGraph
from graphattn.ops.neighborhood import sample_neighborhood
from graphattn.ops.propagate import propagate
from graphattn.sampling.bottom_k import BottomKSampler
from graphattn.sampling.walk_neighborhood import walk_neighborhood
from graphattn.training.resources import peak_memory, reset_peak

SAMPLERS = {
    "bottom_k": BottomKSampler(),
    "neighborhood": sample_neighborhood,
    "walk": walk_neighborhood,
}


def predicted(command, run, ids, name="p.csv"):
    """Classes and probabilities of some nodes, a row each, from a run folder."""
    Path("ids.txt").write_text("\n".join(map(str, ids)))
    command("predict", run, "--nodes", "ids.txt", "--out", name)
    return np.loadtxt(name, delimiter=",", skiprows=1, ndmin=2)


@pytest.mark.parametrize("name", SAMPLERS)
def test_case_11_an_isolated_node_attends_to_itself_alone(name):
    graph = CSRGraph.from_edge_index(np.array([[0, 1], [1, 0]]), 4)
    drawn = SAMPLERS[name](graph, torch.tensor([2, 0]), 5)
    assert drawn.ids[0].masked_select(drawn.mask[0]).tolist() == [2]
    assert set(drawn.ids[1].masked_select(drawn.mask[1]).tolist()) == {0, 1}
    hops = propagate(graph, torch.arange(4.0).view(4, 1), 2)
    assert hops[2].view(-1).tolist() == [2.0, 2.0, 2.0]  # it hears of itself alone


def test_case_11_isolated_nodes_are_trained_and_predicted(save, train, command):
    edges = save()["edge_index"]
    save(edge_index=edges[:, (edges % 4 != 0).all(axis=0)])
    for model in ("gcn", "largegt"):
        train("--out", model, model=model)
        assert np.isfinite(predicted(command, model, range(12))).all()
    assert "isolated 3 nodes" in " ".join(command("data", "info", "data.npz").split())


@pytest.mark.parametrize("model", ["gcn", "largegt"])
def test_case_12_repeated_edges_and_self_loops(save, train, weights, model):
    edges = save()["edge_index"]
    train("--out", "clean", model=model)
    save(edge_index=np.concatenate([edges, edges[:, :7], edges[:, :2]], axis=1))
    told = train("--out", "twice", model=model)
    assert "merged 9 repeated edges; 0 self-loops ('keep')" in told
    assert weights("twice") == weights("clean")
    loops = np.array([[3, 3, 5], [3, 3, 5]])
    save(edge_index=np.concatenate([edges, loops], axis=1))
    told = train("--out", "loops", model=model)
    assert "merged 1 repeated edges; 2 self-loops ('keep')" in told
    for policy, count in (("keep", 26), ("drop", 24), ("add", 36)):
        graph = CSRGraph.from_edge_index(np.concatenate([edges, loops], axis=1), self_loops=policy)
        assert graph.num_edges == count


@pytest.mark.parametrize("model", ["gcn", "largegt"])
def test_case_13_fewer_nodes_than_tokens_one_node_and_no_edges(save, train, command, model):
    more = ["--tokens.num_samples", "50"] if model == "largegt" else []
    none = np.zeros((2, 0), np.int64)
    save("few.npz")
    train(*more, "--data.name", "few.npz", "--out", "few", model=model)
    save("none.npz", edge_index=none)
    train("--data.name", "none.npz", "--out", "none", model=model)
    mask = np.ones(1, bool)
    save(
        "one.npz",
        edge_index=none,
        x=np.ones((1, 3), np.float32),
        y=np.zeros(1, np.int64),
        train_mask=mask,
        val_mask=~mask,
        test_mask=~mask,
    )
    train("--data.name", "one.npz", "--out", "one", model=model)
    for run, nodes in (("few", range(12)), ("none", range(12)), ("one", [0])):
        assert np.isfinite(predicted(command, run, nodes)).all()


def test_case_14_a_star_of_a_million_leaves():
    many = 10**6
    leaves = np.arange(1, many + 1)
    hub = np.zeros(many, np.int64)
    graph = CSRGraph.from_edge_index(np.stack([np.r_[leaves, hub], np.r_[hub, leaves]]))
    x, seeds = torch.ones(many + 1, 2), torch.tensor([0, 1, many])
    for draw in SAMPLERS.values():
        draw(graph, seeds, 20)
    propagate(graph, x, 2)
    reset_peak(torch.device("cpu"))
    before = peak_memory()
    for draw in SAMPLERS.values():  # A @ A would have 10^12 entries
        assert draw(graph, seeds, 20).mask.all()
    assert propagate(graph, x, 2).shape == (many + 1, 3, 2)
    assert peak_memory() - before < 400e6


def test_case_15_directed_where_undirected_is_meant(save, train, command, weights):
    edges = save()["edge_index"]
    assert "is directed" not in train("--out", "both")
    save(edge_index=edges[:, :12])
    assert "is directed: a node hears from those that send to it" in train("--out", "one")
    assert "undirected no" in " ".join(command("data", "info", "data.npz").split())
    assert weights("one") != weights("both")
    told = train("--data.undirected", "true", "--out", "mended")
    assert "is directed" not in told
    assert weights("mended") == weights("both")


@pytest.mark.parametrize("model", ["gcn", "largegt"])
def test_case_16_a_batch_of_one(save, train, command, model):
    save()
    last = ["--train.batch_size", "3"] if model == "largegt" else []  # 4 seeds: 3 and 1
    train(*last, "--out", "a", model=model)
    together = predicted(command, "a", range(12))
    for node in (0, 7):
        np.testing.assert_allclose(
            predicted(command, "a", [node])[0], together[node], atol=2e-6, rtol=0
        )


def test_case_17_sizes_that_disagree(save, train):
    arrays = save()
    save(y=arrays["y"][:11])
    assert "must count the same nodes: got x: 12, y: 11 rows" in train(code=2)
    save(test_mask=np.zeros(13, bool))
    assert "test_mask must have one number a row for 12 nodes: got bool [13]" in train(code=2)
    meta = np.array(json.dumps({"num_nodes": 13}))
    save(x=None, y=None, meta=meta, train_mask=None, val_mask=None, test_mask=None)
    told = train(code=2)
    assert "must have features x, labels y" in told or "got no x and no y" in told


@pytest.mark.parametrize(
    ("name", "near"), [("ogbn-arvix", "ogbn-arxiv"), ("karatee", "karate"), ("dta", "data")]
)
def test_case_18_a_name_typed_wrongly(save, train, name, near):
    save()
    told = train("--data.name", name, "--data.root", ".", code=2)
    assert f"did you mean '{near}'?" in told


def test_case_19_no_network_and_nothing_there(here, command, train, no_network):
    root = here / "new" / "ogb"
    told = command("data", "download", "ogbn-arxiv", "--root", root, code=3)
    assert "https://snap.stanford.edu/ogb/data/nodeproppred/arxiv.zip cannot be fetched" in told
    assert "name resolution" in told
    assert f"unpack it so that {root / 'ogbn_arxiv' / 'raw'} is there" in told
    assert no_network
    assert not (here / "new").exists()
    no_network.clear()
    told = train("--data.name", "ogbn-arxiv", "--data.root", ".", code=3)
    assert f"`graphattn data download ogbn-arxiv --root {here}` fetches it" in told
    assert not (here / "cache").exists()
    train("--data.name", "karate")
    train("--data.name", "digits", "--train.epochs", "1")
    assert not no_network


def test_case_20_no_network_and_processed_data_there(arxiv, train, weights, no_network):
    ogb = ["--data.name", "ogbn-arxiv", "--data.root", "ogb"]
    train(*ogb, "--out", "first")
    shutil.rmtree(arxiv / "raw")
    shutil.rmtree(arxiv / "split")
    train(*ogb, "--out", "second")
    assert weights("second") == weights("first")
    assert not no_network
