"""An experiment: one model on one data set, over splits and seeds, resumed where it stopped."""

import logging
import math
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from filelock import Timeout
from torch import nn

from graphattn.building import (
    build_feed,
    build_model,
    build_sampler,
    check_run,
    model_options,
    takes_tokens,
)
from graphattn.config import RunConfig
from graphattn.datasets.splits import Split
from graphattn.files import digest_arrays, read_array, read_json, write_json
from graphattn.ops.ranks import ALONE, Ranks
from graphattn.outputs import lock, output_folder
from graphattn.results import ExperimentResult, spread
from graphattn.run_folder import prepare, refuse_another, run_folder
from graphattn.sampling.store import TokenStore
from graphattn.smoothing import smoothed_figures
from graphattn.store_building import build_store, extracted_rows, positions_file
from graphattn.task import Task, load_task
from graphattn.training.checkpoint import read_manifest
from graphattn.training.errors import CorruptCheckpoint
from graphattn.training.feed import Feed, autocast, device_of
from graphattn.training.fingerprint import check_fingerprint, saved_fingerprint
from graphattn.training.fitting import FitResult, fit
from graphattn.training.node_importance import node_importance_metrics
from graphattn.training.result import plain
from graphattn.training.summary import FitRecord, read_fit

logger = logging.getLogger(__name__)
_FIGURES = ("best_val", "test", "seconds_per_epoch", "peak_memory_bytes")


class Fitted(NamedTuple):
    """A finished run: its figures, and the model with its best weights beside what feeds it.

    Example:
        >>> Fitted._fields
        ('result', 'model', 'feed', 'smoothed')
    """

    result: FitResult
    model: nn.Module
    feed: Feed
    smoothed: dict[str, Any] | None = None


def run_experiment(
    config: RunConfig, *, overwrite: bool = False, write: bool = True, ranks: Ranks = ALONE
) -> ExperimentResult:
    """Train one model on every chosen split with every chosen seed.

    What is finished in the run folder is kept, what is unfinished goes on from its last
    checkpoint; both only under the same configuration.

    Args:
        config: What to run.
        overwrite: Remove the runs in the folder first.
        write: Whether there is a run folder at all; without one nothing can be resumed.
        ranks: Which process this is of those that train together; the first alone reads and writes
            the run folder.

    Returns:
        The result, also written to result.json; on other ranks without the runs that were kept.

    Raises:
        ValueError: The config is wrong, or differs from that of the run in the folder.
        OSError: The folder cannot be written, or another process is at work in it.
        graphattn.training.errors.CorruptCheckpoint: A finished run in the folder is damaged.
        graphattn.training.errors.NonFiniteLoss: The training diverged.
        graphattn.training.errors.Interrupted: A signal stopped it; its state is saved.

    Example:
        >>> from graphattn.config import DataOptions
        >>> from graphattn.training.options import FitOptions
        >>> config = RunConfig(DataOptions("karate"), model="gcn", train=FitOptions(epochs=2))
        >>> run_experiment(config, write=False).fits[0].epochs_run
        2
    """
    config = config.anywhere()
    with ranks.first_before_others():  # what it builds in a cache, the others open
        task = load_task(config.data)
    config = replace(
        config,
        data=task.options,
        model_options=model_options(config.model, config.model_options),
        out=str(config.folder),
    )
    pairs = [(p, s) for p in config.split_list(len(task.splits)) for s in config.seed_list]
    check_run(config, task, ranks)
    if not write:
        store = _shared_store(config, task, ranks) if takes_tokens(config.model) else None
        return _run_all(config, task, dict.fromkeys(pairs), store, None, ranks)
    folder = output_folder(config.folder, "out") if ranks.first else config.folder
    try:
        with lock(folder / ".lock", timeout=0) if ranks.first else nullcontext():
            kept: dict[tuple[int, int], FitRecord | None] = dict.fromkeys(pairs)
            if ranks.first and not overwrite:
                refuse_another(folder, config)
                kept = {pair: _finished(folder, pair, config, task) for pair in pairs}
            left = ranks.of_first(bytes(record is None for record in kept.values()))
            if not ranks.first:
                kept = {pair: None for pair, is_left in zip(pairs, left, strict=True) if is_left}
            # Before anything is removed: a store of something else is refused.
            needed = takes_tokens(config.model) and None in kept.values()
            store = _shared_store(config, task, ranks) if needed else None
            if ranks.first:
                prepare(folder, config, overwrite=overwrite)
            return _run_all(config, task, kept, store, folder, ranks)
    except Timeout as error:
        raise OSError(f"Another process is training in {folder}: wait, or give another out.") from (
            error
        )


def _shared_store(config: RunConfig, task: Task, ranks: Ranks) -> TokenStore:
    if config.store.store is None:
        return build_store(config, task)
    with ranks.first_before_others():
        return build_store(config, task)


def _run_all(
    config: RunConfig,
    task: Task,
    kept: Mapping[tuple[int, int], FitRecord | None],
    store: TokenStore | None,
    folder: Path | None,
    ranks: Ranks,
) -> ExperimentResult:
    fits, parameters = [], 0
    for number, ((split, seed), record) in enumerate(kept.items(), start=1):
        out = run_folder(folder, split, seed) if folder else None
        if out is not None and record is not None:
            logger.info("split %d, seed %d is finished already: kept", split, seed)
            fits.append(record)
            parameters = int(read_json(out / "result.json")["num_parameters"])
            continue
        fitted = run_one(config, task, split=split, seed=seed, store=store, out=out, ranks=ranks)
        result = fitted.result
        parameters = result.num_parameters
        fits.append(replace(_record(result, split, seed), smoothed=fitted.smoothed))
        logger.info(
            "split %d, seed %d (%d of %d): %s %s validation, %s test",
            *(split, seed, number, len(kept), result.metric),
            *(spread(result.best_val, math.nan), spread(result.test, math.nan)),
        )
    result_of_all = ExperimentResult(config, task.metric, parameters, fits)
    if folder is not None and ranks.first:
        result_of_all.write(folder)
    return result_of_all


