"""What is in a data set, graph or hypergraph, in a few lines of text."""

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.hypergraph_data import HyperGraphData

from graphattn.config import DataOptions
from graphattn.datasets.hypergraphs import targets_of
from graphattn.datasets.splits import splits
from graphattn.datasets.validation import check_data
from graphattn.graph import CSRGraph
from graphattn.hypergraph import Incidence
from graphattn.loading import load_data

Lines = list[tuple[str, str]]


def describe(options: DataOptions) -> Lines:
    """Return what is in a data set, as pairs of a name and a text.

    Args:
        options: Names it.

    Raises:
        ValueError: There is no such data set, or its parts disagree.

    Example:
        >>> dict(describe(DataOptions("karate")))["nodes"]
        '34'
    """
    data = load_data(options)
    if isinstance(data, HyperGraphData):
        y, lines = targets_of(data), _hypergraph(data)
    else:
        check_data(data)
        y, lines = data.get("y"), _graph(data)
    lines.insert(0, ("name", options.name))
    if data.get("x") is not None:
        x = data.x
        spread = f"{float(x.min()):.3g}..{float(x.max()):.3g}" if x.numel() else "empty"
        lines.append(("features", f"{x.size(1):,}, values {spread}"))
    if y is not None:
        lines += _labels(y)
    if data.get("train_mask") is not None:
        masks = {f"{part}_mask": data.get(f"{part}_mask") for part in ("train", "val", "test")}
        known = y if y is None or not y.is_floating_point() else y.isfinite().long() - 1
        given = {key: mask for key, mask in masks.items() if mask is not None}
        parts = splits(Data(**given, y=known, num_nodes=len(data.train_mask)))
        sizes = "/".join(str(len(getattr(parts[0], part))) for part in ("train", "val", "test"))
        lines.append(("splits", f"{len(parts)}; the first has {sizes} nodes (train/val/test)"))
    own = str(data.get("metric") or "accuracy")
    own = "spearman" if y is not None and y.is_floating_point() and own == "accuracy" else own
    lines.append(("metric", options.metric or own))
    meta = data.get("meta") or {}
    if meta.get("class_names"):
        lines.append(("class names", ", ".join(map(str, meta["class_names"]))))
    lines += [(key, str(meta[key])) for key in ("source", "licence", "note") if meta.get(key)]
    return lines


def _graph(data: Data) -> Lines:
    graph = CSRGraph.from_data(data)
    degree = graph.degree()
    return [
        ("nodes", f"{graph.num_nodes:,}"),
        ("edges", f"{graph.num_edges:,} (each direction counted)"),
        ("undirected", "yes" if graph.is_undirected else "no"),
        ("duplicates", f"{graph.num_duplicates:,}"),
        ("self-loops", f"{graph.num_self_loops:,}"),
        ("in-degree", f"mean {degree.mean():.1f}, largest {degree.max():,}"),
        ("isolated", f"{int((degree == 0).sum()):,} nodes with no incoming edge"),
    ]


def _hypergraph(data: HyperGraphData) -> Lines:
    incidence = Incidence.from_data(data)
    lines = [("nodes", f"{incidence.num_nodes:,}")]
    lines.append(("hyperedges", f"{incidence.num_hyperedges:,}"))
    lines.append(("incidences", f"{incidence.num_incidences:,}"))
    lines.append(("duplicates", f"{incidence.num_duplicates:,}"))
    for name, count in (("size", incidence.size()), ("degree", incidence.degree())):
        if len(count):
            lines.append((name, f"mean {count.float().mean():.1f}, largest {int(count.max()):,}"))
    lines.append(("isolated", f"{int((incidence.degree() == 0).sum()):,} nodes in no hyperedge"))
    if (types := data.get("hyperedge_type")) is not None:
        counts = torch.bincount(types).tolist()
        lines.append(("types", f"{len(counts)} with {_first(counts)} hyperedges"))
    return lines


def _labels(y: Tensor) -> Lines:
    if y.is_floating_point():
        known = y[y.isfinite()]
        spread = f"{float(known.min()):.3g}..{float(known.max()):.3g}" if len(known) else "none"
        return [("numbers", f"of {len(known):,} nodes, {spread}")]
    counts = torch.bincount(y[y >= 0]).tolist()
    lines = [("classes", f"{len(counts)} with {_first(counts)} nodes")]
    return [*lines, ("unlabelled", f"{int((y < 0).sum()):,}")]


def _first(counts: list[int]) -> str:
    return ", ".join(map(str, counts[:12])) + (", ..." if len(counts) > 12 else "")
