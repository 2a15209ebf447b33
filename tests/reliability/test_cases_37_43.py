"""Cases 37 to 43 of the reliability contract: workers, packages, configs, threads, codebook."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from stores import contents
from torch_geometric.data import Data

from graphattn.nn.codebook_attention import CodebookAttention
from graphattn.sampling.neighbor_loader import NeighborLoader
from graphattn.sampling.store import TokenStore
from graphattn.training.checkpoint import load_checkpoint
from graphattn.training.loop import Loop


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
