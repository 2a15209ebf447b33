"""Cases 31 to 36 of the reliability contract: damage, folders, memory, NaN, other runs."""

import json
import sys
from pathlib import Path

import pytest
import torch
from stores import contents

from graphattn.training.checkpoint import load_checkpoint
from graphattn.training.loop import Loop


def flip(path, where=-1):
    """Change one bit of a file."""
    content = bytearray(path.read_bytes())
    content[where] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["flipped", "cut", "missing"])
def test_case_31_a_damaged_shard(save, train, command, how):
    save()
    stored = ["--tokens.store", "s", "--tokens.num_own_hops", "1"]
    train(*stored, "--out", "a", model="largegt")
    before = contents(Path("s"))
    made = {p: p.stat().st_mtime_ns for p in Path("s").glob("*.npy")}
    shard = Path("s/own-00000.npy")
    if how == "flipped":
        flip(shard)
    elif how == "cut":
        shard.write_bytes(shard.read_bytes()[:-4])
    else:
        shard.unlink()
    told = command("predict", "a", code=4)
    assert "s/own-00000.npy" in told and "`graphattn tokenize ... --repair`" in told
    told = train(*stored, "--out", "b", model="largegt")
    assert "damaged, rebuilt: own-00000.npy" in told
    assert contents(Path("s")) == before
    kept = Path("s/features-00000.npy")
    assert kept.stat().st_mtime_ns == made[kept]
    command("predict", "a")


def test_case_31_repair_rebuilds_what_is_damaged_and_says_so(save, command):
    save()
    store = ["--data.name", "data.npz", "--tokens.num_own_hops", "1", "--out", "s"]
    told = command("tokenize", *store, "--repair", code=2)
    assert "there is no token store in s" in told and not Path("s").exists()
    command("tokenize", *store)
    before = contents(Path("s"))
    made = {p: p.stat().st_mtime_ns for p in Path("s").glob("*.npy")}
    assert "s: nothing is damaged\n" in command("tokenize", *store, "--repair")
    for file in ("own-00000.npy", "graph/col.npy"):
        flip(Path("s") / file)
    told = command("tokenize", *store, "--tokens.norm", "row", "--repair", code=2)
    assert "norm: the store has sym, asked row" in told
    told = command("tokenize", *store, "--repair")
    assert "s: damaged, rebuilt: own-00000.npy, graph\n" in told
    assert contents(Path("s")) == before
    kept = Path("s/features-00000.npy")
    assert kept.stat().st_mtime_ns == made[kept]
    Path("s/manifest.json").write_text("{")
    assert "s: damaged: manifest.json, without" in command("tokenize", *store, "--repair")
    assert contents(Path("s")) == before
    assert "got both" in command("tokenize", *store, "--repair", "--plan", code=2)


def test_case_31_a_damaged_cache_of_raw_files(arxiv, train, here):
    ogb = ["--data.name", "ogbn-arxiv", "--data.root", "ogb"]
    train(*ogb, "--out", "a")
    (cache,) = (here / "cache").glob("ogbn_arxiv-*")
    flip(cache / "graph" / "col.npy")
    told = train(*ogb, "--out", "b", code=4)
    assert "col.npy" in told
    assert f"delete {cache} to build it anew" in told
    flip(cache / "graph" / "col.npy")
    x = cache / "x.npy"
    x.write_bytes(x.read_bytes()[:-8])
    told = train(*ogb, "--out", "b", code=4)
    assert f"{x} must be of" in told


def test_case_32_folders_that_cannot_be_written_and_odd_names(arxiv, train, command, monkeypatch):
    ogb = ["--data.name", "ogbn-arxiv", "--data.root", "ogb"]
    monkeypatch.setenv("GRAPHATTN_CACHE", "/proc/nobody/writes/here")
    assert "(GRAPHATTN_CACHE) cannot be written" in train(*ogb, "--out", "a", code=3)
    odd = "caché für τ 'mine' $HOME"
    monkeypatch.setenv("GRAPHATTN_CACHE", odd)
    store = ["--tokens.store", f"{odd}/störe (1)"]
    told = train(*ogb, *store, "--out", f"{odd}/run -1", model="largegt")
    assert f"{odd}/run -1" in told
    command("predict", f"{odd}/run -1", "--out", f"{odd}/p ü.csv")
    config = f"{odd}/run -1/config.yaml"
    command("train", "--config", config, "--resume")
    assert sorted(p.name for p in Path(odd).glob("[!.]*"))[-3:] == [
        "p ü.csv",
        "run -1",
        "störe (1)",
    ]


