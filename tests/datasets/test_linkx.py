"""LINKX's .mat files: what was written comes back exactly, classes by quantile; torn are named."""

import numpy as np
import pytest
import raw_layouts as layouts
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import savemat
from scipy.sparse import csc_matrix

from graphattn.datasets.linkx import year_classes
from graphattn.datasets.matlab import MatlabFile
from graphattn.datasets.npz import CorruptDataset
from graphattn.datasets.public import load_public, open_public
from graphattn.datasets.splits import random_split
from graphattn.graph import CSRGraph


def edges_of(edges, num_nodes):
    """The edges, each once, ordered by target, then source."""
    graph = CSRGraph.from_edge_index(torch.as_tensor(edges).long(), num_nodes)
    return graph.edge_index()


@pytest.mark.parametrize("compressed", [True, False])
def test_patents_come_back(tmp_path, compressed):
    parts = layouts.patents(tmp_path, compressed=compressed)
    data = load_public("snap-patents", tmp_path, cache=tmp_path / "cache")
    assert torch.equal(data.x, torch.from_numpy(parts["node_feat"].toarray()).float())
    assert torch.equal(data.edge_index, edges_of(parts["edge_index"], 40))
    years = parts["years"].ravel()
    assert sorted(set(data.y.tolist())) == [0, 1, 2, 3, 4]
    for number in range(5):  # as LINKX says it: from one quantile up to, but not, the next
        low, high = np.quantile(years, [number / 5, (number + 1) / 5])
        inside = (years >= low) & ((years < high) | (number == 4))
        assert np.array_equal(data.y.numpy() == number, inside)
    assert (data.metric, data.train_mask.shape) == ("accuracy", (40, 5))
    assert data.meta["num_classes"] == 5


def test_pokec_comes_back_with_its_unlabelled(tmp_path):
    parts = layouts.pokec(tmp_path / "pokec/raw")
    data = load_public("pokec", tmp_path, cache=tmp_path / "cache")
    assert torch.equal(data.x, torch.from_numpy(parts["node_feat"]).float())
    assert torch.equal(data.y, torch.from_numpy(parts["label"]).view(-1))
    assert torch.equal(data.edge_index, edges_of(parts["edge_index"], 30))
    used = data.train_mask | data.val_mask | data.test_mask
    assert torch.equal(used, (data.y >= 0)[:, None].expand(-1, 5))


def test_splits_are_seeded_and_recorded(tmp_path):
    layouts.patents(tmp_path)
    opened = open_public("snap-patents", tmp_path, cache=tmp_path / "one")
    again = open_public("snap-patents", tmp_path, cache=tmp_path / "two")
    assert opened.rule == "5 random 50/25/25 of the labelled nodes, seeds 0 to 4"
    for seed, (one, two) in enumerate(zip(opened.splits, again.splits, strict=True)):
        drawn = random_split(opened.y, (0.5, 0.25, 0.25), stratify=False, seed=seed)
        for part in ("train", "val", "test"):
            assert torch.equal(getattr(one, part), getattr(two, part))
            assert torch.equal(getattr(one, part), getattr(drawn, part))
    assert [len(s.train) for s in opened.splits] == [20] * 5
    assert not torch.equal(opened.splits[0].train, opened.splits[1].train)


def test_year_classes_at_ties_and_without_years():
    assert year_classes(np.array([1, 1, 1, 1, 2]), 5).tolist() == [3, 3, 3, 3, 4]
    assert year_classes(np.array([np.nan, 1.0, 9.0]), 2).tolist() == [-1, 0, 1]
    assert year_classes(np.array([np.nan]), 5).tolist() == [-1]


