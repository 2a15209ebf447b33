"""Cases 31 to 43 of the reliability contract: damage, folders, memory, NaN, resuming, threads."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from graphattn.nn.codebook_attention import CodebookAttention
from graphattn.sampling.neighbor_loader import NeighborLoader
from graphattn.sampling.store import TokenStore
from graphattn.training.checkpoint import load_checkpoint
from graphattn.training.loop import Loop


def flip(path, where=-1):
    """Change one bit of a file."""
    content = bytearray(path.read_bytes())
    content[where] ^= 1
    path.write_bytes(content)


def contents(folder):
    """Every file below a folder, byte for byte."""
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


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
    assert "s/own-00000.npy" in command("predict", "a", code=4)
    told = train(*stored, "--out", "b", model="largegt")
    assert "damaged, rebuilt: own-00000.npy" in told
    assert contents(Path("s")) == before
    kept = Path("s/features-00000.npy")
    assert kept.stat().st_mtime_ns == made[kept]
    command("predict", "a")


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
    assert sorted(p.name for p in Path(odd).glob("[!.]*"))[-3:] == ["p ü.csv", "run -1", "störe (1)"]


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
    Path("own_sampler.py").write_text(OWN.format(error="MemoryError('2 GB')"))
    more = ["--tokens.sampler", "own_sampler.draw", "--train.num_workers", workers]
    told = train(*more, "--train.save_seconds", "0", "--out", "a", model="largegt", code=3)
    assert "out of memory" in told
    assert "train.batch_size" in told
    del sys.modules["own_sampler"]
    assert load_checkpoint(Path("a/split0-seed0/last")).about["epoch"] >= 1
    train(*more, "--out", "a", model="largegt")  # goes on
    del sys.modules["own_sampler"]


def test_case_33_a_killed_process_leaves_its_last_checkpoint(save, nursery, train, weights):
    save()
    long = ["--train.epochs", "30", "--train.save_seconds", "0"]
    job = nursery.start(
        "train", "--data.name", "data.npz", *MLP, *long, "--out", "a", code=KILLED
    )
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


def test_case_37_resumed_with_other_workers(save, train, weights, monkeypatch):
    save()
    longer = ["--train.epochs", "4", "--train.batch_size", "2", "--train.save_seconds", "0"]
    train(*longer, "--out", "whole", model="largegt")
    original, count = Loop._train_step, 0

    def stopped(self, *args):
        nonlocal count
        count += 1
        if count == 5:
            raise MemoryError
        return original(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_train_step", stopped)
        train(*longer, "--train.num_workers", "2", "--out", "a", model="largegt", code=3)
    train(*longer, "--train.num_workers", "1", "--out", "a", model="largegt")
    for part in ("best", "last"):
        assert weights("a", part) == weights("whole", part)


def test_case_38_points_to_doctor(command):
    """Missing, broken, empty and good: see test_doctor.py, in processes of their own."""
    assert "torch-scatter" in command("doctor")


def test_case_39_neighbor_loader_needs_no_pyg_lib(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyg_lib", None)
    monkeypatch.setitem(sys.modules, "torch_sparse", None)
    edge_index = torch.tensor([[1, 2, 0], [0, 0, 1]])
    loader = NeighborLoader(Data(x=torch.eye(3), edge_index=edge_index), [-1, -1], batch_size=2)
    assert [batch.batch_size for batch in loader] == [2, 1]
    with pytest.raises(ValueError, match="num_neighbors must be 0 or more each"):  # at once
        NeighborLoader(Data(x=torch.eye(3), edge_index=edge_index), [-2])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("train: {learning_rate: 1}", "unknown key train.learning_rate: did you mean train.lr?"),
        ("model: {name: largegt, heds: 1}", "did you mean model.heads?"),
        ("trian: {lr: 1}", "did you mean train"),
        ("train: {lr: fast}", "train.lr"),
        ("train: {epochs: 1.5}", "train.epochs"),
        ("train: 3", "train"),
        ("data: {undirected: perhaps}", "data.undirected"),
        ("[1, 2]", "c.yaml"),
        ("train: {lr: 1", "c.yaml"),
        ("!!python/object/apply:os.mkdir [marker]", "c.yaml"),
    ],
)
def test_case_40_keys_and_types_of_a_config(save, train, text, words):
    save()
    Path("c.yaml").write_text(text)
    assert words in train("--config", "c.yaml", code=2)
    assert not Path("runs").exists()
    assert not Path("marker").exists()


THREADS = """
import numba, torch
from graphattn import cli
numba.set_num_threads(int(ARGV[0]))
torch.set_num_threads(int(ARGV[0]))
raise SystemExit(cli.main(ARGV[1:]))
"""


def test_case_42_threads_workers_and_shards(save, train, weights, nursery, here):
    generator, many = np.random.default_rng(0), 9000  # beyond what one thread is left with
    part = np.arange(many) % 3
    arrays = save(
        edge_index=generator.integers(many, size=(2, 4 * many)),
        x=generator.standard_normal((many, 8)).astype(np.float32),
        y=part % 2,
        **{f"{key}_mask": part == i for i, key in enumerate(("train", "val", "test"))},
    )
    made = []
    for threads in (1, 2, 4):
        argv = ("tokenize", "--data.name", "data.npz", "--out", f"s{threads}")
        job = nursery.start(threads, *argv, code=THREADS)
        assert job.wait() == 0, job.said
        made.append(contents(here / f"s{threads}"))
    assert made[0] == made[1] == made[2]
    store = TokenStore.open("s1")
    x = torch.from_numpy(arrays["x"])
    rows = torch.tensor([0, 8999, 4500, 1124])
    for partitions in (1, 4, 8):
        size = -(-many // partitions)
        cut = TokenStore.build(f"p{partitions}", store.graph, x, shard_rows=size, progress=False)
        assert torch.equal(cut.gather(rows), store.gather(rows))
        assert torch.equal(cut.features, store.features)
    for workers in (0, 2):
        more = ["--train.batch_size", "1000", "--train.num_workers", str(workers)]
        train(*more, "--out", f"w{workers}", model="largegt")
    assert weights("w0") == weights("w2")


def test_case_43_a_codebook_in_half_precision_with_empty_clusters(save, train, weights):
    torch.manual_seed(0)
    layer = CodebookAttention(8, head_channels=4, global_channels=8, codebook_size=64)
    layer.train()
    for scale in (1.0, 6e4):
        x = (scale * torch.randn(3, 8).clamp(-1, 1)).half().float()
        with torch.autocast("cpu", torch.bfloat16):
            out = layer(x)
        assert out.isfinite().all()
    for name, buffer in layer.named_buffers():
        assert buffer.dtype != torch.float16, name
        assert buffer.float().isfinite().all(), name
    layer.eval()
    fresh = CodebookAttention(8, head_channels=4, codebook_size=4).eval()  # all are empty
    nobody = torch.full((3,), -1, dtype=torch.int32)
    assert fresh(torch.randn(3, 8), seeds=torch.arange(3), codes=nobody).isfinite().all()
    save()
    empty = ["--model.codebook_size", "64", "--train.autocast", "bfloat16"]
    told = train(*empty, "--tokens.dtype", "float16", "--out", "a", model="largegt")
    assert "nan" not in told.lower()
    for value in load_checkpoint(Path("a/split0-seed0/best")).weights.values():
        assert value.float().isfinite().all()
    assert weights("a")
    shutil.rmtree("a")
