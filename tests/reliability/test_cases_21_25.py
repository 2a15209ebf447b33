"""Cases 21 to 25 of the reliability contract: downloads, hostile files, nothing stale."""

import builtins
import hashlib
import io
import json
import pickle
import shutil
import stat
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from stores import contents

from graphattn.datasets import download
from graphattn.files import read_json


def packed(folder, extra=()):
    """An archive as OGB's of arxiv, with further members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for file in sorted(folder.rglob("*.*")):
            archive.write(file, f"arxiv/{file.relative_to(folder)}")
        for member, content in extra:
            archive.writestr(member, content)
    return buffer.getvalue()


class Evil:
    """Makes a file called marker where it is unpickled."""

    def __reduce__(self):
        return builtins.eval, ("open('marker', 'w').close()",)


DOWNLOAD = ["data", "download", "ogbn-arxiv", "--root", "root"]


def test_case_21_no_question_is_ever_asked(here, command, server, monkeypatch):
    monkeypatch.setattr(builtins, "input", lambda *_: pytest.fail("a question was asked"))
    monkeypatch.setattr(download, "_LARGE", 1000)
    server["body"] = bytes(2000)
    told = command(*DOWNLOAD, code=2)
    assert "has 2e-06 GB, and nobody is at a terminal: pass --yes to fetch it" in told
    assert not (here / "root").exists()
    assert command(*DOWNLOAD, "--yes", code=4)  # it came: no archive
    source = (path.read_text() for path in Path(download.__file__).parents[1].rglob("*.py"))
    assert not any(" input(" in text or "=input(" in text for text in source)


def test_case_22_a_download_cut_at_half_and_a_wrong_hash(arxiv, command, server):
    server["body"] = body = packed(arxiv)
    half = len(body) // 2
    server["cuts"] = [half] * 3  # and nothing more, however often it is asked
    told = command(*DOWNLOAD, code=3)
    assert f"ended after {half:,} of {len(body):,} bytes" in told
    assert "the same command goes on with it" in told
    assert Path("root/arxiv.zip.part").stat().st_size == half
    shutil.copytree("root", "other")
    command(*DOWNLOAD)
    assert server["ranges"] == [None, *[f"bytes={half}-"] * 3]
    digest = hashlib.sha256(body).hexdigest()
    assert read_json(Path("root/arxiv.zip.json"))["sha256"] == digest
    (arxiv / "twin.json").unlink()  # which is no file of OGB, and left out
    assert contents(Path("root/ogbn_arxiv")) == contents(arxiv)
    told = command(*DOWNLOAD[:-1], "other", "--sha256", "ab" * 32, code=4)
    assert f"must have the sha256 {'ab' * 32}: got {digest}" in told
    assert [p.name for p in Path("other").glob("[!.]*")] == ["arxiv.zip.rejected"]


def member(name, kind):
    about = zipfile.ZipInfo(name)
    about.external_attr = (kind | 0o777) << 16
    return about


HOSTILE = {
    "dots": ("arxiv/raw/../../../evil.csv.gz", b"evil"),
    "absolute": ("/tmp/evil.csv.gz", b"evil"),
    "backslash": ("arxiv\\..\\..\\evil.csv.gz", b"evil"),
    "symlink": (member("arxiv/raw/link.csv.gz", stat.S_IFLNK), b"/etc/passwd"),
    "device": (member("arxiv/raw/null.csv.gz", stat.S_IFCHR), b""),
    "fifo": (member("arxiv/raw/pipe.csv.gz", stat.S_IFIFO), b""),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_case_23_hostile_archives(arxiv, here, command, server, kind):
    server["body"] = packed(arxiv, [HOSTILE[kind]])
    told = command(*DOWNLOAD, code=4)
    assert "must hold plain files below one folder" in told
    assert sorted(p.name for p in Path("root").glob("[!.]*")) == ["arxiv.zip", "arxiv.zip.json"]
    assert not list(here.rglob("evil*"))


def test_case_23_bombs_and_other_kinds_of_archives(arxiv, here, command, server, monkeypatch):
    monkeypatch.setattr("graphattn.datasets.unpack._MOST_FILES", 10)
    many = [(f"arxiv/raw/{i}.csv.gz", b"") for i in range(11)]
    server["body"] = packed(arxiv, many)
    assert "must hold at most 10 files" in command(*DOWNLOAD, code=4)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        about = tarfile.TarInfo("../../evil.csv.gz")
        archive.addfile(about, io.BytesIO())
    for body in (buffer.getvalue(), b"", b"PK\3\4" * 9):
        shutil.rmtree("root")
        server["body"] = body
        told = command(*DOWNLOAD, code=4)
        assert "is no sound archive" in told
        assert not Path("root/ogbn_arxiv").exists()
    Path("bomb.npz").write_bytes(buffer.getvalue())
    assert "is not a .npz file" in command("train", "--data.name", "bomb.npz", code=4)
    assert not list(here.rglob("evil*"))


def test_case_24_hostile_files_as_data(here, save, command, train):
    objects = np.array([Evil()] * 12, dtype=object)
    for key in ("x", "y", "edge_index", "meta"):
        save(**{key: objects})
        assert "Nothing in it was executed" in train(code=4)
    save()
    np.save("evil.npy", objects, allow_pickle=True)
    Path("bare.npy").write_bytes(pickle.dumps(Evil()))
    torch.save({"x": Evil()}, "evil.pt")
    train("--out", "a")
    for evil in ("evil.npy", "bare.npy"):
        told = train("--tokens.pe", evil, "--out", "b", model="largegt", code=4)
        assert f"{evil} cannot be read as an array" in told
        assert evil in command("predict", "a", "--nodes", evil, code=4)
        np.save("e.npy", np.zeros((2, 1), int))
        files = ["--edges", "e.npy", "--x", evil, "--y", "e.npy"]
        assert evil in command("data", "convert", *files, "--out", "c.npz", code=4)
    for path in ("evil.npy", "bare.npy", "evil.pt"):
        shutil.copy(path, "renamed.npz")
        assert "not a .npz file" in train("--data.name", "renamed.npz", "--out", "b", code=4)
    train("--data.name", "evil.pt", code=2)
    assert not list(here.rglob("marker"))


def test_case_24_hostile_checkpoints(here, save, command, train):
    save()
    train("--out", "a", "--train.epochs", "3")
    folder = Path("a/split0-seed0/best")
    torch.save({"feed": Evil()}, folder / "state.pt")
    assert "state.pt was altered" in command("predict", "a", code=4)
    manifest = read_json(folder / "manifest.json")
    signed = hashlib.sha256((folder / "state.pt").read_bytes()).hexdigest()
    manifest["sha256"]["state.pt"] = signed
    (folder / "manifest.json").write_text(json.dumps(manifest))
    told = command("predict", "a", code=4)
    assert "state.pt is refused: it is torn, or holds more than tensors" in told
    last = Path("a/split0-seed0/last")
    shutil.rmtree(last)
    shutil.copytree(folder, last)
    Path("a/split0-seed0/result.json").unlink()
    train("--out", "a", "--train.epochs", "3", code=4)
    assert not list(here.rglob("marker"))


def test_case_25_nothing_stale_is_returned(save, command):
    arrays = save()
    first = ["tokenize", "--data.name", "data.npz", "--out", "s"]
    command(*first)
    made = {p: p.stat().st_mtime_ns for p in Path("s").rglob("*")}
    command(*first, "--tokens.num_samples", "9")  # drawn from it, not kept in it
    assert {p: p.stat().st_mtime_ns for p in Path("s").rglob("*")} == made
    for option, words in (
        (["--tokens.num_hops", "1"], "num_hops: the store has 2, asked 1"),
        (["--tokens.num_own_hops", "2"], "num_own_hops: the store has 0, asked 2"),
        (["--tokens.norm", "row"], "norm: the store has sym, asked row"),
        (["--tokens.dtype", "float16"], "dtype: the store has float32, asked float16"),
        (["--data.features", "standardize"], "features: the store has others"),
        (["--data.undirected", "true", "--data.nan", "zero"], ""),
    ):
        assert words in command(*first, *option, code=2 if words else 0)
    x = arrays["x"].copy()
    x[0, 0] += 1
    save(x=x)
    assert "features: the store has others" in command(*first, code=2)
    save(edge_index=arrays["edge_index"][:, 2:])
    assert "graph: the store has another" in command(*first, code=2)
    assert {p: p.stat().st_mtime_ns for p in Path("s").rglob("*")} == made
    save()
    manifest = read_json(Path("s/manifest.json"))
    Path("s/manifest.json").write_text(json.dumps(manifest | {"format": 0}))
    assert "must be of format 1: got 0; build the store again. Building it anew" in command(*first)
    assert read_json(Path("s/manifest.json")) == manifest


def test_case_25_raw_files_that_change_are_read_again(arxiv, train, weights):
    ogb = ["--data.name", "ogbn-arxiv", "--data.root", "ogb"]
    assert "reading its" in train(*ogb, "--out", "a")
    assert "reading its" not in train(*ogb, "--out", "b")
    shutil.copy(arxiv / "split/time/valid.csv.gz", arxiv / "split/time/test.csv.gz")
    assert "nodes are in both val and test" in train(*ogb, "--out", "c", code=2)
