"""Shchur's .npz: the same as PyG reads, without the Python objects that lie beside the arrays."""

import numpy as np
import pytest
import raw_layouts as layouts
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch_geometric.io import read_npz

from graphattn.datasets.npz import CorruptDataset
from graphattn.datasets.public import load_public, open_public
from graphattn.datasets.public_table import PUBLIC
from graphattn.datasets.shchur import ShchurFiles
from graphattn.datasets.splits import random_split

NAMES = {name: spec for name, spec in PUBLIC.items() if spec.family == "shchur"}
PHOTO = "amazon_electronics_photo.npz"


@pytest.mark.parametrize("name", NAMES)
def test_the_same_as_pyg_reads(tmp_path, name):
    spec = NAMES[name]
    path = tmp_path / spec.places[0] / spec.files[0]
    layouts.shchur(path, spec.num_classes)
    ours, theirs = load_public(name, tmp_path, cache=tmp_path / "cache"), read_npz(str(path))
    assert torch.equal(ours.x, theirs.x)
    assert torch.equal(ours.y, theirs.y)
    assert torch.equal(ours.edge_index.flip(0), theirs.edge_index)
    assert ours.train_mask.shape == (50, 10)


def test_splits_are_seeded(tmp_path):
    layouts.shchur(tmp_path / PHOTO)
    opened = open_public("shchur-amazon-photo", tmp_path, cache=tmp_path / "cache")
    for seed, split in enumerate(opened.splits):
        drawn = random_split(opened.y, (0.6, 0.2, 0.2), stratify=False, seed=seed)
        assert torch.equal(split.val, drawn.val)
        assert [len(ids) for ids in (split.train, split.val, split.test)] == [30, 10, 10]
    assert opened.rule == "10 random 60/20/20, seeds 0 to 9"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"adj_data": None}, "must hold the arrays adj_data, .*: got no adj_data"),
        ({"adj_indices": np.array([50])}, r"offsets that rise from 0 to its 1 indices"),
        ({"attr_indptr": np.zeros(4, int)}, r"attr_\* in .* must have 51 offsets that rise"),
        ({"attr_shape": np.array([50])}, r"must have rows and at most .* columns: got \[50\]"),
        ({"attr_shape": np.array([50, 2**40])}, r"at most 1,048,576 columns: got \[50, 10995"),
        ({"adj_shape": np.array([50, 60])}, r"adj_shape in .* must be square: got \[50, 60\]"),
        ({"attr_shape": np.array([50, 2])}, r"indices of attr_\* .* must lie in 0..1: got"),
        ({"labels": np.full(50, 8)}, r"must be 0..7, or -1 for none: got 8 of node 0 \(50 such\)"),
        ({"labels": np.full(50, 0.5)}, "labels must be whole numbers: got float64"),
        ({"labels": np.full(50, -1)}, "training part must not be empty"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, changes, words):
    layouts.shchur(tmp_path / PHOTO, **changes)
    with pytest.raises(ValueError, match=words):
        load_public("shchur-amazon-photo", tmp_path, cache=tmp_path / "cache")


def test_indices_beyond_the_graph_are_named(tmp_path):
    parts = layouts.shchur(tmp_path / PHOTO)
    parts["adj_indices"][3] = 50
    layouts.shchur(tmp_path / PHOTO, **parts)
    with pytest.raises(ValueError, match=r"must lie in 0..49: got 50 at 3 \(1 such\)"):
        load_public("shchur-amazon-photo", tmp_path, cache=tmp_path / "cache")


def test_objects_in_place_of_numbers_are_corrupt(tmp_path):
    layouts.shchur(tmp_path / PHOTO, labels=np.array([None] * 50))
    with pytest.raises(CorruptDataset, match="Object arrays cannot be loaded"):
        load_public("shchur-amazon-photo", tmp_path, cache=tmp_path / "cache")


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_bytes_give_arrays_or_our_error(tmp_path, data):
    source = tmp_path / "sound" / PHOTO
    if not source.exists():
        layouts.shchur(source)
    raw = bytearray(source.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw)))
        raw[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=6))
    (tmp_path / PHOTO).write_bytes(raw)
    files = ShchurFiles(tmp_path, PUBLIC["shchur-amazon-photo"])
    try:
        files.edges()
        files.labels()
        list(files.features())
    except ValueError as error:
        assert "\n" not in str(error)
