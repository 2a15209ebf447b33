"""Raw files found, cached, trained on and fetched; splits of one's own; names that do not clash."""

import hashlib
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import raw_layouts as layouts
import torch

from graphattn import cli
from graphattn.config import DataOptions
from graphattn.datasets import ogb_cache, public_fetch
from graphattn.datasets.npz import CorruptDataset
from graphattn.datasets.public import load_public, open_public, raw_place
from graphattn.datasets.public_fetch import fetch_public
from graphattn.datasets.public_table import PUBLIC
from graphattn.files import read_json
from graphattn.loading import load_data
from graphattn.short_names import DATASETS
from graphattn.task import load_task

PHOTO = PUBLIC["shchur-amazon-photo"]
CORA = PUBLIC["planetoid-cora"]


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHATTN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GRAPHATTN_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "root"


def test_every_name_is_one_of_the_command_line():
    assert set(PUBLIC) <= set(DATASETS)
    for name, spec in PUBLIC.items():
        assert spec.name == name
        assert DATASETS[name].options == {"name": name}
        assert all(url.startswith("https://") for url in spec.urls.values())


@pytest.mark.parametrize("place", ["shchur_amazon_photo/raw", "Photo/raw", "", "é b/.."])
def test_files_are_found_where_they_may_lie(root, place):
    (root / "é b").mkdir(parents=True)
    layouts.shchur(root / place / PHOTO.files[0])
    assert len(load_public("shchur-amazon-photo", root).x) == 50


def test_raw_files_are_only_read_and_hashed(root):
    layouts.shchur(root / PHOTO.files[0])
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    root.chmod(0o555)
    opened = open_public("shchur-amazon-photo", root)
    root.chmod(0o755)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    manifest = read_json(opened.folder / "manifest.json")
    wanted = hashlib.sha256((root / PHOTO.files[0]).read_bytes()).hexdigest()
    assert manifest["sha256"] == {PHOTO.files[0]: wanted}
    assert sorted(manifest["files"]) == ["splits.npy", "x.npy", "y.npy"]


def test_what_is_cached_is_not_read_again_and_outlives_its_source(root, monkeypatch):
    layouts.shchur(root / "Photo/raw" / PHOTO.files[0])
    first = open_public("shchur-amazon-photo", root)
    monkeypatch.setattr(ogb_cache.CacheBuilder, "build", None)
    assert open_public("shchur-amazon-photo", root, verify=True).digest == first.digest
    (root / "Photo/raw" / PHOTO.files[0]).unlink()
    assert open_public("shchur-amazon-photo", root).digest == first.digest


def test_changed_files_are_read_again(root):
    parts = layouts.shchur(root / PHOTO.files[0])
    before = open_public("shchur-amazon-photo", root)
    layouts.shchur(root / PHOTO.files[0], labels=(parts["labels"] + 1) % 8)
    after = open_public("shchur-amazon-photo", root)
    assert torch.equal(after.y, (before.y + 1) % 8) or after.digest != before.digest
    assert int(after.y[0]) == (int(parts["labels"][0]) + 1) % 8


