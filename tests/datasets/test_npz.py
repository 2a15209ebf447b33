"""The uniform files: what is read, what is refused, and that nothing in a file is ever executed."""

import io
import json
import os

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from graphattn.datasets.npz import CorruptDataset, load_npz, named
from graphattn.datasets.splits import splits


def arrays(**changes):
    """A valid file with four nodes, and what a test changes in it (None removes a key)."""
    good = {
        "edge_index": np.array([[0, 1, 2, 3], [1, 0, 3, 2]], dtype=np.int32),
        "x": np.eye(4, dtype=np.float32),
        "y": np.array([0, 1, 0, -1]),
        "train_mask": np.array([1, 1, 0, 0], dtype=bool),
        "test_mask": np.array([0, 0, 1, 0], dtype=bool),
        "meta": np.array(json.dumps({"name": "four", "metric": "acc", "num_classes": 2})),
    }
    return {key: value for key, value in (good | changes).items() if value is not None}


@pytest.fixture
def load(tmp_path):
    def save_and_load(**changes):
        path = tmp_path / "mine.npz"
        np.savez(path, **arrays(**changes))
        return load_npz(path)

    return save_and_load


def test_reads_a_file(load):
    data = load()
    assert data.x.dtype == torch.float32
    assert data.edge_index.dtype == data.y.dtype == torch.int64
    assert (data.name, data.metric, data.num_nodes) == ("four", "accuracy", 4)
    assert splits(data)[0].train.tolist() == [0, 1]


def test_reads_without_meta_masks_and_labels(load):
    data = load(meta=None, train_mask=None, test_mask=None, y=None)
    assert (data.name, data.metric, data.y) == ("mine", "accuracy", None)


@pytest.mark.parametrize("values", [np.array([2.0]), np.array([2.0, 2.0, 2.0])])
def test_reads_sparse_rows(load, values):
    sparse = {
        "x_indptr": np.array([0, 2, 2, 3, 3], dtype=np.int32),
        "x_indices": np.array([0, 2, 1], dtype=np.uint16),
        "x_data": values,
        "x_shape": np.array([4, 3]),
    }
    assert load(x=None, **sparse).x.tolist() == [[2, 0, 2], [0, 0, 0], [0, 2, 0], [0, 0, 0]]


def test_other_arrays_come_along_but_never_as_features(load):
    data = load(edge_length=np.ones(4, np.float32), ecc16=np.arange(4.0), unknown=np.ones(2))
    assert data.edge_length.shape == data.ecc16.shape == (4,)
    assert data.x.shape == (4, 4)
    assert "unknown" not in data


def test_structure_only(load):
    bare = {"x": None, "y": None, "train_mask": None, "test_mask": None}
    assert load(**bare, meta=np.array('{"num_nodes": 7}')).num_nodes == 7
    assert load(**bare, meta=None).num_nodes == 4


def test_labels_without_features_count_the_nodes(load):
    assert load(x=None, edge_index=np.array([[0], [1]])).num_nodes == 4


