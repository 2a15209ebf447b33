"""A run stopped anywhere goes on to the weights, and the files, of the run that was not."""

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import filelock
import pytest
import torch
from torch import nn

from graphattn.training.checkpoint import load_checkpoint
from graphattn.training.errors import CorruptCheckpoint, Interrupted, NonFiniteLoss
from graphattn.training.fitting import FitOptions, fit
from graphattn.training.loop import Loop

_TIMES = {"seconds", "eval_seconds"}
# Every option that remembers something; a save after each step.
_OPTIONS = FitOptions(
    epochs=4,
    lr=0.05,
    schedule="plateau",
    warmup=2,
    patience=4,
    clip_norm=1.0,
    class_weights=True,
    save_steps=1,
    save_seconds=0.0,
)


class _Kill(BaseException):
    """Stands for a kill: nothing is tidied up after it."""


@pytest.fixture(scope="module")
def whole(make_largegt, split_of_all, tmp_path_factory):
    """Model, feed, result and folder of a run that nothing stopped."""
    model, feed = make_largegt()
    out = tmp_path_factory.mktemp("whole") / "run"
    return model, feed, fit(model, feed, split_of_all, options=_OPTIONS, out=out), out


def _curve(folder: Path) -> list[dict[str, float]]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in _TIMES} for line in lines]


def _assert_same(a, b) -> None:
    one, other = a[3], b[3]
    for (name, x), y in zip(a[0].state_dict().items(), b[0].state_dict().values(), strict=True):
        assert torch.equal(x, y), name
    assert torch.equal(a[1].codes, b[1].codes)
    assert torch.equal(a[2].test_logits, b[2].test_logits)
    assert (a[2].best_val, a[2].best_epoch, a[2].test) == (
        b[2].best_val,
        b[2].best_epoch,
        b[2].test,
    )
    assert _curve(one) == _curve(other)
    for part in ("best", "last"):
        x, y = load_checkpoint(one / part), load_checkpoint(other / part)
        assert all(torch.equal(x.weights[k], y.weights[k]) for k in x.weights)
    assert x.state["random"]["cpu"].equal(y.state["random"]["cpu"])
    assert str(x.state["optimizer"]) == str(y.state["optimizer"])


