"""Platonov's .npz: pairs once become edges both ways, the ten splits are the authors'."""

import zipfile

import numpy as np
import pytest
import raw_layouts as layouts
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch_geometric.utils import to_undirected

from graphattn.datasets.heterophilous import HeterophilousFiles
from graphattn.datasets.npz import CorruptDataset
from graphattn.datasets.public import load_public
from graphattn.datasets.public_table import PUBLIC

NAMES = {name: spec for name, spec in PUBLIC.items() if spec.family == "heterophilous"}


@pytest.mark.parametrize("name", NAMES)
def test_comes_back(tmp_path, name):
    spec = NAMES[name]
    parts = layouts.heterophilous(tmp_path / spec.files[0], spec.num_classes)
    data = load_public(name, tmp_path, cache=tmp_path / "cache")
    assert torch.equal(data.x, torch.from_numpy(parts["node_features"]))
    assert torch.equal(data.y, torch.from_numpy(parts["node_labels"]))
    both = to_undirected(torch.from_numpy(parts["edges"]).T, num_nodes=24)
    assert torch.equal(data.edge_index.flip(0), both)  # PyG's order is by source
    for part in ("train", "val", "test"):
        wanted = torch.from_numpy(parts[f"{part}_masks"]).T
        assert torch.equal(data[f"{part}_mask"], wanted)
    assert data.metric == ("rocauc" if spec.num_classes == 2 else "accuracy")


def test_arrays_by_column_are_the_same(tmp_path):
    parts = layouts.heterophilous(tmp_path / "questions.npz")
    kept = {key: np.asfortranarray(value) for key, value in parts.items()}
    layouts.heterophilous(tmp_path / "by_column/questions.npz", **kept)
    one, two = (
        load_public("heterophilous-questions", root, cache=tmp_path / "cache")
        for root in (tmp_path, tmp_path / "by_column")
    )
    assert torch.equal(one.x, two.x)
    assert torch.equal(one.edge_index, two.edge_index)


ALL = np.ones((10, 24), bool)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"edges": None}, r"must hold the arrays edges: got no edges\."),
        ({"edges": None, "edge_index": ALL}, "it is in the uniform format, which is read by its"),
        ({"edges": np.zeros((2, 50), int)}, r"edges in .* must be \[pairs, 2\]: got \[2, 50\]"),
        ({"edges": np.array([[0, 24]])}, r"must join nodes 0..23 of heterophilous-questions: got"),
        ({"node_features": np.ones(24)}, r"must be \[nodes, channels\]: got \[24\]"),
        ({"node_features": np.full((24, 2), np.nan)}, "got NaN or infinity in row 0"),
        (
            {"node_features": np.full((24, 2), "a")},
            "node_features in .* must hold numbers: got <U1",
        ),
        ({"node_labels": np.arange(24)}, r"must be 0..1, or -1 for none: got 2 of node 2"),
        ({"node_labels": np.zeros(23, int)}, r"must be 24, one a node: got \[23\]"),
        ({"train_masks": np.array(True)}, r"train_masks in .* must be booleans .*: got bool \[\]"),
        ({"train_masks": ALL[:9]}, r"must be booleans \[splits, 24\], as many splits"),
        ({"val_masks": ALL * 1}, r"val_masks in .* must be booleans .*: got int64 \[10, 24\]"),
        ({"test_masks": ALL}, r"must not overlap: split 0 has node \d+ in two parts"),
        ({"train_masks": ~ALL}, "each split of .* must train on a node: got split 0 without one"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, changes, words):
    layouts.heterophilous(tmp_path / "questions.npz", **changes)
    with pytest.raises(ValueError, match=words) as caught:
        load_public("heterophilous-questions", tmp_path, cache=tmp_path / "cache")
    assert not isinstance(caught.value, CorruptDataset)
    assert not list((tmp_path / "cache").glob("hetero*"))


def test_python_objects_are_corrupt(tmp_path):
    objects = np.array([{"a": 1}] * 24, dtype=object)
    layouts.heterophilous(tmp_path / "questions.npz", node_labels=objects)
    with pytest.raises(CorruptDataset, match="cannot be read as an archive of plain arrays"):
        load_public("heterophilous-questions", tmp_path, cache=tmp_path / "cache")


def test_what_is_no_array_is_corrupt(tmp_path):
    path = tmp_path / "questions.npz"
    layouts.heterophilous(path, node_labels=None)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("node_labels.npy", b"no array")
    with pytest.raises(CorruptDataset, match="an entry of it is no array"):
        load_public("heterophilous-questions", tmp_path, cache=tmp_path / "cache")


def test_torn_files_are_corrupt(tmp_path):
    path = tmp_path / "questions.npz"
    layouts.heterophilous(path)
    whole = path.read_bytes()
    for cut in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(CorruptDataset, match=r"questions\.npz cannot be read as an archive"):
            load_public("heterophilous-questions", tmp_path, cache=tmp_path / "cache")


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_bytes_give_arrays_or_our_error(tmp_path, data):
    source = tmp_path / "sound/questions.npz"
    if not source.exists():
        layouts.heterophilous(source)
    raw = bytearray(source.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw)))
        raw[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=6))
    (tmp_path / "questions.npz").write_bytes(raw)
    files = HeterophilousFiles(tmp_path, PUBLIC["heterophilous-questions"])
    try:
        files.edges()
        files.splits(files.labels())
        list(files.features())
    except ValueError as error:
        assert "\n" not in str(error)