def test_nan_labels_are_unlabelled(load):
    assert load(y=np.array([0.0, 1.0, 0.0, np.nan])).y.tolist() == [0, 1, 0, -1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"edge_index": None}, r"edge_index is needed.*only \['meta', 'test_mask'"),
        ({"edge_index": None, "hyperedge_index": np.zeros((2, 1))}, "got a hypergraph"),
        (
            {"edge_index": np.array([[0, 9], [-1, 1]])},
            r"edge_index\[0,1\]=9, edge_index\[1,0\]=-1,",
        ),
        ({"edge_index": np.array([[0, 1], [1, 0], [2, 3]])}, "looks transposed: use edge_index.t"),
        (
            {"edge_index": np.array([[0.5], [1.0]])},
            r"edge_index\[0,0\]=0.5 but ids are whole numbers",
        ),
        ({"x": np.full((4, 1), np.nan)}, r"NaN or infinity in rows \[0, 1, 2, 3\]; 4 in all of 4"),
        ({"x": np.full((4, 1), 1e300)}, "NaN or infinity in rows"),
        ({"x": np.ones(4)}, r"x must be numbers \[nodes, channels\]: got float64 \[4\]"),
        (
            {"x": np.ones((5, 1)), "train_mask": None, "test_mask": None},
            "x, y and num_nodes must count the same nodes",
        ),
        ({"y": np.array([0, 1, 5, -3])}, r"got -3 \(1x\), 5 \(1x\) in nodes \[2, 3\]; 2 in all"),
        ({"y": np.array([0.5, 1, 0, 0])}, "Labels must be whole numbers"),
        ({"y": np.array([0, 1])}, "must count the same nodes: got x: 4, y: 2 rows"),
        ({"train_mask": np.ones(3, bool)}, "train_mask must have one number a row for 4 nodes"),
        ({"train_mask": np.array([1, 1, 0, 0])}, "train_mask must be a boolean tensor"),
        ({"test_mask": np.array([1, 0, 0, 0], bool)}, "1 nodes are in both train and test"),
        ({"train_mask": np.zeros(4, bool)}, "training part must not be empty"),
        ({"edge_length": np.ones(3)}, "edge_length must have one number a row for 4 edges"),
        ({"meta": np.array("[1]")}, "meta must be a JSON object"),
        ({"meta": np.array("{")}, "meta must be a JSON object"),
        ({"meta": np.array('{"num_classes": "two"}')}, "num_classes in meta must be whole"),
        ({"x": None, "x_indptr": np.zeros(5, int)}, r"no \['x_indices', 'x_data', 'x_shape'\]"),
    ],
)
def test_wrong_values_are_named(load, changes, words):
    with pytest.raises(ValueError, match=words) as raised:
        load(**changes)
    assert str(raised.value).startswith("mine.npz: ")
    assert not isinstance(raised.value, CorruptDataset)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("x_indptr", [0, 1, 2], "x_indptr must be 5 offsets from 0 to 2"),
        ("x_indptr", [0, 2, 1, 1, 2], "must not fall"),
        ("x_indices", [0, 3], r"x_indices must lie in 0..2 .* 1 wrong indices, first at \[1\]"),
        ("x_data", [1.0, 2.0, 3.0], "x_data must be 1 or 2 numbers: got 3"),
        ("x_shape", [10**9, 10**9], "sizes that fit max_bytes"),
        ("x_shape", [4], "x_shape two numbers"),
        ("x_indices", [0.0, 1.0], "must hold whole numbers"),
    ],
)
def test_wrong_sparse_rows_are_named(load, key, value, words):
    sparse = {
        "x_indptr": [0, 1, 2, 2, 2],
        "x_indices": [0, 1],
        "x_data": [1.0],
        "x_shape": [4, 3],
    }
    with pytest.raises(ValueError, match=words):
        load(x=None, **(sparse | {key: value}))


def test_nan_features_can_be_filled(tmp_path):
    x = np.eye(4)
    x[1, 1] = np.nan
    np.savez(tmp_path / "mine.npz", **arrays(x=x))
    assert load_npz(tmp_path / "mine.npz", nan="zero").x[1].tolist() == [0, 0, 0, 0]
    assert named("mine", tmp_path, nan="drop").num_nodes == 3
    with pytest.raises(ValueError, match="how must be 'zero', 'mean' or 'drop': got 'x'"):
        load_npz(tmp_path / "mine.npz", nan="x")


