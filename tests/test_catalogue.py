"""Data sets listed and made of own files."""

from pathlib import Path

import numpy as np
import pytest
import torch

from graphattn.catalogue import catalogue, from_files, write_npz
from graphattn.config import DataOptions
from graphattn.description import describe
from graphattn.loading import load_data

HALVES = {"fractions": (0.5, 0.25, 0.25), "seed": 0, "metric": "accuracy"}


@pytest.fixture
def ring(tmp_path, monkeypatch):
    """A ring of 16 nodes as e.csv and x.npy, in the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GRAPHATTN_DATA", raising=False)
    lines = [f"{i},{(i + 1) % 16}" for i in range(16)]
    Path("e.csv").write_text("source,target\n" + "\n".join(lines))
    np.save("x.npy", np.eye(16, dtype=np.float32))
    return Path("e.csv"), Path("x.npy")


@pytest.mark.parametrize("head", ["", "label\n"])
def test_texts_become_classes_with_their_names_kept(ring, head, capsys):
    words = ["dog", "cat", "", '"a, b"'] * 4
    Path("y.csv").write_text(head + "\n".join(words) + "\n")
    data = from_files(*ring, Path("y.csv"), **HALVES)
    assert data.y.tolist() == [2, 1, -1, 0] * 4
    write_npz(data, Path("pets.npz"), name="pets")
    again = load_data(DataOptions("pets.npz"))
    assert again.meta["class_names"] == ["a, b", "cat", "dog"]
    assert torch.equal(again.y, data.y)
    assert dict(describe(DataOptions("pets.npz")))["class names"] == "a, b, cat, dog"
    np.save("y.npy", np.array([word.strip('"') for word in words]))
    assert torch.equal(from_files(*ring, Path("y.npy"), **HALVES).y, data.y)


@pytest.mark.parametrize("head", ["", "label\n"])
def test_whole_numbers_stay_what_they_are(ring, head):
    Path("y.txt").write_text(head + "\n".join(["1", "0", "-1", "1"] * 4) + "\n")
    data = from_files(*ring, Path("y.txt"), **HALVES)
    assert data.y.tolist() == [1, 0, -1, 1] * 4
    assert data.meta == {}


@pytest.mark.parametrize(
    ("labels", "options", "words"),
    [
        (["0.5", "1"] * 8, {}, "must hold whole numbers or texts, a class each: got fractions"),
        (["0", "1"] * 7, {}, "must count the same nodes"),
        (["0,1"] * 16, {}, "must hold one label a line: got 2 columns"),
        (["0"] * 15 + ["1"], {}, r"none of class 1, which has 1 labelled nodes \(1 such classes\)"),
        (["0", "2"] * 8, {}, "none of class 1, which has 0 labelled nodes"),
        (["0", "1"] + ["-1"] * 14, {}, r"got 0/0/2 nodes|training part must not be empty"),
        (
            ["0", "1"] * 8,
            {"fractions": (0.99, 0.01, 0.0)},
            r"each part of the split must hold a node: got 16/0/0 nodes for shares 0.99/0.01/0 of",
        ),
        (["-1"] * 16, {}, "must not be empty"),
    ],
)
def test_labels_and_splits_nothing_can_be_learnt_from(ring, labels, options, words):
    Path("y.csv").write_text("\n".join(labels))
    with pytest.raises(ValueError, match=words):
        from_files(*ring, Path("y.csv"), **{**HALVES, **options})


def test_files_that_are_no_tables(ring):
    Path("y.csv").write_text("0\n1\n" * 8)
    for content, words in (
        (b"", r"e\.csv must be a table of int64 numbers: got no row of them\."),
        (b"a,b\n", r"e\.csv must be a table of int64 numbers: got no row of them"),
        (b"0,1\n0,one\n", r"e\.csv must be a table of int64 numbers: .*'one'"),
        (b"\xff\xfe", r"e\.csv must be text in UTF-8: got byte 0 of none"),
    ):
        Path("e.csv").write_bytes(content)
        with pytest.raises(ValueError, match=words) as caught:
            from_files(*ring, Path("y.csv"), **HALVES)
        assert "\n" not in str(caught.value)
    Path("e.csv").write_text("0,1\n")
    with pytest.raises(ValueError, match=r"there is no file no\.csv\."):
        from_files(ring[0], Path("no.csv"), Path("y.csv"), **HALVES)


def test_a_root_that_is_no_folder_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHATTN_DATA", str(tmp_path / "gone"))
    with pytest.raises(FileNotFoundError, match="GRAPHATTN_DATA must name a folder"):
        catalogue()
    with pytest.raises(ValueError, match=r"root must be a folder of \.npz data sets: got nope"):
        catalogue("nope")
    with pytest.raises(ValueError, match=r"data.root must be a folder .*: got nope"):
        load_data(DataOptions("mine", root="nope"))
    assert dict(catalogue(str(tmp_path)))["karate"] == "built in"


def test_a_metric_given_anew_is_the_one_that_is_kept(tmp_path):
    write_npz(load_data(DataOptions("karate")), tmp_path / "a.npz", name="a")
    data = load_data(DataOptions(str(tmp_path / "a.npz")))
    data.metric = "macro_f1"
    write_npz(data, tmp_path / "b.npz", name="b")
    assert load_data(DataOptions(str(tmp_path / "b.npz"))).metric == "macro_f1"
    with pytest.raises(ValueError, match=r"empty for a graph read from a\.npz: got seed"):
        load_data(DataOptions(str(tmp_path / "a.npz"), options={"seed": 1}))
