"""Warming up: what it covers, what later processes are spared, and where nothing can be kept."""

import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numba
import pytest
import torch

from graphattn import cli, kernels
from graphattn.commands import warmup

WARM = "import sys; from graphattn.commands.warmup import warm_up; warm_up(sys.argv[1:])"
DRAW = """
import torch
from graphattn.graph import CSRGraph
from graphattn.sampling.random_walk import random_walk
graph = CSRGraph.from_edge_index(torch.tensor([[0, 1, 2], [1, 2, 0]]))
for p in (1.0, 2.0):
    random_walk(graph, torch.arange(3).repeat(50), 9, p=p)
"""
TRAIN = """
from graphattn.cli import main
sizes = ["--model.hidden_channels", "8", "--model.codebook_size", "16", "--train.epochs", "1"]
data = ["--data.name", "karate"]
assert main(["tokenize", *data, "--out", "store"]) == 0
assert main(["train", *data, *sizes, "--tokens.store", "store", "--out", "run"]) == 0
"""


def run(code, folder, *argv):
    """Runs Python with a kernel cache of its own; gives the names of the files in that cache."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder / "cache")}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-W", "ignore", "-c", code, *argv]
    subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=True)
    return {path: path.stat().st_mtime_ns for path in (folder / "cache").rglob("*.nb*")}


def double(number):
    return 2 * number


def test_covers_every_kernel():
    before = torch.get_num_threads()
    warmup.warm_up()
    assert torch.get_num_threads() == before
    # to read or make a data set, which takes far longer
    once = ("decimal.", "twin_edges.", "eccentricity.")
    assert [name for name in warmup.cold_kernels() if not name.startswith(once)] == []


@pytest.mark.timeout(900)  # compiles; where five programs share two cores that takes five minutes
def test_a_later_process_compiles_nothing(tmp_path):
    kept = run(WARM, tmp_path, "walks")
    assert any(path.name.startswith("walk._walk_some") for path in kept)
    assert run(DRAW, tmp_path) == kept


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_after_it_a_run_compiles_nothing(tmp_path):
    kept = run(WARM, tmp_path, "training")
    assert run(TRAIN, tmp_path) == kept
    assert (tmp_path / "run" / "result.json").exists()


def test_command(capsys, monkeypatch):
    monkeypatch.setattr(warmup, "PARTS", {"walks": warmup.PARTS["walks"]})
    assert cli.main(["warmup"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("kernels are ready after ")
    assert Path(printed.partition(" s, in ")[2].strip()) == kernels.CACHE
    assert cli.main(["warmup", "--all"]) == 2


def test_unknown_part():
    with pytest.raises(ValueError, match=r"parts must be among features, .*: got sleep\."):
        warmup.warm_up(["sleep"])


def test_no_folder_can_be_written(monkeypatch, caplog, capsys):
    def refuse(*_, **__):
        raise PermissionError

    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(tempfile, "TemporaryFile", refuse)  # with it numba tries whether it may write
        monkeypatch.setattr(kernels, "CACHE", kernels._cache())
    assert kernels.CACHE is None
    assert "set NUMBA_CACHE_DIR to one that can" in caplog.text
    assert list(Path(numba.config.CACHE_DIR).iterdir()) == []
    doubled = numba.njit(cache=True)(double)
    assert doubled(2) == 4
    assert Path(doubled.stats.cache_path).is_relative_to(numba.config.CACHE_DIR)
    assert cli.main(["warmup"]) == 3
    assert "export NUMBA_CACHE_DIR" in capsys.readouterr().err
