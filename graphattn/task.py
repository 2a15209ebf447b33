"""A data set made ready to learn on: loaded by name, checked, scaled, with graph and splits."""

import dataclasses
import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.hypergraph_data import HyperGraphData

from graphattn.config import DataOptions
from graphattn.datasets.cached_nodes import CachedNodes
from graphattn.datasets.features import Scale, fill_missing, normalize_rows, standardize
from graphattn.datasets.hypergraphs import targets_of, types_of
from graphattn.datasets.npz import CorruptDataset
from graphattn.datasets.ogb import OgbGraph, open_ogb
from graphattn.datasets.ogb_table import OGB
from graphattn.datasets.public import open_public
from graphattn.datasets.public_table import PUBLIC
from graphattn.datasets.splits import Split, splits
from graphattn.datasets.validation import check_data
from graphattn.files import digest_arrays
from graphattn.graph import CSRGraph
from graphattn.hypergraph import Incidence
from graphattn.loading import check_arguments, load_data

logger = logging.getLogger(__name__)

_LARGEST = 10.0  # features beyond this are taken for quantities in units of their own
_ROWS = 1 << 16  # of features that are scaled at once


@dataclass(frozen=True, eq=False)
class Task:
    """What every model of an experiment is given alike.

    Attributes:
        options: The options it was made with, "auto" resolved.
        structure: The graph or the hypergraph, duplicates merged.
        x: Features `[nodes, channels]`, float32.
        y: Classes `[nodes]`, or binary labels `[nodes, tasks]`, -1 for unlabelled; or numbers to
            be predicted, float32 `[nodes]`, NaN for unlabelled.
        splits: The splits of the data set.
        num_classes: One more than the largest label, or the number of tasks; 1 for numbers.
        metric: Name of the metric the data set is judged by.
        digest: Hash of graph, features and labels.
        scale: What the features were standardised by, if they were.
        hyperedge_type: Types of the hyperedges, if they have some.
        x_text: Second features of the nodes, `[nodes, channels]`, if there are.

    Example:
        >>> load_task(DataOptions("karate")).data.num_edges
        156
    """

    options: DataOptions
    structure: CSRGraph | Incidence
    x: Tensor
    y: Tensor
    splits: list[Split]
    num_classes: int
    metric: str
    digest: str
    scale: Scale | None = None
    hyperedge_type: Tensor | None = None
    x_text: Tensor | None = None

    @property
    def graph(self) -> CSRGraph:
        """The graph; a `ValueError` where it is a hypergraph."""
        if isinstance(self.structure, Incidence):
            raise ValueError(
                f"{self.options.title} is a hypergraph, and this needs a graph: give a model of "
                "hypergraphs, or --data.clique SIZE, which joins the members of each hyperedge."
            )
        return self.structure

    @property
    def num_nodes(self) -> int:
        """How many nodes there are."""
        return self.structure.num_nodes

    @property
    def data(self) -> Data:
        """The graph or hypergraph as PyG data, for models that take all of it at once."""
        if isinstance(self.structure, CSRGraph):
            return Data(x=self.x, y=self.y, edge_index=self.structure.edge_index())
        given = {"hyperedge_type": self.hyperedge_type, "x_text": self.x_text}
        made = self.structure.to_data()
        made.update({"x": self.x, "y": self.y, **{k: v for k, v in given.items() if v is not None}})
        return made


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
        structure=graph,
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
        data: PyG data with `x`, `y`, `edge_index` and `train_mask`, `val_mask`, `test_mask`; or
            `HyperGraphData` with the same, and `hyperedge_type` and `x_text` if it has them. Its
            `y_float` (where `valid_mask` holds) serves as `y` where there is none.
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
    if isinstance(data, HyperGraphData):
        return _task_of_hypergraph(data, options, need_splits=need_splits, scale=scale)
    if options.clique is not None:
        raise ValueError(f"data.clique is for hypergraphs: {options.name} is a graph already.")
    if missing := [k for k in ("x", "y", "edge_index") if not isinstance(data.get(k), Tensor)]:
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
    data, features, scale = _scaled(data, options, scale)
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
        structure=graph,
        x=data.x,
        y=data.y,
        splits=splits(data) if need_splits else [],
        num_classes=max(int(data.y.max()) + 1, 1),
        metric=options.metric or str(data.get("metric") or "accuracy"),
        digest=digest_arrays(graph.rowptr, graph.col, data.x.numpy(), data.y.numpy()),
        scale=scale,
    )


def _task_of_hypergraph(
    data: HyperGraphData, options: DataOptions, *, need_splits: bool, scale: Scale | None
) -> Task:
    incidence, y = Incidence.from_data(data), targets_of(data)
    if data.get("x") is None or y is None:
        hint = "; --data.options.label_noise 1.0 makes the published ones" if y is not None else ""
        raise ValueError(
            f"{options.name} must have features x and labels y to be learnt: got no "
            f"{'x' if y is not None else 'y'}{hint}."
        )
    if options.undirected:
        raise ValueError(f"data.undirected is for graphs: {options.name} is a hypergraph.")
    nodes = Data(x=data.x.detach().cpu().float(), num_nodes=incidence.num_nodes)
    check_data(nodes if y.is_floating_point() else Data(**{**nodes.to_dict(), "y": y}))
    nodes, features, scale = _scaled(nodes, options, scale)
    types, x_text = types_of(data), data.get("x_text")
    parts = [nodes.x, y, *(part.cpu() for part in (types, x_text) if part is not None)]
    hashed = f"{incidence.digest()}{digest_arrays(*(part.numpy() for part in parts))}".encode()
    numbers = y.is_floating_point()
    masks = Data(**{**data.to_dict(), "y": y.isfinite().long() - 1 if numbers else y})
    own = str(data.get("metric") or "accuracy")
    structure: CSRGraph | Incidence = incidence
    if options.clique is not None:
        edges, _ = incidence.clique(options.clique)
        structure = CSRGraph.from_edge_index(edges, incidence.num_nodes)
    return Task(
        options=dataclasses.replace(options, features=features),
        structure=structure,
        x=nodes.x,
        y=y,
        splits=splits(masks) if need_splits else [],
        num_classes=1 if numbers else max(int(y.max()) + 1, 1),
        metric=options.metric or ("spearman" if numbers and own == "accuracy" else own),
        digest=digest_arrays(np.frombuffer(hashed, np.uint8)),
        scale=scale,
        hyperedge_type=types,
        x_text=None if x_text is None else x_text.detach().cpu().float(),
    )


def _scaled(
    data: Data, options: DataOptions, scale: Scale | None
) -> tuple[Data, Any, Scale | None]:
    """The data with features scaled as asked, "auto" resolved, and by what it was standardised."""
    features: Any = options.features
    if features == "auto":
        x = data.x
        large = x.numel() > 0 and float(torch.maximum(x.max(), -x.min())) > _LARGEST
        features = "standardize" if large else "none"
    if features == "standardize":
        scale = scale or Scale.of(data.x)
        return standardize(data, scale), features, scale
    return (normalize_rows(data) if features == "row" else data), features, None
