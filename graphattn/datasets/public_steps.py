"""The steps from the raw files of a public data set to the arrays of its cache."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphattn.datasets.edge_sort import EdgeSorter
from graphattn.datasets.npz import CorruptDataset
from graphattn.datasets.ogb_steps import write_feature_blocks
from graphattn.datasets.public_raw import RawFiles, whole
from graphattn.files import digest_arrays, read_array, write_array

Facts = dict[str, Any]
_EDGES = 1 << 20  # sorted at once


def public_steps(raw: RawFiles) -> dict[str, Callable[[RawFiles, Path, Facts], Facts]]:
    """Return the steps, in order.

    Args:
        raw: The raw files.

    Example:
        >>> from graphattn.datasets.linkx import LinkxFiles
        >>> from graphattn.datasets.public_table import PUBLIC
        >>> list(public_steps(LinkxFiles(Path("nowhere"), PUBLIC["pokec"])))
        ['graph', 'features', 'labels', 'splits']
    """
    return {
        "graph": _write_graph,
        "features": _write_features,
        "labels": _write_labels,
        "splits": _write_splits,
    }


def _write_graph(raw: RawFiles, folder: Path, facts: Facts) -> Facts:
    """Writes `graph/`, and hashes the raw files."""
    raw.hash_all()
    num_nodes, edges = raw.num_nodes(), raw.edges()
    wrong = np.flatnonzero(((edges < 0) | (edges >= num_nodes)).any(axis=0))
    if wrong.size:
        raise ValueError(
            f"edges in {raw.folder} must join nodes 0..{num_nodes - 1} of {raw.spec.name}: got "
            f"{edges[:, wrong[0]].tolist()} as edge {wrong[0]} ({wrong.size:,} such)."
        )
    both = 2 if raw.spec.both_ways else 1
    sorter = EdgeSorter(folder / "buckets", num_nodes, both * edges.shape[1])
    try:
        for start in range(0, edges.shape[1], _EDGES):
            sources, targets = np.ascontiguousarray(edges[:, start : start + _EDGES])
            sorter.add(sources, targets)
            if raw.spec.both_ways:
                sorter.add(targets, sources)
        counts = sorter.finish(folder / "graph")
    except BaseException:
        sorter.drop()
        raise
    return {"num_nodes": num_nodes, "num_lines": edges.shape[1], **counts}


def _write_features(raw: RawFiles, folder: Path, facts: Facts) -> Facts:
    """Writes `x.npy`, float32 `[nodes, channels]`, with what standardising needs."""
    source = f"{raw.spec.name} in {raw.folder}"
    return write_feature_blocks(_finite(raw), folder, facts["num_nodes"], source)


def _finite(raw: RawFiles) -> Iterator[NDArray[np.float32]]:
    rows = 0
    for block in raw.features():
        bad = np.flatnonzero(~np.isfinite(block).all(axis=1))
        if bad.size:
            raise ValueError(
                f"features in {raw.folder} of {raw.spec.name} must be finite: got NaN or "
                f"infinity in row {rows + bad[0]}."
            )
        rows += len(block)
        yield block


def _write_labels(raw: RawFiles, folder: Path, facts: Facts) -> Facts:
    """Writes `y.npy`, int64 `[nodes]`."""
    y, most = raw.labels(), raw.spec.num_classes
    if y.shape != (facts["num_nodes"],):
        raise ValueError(
            f"classes in {raw.folder} of {raw.spec.name} must be {facts['num_nodes']}, one a node: "
            f"got {list(y.shape)}."
        )
    wrong = np.flatnonzero((y < -1) | (y >= most))
    if wrong.size:
        raise ValueError(
            f"classes in {raw.folder} of {raw.spec.name} must be 0..{most - 1}, or -1 for none: "
            f"got {y[wrong[0]]} of node {wrong[0]} ({wrong.size:,} such)."
        )
    write_array(folder / "y.npy", y)
    return {"files": {"y.npy": digest_arrays(y)}}


def _write_splits(raw: RawFiles, folder: Path, facts: Facts) -> Facts:
    """Writes `splits.npy`, int8 `[splits, nodes]`: 0 trains, 1 validates, 2 tests, -1 neither."""
    y = read_array(folder / "y.npy")
    own = raw.folder / raw.spec.own_splits
    rule = f"read from {raw.spec.own_splits}" if own.is_file() else raw.spec.split
    table = _own_splits(own, y) if own.is_file() else raw.splits(y)
    lost = table[:, y < 0] >= 0
    table[:, y < 0] = -1
    empty = np.flatnonzero(~(table == 0).any(axis=1))
    if empty.size or not len(table):
        raise ValueError(
            f"each split of {raw.spec.name} must train on a node: got "
            f"{f'split {empty[0]} without one' if len(table) else 'no split'}."
        )
    write_array(folder / "splits.npy", table)
    files = {"splits.npy": digest_arrays(table)}
    return {"files": files, "rule": rule, "num_unlabelled_in_splits": int(lost.sum())}


def _own_splits(path: Path, y: NDArray[np.int64]) -> NDArray[np.int8]:
    kind = f"must be a plain table of whole numbers [splits, {len(y)}]"
    values = "0 trains, 1 validates, 2 tests, -1 neither"
    try:
        table = read_array(path)
    except ValueError as error:
        if "pickle" not in str(error).lower() and "object" not in str(error).lower():
            raise CorruptDataset(str(error)) from error
        raise CorruptDataset(
            f"{path} {kind} ({values}): got Python objects, as LINKX's own file has, which are "
            "never unpickled here; where you trust it, write the table from it with numpy.save, as "
            "docs/guides/data.md shows, or move the file away to have splits drawn."
        ) from error
    if table.dtype.kind not in "iu" or table.ndim != 2 or table.shape[1] != len(y):
        raise ValueError(f"{path} {kind}: got {table.dtype} {list(table.shape)}.")
    found = whole(table, str(path))
    if ((found < -1) | (found > 2)).any():
        raise ValueError(f"{path} must hold {values}: got {found.min()} to {found.max()}.")
    return found.astype(np.int8)