def test_a_killed_build_goes_on(root, monkeypatch):
    layouts.patents(root)
    code = f"""
import os, signal
from graphattn.datasets import public_steps
public_steps._write_labels = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
from graphattn.datasets.public import open_public
open_public("snap-patents", {str(root)!r})
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    assert process.returncode == -signal.SIGKILL
    monkeypatch.setattr("graphattn.datasets.public_steps._write_features", None)
    resumed = open_public("snap-patents", root)
    monkeypatch.undo()
    whole = open_public("snap-patents", root, cache=root.parent / "other")
    ours, theirs = (read_json(opened.folder / "manifest.json") for opened in (resumed, whole))
    assert ours == theirs


def test_damage_is_named(root):
    layouts.shchur(root / PHOTO.files[0])
    folder = open_public("shchur-amazon-photo", root).folder
    whole = (folder / "splits.npy").read_bytes()
    (folder / "splits.npy").write_bytes(whole[:-1] + b"\x02")
    with pytest.raises(CorruptDataset, match=r"splits\.npy is damaged: its hash"):
        open_public("shchur-amazon-photo", root, verify=True)


def test_own_splits_replace_those_drawn(root):
    layouts.patents(root / "snap_patents/raw")
    table = np.full((2, 40), -1)
    table[0, :4], table[1, 4:8], table[:, 8], table[:, 9] = 0, 0, 1, 2
    np.save(root / "snap_patents/raw/snap-patents-splits.npy", table)
    opened = open_public("snap-patents", root)
    assert [split.train.tolist() for split in opened.splits] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert opened.splits[1].val.tolist() == [8]
    assert opened.rule == "read from snap-patents-splits.npy"
    assert "snap-patents-splits.npy" in read_json(opened.folder / "manifest.json")["sha256"]


def test_links_own_pickled_splits_are_refused_and_say_what_to_do(root, capsys):
    layouts.pokec(root)
    mark = root / "it ran"

    class Payload:
        def __reduce__(self):
            return os.system, (f"touch '{mark}'",)

    split = np.array([{"train": np.arange(3), "valid": Payload()}], dtype=object)
    np.save(root / "pokec-splits.npy", split, allow_pickle=True)
    argv = ["data", "info", "pokec", "--root", str(root)]
    assert cli.main(argv) == 4
    error = capsys.readouterr().err
    assert "never unpickled here; where you trust it, write the table from it" in error
    assert not mark.exists()


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (np.zeros((1, 29), int), r"table of whole numbers \[splits, 30\]: got int64 \[1, 29\]"),
        (np.zeros((1, 30)), "got float64"),
        (np.full((1, 30), 3), "must hold 0 trains, 1 validates, .*: got 3 to 3"),
        (np.ones((1, 30), int), "must train on a node: got split 0 without one"),
        (np.zeros((0, 30), int), "must train on a node: got no split"),
    ],
)
def test_wrong_splits_of_ones_own_are_named(root, table, words):
    layouts.pokec(root)
    np.save(root / "pokec-splits.npy", table)
    with pytest.raises(ValueError, match=words):
        open_public("pokec", root)


def test_nothing_there_says_how_to_get_it(root, capsys):
    root.mkdir()
    argv = ["data", "info", "--root", str(root)]
    assert cli.main([*argv, "pokec"]) == 3
    assert "fetch pokec.mat by hand from where https://github.com/CUAI/" in capsys.readouterr().err
    assert cli.main([*argv, "planetoid-cora"]) == 3
    assert "`graphattn data download planetoid-cora --root FOLDER`" in capsys.readouterr().err
    assert cli.main(["data", "info", "pokec"]) == 3
    assert "give data.root, or set GRAPHATTN_DATA" in capsys.readouterr().err


def test_the_uniform_file_keeps_its_name(root, capsys):
    layouts.heterophilous(root / "raw/minesweeper.npz")
    data = load_public("heterophilous-minesweeper", root / "raw")
    uniform = {"edge_index": data.edge_index.numpy(), "x": data.x.numpy()[:, :1], "y": data.y}
    np.savez(root / "minesweeper.npz", **uniform)
    assert load_data(DataOptions("minesweeper", root=str(root))).x.shape == (24, 1)
    assert cli.main(["data", "info", "heterophilous-minesweeper", "--root", str(root)]) == 2
    assert "it is in the uniform format" in capsys.readouterr().err
    other = DataOptions("heterophilous-minesweeper", root=str(root / "raw"))
    assert load_data(other).x.shape == (24, 4)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("pubmed", "planetoid-pubmed"), ("roman_empire", "heterophilous-roman-empire")],
)
def test_a_short_name_is_told_the_whole(root, capsys, name, meant):
    assert cli.main(["train", "--data.name", name, "--out", "run"]) == 2
    assert f"did you mean '{meant}'?" in capsys.readouterr().err


def test_train_by_name(root, capsys):
    layouts.patents(root)
    argv = ["train", "--data.name", "snap-patents", "--data.root", str(root), "--out", "run"]
    argv += ["--model.name", "mlp", "--train.epochs", "2", "--splits", "all"]
    assert cli.main(argv) == 0
    result = read_json(root.parent / "run/result.json")
    assert len(result["runs"]) == 5
    assert "accuracy" in capsys.readouterr().out


def test_the_task_stays_on_disk(root):
    layouts.heterophilous(root / "questions.npz")
    task = load_task(DataOptions("heterophilous-questions", root=str(root)))
    assert (task.metric, task.num_classes, len(task.splits)) == ("rocauc", 2, 10)
    assert task.graph.is_undirected
    same = load_data(DataOptions("heterophilous-questions", root=str(root)))
    assert torch.equal(task.graph.edge_index(), same.edge_index)
    scaled = load_task(
        DataOptions("heterophilous-questions", root=str(root), features="standardize")
    )
    torch.testing.assert_close(scaled.x.mean(0), torch.zeros(4), atol=1e-5, rtol=0)


def test_download_fetches_every_file_over_tls(root, monkeypatch, capsys):
    asked = {}

    def fetched(url, path, *, sha256, yes, progress):
        asked[url] = yes
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"numbers")
        return "ab" * 32

    monkeypatch.setattr(public_fetch, "fetch", fetched)
    argv = ["data", "download", "planetoid-cora", "--root", str(root)]
    assert cli.main([*argv, "--yes"]) == 0
    address = "https://github.com/kimiyoung/planetoid/raw/master/data"
    assert list(asked) == [f"{address}/{file}" for file in CORA.files]
    assert set(asked.values()) == {True}
    assert capsys.readouterr().out.count("sha256 abab") == 8
    assert raw_place(CORA, root) == root / "planetoid_cora/raw"
    assert cli.main([*argv, "--sha256", "ab" * 32]) == 2
    assert "sha256 must be left out for planetoid-cora" in capsys.readouterr().err
    assert cli.main(["data", "download", "pokec", "--root", str(root)]) == 2
    assert "pokec cannot be downloaded here: fetch pokec.mat by hand" in capsys.readouterr().err


def test_a_web_page_instead_of_the_file_is_set_aside(root, monkeypatch):
    def page(url, path, **_):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\n<!DOCTYPE html><html>quota exceeded")
        path.with_name(f"{path.name}.json").write_text("{}")
        return "ab" * 32

    monkeypatch.setattr(public_fetch, "fetch", page)
    with pytest.raises(CorruptDataset, match="got a web page, set aside as"):
        fetch_public(PHOTO, root)
    left = {path.name for path in (root / "shchur_amazon_photo/raw").iterdir()}
    assert left == {f"{PHOTO.files[0]}.rejected"}
