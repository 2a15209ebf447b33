"""A data set made ready to learn on: loaded by name, checked, scaled, with graph and splits."""

import dataclasses
import inspect
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphattn.config import DataOptions
from graphattn.datasets.cached_nodes import CachedNodes
from graphattn.datasets.features import Scale, fill_missing, normalize_rows, standardize
from graphattn.datasets.npz import CorruptDataset, load_npz, named
from graphattn.datasets.ogb import OgbGraph, open_ogb
from graphattn.datasets.ogb_table import OGB
from graphattn.datasets.public import open_public
from graphattn.datasets.public_table import PUBLIC
from graphattn.datasets.splits import Split, splits
from graphattn.datasets.validation import check_data
from graphattn.files import digest_arrays
from graphattn.graph import CSRGraph
from graphattn.keys import check_keys
from graphattn.names import find, foreign
from graphattn.short_names import DATASETS

logger = logging.getLogger(__name__)

_LARGEST = 10.0  # features beyond this are taken for quantities in units of their own
_ROWS = 1 << 16  # of features that are scaled at once


@dataclass(frozen=True, eq=False)
class Task:
    """What every model of an experiment is given alike.

    Attributes:
        options: The options it was made with, "auto" resolved.
        graph: The graph, duplicates merged.
        x: Features `[nodes, channels]`, float32.
        y: Classes `[nodes]`, or binary labels `[nodes, tasks]`; -1 for unlabelled.
        splits: The splits of the data set.
        num_classes: One more than the largest label, or the number of tasks.
        metric: Name of the metric the data set is judged by.
        digest: Hash of graph, features and labels.
        scale: What the features were standardised by, if they were.

    Example:
        >>> load_task(DataOptions("karate")).data.num_edges
        156
    """

    options: DataOptions
    graph: CSRGraph
    x: Tensor
    y: Tensor
    splits: list[Split]
    num_classes: int
    metric: str
    digest: str
    scale: Scale | None = None

    @property
    def data(self) -> Data:
        """The graph as PyG data, for models that take all of it at once."""
        return Data(x=self.x, y=self.y, edge_index=self.graph.edge_index())


def load_data(options: DataOptions) -> Data:
    """Load a data set by its name, as it is.

    Args:
        options: Its name, folder and keyword arguments.

    Returns:
        PyG data.

    Raises:
        ValueError: No data set has that name (the nearest one is named), or root is no folder.
        TypeError: Its function returned something else, or has no such argument.
        FileNotFoundError: It is read from a folder, and none was given.
        graphattn.datasets.npz.CorruptDataset: Its file is torn or hostile.

    Example:
        >>> load_data(DataOptions("karate")).num_nodes
        34
    """
    name, given = options.name, options.root or os.environ.get("GRAPHATTN_DATA")
    root = Path(given).resolve() if given else None
    if name.endswith(".npz"):
        moved = root / Path(name).name if root and options.root else None
        file = moved if moved and moved.is_file() and not Path(name).is_file() else Path(name)
        if not file.is_file():
            raise ValueError(f"data.name must be a .npz file that exists: got {name}.")
        return load_npz(file, nan=options.nan)
    if name in DATASETS or "." in name:
        function, preset = find(name, DATASETS, "data.name")
        check_arguments(function, options.options)
        place = {"root": options.root} if name in OGB or name in PUBLIC else {}
        with foreign(name, "data.name"):
            data = function(**{**preset, **place, **options.options})
        if not isinstance(data, Data):
            raise TypeError(f"data.name must return PyG Data: {name} gave {type(data).__name__}.")
        return data if options.nan == "error" else fill_missing(data, options.nan)
    if options.root and not Path(options.root).is_dir():
        raise ValueError(f"data.root must be a folder of .npz data sets: got {options.root}.")
    inside = {file.stem for file in root.glob("*.npz")} if root else set()
    near = get_close_matches(name.lower().replace("-", "_"), {*DATASETS, *inside}, n=1)
    near = near or [raw for raw in PUBLIC if raw.endswith(f"-{name.lower().replace('_', '-')}")]
    if name not in inside and near:
        raise ValueError(f"data.name: there is no data set {name!r}: did you mean {near[0]!r}?")
    return named(name, root, nan=options.nan)


def check_arguments(function: Callable[..., Any], given: Mapping[str, Any]) -> None:
    """Refuse data options that a data set's function does not take.

    Raises:
        ValueError: The first such option, and the nearest there is.

    Example:
        >>> from graphattn.datasets.bundled import karate
        >>> check_arguments(karate, {"sed": 3})
        Traceback (most recent call last):
        ...
        ValueError: unknown key data.options.sed: did you mean data.options.seed?
    """
    parameters = inspect.signature(function).parameters.values()
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters)
    known = [f"data.options.{p.name}" for p in parameters]
    keys = [f"data.options.{key}" for key in given]
    check_keys(keys, known, free=("data.",) if open_ended else ())


def load_task(options: DataOptions) -> Task:
    """Load a data set and make it ready to learn on; of raw files, graph and x stay on disk.

    Raises:
        ValueError: See `load_data` and `task_of`.

    Example:
        >>> load_task(DataOptions("karate")).num_classes
        2
    """
    if options.name in OGB:
        check_arguments(open_ogb, options.options)
        return task_of_ogb(open_ogb(options.name, options.root, **options.options), options)
    if options.name in PUBLIC:
        check_arguments(open_public, options.options)
        opened = open_public(options.name, options.root, **options.options)
        metric = opened.spec.metric
        return _task_of_cache(opened, opened.splits, opened.spec.num_classes, metric, options)
    return task_of(load_data(options), options)