@pytest.mark.parametrize(("step", "workers"), [(1, 0), (3, 2), (7, 0), (11, 2)])
def test_stopped_after_any_step(make_largegt, split, tmp_path, monkeypatch, whole, step, workers):
    out = tmp_path / "stopped"
    original, count = Loop._train_step, 0

    def dies(self, batch, lr):
        nonlocal count
        if count == step:
            raise _Kill
        count += 1
        original(self, batch, lr)

    monkeypatch.setattr(Loop, "_train_step", dies)
    with pytest.raises(_Kill):
        fit(*make_largegt(num_workers=workers), split, options=_OPTIONS, out=out)
    assert load_checkpoint(out / "last").about["step"] == step % 3
    monkeypatch.undo()
    with (out / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 99, "torn')
    model, feed = make_largegt()
    with torch.no_grad():  # First weights do not matter any more.
        next(model.parameters()).fill_(7.0)
    result = fit(model, feed, split, options=_OPTIONS, out=out, resume=True)
    _assert_same(whole, (model, feed, result, out))


@pytest.mark.parametrize(
    ("number", "where"), [(signal.SIGINT, "training"), (signal.SIGTERM, "evaluation")]
)
def test_a_signal_saves_and_says_so(
    make_largegt, split, tmp_path, monkeypatch, whole, number, where
):
    out = tmp_path / "run"
    name = "_train_step" if where == "training" else "_evaluate"
    original, count = getattr(Loop, name), 0

    def signalled(self, *args):
        nonlocal count
        count += 1
        if count == 2:
            os.kill(os.getpid(), number)
        return original(self, *args)

    monkeypatch.setattr(Loop, name, signalled)
    options = FitOptions(**{**vars(_OPTIONS), "save_every": 0, "save_steps": 0})
    words = rf"Stopped by {number.name} in epoch \d. Saved in .*last; the same command goes on"
    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match=words) as caught:
        fit(*make_largegt(), split, options=options, out=out)
    assert caught.value.exit_code == {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
    assert signal.getsignal(number) is before
    about = load_checkpoint(out / "last").about
    assert (about["epoch"], about["step"]) == ((0, 2) if where == "training" else (1, 3))
    monkeypatch.undo()
    model, feed = make_largegt()
    result = fit(model, feed, split, options=options, out=out, resume=True)
    _assert_same(whole, (model, feed, result, out))


def test_a_signal_in_the_last_evaluation(make_line, split, tmp_path, monkeypatch):
    original = Loop.keep_best

    def signalled(self):
        original(self)
        os.kill(os.getpid(), signal.SIGTERM)

    options = FitOptions(epochs=2)
    monkeypatch.setattr(Loop, "keep_best", signalled)
    with pytest.raises(Interrupted):
        fit(*make_line(), split, options=options, out=tmp_path)
    monkeypatch.undo()
    result = fit(*make_line(), split, options=options, out=tmp_path, resume=True)
    assert torch.equal(result.test_logits, fit(*make_line(), split, options=options).test_logits)


def test_without_a_folder_nothing_is_saved(make_line, split, monkeypatch):
    def signalled(self):
        os.kill(os.getpid(), signal.SIGINT)
        return 0.0, 0.0

    monkeypatch.setattr(Loop, "_evaluate", signalled)
    with pytest.raises(Interrupted, match="Nothing was saved, because the run has no folder"):
        fit(*make_line(), split)


def test_a_finished_run_repeats_its_last_evaluation_only(make_line, split, tmp_path):
    options = FitOptions(epochs=3)
    first = fit(*make_line(), split, options=options, out=tmp_path)
    model, feed = make_line()
    again = fit(model, feed, split, options=options, out=tmp_path, resume=True)
    assert again.history == first.history
    assert torch.equal(again.test_logits, first.test_logits)


def test_a_run_is_not_written_over(make_line, split, tmp_path):
    fit(*make_line(), split, options=FitOptions(epochs=1), out=tmp_path)
    with pytest.raises(ValueError, match="holds a run already: pass resume=True"):
        fit(*make_line(), split, options=FitOptions(epochs=1), out=tmp_path)


def test_another_configuration_is_refused_by_its_keys(make_line, split, data, tmp_path):
    model, feed = make_line()
    mine = {"model": {"name": "line", "sizes": (1, 2)}, "gone": 1}
    fit(model, feed, split, options=FitOptions(epochs=1), out=tmp_path, fingerprint=mine)
    same = {"model": {"name": "line", "sizes": [1, 2]}, "gone": 1}
    options = FitOptions(epochs=1, save_every=5)  # When to save may differ.
    fit(model, feed, split, options=options, out=tmp_path, fingerprint=same, resume=True)
    other = {"model": {"name": "gcn", "sizes": (1, 2)}}
    words = "fit.lr was 0.005 and is 0.5; gone was 1 and is absent; metric was accuracy and is"
    words += " rocauc; model.name was line and is gcn"
    options = FitOptions(epochs=1, lr=0.5)
    with pytest.raises(ValueError, match=words):
        fit(
            *(model, feed, split),
            options=options,
            metric="rocauc",
            out=tmp_path,
            fingerprint=other,
            resume=True,
        )
    split.test = split.test.flip(0)
    with pytest.raises(ValueError, match=r"configuration: split.test was \w+ and is \w+\. Go on"):
        fit(
            *(model, feed, split),
            options=FitOptions(epochs=1),
            out=tmp_path,
            fingerprint=mine,
            resume=True,
        )


def test_another_model_is_refused(make_line, split, line, tmp_path):
    fit(*make_line(), split, options=FitOptions(epochs=1), out=tmp_path)
    with pytest.raises(ValueError, match=r"belongs to another model: linear.bias is \[4\]"):
        fit(
            *(line(out_channels=4), make_line()[1], split),
            options=FitOptions(epochs=1),
            out=tmp_path,
            resume=True,
        )


def test_an_altered_checkpoint_is_refused(make_line, split, tmp_path):
    fit(*make_line(), split, options=FitOptions(epochs=1), out=tmp_path)
    path = tmp_path / "last" / "state.pt"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(CorruptCheckpoint, match=r"state\.pt was altered"):
        fit(*make_line(), split, options=FitOptions(epochs=1), out=tmp_path, resume=True)


@pytest.mark.parametrize("saved", [3, None, []])
def test_a_fingerprint_that_is_none_is_refused(make_line, split, tmp_path, saved):
    fit(*make_line(), split, options=FitOptions(epochs=1), out=tmp_path)
    path = tmp_path / "last" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["about"]["fingerprint"] = saved
    path.write_text(json.dumps(manifest))
    with pytest.raises(CorruptCheckpoint, match="must say in keys and values what was trained"):
        fit(*make_line(), split, options=FitOptions(epochs=1), out=tmp_path, resume=True)


@pytest.mark.parametrize("step", [0, 5])
def test_after_a_loss_that_is_no_number_it_goes_on_from_the_epochs_start(
    make_largegt, split, tmp_path, monkeypatch, whole, step
):
    options = FitOptions(**{**vars(_OPTIONS), "save_seconds": 10.0})
    original, count = Loop._train_step, 0

    def breaks(self, batch, lr):
        nonlocal count
        if count == step:  # As a forward does that ends in NaN: it has moved the buffers.
            for buffer in self.model.buffers():
                if buffer.is_floating_point():
                    buffer.fill_(float("nan"))
            self.feed.codes.fill_(3)
            self._refuse("loss", batch, lr)
        count += 1
        original(self, batch, lr)

    monkeypatch.setattr(Loop, "_train_step", breaks)
    with pytest.raises(NonFiniteLoss, match=r"The last good checkpoint is kept in .*last"):
        fit(*make_largegt(), split, options=options, out=tmp_path)
    monkeypatch.undo()
    last = load_checkpoint(tmp_path / "last")
    assert (last.about["epoch"], last.about["step"]) == (step // 3, 0)
    assert all(t.isfinite().all() for t in last.weights.values())
    assert (tmp_path / "best").exists() == (step >= 3)
    model, feed = make_largegt()
    result = fit(model, feed, split, options=options, out=tmp_path, resume=True)
    _assert_same(whole, (model, feed, result, tmp_path))


def test_two_processes_do_not_share_a_folder(make_line, split, tmp_path):
    with (
        filelock.FileLock(tmp_path / ".lock"),
        pytest.raises(OSError, match="in use: another process trains there"),
    ):
        fit(*make_line(), split, out=tmp_path)


_SCRIPT = textwrap.dedent(
    """
    import sys, types, torch
    from pathlib import Path
    from torch import nn
    from graphattn.training.fitting import FitOptions, fit

    class Feed:  # Batches of 4 with dropout and batch norm, and a state of its own.
        num_nodes, out_channels, steps_per_epoch = 24, 2, 5
        train_nodes = torch.arange(20)
        def __init__(self):
            g = torch.Generator().manual_seed(0)
            self.x, self.y = torch.randn(24, 6, generator=g), torch.arange(24) % 2
            self.count = torch.zeros(24)
        def train_batches(self, epoch):
            g = torch.Generator().manual_seed(epoch)
            yield from torch.randperm(20, generator=g).split(4)
        def seeds(self, batch):
            return batch
        def labels(self, nodes):
            return self.y.index_select(0, nodes)
        def forward(self, model, batch):
            self.count.index_add_(0, batch, torch.ones(len(batch)))
            return model(self.x.index_select(0, batch)), self.labels(batch)
        @torch.no_grad()
        def predict(self, model, nodes):
            model.eval()
            return model(self.x.index_select(0, nodes))
        def reset(self, model):
            self.count.zero_()
        def state_dict(self):
            return {"count": self.count.clone()}
        def load_state_dict(self, state):
            self.count = state["count"].clone()

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 2))
    split = types.SimpleNamespace(
        train=torch.arange(20), val=torch.arange(20, 22), test=torch.arange(22, 24))
    feed = Feed()
    options = FitOptions(
        epochs=int(sys.argv[2]), lr=0.01, schedule="cosine", save_steps=2, save_seconds=0.0)
    print("ready", flush=True)
    result = fit(model, feed, split, options=options, out=Path(sys.argv[1]), resume=True)
    torch.save({"weights": model.state_dict(), "count": feed.count}, sys.argv[1] + "/end.pt")
    """
)


@pytest.mark.slow
def test_killed_at_random_times(tmp_path):
    epochs, rng = "20", random.Random(os.getpid())
    script = tmp_path / "script.py"
    script.write_text(_SCRIPT)
    command = [sys.executable, str(script)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    began = time.monotonic()
    subprocess.run([*command, str(tmp_path / "whole"), epochs], env=environment, check=True)
    took = time.monotonic() - began
    kills = 0
    for _ in range(2):
        with subprocess.Popen(
            [*command, str(tmp_path / "killed"), epochs], env=environment, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(rng.uniform(0.02, min(0.3, took / 4)))
            process.kill()
        kills += process.returncode == -signal.SIGKILL
    assert kills > 0
    subprocess.run([*command, str(tmp_path / "killed"), epochs], env=environment, check=True)
    whole, killed = (
        torch.load(tmp_path / name / "end.pt", weights_only=True) for name in ("whole", "killed")
    )
    assert torch.equal(whole["count"], killed["count"])
    for name, value in whole["weights"].items():
        assert torch.equal(value, killed["weights"][name]), name
    assert _curve(tmp_path / "whole") == _curve(tmp_path / "killed")


class Noisy(nn.Module):
    """Draws at random in evaluation."""

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = inside

    def forward(self, x: torch.Tensor, adjacency: torch.Tensor) -> torch.Tensor:
        """Logits, with noise where there should be none."""
        noise = 0.0 if self.training else torch.rand(1)
        return self.inside(x, adjacency) + noise


def test_a_model_that_draws_in_evaluation_does_not_move_training(make_line, split, tmp_path):
    weights = []
    for every in (1, 4):
        model, feed = make_line()
        out = tmp_path / str(every)
        fit(Noisy(model), feed, split, options=FitOptions(epochs=4, eval_every=every), out=out)
        weights.append(load_checkpoint(out / "last").weights["inside.linear.weight"])
    assert torch.equal(*weights)
