"""`graphattn tokenize`: what it plans, and that a limit of memory changes no bit."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from graphattn.cli import main
from graphattn.config import DataOptions, RunConfig, StoreOptions
from graphattn.memory import held_memory, memory_limit, release
from graphattn.planning import plan_tokenize
from graphattn.sampling.store import TokenStore


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A twin of papers100M of some 11,000 nodes, in OGB's raw layout."""
    folder = tmp_path_factory.mktemp("ogb")
    assert (
        main(["data", "synth", "ogbn-papers100M", "--scale", "0.0001", "--out", str(folder)]) == 0
    )
    return folder


@pytest.fixture
def arguments(root, tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHATTN_CACHE", str(tmp_path / "cache"))
    data = ["--data.name", "ogbn-papers100M", "--data.root", str(root)]
    return ["tokenize", *data, "--tokens.dtype", "float16"]


def size(folder):
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def test_a_plan_names_every_step_and_writes_nothing(arguments, tmp_path, capsys):
    assert main([*arguments, "--plan", "--out", str(tmp_path / "store")]) == 0
    printed = capsys.readouterr().out
    for step in ("raw edges to the graph", "raw features to an array", "2 hops", "shards of 3"):
        assert step in printed
    assert not (tmp_path / "store").exists() and not list((tmp_path / "cache").iterdir())


def test_what_is_planned_to_stay_on_the_disk_is_what_stays(arguments, tmp_path):
    store = StoreOptions(dtype="float16", store=str(tmp_path / "store"))
    config = RunConfig(DataOptions("ogbn-papers100M", root=arguments[4]), store=store)
    plan = plan_tokenize(config)
    assert main([*arguments, "--out", str(tmp_path / "store")]) == 0
    kept = size(tmp_path / "store") + size(tmp_path / "cache")
    assert kept == pytest.approx(plan.kept, rel=0.1)  # repeated edges are merged
    again = plan_tokenize(replace(config, store=replace(store, store=str(tmp_path / "other"))))
    assert again.steps[0].what.startswith("2 hops")  # the cache is there


def test_a_limit_changes_no_bit(arguments, tmp_path, capsys, monkeypatch):
    assert main([*arguments, "--out", str(tmp_path / "free")]) == 0
    monkeypatch.setattr("graphattn.memory._MARGIN", 0)
    limit = held_memory() + 10_000_000  # the hops take 5.7 MB each
    monkeypatch.setattr("graphattn.memory.held_memory", lambda: limit - 10_000_000)
    assert main([*arguments, "--memory", f"{limit}", "--out", str(tmp_path / "tight")]) == 0
    assert "columns each" in capsys.readouterr().out
    free, tight = (TokenStore.open(tmp_path / name) for name in ("free", "tight"))
    assert np.array_equal(free.features.numpy(), tight.features.numpy())
    assert free.manifest["files"] == tight.manifest["files"]


@pytest.mark.parametrize(
    ("memory", "words"),
    [("lots", "a size such as 8G or 500M"), ("10M", "that Python and torch take alone")],
)
def test_sizes_that_cannot_be_are_refused(arguments, memory, words, capsys):
    assert main([*arguments, "--memory", memory]) == 2
    assert words in capsys.readouterr().err


def test_mapped_pages_are_let_go_of_and_stay_readable(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(50_000_000, dtype=np.float32))
    x = np.asarray(np.load(tmp_path / "x.npy", mmap_mode="c"))
    x[7] = -1  # a page that was written to keeps what it holds
    total = float(x.sum(dtype=np.float64))
    before = held_memory()
    release(x)
    assert held_memory() > before - 50_000_000  # without a limit, nothing happens
    with memory_limit(10**15):
        release(x)
    if held_memory():  # where the system says
        assert held_memory() < before - 150_000_000
    assert float(x.sum(dtype=np.float64)) == total and x[7] == -1


def test_an_engine_changes_no_bit(arguments, tmp_path, capsys):
    assert main([*arguments, "--out", str(tmp_path / "one")]) == 0
    engine = ["--engine", "local", "--workers", "0"]
    assert main([*arguments, *engine, "--out", str(tmp_path / "many")]) == 0
    one, many = (TokenStore.open(tmp_path / name, verify=True) for name in ("one", "many"))
    assert one.manifest == many.manifest
    lines = capsys.readouterr().out.splitlines()
    assert (
        lines[0].partition(":")[2].partition(";")[0] == lines[1].partition(":")[2].partition(";")[0]
    )


@pytest.mark.parametrize(
    ("options", "words", "code"),
    [
        (["--workers", "2"], "--workers needs --engine local or ray: got 2 and no engine", 2),
        (["--engine", "local", "--address", "a:1"], "--address needs --engine ray: got a:1 and", 2),
        (["--engine", "spark"], "engine must be one of local, ray or null: got 'spark'", 2),
        (["--engine", "local", "--plan"], "--plan and --memory are of a build in one process", 2),
        (["--engine", "ray"], "pip install graphattn[distributed]", 3),
    ],
)
def test_engines_that_cannot_be_are_refused(
    arguments, tmp_path, options, words, code, capsys, monkeypatch
):
    monkeypatch.setitem(sys.modules, "ray", None)  # as where it is not installed
    assert main([*arguments, *options, "--out", str(tmp_path / "store")]) == code
    assert words in capsys.readouterr().err
    assert not (tmp_path / "store").exists()
