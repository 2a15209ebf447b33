"""The steps from OGB's raw files to the arrays of the cache, each streamed from file to file."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphattn.datasets.array_file import ArrayFile
from graphattn.datasets.edge_sort import EdgeSorter
from graphattn.datasets.ogb_files import PARTS
from graphattn.datasets.ogb_raw import RawFolder
from graphattn.datasets.splits import Split
from graphattn.files import digest_arrays, write_array

Facts = dict[str, Any]
Step = Callable[[RawFolder, Path, Facts], Facts]
"""From raw files, the folder to write to, and the facts of earlier steps, to facts of its own."""


def write_graph(raw: RawFolder, folder: Path, facts: Facts) -> Facts:
    """Write the graph as `graph/`, each line's reverse with it where the data set says so.

    Returns:
        `num_nodes`, `num_lines` of edges, and what `EdgeSorter.finish` counts.
    """
    num_nodes, num_lines = raw.num_nodes(), raw.num_edges()
    both = 2 if raw.spec.inverse else 1
    sorter = EdgeSorter(folder / "buckets", num_nodes, both * num_lines)
    try:
        for sources, targets in raw.edges(num_nodes):
            sorter.add(sources, targets)
            if raw.spec.inverse:
                sorter.add(targets, sources)
        counts = sorter.finish(folder / "graph")
    except BaseException:
        sorter.drop()
        raise
    return {"num_nodes": num_nodes, "num_lines": num_lines, **counts}


def write_features(raw: RawFolder, folder: Path, facts: Facts) -> Facts:
    """Write `x.npy`, float32 `[nodes, channels]`.

    Returns:
        The file's digest, and `mean`, `std` and the largest size of each column's numbers.
    """
    num_nodes = facts["num_nodes"]
    source = str(raw.folder / raw.files.features)
    return write_feature_blocks(raw.features(num_nodes), folder, num_nodes, source)


def write_feature_blocks(
    blocks: Iterable[NDArray[np.float32]], folder: Path, num_nodes: int, source: str
) -> Facts:
    """Write blocks of features as `x.npy`, float32 `[nodes, channels]`.

    Args:
        blocks: Rows.
        folder: Where the file will stand.
        num_nodes: Rows there must be.
        source: Where they come from, for the message.

    Returns:
        As `write_features`.

    Raises:
        ValueError: There are none, or more or fewer rows.
        OSError: The disk is full or cannot be written.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> facts = write_feature_blocks([np.float32([[1], [1]])], folder, 2, "made")
        >>> facts["mean"], facts["largest"]
        ([1.0], 1.0)
    """
    columns = Columns()
    with ExitStack() as opened:
        file: ArrayFile | None = None
        for block in blocks:
            if file is None:
                shape = (num_nodes, block.shape[1])
                file = opened.enter_context(ArrayFile(folder / "x.npy", shape, np.float32))
            file.write(block)
            columns.add(block)
        if file is None:
            raise ValueError(f"{source} must hold features: got none.")
        return {"files": {"x.npy": file.close()}, **columns.facts()}


def write_edge_means(raw: RawFolder, folder: Path, facts: Facts) -> Facts:
    """Write `x.npy` of proteins: the mean of the features of each node's edges, 0 without any.

    Returns:
        As `write_features`.
    """
    num_nodes, num_lines = facts["num_nodes"], facts["num_lines"]
    count = np.zeros(num_nodes, np.int64)
    total: NDArray[np.float64] | None = None
    ends = np.empty((2, 0), np.int64)
    edges = raw.edges(num_nodes)
    for block in raw.features(num_lines):
        total = np.zeros((num_nodes, block.shape[1])) if total is None else total
        while ends.shape[1] < len(block):  # the two files are cut at different lines
            ends = np.concatenate([ends, np.stack(next(edges))], axis=1)
        for end in ends[:, : len(block)]:
            count += np.bincount(end, minlength=num_nodes)
            for column in range(block.shape[1]):
                total[:, column] += np.bincount(end, block[:, column], minlength=num_nodes)
        ends = ends[:, len(block) :]
    for _ in edges:  # to the end, so that both files are checked and hashed
        pass
    if total is None:
        raise ValueError(f"{raw.folder / raw.files.features} must hold features: got none.")
    x = (total / np.maximum(count, 1)[:, None]).astype(np.float32)
    columns = Columns()
    columns.add(x)
    write_array(folder / "x.npy", x)
    return {"files": {"x.npy": digest_arrays(x)}, **columns.facts()}


def write_labels(raw: RawFolder, folder: Path, facts: Facts) -> Facts:
    """Write `y.npy`: int64 `[nodes]`, or int8 `[nodes, tasks]`; -1 where there is no label.

    Returns:
        The file's digest.
    """
    num_nodes, spec = facts["num_nodes"], raw.spec
    shape = (num_nodes,) if spec.num_tasks == 1 else (num_nodes, spec.num_tasks)
    kind, done = np.int64 if spec.num_tasks == 1 else np.int8, 0
    with ArrayFile(folder / "y.npy", shape, kind) as file:
        for block in raw.labels(num_nodes):
            known = np.where(np.isnan(block), -1.0, block)
            is_class = (known >= -1) & (known < spec.num_classes) & (np.floor(known) == known)
            wrong = np.flatnonzero(~is_class.all(axis=1))
            if wrong.size:
                bad = block[wrong[0]][~is_class[wrong[0]]][0]
                raise ValueError(
                    f"{raw.folder / raw.files.labels}: line {done + wrong[0] + 1} must hold "
                    f"classes from 0 to {spec.num_classes - 1}, or nothing: got {bad:g}."
                )
            file.write(known.reshape(len(block), *shape[1:]))
            done += len(block)
        return {"files": {"y.npy": file.close()}}


def write_split(raw: RawFolder, folder: Path, facts: Facts) -> Facts:
    """Write the parts of the standard split, sorted ids without repeats.

    Returns:
        The files' digests.
    """
    ids = [raw.split(part, facts["num_nodes"]) for part in PARTS]
    try:
        split = Split.from_indices(*ids, num_nodes=facts["num_nodes"])
    except ValueError as error:
        raise ValueError(f"{raw.folder / raw.files.split}: {error}") from error
    files = {}
    for part, kept in zip(PARTS, (split.train, split.val, split.test), strict=True):
        write_array(folder / f"{part}.npy", kept.numpy())
        files[f"{part}.npy"] = digest_arrays(kept.numpy())
    return {"files": files}


def write_extra(raw: RawFolder, folder: Path, facts: Facts) -> Facts:
    """Write the further number of each node, such as its year, as int64 `[nodes]`.

    Returns:
        The file's digest; nothing where there is no such number.
    """
    if not raw.has_extra():
        return {}
    name = f"{raw.spec.extra}.npy"
    with ArrayFile(folder / name, (facts["num_nodes"],), np.int64) as file:
        for block in raw.extra(facts["num_nodes"]):
            file.write(block.reshape(-1))
        return {"files": {name: file.close()}}


def write_relations(raw: RawFolder, folder: Path, facts: Facts) -> Facts:
    """Write mag's relations, int64 `[edges, 2]` each, as `relation-<number>.npy`.

    Returns:
        Their names in order, the nodes of each type, and the files' digests.
    """
    nodes = raw.nodes_by_type()
    names, files = raw.relations(nodes), {}
    for number, triplet in enumerate(names):
        count, blocks = raw.relation_edges(triplet, nodes)
        name = f"relation-{number}.npy"
        with ArrayFile(folder / name, (count, 2), np.int64) as file:
            for block in blocks:
                file.write(block)
            files[name] = file.close()
    return {"nodes": nodes, "relations": [list(name) for name in names], "files": files}


def steps(raw: RawFolder) -> dict[str, Step]:
    """Return the steps of a data set, in order.

    Args:
        raw: Its raw files.

    Example:
        >>> from graphattn.datasets.ogb_table import OGB
        >>> list(steps(RawFolder(Path("nowhere"), OGB["ogbn-arxiv"])))
        ['graph', 'features', 'labels', 'split', 'extra']
    """
    several = raw.spec.num_tasks > 1
    found: dict[str, Step] = {
        "graph": write_graph,
        "features": write_edge_means if several else write_features,
        "labels": write_labels,
        "split": write_split,
        "extra": write_extra,
    }
    if raw.spec.name == "ogbn-mag":
        found["relations"] = write_relations
    return found


class Columns:
    """Mean and deviation of each column, and the largest size of all, of rows that come in blocks.

    Blocks are merged as Chan et al. 1979 do, http://i.stanford.edu/pub/cstr/reports/cs/tr/79/773.

    Example:
        >>> columns = Columns()
        >>> columns.add(np.float32([[1], [3]]))
        >>> columns.facts()
        {'mean': [2.0], 'std': [1.0], 'largest': 3.0}
    """

    def __init__(self) -> None:
        self._count, self._most = 0, 0.0
        self._mean: NDArray[np.float64] | float = 0.0
        self._squares: NDArray[np.float64] | float = 0.0

    def add(self, block: NDArray[np.float32]) -> None:
        """Count some rows in."""
        if not len(block):
            return
        values = block.astype(np.float64)
        self._most = max(self._most, float(np.abs(values).max(initial=0.0)))
        mean = values.mean(axis=0)
        values -= mean
        count = self._count + len(block)
        off = mean - self._mean
        self._squares = (
            self._squares
            + np.square(values, out=values).sum(axis=0)
            + np.square(off) * (self._count * len(block) / count)
        )
        self._mean = self._mean + off * (len(block) / count)
        self._count = count

    def facts(self) -> Facts:
        """Return `mean`, `std` and the largest size, as the manifest keeps them."""
        std = np.sqrt(np.asarray(self._squares) / max(self._count, 1))
        return {
            "mean": np.asarray(self._mean).tolist(),
            "std": std.tolist(),
            "largest": self._most,
        }