def square(**changes):
    """A sparse matrix that contradicts itself, as a hostile file may hold."""
    matrix = csc_matrix(np.eye(40, 6))
    for key, value in changes.items():
        setattr(matrix, key, value)
    return matrix


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"years": None}, "must hold edge_index, node_feat, years: got no years, only edge_index"),
        ({"edge_index": np.zeros((150, 2))}, r"edge_index in .* must be \[2, edges\]: got \[150,"),
        ({"edge_index": np.full((2, 3), 40)}, r"must join nodes 0..39 of snap-patents: got \[40"),
        ({"edge_index": np.full((2, 3), -1)}, r"got \[-1, -1\] as edge 0 \(3 such\)"),
        ({"edge_index": np.full((2, 3), 0.5)}, "edge_index must be whole numbers: got float64"),
        ({"edge_index": np.full((2, 3), np.nan)}, "edge_index must be whole numbers"),
        ({"num_nodes": 41}, r"num_nodes in .* must be 40, the rows of node_feat: got \[41\]"),
        ({"years": np.arange(39)}, r"must be 40, one a node: got \[39\]"),
        ({"node_feat": np.full((40, 2), np.inf)}, "must be finite: got NaN or infinity in row 0"),
        ({"node_feat": np.full((40, 2), "a")}, "node_feat in .* must hold numbers: got a char"),
        ({"node_feat": {"a": 1}}, "node_feat in .* must hold numbers: got a struct"),
        ({"node_feat": np.ones((40, 2)) * 1j}, "must hold real numbers: got complex128"),
        ({"node_feat": square(indices=np.full(6, 99, np.int32))}, r"must lie in 0..39: got 99"),
        ({"node_feat": square(indptr=np.array([0, 5, 1, 3, 4, 5, 6]))}, "offsets that rise"),
        ({"edge_index": csc_matrix(np.eye(2))}, r"edge_index in .* must be \[2, edges\]"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, changes, words):
    layouts.patents(tmp_path, **changes)
    with pytest.raises(ValueError, match=words):
        load_public("snap-patents", tmp_path, cache=tmp_path / "cache")


def test_wrong_classes_are_named(tmp_path):
    layouts.pokec(tmp_path, label=np.arange(30))
    with pytest.raises(ValueError, match=r"must be 0..1, or -1 for none: got 2 of node 2"):
        load_public("pokec", tmp_path, cache=tmp_path / "cache")


def test_version_7_3_and_others_are_refused(tmp_path):
    path = tmp_path / "a.mat"
    path.write_bytes(b"MATLAB 7.3 MAT-file" + bytes(600))
    with pytest.raises(ValueError, match=r"got version 7\.3; save it again with -v7"):
        MatlabFile(path)
    for raw in (b"", b"<html>", bytes(200)):
        path.write_bytes(raw)
        with pytest.raises(CorruptDataset, match=r"cannot be read as a MATLAB file \(it has no"):
            MatlabFile(path)


@pytest.mark.parametrize("compressed", [True, False])
def test_torn_files_are_corrupt(tmp_path, compressed):
    layouts.patents(tmp_path, compressed=compressed)
    path = tmp_path / "snap_patents.mat"
    whole = path.read_bytes()
    for cut in (0, 100, 130, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(CorruptDataset, match=r"snap_patents\.mat cannot be read"):
            load_public("snap-patents", tmp_path, cache=tmp_path / "cache")


def test_objects_are_never_made(tmp_path):
    path = tmp_path / "a.mat"
    cell = np.empty((1, 2), object)
    cell[0, 0], cell[0, 1] = np.ones(2), "touch it"
    savemat(path, {"label": cell})
    with pytest.raises(ValueError, match=r"label in .* must hold numbers: got a cell"):
        MatlabFile(path).read("label")


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_bytes_give_numbers_or_our_error(tmp_path, data):
    path = tmp_path / "fuzz.mat"
    if not path.exists():
        for compressed in (True, False):
            layouts.patents(tmp_path / str(compressed), compressed=compressed)
        path.touch()
    source = tmp_path / data.draw(st.sampled_from(["True", "False"])) / "snap_patents.mat"
    raw = bytearray(source.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(100, len(raw)))
        raw[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=6))
    path.write_bytes(raw[: data.draw(st.sampled_from([None, 200, 1000]))])
    try:
        file = MatlabFile(path)
        for name in ("edge_index", "num_nodes", "node_feat", "years"):
            file.read(name)
    except ValueError as error:
        assert "\n" not in str(error)
    assert {path.name for path in tmp_path.iterdir()} == {"True", "False", "fuzz.mat"}