class Bomb:
    """Unpickling it would make a file."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


@pytest.mark.parametrize("key", ["x", "y", "meta", "unknown"])
def test_pickled_objects_are_refused_and_not_executed(tmp_path, key):
    marker = tmp_path / "marker"
    hostile = np.empty(1, dtype=object)
    hostile[0] = Bomb(marker)
    np.savez(tmp_path / "evil.npz", **arrays(**{key: hostile}))
    with pytest.raises(CorruptDataset, match=r"not a \.npz file of plain arrays"):
        load_npz(tmp_path / "evil.npz")
    assert not marker.exists()


def test_a_bare_pickle_is_refused(tmp_path):
    import pickle

    marker = tmp_path / "marker"
    (tmp_path / "evil.npz").write_bytes(pickle.dumps(Bomb(marker)))
    with pytest.raises(CorruptDataset):
        load_npz(tmp_path / "evil.npz")
    assert not marker.exists()


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    np.savez_compressed(tmp_path / "bomb.npz", **arrays(x=np.zeros((4, 10**6))))
    with pytest.raises(
        CorruptDataset, match=r"would unpack to \d+ bytes, more than max_bytes=1000"
    ):
        load_npz(tmp_path / "bomb.npz", max_bytes=1000)


VALID = io.BytesIO()
np.savez_compressed(VALID, **arrays())
VALID_BYTES = VALID.getvalue()


@given(
    cut=st.integers(0, len(VALID_BYTES)),
    changes=st.lists(st.tuples(st.integers(0, len(VALID_BYTES) - 1), st.binary(max_size=4))),
)
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_bytes_load_or_raise_value_error(tmp_path, cut, changes):
    content = bytearray(VALID_BYTES)
    for place, new in changes:
        content[place : place + len(new)] = new
    if not changes:
        content = content[:cut]
    folder = tmp_path / "fuzz"
    folder.mkdir(exist_ok=True)
    (folder / "a.npz").write_bytes(bytes(content))
    try:
        assert load_npz(folder / "a.npz").num_nodes >= 1
    except ValueError as error:
        assert "a.npz" in str(error)
    assert [file.name for file in tmp_path.iterdir()] == ["fuzz"]
    assert [file.name for file in folder.iterdir()] == ["a.npz"]


DTYPES = st.one_of(
    hnp.integer_dtypes(), hnp.floating_dtypes(), hnp.boolean_dtypes(), hnp.unicode_string_dtypes()
)
ANY = hnp.arrays(DTYPES, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
KEYS = [*arrays(), "x_indptr", "x_indices", "x_data", "x_shape", "edge_length", "ecc16", "y_float"]


@example(changes={"edge_index": np.empty((0, 0), np.float16)})
@example(changes={"edge_index": np.zeros((2, 1), np.float16)})
@given(changes=st.dictionaries(st.sampled_from(KEYS), st.one_of(st.none(), ANY), max_size=4))
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_arrays_load_or_raise_value_error(tmp_path, changes):
    np.savez(tmp_path / "a.npz", **arrays(**changes))
    try:
        assert load_npz(tmp_path / "a.npz").num_nodes >= 1
    except ValueError as error:
        assert "a.npz" in str(error)


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no file .*nowhere.npz"):
        load_npz(tmp_path / "nowhere.npz")


def test_a_wrong_name_finds_the_nearest(tmp_path):
    for name in ("tolokers", "amazon_photo", "city_porto"):
        np.savez(tmp_path / f"{name}.npz", **arrays())
    with pytest.raises(ValueError, match=r"no data set 'toloker' in .*: did you mean 'tolokers'"):
        named("toloker", tmp_path)
    with pytest.raises(ValueError, match="did you mean 'amazon_photo'"):
        named("Amazon-Photo", tmp_path)
    with pytest.raises(ValueError, match="There are amazon_photo, city_porto, tolokers"):
        named("../../etc/passwd", tmp_path)


def test_no_folder_names_the_variable(monkeypatch, tmp_path):
    monkeypatch.delenv("GRAPHATTN_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="none was given; set GRAPHATTN_DATA="):
        named("cora")
    monkeypatch.setenv("GRAPHATTN_DATA", str(tmp_path / "gone"))
    with pytest.raises(FileNotFoundError, match="gone is not a folder"):
        named("cora")
    np.savez(tmp_path / "cora.npz", **arrays())
    monkeypatch.setenv("GRAPHATTN_DATA", str(tmp_path))
    assert named("cora").num_nodes == 4


@pytest.mark.parametrize(
    ("name", "nodes", "edges", "channels", "metric", "num_splits", "sizes"),
    [
        ("tolokers", 11758, 1038000, 10, "rocauc", 10, (5879, 2939, 2940)),
        ("minesweeper", 10000, 78804, 7, "rocauc", 10, (5000, 2500, 2500)),
        ("cora", 2708, 10556, 1433, "accuracy", 1, (140, 500, 1000)),
        ("amazon_photo", 7650, 238162, 745, "accuracy", 1, (4590, 1530, 1530)),
        ("squirrel_filtered", 2223, 93996, 2089, "accuracy", 10, (1053, 718, 452)),
        ("city_porto", 64718, 174866, 27, "accuracy", 1, (6471, 6471, 51776)),
    ],
)
def test_real_data(real_data, name, nodes, edges, channels, metric, num_splits, sizes):
    data = named(name, real_data)
    assert (data.num_nodes, data.num_edges, data.num_features) == (nodes, edges, channels)
    assert (data.name, data.metric) == (name, metric)
    found = splits(data)
    assert len(found) == num_splits
    assert (len(found[0].train), len(found[0].val), len(found[0].test)) == sizes