def task_of_ogb(opened: OgbGraph, options: DataOptions) -> Task:
    """Make a data set of OGB's ready to learn on; what was checked for its cache is not again.

    Args:
        opened: The data set, as it lies in its cache.
        options: What is done to it.

    Returns:
        The task. Graph and features are mapped, unless they must be changed first.

    Raises:
        CorruptDataset: Its graph is damaged.

    Example:
        >>> task_of_ogb.__name__
        'task_of_ogb'
    """
    spec = opened.spec
    split = _labelled(opened.split, opened.y)
    outputs = spec.num_classes if spec.num_tasks == 1 else spec.num_tasks
    return _task_of_cache(opened, [split], outputs, spec.name, options)


def _task_of_cache(
    opened: CachedNodes,
    splits: list[Split],
    num_classes: int,
    metric: str,
    options: DataOptions,
) -> Task:
    try:
        graph = CSRGraph.load(opened.folder / "graph")
    except ValueError as error:
        raise CorruptDataset(f"{error} Or delete {opened.folder} to build it anew.") from error
    graph = graph.to_undirected() if options.undirected else graph
    features = options.features
    if features == "auto":
        features = "standardize" if opened.largest > _LARGEST else "none"
    constant = opened.std <= 1e-12 * opened.mean.abs()
    scale = Scale(opened.mean, opened.std.masked_fill(constant, torch.inf))
    if features == "standardize":
        x = torch.cat([scale.apply(rows) for rows in torch.split(opened.x, _ROWS)])
    elif features == "row":
        x = torch.cat([normalize_rows(Data(x=rows)).x for rows in torch.split(opened.x, _ROWS)])
    else:
        x = opened.x
    digests = f"{graph.digest()}{opened.digest}{features}".encode()
    return Task(
        options=dataclasses.replace(options, features=features),
        graph=graph,
        x=x,
        y=opened.y,
        splits=splits,
        num_classes=num_classes,
        metric=options.metric or metric,
        digest=digest_arrays(np.frombuffer(digests, np.uint8)),
        scale=scale if features == "standardize" else None,
    )


def _labelled(split: Split, y: Tensor) -> Split:
    known = y >= 0 if y.dim() == 1 else (y >= 0).any(dim=1)
    parts = [ids[known.index_select(0, ids)] for ids in (split.train, split.val, split.test)]
    return Split(*parts)


def task_of(
    data: Data, options: DataOptions, *, need_splits: bool = True, scale: Scale | None = None
) -> Task:
    """Check data and make it ready to learn on.

    Args:
        data: PyG data with `x`, `y`, `edge_index` and `train_mask`, `val_mask`, `test_mask`.
        options: What is done to it; its name is only a name here.
        need_splits: Whether masks must be there.
        scale: What to standardise by, if it is not by these data's own mean and deviation.

    Returns:
        The task.

    Raises:
        ValueError: Something is missing, of the wrong size, or out of range.

    Example:
        >>> from graphattn.datasets.bundled import karate
        >>> task_of(karate(), DataOptions("mine")).graph.num_edges
        156
    """
    missing = [key for key in ("x", "y", "edge_index") if not isinstance(data.get(key), Tensor)]
    if missing:
        raise ValueError(
            f"{options.name} must have features x, labels y and edge_index to be learnt: "
            f"got no {' and no '.join(missing)}."
        )
    data = Data(
        **{k: v.detach().cpu() if isinstance(v, Tensor) else v for k, v in data.to_dict().items()}
    )
    y = data.y.view(-1) if data.y.dim() == 2 and data.y.size(1) == 1 else data.y
    data = Data(**{**data.to_dict(), "x": data.x.float(), "y": y})
    if options.nan != "error" and not bool(data.x.isfinite().all()):
        data = fill_missing(data, options.nan)
    check_data(data)
    features = _features(options, data.x)
    if features == "standardize":
        scale = scale or Scale.of(data.x)
        data = standardize(data, scale)
    elif features == "row":
        data = normalize_rows(data)
    graph = CSRGraph.from_data(data)
    if options.undirected:
        graph = graph.to_undirected()
    elif not graph.is_undirected:
        logger.info(
            "%s is directed: a node hears from those that send to it; --data.undirected true adds "
            "the reverse of every edge",
            options.name,
        )
    return Task(
        options=dataclasses.replace(options, features=features),
        graph=graph,
        x=data.x,
        y=data.y,
        splits=splits(data) if need_splits else [],
        num_classes=max(int(data.y.max()) + 1, 1),
        metric=options.metric or str(data.get("metric") or "accuracy"),
        digest=digest_arrays(graph.rowptr, graph.col, data.x.numpy(), data.y.numpy()),
        scale=scale if features == "standardize" else None,
    )


def _features(options: DataOptions, x: Tensor) -> Any:
    if options.features != "auto":
        return options.features
    large = x.numel() > 0 and float(torch.maximum(x.max(), -x.min())) > _LARGEST
    return "standardize" if large else "none"