OWN = """
import graphattn.ops.neighborhood as own
count = 0
def draw(graph, seeds, num_samples, **options):
    global count
    count += 1
    if count == 4:
        raise {error}
    return own.sample_neighborhood(graph, seeds, num_samples, **options)
"""


@pytest.mark.parametrize("workers", ["0", "2"])
def test_case_33_a_worker_that_runs_out_of_memory(save, train, workers):
    save()
    Path("exhausted_sampler.py").write_text(OWN.format(error="MemoryError('2 GB')"))
    more = ["--tokens.sampler", "exhausted_sampler.draw", "--train.num_workers", workers]
    told = train(*more, "--train.save_seconds", "0", "--out", "a", model="largegt", code=3)
    assert "out of memory" in told
    assert "train.batch_size" in told
    del sys.modules["exhausted_sampler"]
    assert load_checkpoint(Path("a/split0-seed0/last")).about["epoch"] >= 1
    train(*more, "--out", "a", model="largegt")  # goes on
    del sys.modules["exhausted_sampler"]


def test_case_33_a_killed_process_leaves_its_last_checkpoint(save, nursery, train, weights):
    save()
    long = ["--train.epochs", "30", "--train.save_seconds", "0"]
    job = nursery.start("train", "--data.name", "data.npz", *MLP, *long, "--out", "a", code=KILLED)
    assert job.wait() == -9
    assert load_checkpoint(Path("a/split0-seed0/last")).about["epoch"] == 7
    for out in ("a", "whole"):
        train(*MLP, *long, "--out", out)
    assert weights("a", "last") == weights("whole", "last")


MLP = ["--model.name", "mlp", "--model.hidden_channels", "4"]
KILLED = """
import os, signal
from graphattn import cli
from graphattn.training.loop import Loop
step, count = Loop._train_step, 0
def killed(self, *args):
    global count
    count += 1
    if count == 8:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, *args)
Loop._train_step = killed
raise SystemExit(cli.main(ARGV))
"""

TIGHT = """
import resource
from pathlib import Path
from graphattn import cli
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 200 * 2**20,) * 2)
raise SystemExit(cli.main(ARGV))
"""


def test_case_34_out_of_memory(save, train, nursery):
    save()
    job = nursery.start(
        *("train", "--data.name", "data.npz", "--model.name", "mlp", "--out", "a"),
        *("--model.hidden_channels", "30000000", "--train.epochs", "2"),
        code=TIGHT,
    )
    assert job.wait() == 3, job.said
    assert "out of memory" in job.said
    assert "model.hidden_channels" in job.said
    assert "Traceback" not in job.said
    told = train("--model.hidden_channels", str(10**12), "--out", "b", code=3)
    assert "Try a smaller train.batch_size, train.eval_batch_size, tokens.num_samples" in told


@pytest.mark.parametrize("model", ["gcn", "largegt"])
def test_case_35_a_loss_that_is_no_number(save, train, weights, monkeypatch, model):
    save()
    longer = ["--train.epochs", "5", "--train.save_seconds", "0"]
    original, count = Loop._train_step, 0

    def spoilt(self, *args):
        nonlocal count
        count += 1
        if count == 4:
            with torch.no_grad():
                next(iter(self.model.parameters())).fill_(float("nan"))
        return original(self, *args)

    train(*longer, "--out", "whole", model=model)
    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_train_step", spoilt)
        told = train(*longer, "--out", "a", model=model, code=3)
    assert "loss is not finite at epoch 3, step 0 (lr 0.005, 4 seeds, first" in told
    assert "The last good checkpoint is kept in" in told
    assert count == 4  # it stopped at that step
    dumped = json.loads(Path("a/split0-seed0/nonfinite.json").read_text())
    assert sorted(dumped["seeds"]) == [0, 3, 6, 9]
    assert (dumped["epoch"], dumped["step"], dumped["lr"]) == (3, 0, 0.005)
    assert load_checkpoint(Path("a/split0-seed0/last")).about["epoch"] == 3
    train(*longer, "--out", "a", model=model)  # goes on from there
    assert weights("a", "last") == weights("whole", "last")


def test_case_36_a_checkpoint_of_another_run(save, train):
    x = save()["x"]
    train("--out", "a", model="largegt")
    for option, words in (
        (["--tokens.num_samples", "5"], "tokens.num_samples was 4 and is 5"),
        (["--model.heads", "4"], "model.heads was 2 and is 4"),
        (["--train.lr", "0.5"], "train.lr was 0.005 and is 0.5"),
    ):
        assert words in train("--out", "a", *option, model="largegt", code=2)
    save(x=x + 1)
    assert "data_digest was" in train("--out", "a", model="largegt", code=2)
