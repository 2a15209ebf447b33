"""The loop: it learns, chooses by validation, stops in time, and says what is wrong."""

import json
import logging
import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from graphattn.models.gnn import GNN
from graphattn.nn.codebook_attention import CodebookAttention
from graphattn.training.checkpoint import load_checkpoint, load_weights
from graphattn.training.errors import NonFiniteLoss
from graphattn.training.feeds import FullBatchFeed
from graphattn.training.fitting import FitOptions, fit
from graphattn.training.metrics import accuracy


def test_it_learns_and_tells(make_line, split, tmp_path):
    model, feed = make_line()
    result = fit(model, feed, split, options=FitOptions(epochs=60, lr=0.05), out=tmp_path / "run")
    assert result.test > 0.6
    assert result.history[0]["loss"] > result.history[-1]["loss"]
    assert result.best_val == max(entry["val"] for entry in result.history)
    assert result.history[result.best_epoch]["val"] == result.best_val
    assert (result.num_train, result.num_val, result.num_test) == (33, 12, 15)
    assert result.num_parameters == 12
    assert result.peak_memory_bytes > 10_000_000
    assert sum(map(sum, result.confusion)) == 15
    assert not model.training
    # What the model holds afterwards is what was judged, and what `best` holds.
    assert torch.equal(feed.predict(model, split.test), result.test_logits)
    assert accuracy(feed.labels(split.val), result.val_logits) == result.best_val
    fresh, feed = make_line()
    about = load_weights(tmp_path / "run" / "best", fresh, feed)
    assert about["epoch"] == result.best_epoch
    assert torch.equal(feed.predict(fresh, split.test), result.test_logits)


def test_the_run_folder(make_line, split, tmp_path):
    result = fit(*make_line(), split, options=FitOptions(epochs=3), out=tmp_path)
    names = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")}
    assert names == {"metrics.jsonl", "result.json", "best", "last"}
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [0, 1, 2]
    saved = json.loads((tmp_path / "result.json").read_text())
    assert saved["test"] == result.test
    assert saved["stopped"] == "epochs"
    assert "history" not in saved


def test_largegt_trains_with_a_last_batch_of_one(make_largegt, split):
    model, feed = make_largegt()
    result = fit(model, feed, split, options=FitOptions(epochs=3, clip_norm=1.0), metric="rocauc")
    assert result.epochs_run == 3
    assert 0 <= result.test <= 1
    assert bool((feed.codes >= 0).any())


def test_counts_and_codes_agree_however_the_run_began(make_largegt, split):
    split.train = torch.cat([split.train, split.train[:9]])  # the feed names each node once
    model, feed = make_largegt()
    other = make_largegt()[1]
    for used in (feed, other, feed):  # a feed with no codes, then one with old ones
        fit(model, used, split, options=FitOptions(epochs=2))
        codes = used.codes[used.codes >= 0].long()
        layers = [m for m in model.modules() if isinstance(m, CodebookAttention)]
        assert layers
        for layer in layers:
            assert torch.equal(layer.count, torch.bincount(codes, minlength=len(layer.count)))


@pytest.mark.parametrize("conv", ["gcn", "sage", "gat"])
def test_the_baselines_train(data, split, conv):
    feed = FullBatchFeed(data, split.train)
    model = GNN(3, 8, 3, conv=conv, residual=True, norm="batch")
    result = fit(model, feed, split, options=FitOptions(epochs=30, lr=0.02, optimizer="adamw"))
    assert result.history[-1]["loss"] < result.history[0]["loss"]


def test_the_same_seed_gives_the_same_weights_and_leaves_the_callers_stream(make_line, split):
    before = torch.get_rng_state()
    runs = [make_line() for _ in range(3)]
    for (model, feed), seed in zip(runs, (1, 1, 2), strict=True):
        fit(model, feed, split, options=FitOptions(epochs=3, seed=seed))
    one, two, other = (model.linear.weight for model, _ in runs)
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_two_workers_give_the_weights_of_none(make_largegt, split):
    runs = [make_largegt(num_workers=workers) for workers in (0, 2)]
    for model, feed in runs:
        fit(model, feed, split, options=FitOptions(epochs=2))
    for a, b in zip(*(model.state_dict().values() for model, _ in runs), strict=True):
        assert torch.equal(a, b)


def test_patience_ends_a_run_and_keeps_the_best(make_line, split):
    scores = iter([0.1, 0.5, 0.4, 0.5, 0.3, 0.9, 0.7])
    result = fit(
        *make_line(),
        split,
        options=FitOptions(epochs=50, patience=3),
        metric=lambda y, logits: next(scores),
    )
    assert (result.epochs_run, result.best_epoch, result.stopped) == (5, 1, "patience")
    assert (result.best_val, result.test) == (0.5, 0.9)  # the sixth call judges the test nodes


def test_evaluation_every_few_epochs_and_at_the_last(make_line, split):
    result = fit(*make_line(), split, options=FitOptions(epochs=7, eval_every=3))
    judged = [e["epoch"] for e in result.history if not math.isnan(e["val"])]
    assert judged == [2, 5, 6]


def test_without_validation_nodes_the_last_epoch_counts(make_line, split, caplog, tmp_path):
    split.val = split.val[:0]
    options = FitOptions(epochs=4, patience=1)
    result = fit(*make_line(), split, options=options, out=tmp_path)
    assert "no validation nodes" in caplog.text
    assert (result.epochs_run, result.best_epoch) == (4, 3)
    assert math.isnan(result.best_val)
    assert json.loads((tmp_path / "result.json").read_text())["best_val"] is None
    last, best = load_checkpoint(tmp_path / "last"), load_checkpoint(tmp_path / "best")
    assert torch.equal(last.weights["linear.weight"], best.weights["linear.weight"])
    again = fit(*make_line(), split, options=options, out=tmp_path, resume=True)
    assert torch.equal(again.test_logits, result.test_logits)
    with pytest.raises(ValueError, match=r"got an empty split\.val"):
        fit(*make_line(), split, options=FitOptions(schedule="plateau"))


