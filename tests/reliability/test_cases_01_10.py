"""Cases 1 to 10 of the reliability contract: what a graph, its features, labels and splits hold."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from graphattn.edges import id_dtype
from graphattn.graph import CSRGraph
from graphattn.kernels.csr import transpose


def changed(edges, *places):
    """The edges with (row, column, id) put in."""
    edges = edges.copy()
    for row, column, value in places:
        edges[row, column] = value
    return edges


@pytest.mark.parametrize("model", ["gcn", "largegt"])
def test_case_01_edge_id_beyond_the_nodes(save, train, model):
    edges = save()["edge_index"]
    save(edge_index=changed(edges, (1, 17, 12), (0, 3, 40), (0, 5, 12)))
    told = train(model=model, code=2)
    assert "edge_index[1,17]=12, but ids run 0..11; 3 such ids" in told
    assert not Path("runs").exists()


def test_case_02_negative_edge_id(save, train, command):
    edges = save()["edge_index"]
    save(edge_index=changed(edges, (1, 17, -1)))
    assert "edge_index[1,17]=-1, but ids run 0..11; 1 such ids" in train(code=2)
    Path("e.csv").write_text("0,1\n-1,0\n")
    np.save("x.npy", np.eye(2))
    np.save("y.npy", np.array([0, 1]))
    files = ["--edges", "e.csv", "--x", "x.npy", "--y", "y.npy"]
    assert "=-1" in command("data", "convert", *files, "--out", "a.npz", code=2)
    assert not Path("a.npz").exists()


def test_case_03_float_edge_ids(save, train, weights):
    edges = save()["edge_index"]
    train("--out", "whole")
    save(edge_index=changed(edges.astype(float), (1, 17, 1.7)))
    assert "edge_index[1,17]=1.7 but ids are whole numbers; 1 such edge" in train(code=2)
    save(edge_index=edges.astype(np.float32))
    assert "holds whole numbers as float32; taken as integers" in train("--out", "float")
    assert weights("float") == weights("whole")
    save(edge_index=edges.astype(float) * 1e300)
    assert "ids run 0..11" in train(code=2)


def test_case_04_edge_index_of_edges_times_two(save, train):
    save(edge_index=save()["edge_index"].T)
    told = train(code=2)
    assert "edge_index must be [2, edges]: got [24, 2]" in told
    assert "looks transposed: use edge_index.t()" in told


def test_case_05_more_edges_than_32_bits_count():
    assert id_dtype(2**31 - 1) == np.int32
    assert id_dtype(2**31) == np.int64
    many = 2**31 + 5  # edges, all of them the same number in memory
    rowptr, col = np.array([0, many, many]), np.broadcast_to(np.int32(0), (many,))
    graph = CSRGraph(rowptr, col)
    assert graph.num_edges == many
    assert graph.degree().tolist() == [many, 0]
    small = CSRGraph.from_edge_index(np.array([[0, 1], [1, 0]]))
    assert small.rowptr.dtype == np.int64
    assert transpose(small.rowptr, small.col)[0].dtype == np.int64
    with pytest.raises(ValueError, match="rowptr must be int64"):
        CSRGraph(small.rowptr.astype(np.int32), small.col)


def test_case_05_more_nodes_than_memory_holds(save, command, monkeypatch):
    monkeypatch.setattr("graphattn.edges.available_memory", lambda: 10**9)
    about = np.array(json.dumps({"num_nodes": 3 * 10**9}))
    parts = ("x", "y", "train_mask", "val_mask", "test_mask")
    save(**dict.fromkeys(parts), meta=about)  # a small file, and a process that would be killed
    told = command("data", "info", "data.npz", code=3)
    assert "a graph of 3,000,000,000 nodes needs 72 GB, 1 GB are free: is an id wrong?" in told


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_case_06_features_that_are_no_numbers(save, train, value):
    x = save()["x"].copy()
    x[[3, 7], 1] = value
    save(x=x)
    told = train(code=2)
    assert "got NaN or infinity in rows [3, 7]; 2 in all of 12" in told
    assert "--data.nan zero, mean or drop" in told
    for how in ("zero", "mean", "drop"):
        train("--data.nan", how, "--out", how)


def test_case_07_labels_outside_the_classes(save, train, command):
    y = save()["y"].copy()
    y[[2, 5, 6]] = 3, 3, 7
    about = np.array(json.dumps({"num_classes": 2}))
    save(y=y, meta=about)
    assert "Labels must lie in 0..1, or be -1 for unlabelled: got 3 (2x), 7 (1x)" in train(code=2)
    save(y=np.where(y > 1, -2, y), meta=about)
    assert "got -2 (3x) in nodes [2, 5, 6]; 3 in all" in train(code=2)
    save(y=np.where(y > 1, np.nan, y), meta=about)  # -1 and NaN: no label
    told = train()
    assert "nodes of test have no label (-1) and are left out" in told
    result = json.loads(Path("runs/data-gcn/split0-seed0/result.json").read_text())
    assert (result["num_train"], result["num_test"]) == (3, 2)  # 6 of train; 2, 5 of test
    assert "unlabelled 3" in " ".join(command("data", "info", "data.npz").split())


def test_case_08_an_empty_part_of_the_split(save, train):
    none = np.zeros(12, bool)
    save(train_mask=none)
    assert "The training part must not be empty" in train(code=2)
    save(val_mask=none)
    told = train("--train.patience", "1", "--train.epochs", "4", "--out", "val")
    assert "no validation nodes: no early stopping" in told
    assert json.loads(Path("val/split0-seed0/result.json").read_text())["epochs_run"] == 4
    save(test_mask=none)
    assert "n/a" in train("--out", "test")
    assert json.loads(Path("test/result.json").read_text())["test"]["mean"] is None


def test_case_09_overlapping_parts(save, train):
    mask = save()["val_mask"].copy()
    mask[[0, 3]] = True
    save(val_mask=mask)
    assert "2 nodes are in both train and val (first: [0, 3])" in train(code=2)


def test_case_10_split_ids_out_of_range_or_twice(arxiv, train, weights):
    ogb = ["--data.name", "ogbn-arxiv", "--data.root", "ogb"]
    train(*ogb, "--out", "whole")
    path = arxiv / "split/time/train.csv.gz"
    ids = gzip.decompress(path.read_bytes()).decode().splitlines()
    path.write_bytes(gzip.compress("\n".join([*ids, "339", ""]).encode()))
    told = train(*ogb, "--out", "a", code=2)
    assert "train.csv.gz" in told
    assert "whole numbers from 0 to 338: got '339'" in told
    path.write_bytes(gzip.compress("\n".join([*ids, ids[0], ids[1], ""]).encode()))
    assert "2 ids of train are listed twice and count once" in train(*ogb, "--out", "twice")
    assert weights("twice") == weights("whole")
