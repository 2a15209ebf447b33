"""Planetoid's pickles: the same as PyG reads, and never executed, whatever is in them."""

import os
import pickle

import numpy as np
import pytest
import raw_layouts as layouts
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch_geometric.io import read_planetoid_data

from graphattn import cli
from graphattn.datasets.npz import CorruptDataset
from graphattn.datasets.pickled import read_pickled
from graphattn.datasets.planetoid import PlanetoidFiles
from graphattn.datasets.public import load_public, open_public
from graphattn.datasets.public_table import PUBLIC

CASES = {"cora": (7, ()), "citeseer": (6, (625, 640)), "pubmed": (3, ())}


@pytest.fixture
def cora(tmp_path):
    """A root with a small cora, its folder, and what the files hold."""
    folder, parts = tmp_path / "root/planetoid_cora/raw", layouts.planetoid_parts()
    layouts.planetoid(folder, "cora", parts)
    return tmp_path / "root", folder, parts


def load(root, tmp_path):
    return load_public("planetoid-cora", root, cache=tmp_path / "cache")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dump", [layouts.python2, layouts.protocol(0), layouts.protocol(4)])
def test_the_same_as_pyg_reads(tmp_path, name, dump):
    classes, left_out = CASES[name]
    folder = tmp_path / name.capitalize() / "raw"
    if name == "citeseer":
        folder = tmp_path / "CiteSeer/raw"
    if name == "pubmed":
        folder = tmp_path / "PubMed/raw"
    layouts.planetoid(folder, name, layouts.planetoid_parts(classes, left_out), dump)
    ours = load_public(f"planetoid-{name}", tmp_path, cache=tmp_path / "cache")
    theirs = read_planetoid_data(str(folder), name)
    assert torch.equal(ours.x, theirs.x)
    assert torch.equal(ours.edge_index, theirs.edge_index)
    known = torch.ones(len(ours.y), dtype=torch.bool)
    known[list(left_out)] = False  # PyG calls them class 0
    assert torch.equal(ours.y[known], theirs.y[known])
    assert (ours.y[~known] == -1).all()
    assert len(ours.y) == 650 + len(left_out)
    for mask in ("train_mask", "val_mask", "test_mask"):
        assert torch.equal(ours[mask].view(-1), theirs[mask])
    assert int(ours.val_mask.sum()) == 500


def test_old_strings_of_protocol_0_are_read(tmp_path):
    path = tmp_path / "old"
    path.write_bytes(b"(dp0\nI0\n(lp1\nI1\naL2L\nasI1\n(lp2\ng1\nas.")
    assert read_pickled(path) == {0: [1, 2], 1: [[1, 2]]}
    numbers = {np.int64(3).item(): [np.int32(4), np.int64(-5)]}
    path.write_bytes(pickle.dumps(numbers, 2))
    assert read_pickled(path) == {3: [4, -5]}
    path.write_bytes(b"S'a\\x00\\xff'\np0\n.")
    assert read_pickled(path) == "a\x00ÿ"


