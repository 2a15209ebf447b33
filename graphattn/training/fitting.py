"""The training loop: one model, one feed, one split, from the first step to the test figure.

A run with a folder can be killed at any moment and goes on to the very weights it would have had.
"""

import json
import logging
import math
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import filelock
import torch
from torch import Tensor, nn

from graphattn.files import write_json
from graphattn.names import import_path
from graphattn.ops.ranks import ALONE, Ranks
from graphattn.outputs import lock
from graphattn.training.checkpoint import load_checkpoint
from graphattn.training.distributed import check_alike, same_checkpoint, same_start, sharing
from graphattn.training.errors import Interrupted
from graphattn.training.feed import Feed, Split, device_of
from graphattn.training.fingerprint import check_fingerprint, digest, load_into, saved_fingerprint
from graphattn.training.loop import Loop
from graphattn.training.metrics import Metric, confusion_matrix, metric_by_name
from graphattn.training.options import FitOptions
from graphattn.training.resources import peak_cuda, peak_memory, reset_peak
from graphattn.training.result import FitResult, write_history
from graphattn.training.stopping import Stop, StopWatch

logger = logging.getLogger(__name__)

__all__ = ["FitOptions", "FitResult", "fit"]


def fit(
    model: nn.Module,
    feed: Feed,
    split: Split,
    *,
    options: FitOptions = FitOptions(),  # noqa: B008 - frozen
    metric: str | Metric = "accuracy",
    out: Path | None = None,
    resume: bool = False,
    fingerprint: Mapping[str, Any] | None = None,
) -> FitResult:
    """Train a model, keep the weights best on the validation nodes, and test them once.

    The loss is the cross-entropy of the labelled training nodes; of several binary labels a node,
    the mean of theirs; of numbers the mean squared error; or the model's own, where the feed asks
    for that (`FullBatchFeed`). Afterwards the model holds the
    best weights, in evaluation mode, and the feed the codes that belong to them. The caller's
    random state is untouched.

    Where the feed gives the parts of one rank of several (`TokenFeed(..., ranks=...)`), every rank
    calls this alike: all return the same figures, and the first one writes.

    Args:
        model: On the device where it shall train. Its first weights are the caller's matter.
        feed: Gives it its batches.
        split: Training, validation and test nodes. The training nodes must be the feed's.
        options: How to train.
        metric: A name (`metric_by_name`), or a function of labels and logits; higher is better.
        out: Folder of this one run: `metrics.jsonl`, `result.json`, `best/`, `last/`.
        resume: Go on from `out/last`, where there is one; else begin.
        fingerprint: JSON-able values that make this run the one it is; compared on resuming,
            beside the options, the metric and the split.

    Returns:
        The figures, the curves and the logits.

    Raises:
        ValueError: A wrong argument; a split or labels that do not fit; another configuration on
            resuming, or on another rank; a run that stands in `out` already.
        NonFiniteLoss: The loss became infinite or NaN.
        CorruptCheckpoint: What stands in `out/last` was altered.
        Interrupted: Ctrl-C or SIGTERM, after saving.
        OSError: `out` cannot be written, another process trains there, or another rank is gone.

    Example:
        >>> from types import SimpleNamespace
        >>> from torch_geometric.data import Data
        >>> from torch_geometric.nn import GCNConv
        >>> from graphattn.training.feeds import FullBatchFeed
        >>> data = Data(x=torch.eye(3), y=torch.tensor([0, 1, 1]),
        ...             edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
        >>> split = SimpleNamespace(
        ...     train=torch.tensor([0, 1]), val=torch.tensor([2]), test=torch.tensor([2]))
        >>> feed = FullBatchFeed(data, split.train)
        >>> fit(GCNConv(3, 2), feed, split, options=FitOptions(epochs=2)).epochs_run
        2
    """
    named = metric if isinstance(metric, str) else getattr(metric, "__name__", "metric")
    measure = metric_by_name(metric) if isinstance(metric, str) else metric
    _check(model, feed, split, options)
    ranks: Ranks = getattr(feed, "ranks", ALONE)
    print_of_run = {
        **(fingerprint or {}),
        "fit": options.that_decide(),
        "metric": named,
        "split": {part: digest(getattr(split, part)) for part in ("train", "val", "test")},
        "labels": digest(feed.labels(torch.arange(feed.num_nodes))),
    }
    check_alike(json.dumps(print_of_run, sort_keys=True, default=str), ranks)
    if out is not None and ranks.first:
        out.mkdir(parents=True, exist_ok=True)
        only_one: Any = lock(out / ".lock", timeout=0)
    else:
        only_one = nullcontext()
    try:
        with only_one, sharing(model, ranks):
            loop = Loop(model, feed, split.val, measure, options, out=out, fingerprint=print_of_run)
            _take_up(loop, resume=resume)
            return _run(loop, split, named)
    except filelock.Timeout as error:
        raise BlockingIOError(
            f"{out} is in use: another process trains there. Wait for it, or choose another folder."
        ) from error


