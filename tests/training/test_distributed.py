"""Several ranks train what one process trains: parts of batches here, whole runs in forks."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn
from torch_geometric.nn import BatchNorm

from graphattn.building import check_run
from graphattn.config import DataOptions, RunConfig
from graphattn.graph import CSRGraph
from graphattn.nn.codebook_attention import CodebookAttention
from graphattn.nn.shared_batch_norm import SharedBatchNorm
from graphattn.ops.neighborhood import sample_neighborhood
from graphattn.ops.ranks import ALONE, Ranks
from graphattn.sampling.bottom_k import BottomKSampler
from graphattn.sampling.loader import TokenLoader
from graphattn.sampling.store import TokenStore
from graphattn.task import load_task
from graphattn.training.checkpoint import Checkpoint
from graphattn.training.distributed import (
    check_alike,
    gather_random,
    joined,
    launched_ranks,
    same_checkpoint,
    sharing,
    sum_gradients,
)
from graphattn.training.fitting import FitOptions, fit
from graphattn.training.random_state import RandomState

_COUNT = "model.codebook.count"
_SCRIPT = Path(__file__).with_name("on_ranks.py")
_ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(sys.path),
    "OMP_NUM_THREADS": "1",
    "NUMBA_THREADING_LAYER": "workqueue",  # the one that survives a fork
}


def test_one_process_alone_shares_with_nobody():
    model = nn.Linear(2, 2)
    with sharing(model, ALONE):
        sum_gradients(model, ALONE)
    checkpoint = Checkpoint(model.state_dict())
    assert same_checkpoint(checkpoint, ALONE) is checkpoint
    check_alike("a", ALONE)
    state = {"cpu": torch.get_rng_state()}
    assert torch.equal(gather_random(state, ALONE)[0]["cpu"], state["cpu"])


def _store(count: int = 50) -> TokenStore:
    generator = torch.Generator().manual_seed(0)
    graph = CSRGraph.from_edge_index(
        torch.randint(count, (2, 6 * count), generator=generator), num_nodes=count
    )
    return TokenStore.in_memory(graph, torch.randn(count, 3, generator=generator))


class _Led:
    """A sampler of the user's own that draws for a batch at once."""

    def __call__(self, graph, seeds, num_samples, *, epoch, seed=0, **options):
        at_once = int(seeds[0]) + 50 * epoch
        return sample_neighborhood(graph, seeds, num_samples, epoch=at_once, seed=seed, **options)

    @property
    def independent(self):
        return sample_neighborhood


_SAMPLERS = {
    "batch": BottomKSampler(),
    "each": BottomKSampler(share=1),
    "groups": BottomKSampler(share=3),
    "neighborhood": sample_neighborhood,
    "own": _Led(),
}


@pytest.mark.parametrize("sampler", _SAMPLERS.values(), ids=_SAMPLERS)
@pytest.mark.parametrize("size", [2, 5])
def test_the_tokens_of_a_node_do_not_depend_on_the_number_of_ranks(sampler, size):
    store, seeds = _store(), torch.arange(33)
    options = {"num_samples": 5, "batch_size": 16, "shuffle": True, "sampler": sampler, "seed": 4}
    loaders = [
        TokenLoader(store, seeds, **options, ranks=ranks)
        for ranks in (ALONE, *(Ranks(rank, size) for rank in range(size)))
    ]
    for loader in loaders:
        loader.set_epoch(3)
    for whole, *parts in zip(*loaders, strict=True):
        assert torch.equal(torch.cat([part.seeds for part in parts]), whole.seeds)
        nodes = [part.rows[:, 0].index_select(0, part.ids.view(-1)) for part in parts]
        assert torch.equal(torch.cat(nodes), whole.rows[:, 0].index_select(0, whole.ids.view(-1)))
        assert torch.equal(torch.cat([part.mask for part in parts]), whole.mask)
        assert torch.equal(torch.cat([part.hop for part in parts]), whole.hop)