def run_one(
    config: RunConfig,
    task: Task,
    *,
    split: int,
    seed: int,
    store: TokenStore | None,
    out: Path | None,
    ranks: Ranks = ALONE,
) -> Fitted:
    """Train one model on one split with one seed.

    Args:
        config: What to run.
        task: The data set.
        split: Which split of the task.
        seed: Of weights, batches, tokens and dropout.
        store: What tokens are drawn from; None for models that take the whole graph.
        out: Folder of this run, gone on with if there is one; None writes nothing.
        ranks: Which process this is of those that train together.

    Returns:
        What the loop returned, and the trained model with what feeds it.

    Raises:
        ValueError: The folder holds a run of another configuration.

    Example:
        >>> from graphattn.config import DataOptions
        >>> config = RunConfig(DataOptions("karate"), model="mlp")
        >>> task = load_task(config.data)
        >>> run_one(config, task, split=0, seed=3, store=None, out=None).result.num_test
        24
    """
    single = replace(config, seeds=str(seed), splits=str(split))
    if out is not None and ranks.first:
        out.mkdir(parents=True, exist_ok=True)
        single.write(out / "config.yaml")
    pe_channels = 0 if store is None else store.pe_channels
    model = build_model(config, task, seed=seed, pe_channels=pe_channels)
    chosen = task.splits[split]
    rows: dict[str, Any] = {"store": store, "extracted": None}
    if store is not None:
        draw = build_sampler(config)
        rows["extracted"] = extracted_rows(config, task, store, draw, seed=seed, ranks=ranks)
    feed = build_feed(config, task, chosen.train, seed=seed, ranks=ranks, **rows)
    result = fit(
        model,
        feed,
        chosen,
        options=replace(config.train, seed=seed),
        metric=task.metric,
        out=out,
        resume=out is not None,
        fingerprint=fingerprint(single, task),
    )
    smoothed = None
    if config.labels.correct_and_smooth:
        with autocast(device_of(model), config.train):
            smoothed = smoothed_figures(model, feed, task, chosen)
    more = {"smoothed": smoothed} if smoothed is not None else _importance(result, task, chosen)
    if more and out is not None and ranks.first:
        write_json(out / "result.json", {**result.to_dict(), **more})
    return Fitted(result, model, feed, smoothed)


def _importance(result: FitResult, task: Task, split: Split) -> dict[str, Any]:
    """Further figures of the test nodes, where numbers are predicted."""
    if not task.y.is_floating_point() or not len(split.test):
        return {}
    y = task.y.index_select(0, split.test)
    figures = node_importance_metrics(y, result.test_logits.view(-1).float().cpu())
    return {"importance": {name: plain(figure) for name, figure in figures.items()}}


def fingerprint(config: RunConfig, task: Task) -> dict[str, Any]:
    """Return what decides the weights of a run: its config, and a hash of data and own positions.

    Example:
        >>> from graphattn.config import DataOptions
        >>> config = RunConfig(DataOptions("karate"), model="mlp")
        >>> task = load_task(config.data)
        >>> fingerprint(config, task)["model"]["name"]
        'mlp'
    """
    file = positions_file(config)
    positions = {} if file is None else {"pe_digest": digest_arrays(read_array(file, mmap=True))}
    return {**config.fingerprint(), "data_digest": task.digest, **positions}


def _finished(
    folder: Path, pair: tuple[int, int], config: RunConfig, task: Task
) -> FitRecord | None:
    """Read a run of the same config back, if it is finished."""
    out = run_folder(folder, *pair)
    if not (out / "result.json").exists() or not (out / "best").exists():
        return None
    saved = saved_fingerprint(out / "best", read_manifest(out / "best")["about"])
    now = fingerprint(config, task)
    check_fingerprint(out, {key: saved.get(key) for key in now}, now)
    try:
        result = read_json(out / "result.json")
        figures = [result.get(key, "missing") for key in _FIGURES]
        counted = isinstance(result.get("num_parameters"), int)
        if not counted or not all(isinstance(figure, int | float | None) for figure in figures):
            raise ValueError(f"{out / 'result.json'} must hold the figures of a run as numbers.")
        record = read_fit(out, split=pair[0], seed=pair[1])
        if not config.labels.correct_and_smooth:
            return replace(record, smoothed=None)
        return record if record.smoothed else None
    except (ValueError, OSError) as error:
        raise CorruptCheckpoint(f"{error} Delete {out} to train that run anew.") from error


def _record(result: FitResult, split: int, seed: int) -> FitRecord:
    return FitRecord(
        split=split,
        seed=seed,
        val=result.best_val,
        test=result.test,
        best_epoch=result.best_epoch,
        epochs_run=result.epochs_run,
        seconds_per_epoch=result.seconds_per_epoch,
        peak_memory_bytes=result.peak_memory_bytes,
        history=result.history,
        confusion=result.confusion,
    )