def _check(model: nn.Module, feed: Feed, split: Split, options: FitOptions) -> None:
    for part in ("train", "val", "test"):
        nodes = getattr(split, part)
        if nodes.dim() != 1 or nodes.dtype != torch.int64:
            raise ValueError(
                f"split.{part} must be a vector of int64 node ids: got {nodes.dtype} of shape "
                f"{tuple(nodes.shape)}."
            )
        if len(nodes) and not 0 <= int(nodes.min()) <= int(nodes.max()) < feed.num_nodes:
            raise ValueError(
                f"split.{part} must lie in 0..{feed.num_nodes - 1}: got {int(nodes.min())}.."
                f"{int(nodes.max())}."
            )
    if not len(split.train):
        raise ValueError("split.train must hold a node to train on: got none.")
    if not torch.isin(feed.train_nodes, split.train).all():
        raise ValueError("the feed trains on nodes outside split.train: give it split.train.")
    if not len(split.val):
        if options.schedule == "plateau":
            raise ValueError(
                "schedule='plateau' watches the validation metric: got an empty split.val. "
                "Use 'constant' or 'cosine'."
            )
        logger.warning("no validation nodes: no early stopping, the last epoch's weights are kept")
    labels = feed.labels(split.train[:1])
    if options.class_weights and (labels.dim() == 2 or labels.is_floating_point()):
        what = "several labels a node" if labels.dim() == 2 else "numbers"
        raise ValueError(f"class_weights must be False for {what}: got True.")
    if options.label_smoothing and labels.is_floating_point():
        raise ValueError(f"label_smoothing is for classes: got {options.label_smoothing}.")
    if options.compile and not getattr(feed, "ranks", ALONE).alone:
        raise ValueError("compile must be False on several ranks: got compile=True.")
    if not any(p.requires_grad for p in model.parameters()):
        raise ValueError(
            f"a model must have parameters to train: got none in {import_path(model)}."
        )
    not_tensors = [k for k, v in model.state_dict().items() if not isinstance(v, Tensor)]
    if not_tensors:
        raise TypeError(
            f"a model's state_dict must hold tensors only, to be saved without pickle: "
            f"got {not_tensors[:5]} ({len(not_tensors)} others)."
        )


def _take_up(loop: Loop, *, resume: bool) -> None:
    """Go on from the folder's last checkpoint, or see that there is none to overwrite."""
    out, checkpoint = loop.out, None
    if out is not None and loop.ranks.first:
        with suppress(FileNotFoundError):
            checkpoint = load_checkpoint(out / "last")
    checkpoint = same_checkpoint(checkpoint, loop.ranks)
    if out is None or checkpoint is None:
        loop.feed.reset(loop.model)
        same_start(loop.model, loop.ranks)
        if out is not None and loop.ranks.first:
            write_history(out / "metrics.jsonl", [])
        return
    last = out / "last"
    if not resume:
        raise ValueError(
            f"{out} holds a run already: pass resume=True to go on with it, or another folder."
        )
    check_fingerprint(out, saved_fingerprint(last, checkpoint.about), loop.fingerprint)
    load_into(loop.model, checkpoint.weights, last)
    loop.restore(checkpoint)
    if loop.ranks.first:
        write_history(out / "metrics.jsonl", loop.at.history)
    logger.info("going on in %s from epoch %d, step %d", out, loop.at.epoch, loop.at.step)


def _run(loop: Loop, split: Split, metric: str) -> FitResult:
    reset_peak(device_of(loop.model))
    with StopWatch(alone=loop.ranks.alone) as watch:
        try:
            loop.train(watch)
        except Stop as stop:
            loop.save_last()
            raise Interrupted(stop.signal, loop.out, loop.at.epoch) from stop
        loop.keep_best()
        try:
            with watch.pausable():
                logits = loop.predict(torch.cat([split.val, split.test]))
        except Stop as stop:  # Saved already.
            raise Interrupted(stop.signal, loop.out, loop.at.epoch) from stop
    loop.model.eval()
    result = _result(loop, split, metric, logits)
    if loop.out is not None and loop.ranks.first:
        write_json(loop.out / "result.json", result.to_dict())
    return result


def _result(loop: Loop, split: Split, metric: str, logits: Tensor) -> FitResult:
    at, device = loop.at, device_of(loop.model)
    val_logits, test_logits = logits[: len(split.val)], logits[len(split.val) :]
    test_labels = loop.feed.labels(split.test)
    evaluated = [entry["eval_seconds"] for entry in at.history if entry["eval_seconds"] > 0]
    return FitResult(
        metric=metric,
        best_val=at.best_val,
        test=loop.metric(test_labels, test_logits) if len(split.test) else math.nan,
        best_epoch=at.best_epoch,
        epochs_run=at.epoch,
        stopped=at.stopped,
        seconds_per_epoch=math.fsum(entry["seconds"] for entry in at.history) / at.epoch,
        eval_seconds=math.fsum(evaluated) / len(evaluated) if evaluated else math.nan,
        peak_memory_bytes=peak_memory(),
        peak_cuda_bytes=peak_cuda(device),
        num_parameters=sum(p.numel() for p in loop.model.parameters() if p.requires_grad),
        num_train=len(loop.feed.train_nodes),
        num_val=len(split.val),
        num_test=len(split.test),
        history=at.history,
        confusion=(
            confusion_matrix(test_labels, test_logits).tolist()
            if test_labels.dim() == 1 and not test_labels.is_floating_point()
            else []
        ),
        val_logits=val_logits,
        test_logits=test_logits,
    )