def test_sharing_changes_a_model_for_a_block_only():
    norm = BatchNorm(3, allow_single_element=True)
    model = nn.Sequential(nn.Linear(3, 3), norm, CodebookAttention(3, head_channels=2))
    inside, before = norm.module, dict(model.state_dict())
    with sharing(model, Ranks(0, 2)):
        assert isinstance(norm.module, SharedBatchNorm)
        assert not norm.allow_single_element
        assert model[2].ranks == Ranks(0, 2)
        assert list(model.state_dict()) == list(before)
        assert {id(p) for p in model.parameters()} >= {id(inside.weight), id(inside.bias)}
        model.eval()
    assert norm.module is inside
    assert norm.allow_single_element
    assert model[2].ranks is ALONE
    assert not inside.training


def test_each_rank_draws_a_stream_of_its_own():
    drawn = []
    for rank in (0, 1, 2):
        with RandomState(5, torch.device("cpu"), rank=rank):
            drawn.append(torch.rand(4))
    assert len({tuple(row.tolist()) for row in drawn}) == 3
    assert torch.equal(drawn[0], torch.rand(4, generator=torch.Generator().manual_seed(5)))


def test_the_environment_names_the_ranks(monkeypatch):
    assert launched_ranks() is ALONE
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert launched_ranks() == Ranks(1, 3)
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(ValueError, match="need MASTER_ADDR and MASTER_PORT"), joined("cpu"):
        pass
    monkeypatch.setenv("RANK", "3")
    with pytest.raises(ValueError, match="got RANK=3, WORLD_SIZE=3"):
        launched_ranks()


def test_only_models_of_tokens_train_on_several_ranks():
    config = RunConfig(DataOptions("karate"), model="gcn")
    with pytest.raises(ValueError, match=r"model of tokens, such as largegt, .* got gcn, which"):
        check_run(config, load_task(config.data), Ranks(0, 2))


def test_several_ranks_are_not_compiled(make_largegt, split):
    model, feed = make_largegt()
    feed.ranks = Ranks(0, 2)
    with pytest.raises(ValueError, match="compile must be False on several ranks"):
        fit(model, feed, split, options=FitOptions(compile=True))