def test_without_test_nodes_there_is_no_figure(make_line, split):
    split.test = split.test[:0]
    result = fit(*make_line(), split, options=FitOptions(epochs=1))
    assert math.isnan(result.test)
    assert sum(map(sum, result.confusion)) == 0


def test_unlabelled_nodes_are_neither_trained_on_nor_judged(line, data, split, caplog):
    data.y = data.y.clone()
    data.y[split.train[:3]] = -1
    data.y[split.val] = -1
    data.y[split.test[:5]] = -1
    with caplog.at_level(logging.WARNING):
        feed = FullBatchFeed(data, split.train)
    result = fit(line(), feed, split, options=FitOptions(epochs=2))
    assert result.num_train == 30
    assert math.isnan(result.best_val)
    assert result.best_epoch == 1  # Nothing to choose by: the last one.
    assert sum(map(sum, result.confusion)) == 10


def test_class_weights_make_up_for_rare_classes(make_line, split):
    model, feed = make_line()
    y = feed.labels(feed.train_nodes)
    share = len(y) / (3 * torch.bincount(y, minlength=3))
    with torch.no_grad():
        model.eval()
        logits = feed.predict(model, feed.train_nodes)
    expected = nn.functional.cross_entropy(logits, y, weight=share)
    model.dropout.p = 0.0
    result = fit(model, feed, split, options=FitOptions(epochs=1, class_weights=True))
    assert result.history[0]["loss"] == pytest.approx(float(expected), rel=1e-6)


def test_the_epochs_loss_is_the_mean_over_its_seeds(make_largegt, split):
    class Counts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.zeros(3))
            self.losses: list[float] = []

        def forward(self, rows, ids, *, seeds, **_):
            return self.bias.expand(len(seeds), 3)

    feed = make_largegt()[1]
    result = fit(Counts(), feed, split, options=FitOptions(epochs=1, lr=1e-12))
    assert result.history[0]["loss"] == pytest.approx(math.log(3), rel=1e-6)


def test_gradient_clipping_bounds_the_step(make_line, split):
    (free, feed), (bound, other) = make_line(), make_line()
    fit(free, feed, split, options=FitOptions(epochs=1, lr=0.1))
    fit(bound, other, split, options=FitOptions(epochs=1, lr=0.1, clip_norm=1e-9))
    start = make_line()[0].linear.weight
    assert (free.linear.weight - start).abs().max() > 0.09  # Adam's first step is the rate
    assert (bound.linear.weight - start).abs().max() < 0.05


@pytest.mark.parametrize("option", [{"autocast": "bfloat16"}, {"schedule": "cosine", "warmup": 2}])
def test_further_options_run(make_largegt, split, option):
    model, feed = make_largegt()
    result = fit(model, feed, split, options=FitOptions(epochs=3, **option))
    assert math.isfinite(result.history[-1]["loss"])


class Breaks(nn.Module):
    """Its logits, or their gradient, become NaN at the third step."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.what, self.steps = what, 0

    def forward(self, x: torch.Tensor, adjacency: torch.Tensor) -> torch.Tensor:
        logits = x * self.weight
        if self.training:
            self.steps += 1
            if self.steps == 3 and self.what == "loss":
                return logits * math.nan
            if self.steps == 3:
                return logits + (self.weight - self.weight.detach()).abs().sqrt().sum()
        return logits


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_a_loss_that_is_no_number_stops_the_run(data, split, tmp_path, what):
    feed = FullBatchFeed(data, split.train)
    first = ", ".join(map(str, split.train[:5].tolist()))
    words = rf"{what} is not finite at epoch 2, step 0 \(lr 0.02, 33 seeds, first {first}\)"
    options = FitOptions(epochs=9, lr=0.02, save_seconds=0.0)
    with pytest.raises(NonFiniteLoss, match=words) as caught:
        fit(Breaks(what), feed, split, options=options, out=tmp_path)
    assert caught.value.seeds == split.train.tolist()
    last = load_checkpoint(tmp_path / "last")
    assert last.about["epoch"] == 2
    assert all(torch.isfinite(tensor).all() for tensor in last.weights.values())
    assert json.loads((tmp_path / "nonfinite.json").read_text())["lr"] == 0.02


def test_wrong_arguments_are_named(line, make_line, split):
    model, feed = make_line()
    none = split.train[:0]
    for change, words in (
        ({"train": none}, "split.train must hold a node"),
        ({"val": split.val.int()}, "split.val must be a vector of int64 node ids: got torch.int32"),
        ({"test": torch.tensor([99])}, r"split.test must lie in 0..59: got 99..99"),
        ({"train": split.val}, "nodes outside split.train"),
    ):
        with pytest.raises(ValueError, match=words):
            fit(model, feed, SimpleNamespace(**{**vars(split), **change}))
    with pytest.raises(ValueError, match=r"Line must return \[60, 3\] .*: got \[60, 2\]"):
        fit(line(out_channels=2), feed, split)
    with pytest.raises(ValueError, match=r"got 'acc'\. Did you mean 'accuracy'"):
        fit(model, feed, split, metric="acc")


def test_a_state_that_needs_pickle_is_refused(line, make_line, split):
    class Odd(line):
        def get_extra_state(self) -> str:
            return "text"

    with pytest.raises(TypeError, match=r"tensors only.*got \['_extra_state'\]"):
        fit(Odd(), make_line()[1], split)