class Payload:
    """What runs a command when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch '{self.mark}'",)


HOSTILE = {
    "global": lambda mark: pickle.dumps(Payload(mark), protocol=2),
    "protocol 0": lambda mark: pickle.dumps(Payload(mark), protocol=0),
    "protocol 4": lambda mark: pickle.dumps(Payload(mark), protocol=4),
    "inst": lambda mark: f"(S'touch \"{mark}\"'\nios\nsystem\n.".encode(),
    "obj": lambda mark: f"(cos\nsystem\nS'touch \"{mark}\"'\no.".encode(),
    "eval": lambda mark: f'c__builtin__\neval\n(S\'open("{mark}", "w")\'\ntR.'.encode(),
    "inside": lambda mark: layouts.python2([1])[:-2] + pickle.dumps(Payload(mark), 2)[2:-1] + b"e.",
    "state": lambda mark: (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
        b"K\x00\x85U\x01b\x87R" + pickle.dumps(Payload(mark), 2)[2:-1] + b"b."
    ),
}


@pytest.mark.parametrize("how", HOSTILE)
@pytest.mark.parametrize("part", ["x", "graph", "ally"])
def test_a_payload_does_not_run(cora, tmp_path, how, part, capsys, monkeypatch):
    root, folder, _ = cora
    mark = tmp_path / "it ran"
    raw = HOSTILE[how](mark)
    with pytest.raises(CorruptDataset, match="nothing in it was executed"):
        (tmp_path / "bad").write_bytes(raw)
        read_pickled(tmp_path / "bad")
    (folder / f"ind.cora.{part}").write_bytes(raw)
    (folder / "ind.cora.allx").write_bytes(raw)
    monkeypatch.setenv("GRAPHATTN_CACHE", str(tmp_path / "cache"))
    argv = ["data", "info", "planetoid-cora", "--root", str(root)]
    assert cli.main(argv) == 4
    assert "nothing in it was executed" in capsys.readouterr().err
    assert not mark.exists()
    if how == "global":  # which would have run it
        pickle.loads(raw)
        assert mark.exists()


def test_lists_that_are_repeated_make_no_bomb(cora, tmp_path):
    root, folder, _ = cora
    repeated = b"(lp0\n" + b"K\x01a" * 4_000
    keys = b"".join(b"J" + i.to_bytes(4, "little") + b"g0\ns" for i in range(4_000))
    (folder / "ind.cora.graph").write_bytes(b"}J\x00\x00\x00\x00" + repeated + b"s" + keys + b".")
    with pytest.raises(CorruptDataset, match="got 16,000,000 edges in too few bytes"):
        load(root, tmp_path)


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        ("graph", [1], r"must hold a dict from each node to a list of nodes: got list"),
        ("graph", {0: [1.5]}, r"got the node '1.5'"),
        ("graph", {0: [99_999]}, r"must join nodes 0..649 of planetoid-cora: got \[0, 99999\]"),
        ("graph", {0: [2**70]}, "got the node '1180"),
        ("allx", [1], "must hold sparse rows"),
        ("ally", np.ones((620, 7), np.int32), "zeros but for one 1"),
        ("ally", np.eye(7, dtype=np.int32), "a row for each of allx: got 7"),
        ("ty", np.eye(7, dtype=np.int32), "must have 30 rows, one a line of test.index: got 7"),
        ("tx", np.eye(2), "must hold sparse rows"),
        ("y", np.eye(3), "rows of 7 zeros"),
        ("y", np.eye(7, dtype=np.int32)[np.zeros(400, int)], "at least 500 rows more than x"),
    ],
)
def test_what_is_wrong_is_named(cora, tmp_path, part, value, words):
    root, folder, _ = cora
    raw = pickle.dumps(value, 2) if part == "graph" else layouts.python2(value)
    (folder / f"ind.cora.{part}").write_bytes(raw)
    with pytest.raises(ValueError, match=words):
        load(root, tmp_path)


@pytest.mark.parametrize("text", ["", "a\n", "700\n", "620\n620\n", "620 1e3"])
def test_wrong_test_nodes_are_named(cora, tmp_path, text):
    root, folder, _ = cora
    (folder / "ind.cora.test.index").write_text(text)
    with pytest.raises(ValueError, match=r"ind\.cora\.test\.index"):
        load(root, tmp_path)


def test_a_missing_file_is_named(cora, tmp_path):
    root, folder, _ = cora
    (folder / "ind.cora.ty").unlink()
    with pytest.raises(ValueError, match=r"ind.cora.ty is needed: there is no such file"):
        load(root, tmp_path)
    assert not list((tmp_path / "cache").glob("planetoid_cora-*"))


@pytest.mark.parametrize("part", ["allx", "graph", "ally"])
def test_torn_files_are_corrupt(cora, part):
    _, folder, _ = cora
    path = folder / f"ind.cora.{part}"
    whole = path.read_bytes()
    files = PlanetoidFiles(folder, PUBLIC["planetoid-cora"])
    for cut in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(CorruptDataset, match=f"ind.cora.{part}"):
            files._one_hot(part) if part == "ally" else read_pickled(path)


SOUND = [
    layouts.python2(np.eye(3, dtype=np.int32)),
    layouts.python2({"a": [1, (2, 3)]}),
    pickle.dumps({1: [2, "a"]}, 0),
    pickle.dumps([1, "é", 2.5, None, True, b"x"], 4),
]


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_bytes_give_data_or_our_error(tmp_path, data):
    path = tmp_path / "fuzz"
    raw = bytearray(data.draw(st.sampled_from(SOUND)))
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(raw)))
        raw[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=6))
    path.write_bytes(raw)
    try:
        read_pickled(path)
    except CorruptDataset as error:
        assert "\n" not in str(error)


def test_opened_again_nothing_is_read(cora, tmp_path):
    root, folder, _ = cora
    first = open_public("planetoid-cora", root, cache=tmp_path / "cache")
    for path in folder.iterdir():
        path.unlink()  # what is cached outlives its source
    again = open_public("planetoid-cora", root, cache=tmp_path / "cache", verify=True)
    assert again.digest == first.digest
    assert again.rule == "public: 20 a class, 500, 1,000"