@pytest.fixture(scope="module")
def script():
    """The module on_ranks.py."""
    spec = importlib.util.spec_from_file_location("on_ranks", _SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folder of what on_ranks.py left, and what it said."""
    folder = tmp_path_factory.mktemp("ranks")
    done = subprocess.run(
        [sys.executable, str(_SCRIPT), str(folder)],
        env=_ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    return folder, done.stderr


def _same_on_all(runs, name, size=2):
    read = [torch.load(runs[0] / f"{name}-{rank}.pt", weights_only=True) for rank in range(size)]
    for other in read[1:]:
        assert torch.equal(other["codes"], read[0]["codes"])
        assert torch.equal(other["logits"], read[0]["logits"])
        assert torch.equal(other["curve"].nan_to_num(9), read[0]["curve"].nan_to_num(9))
        for key, value in read[0]["weights"].items():
            assert torch.equal(other["weights"][key], value), key
    return read[0]


def _furthest(one, other):
    weights, codebook = [0.0], [0.0]
    for key, value in one["weights"].items():
        away = float((value - other["weights"][key]).abs().max())
        kinds = ("codebook.codebook", "codebook.keys", "code_sum", "cluster_size")
        (codebook if key.endswith(kinds) else weights).append(away)
    return max(weights), max(codebook)


@pytest.mark.distributed
def test_two_ranks_train_what_one_process_trains(script, runs):
    """51 steps, every third of one node for both ranks; in float64, where nothing is rounding."""
    two, one = _same_on_all(runs, "precise"), script.train(precise=True, num_train=33)
    weights, codebook = _furthest(one, two)
    assert weights <= 1e-5
    assert codebook <= 1e-4
    assert torch.equal(two["codes"], one["codes"])
    assert torch.equal(two["weights"][_COUNT], one["weights"][_COUNT])
    assert torch.equal(one["weights"][_COUNT], torch.bincount(one["codes"][one["codes"] >= 0]))
    torch.testing.assert_close(two["logits"], one["logits"], atol=1e-5, rtol=0)
    torch.testing.assert_close(two["curve"], one["curve"], atol=1e-6, rtol=0, equal_nan=True)


@pytest.mark.distributed
def test_in_float32_losses_and_codes_are_those_of_one_process(script, runs):
    """Not the weights: of a bias before a batch norm, Adam scales the rounding noise up."""
    two, one = _same_on_all(runs, "two"), script.train()
    torch.testing.assert_close(two["curve"][:, 0], one["curve"][:, 0], atol=1e-3, rtol=0)
    assert torch.equal(two["codes"], one["codes"])


@pytest.mark.distributed
def test_two_ranks_go_on_with_what_four_began(script, runs):
    for rank in range(4):  # SIGTERM came to the last one only; all agreed to stop.
        stopped = torch.load(runs[0] / f"of-four-{rank}.pt", weights_only=True)
        assert stopped == {"stopped": 128 + signal.SIGTERM}
    assert "2 ranks go on with what 4 began: the same run but for rounding" in runs[1]
    fewer, one = _same_on_all(runs, "fewer"), script.train(precise=True, num_train=33)
    weights, codebook = _furthest(one, fewer)
    assert weights <= 1e-5
    assert codebook <= 1e-4
    assert torch.equal(fewer["codes"], one["codes"])


@pytest.mark.distributed
def test_a_killed_rank_ends_the_other_and_the_run_goes_on_bit_by_bit(runs):
    other, killed = json.loads((runs[0] / "codes.json").read_text())
    assert killed == -signal.SIGKILL
    assert other == 1
    assert "rank 0 cannot go on, because another rank ended or did not answer in time" in runs[1]
    whole, after = _same_on_all(runs, "dropout"), _same_on_all(runs, "after-kill")
    for key, value in whole["weights"].items():
        assert torch.equal(after["weights"][key], value), key
    assert torch.equal(after["curve"], whole["curve"])


def _torchrun(folder: Path, *args: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    run = ["-m", "graphattn", "train", "--data.name", "karate", "--train.batch_size", "5"]
    quick = ["--model.hidden_channels", "8", "--model.codebook_size", "8", "--device", "cpu"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = [*command, *run, *quick, "--out", "a", *args]
    return subprocess.Popen(command, cwd=folder, env=_ENVIRONMENT, **pipes)


@pytest.mark.distributed
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are found in /proc")
def test_torchrun_ends_when_a_rank_is_killed_and_the_same_command_goes_on(tmp_path):
    args = ["--train.epochs", "40", "--train.save_seconds", "0"]
    last = tmp_path / "a" / "split0-seed0" / "last"
    with _torchrun(tmp_path, *args) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        began = time.monotonic()
        while not last.exists() and process.poll() is None:
            assert time.monotonic() - began < 120
            time.sleep(0.01)
        workers = [int(pid) for pid in children.read_text().split()]
        assert len(workers) == 2
        os.kill(max(workers), signal.SIGKILL)
        _, said = process.communicate(timeout=60)
    assert process.returncode not in (0, None)
    assert "Traceback" not in said.partition("torch/distributed/elastic")[0]
    assert not (tmp_path / "a" / "result.json").exists()
    with _torchrun(tmp_path, *args, "--resume") as process:
        table, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert table.count("run folder: a") == 1
    assert "going on in a/split0-seed0 from epoch" in said
    assert json.loads((tmp_path / "a" / "result.json").read_text())["runs"][0]["epochs_run"] == 40
    lines = (last.parent / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == list(range(40))
