"""What reading OGB's raw files into the cache will take, from their sizes and their first rows."""

import hashlib
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graphattn.datasets.array_file import ArrayFile
from graphattn.datasets.edge_sort import BUCKET_BYTES, EdgeSorter
from graphattn.datasets.ogb import raw_folder
from graphattn.datasets.ogb_cache import CacheBuilder, cache_folder, read_manifest
from graphattn.datasets.ogb_raw import RawFolder
from graphattn.datasets.ogb_steps import Columns
from graphattn.datasets.ogb_table import OgbSpec
from graphattn.edges import id_dtype
from graphattn.files import read_array
from graphattn.outputs import output_folder
from graphattn.plan import PlanStep, disk_rates, timed

_BLOCKS = 2  # of the raw files, that rates are measured on
_HASHED = 1 << 25  # bytes
_WORK = 3  # buckets in memory while one is sorted


class GraphSize(NamedTuple):
    """How large a data set is.

    Attributes:
        num_nodes: Nodes.
        num_edges: Directed edges; at most, where repeated ones are not merged yet.
        channels: Features a node.

    Example:
        >>> GraphSize(10, 20, 3).num_edges
        20
    """

    num_nodes: int
    num_edges: int
    channels: int


def plan_cache(
    spec: OgbSpec, root: str | Path | None, cache: str | Path | None, held: int
) -> tuple[list[PlanStep], GraphSize]:
    """Plan what :func:`~graphattn.datasets.ogb.open_ogb` does the first time.

    Args:
        spec: Which data set.
        root: Folder of OGB's data sets.
        cache: Folder of the caches.
        held: Bytes that the process holds already.

    Returns:
        The steps, none where the cache is there, and the size of the data set.

    Raises:
        FileNotFoundError: There are no raw files, and no cache of them.
        ValueError: A raw file is missing or wrong.

    Example:
        >>> from graphattn.datasets.ogb_table import OGB
        >>> plan_cache(OGB["ogbn-arxiv"], "/none", "/none", 0)
        Traceback (most recent call last):
        ...
        FileNotFoundError: ...
    """
    source = raw_folder(spec, root)
    folder = cache_folder(spec, source, cache)
    raw = RawFolder(source, spec)
    if CacheBuilder(folder, raw).is_current():
        facts = read_manifest(folder, spec)["facts"]
        channels = read_array(folder / "x.npy", mmap=True).shape[1]
        return [], GraphSize(facts["num_nodes"], facts["num_edges"], channels)
    if not (source / "raw").is_dir():
        raise FileNotFoundError(
            f"{spec.name} is read from {source / 'raw'}: there is no such folder; see "
            f"`graphattn data download {spec.name}`."
        )
    output_folder(folder.parent, "the cache folder (GRAPHATTN_CACHE)").mkdir(
        parents=True, exist_ok=True
    )
    nodes, lines = raw.num_nodes(), raw.num_edges()
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        work = Path(name)
        writes, _ = disk_rates(work)
        edges = _seconds_for_edges(raw, nodes, lines, work)
        features, channels = _seconds_for_rows(raw, nodes, lines, work)
    size = GraphSize(nodes, lines * (2 if raw.spec.inverse else 1), channels)
    edges += _graph_bytes(size) * writes
    if spec.binary:
        edges += (raw.folder / raw.files.edges).stat().st_size * _seconds_to_hash()
    return _steps(raw, size, lines, held, (edges, features, 8 * nodes * writes)), size


def _steps(
    raw: RawFolder, size: GraphSize, lines: int, held: int, seconds: tuple[float, float, float]
) -> list[PlanStep]:
    """Lists the steps, whose times are known: of the graph, of features, of labels."""
    spec, nodes, graph = raw.spec, size.num_nodes, _graph_bytes(size)
    edges, features, labels = (
        (raw.folder / place).stat().st_size
        for place in (raw.files.edges, raw.files.features, raw.files.labels)
    )
    bucket = min(BUCKET_BYTES, 8 * size.num_edges)
    return [
        PlanStep(
            what="raw edges to the graph",
            passes=1,
            read=16 * lines if spec.binary else edges,
            written=graph,
            memory=held + _WORK * bucket + 8 * nodes,
            seconds=seconds[0],
            disk=8 * size.num_edges + graph - 8 * nodes,
        ),
        PlanStep(
            what="raw features to an array",
            passes=1,
            read=features,
            written=4 * nodes * size.channels,
            memory=held + (24 * nodes if spec.num_tasks > 1 else 0) + 2 * BUCKET_BYTES,
            seconds=seconds[1],
        ),
        PlanStep(
            what="labels and split",
            passes=1,
            read=labels,
            written=8 * nodes,
            memory=held + BUCKET_BYTES // 4,
            seconds=seconds[2],
        ),
    ]


def _graph_bytes(size: GraphSize) -> int:
    return 8 * (size.num_nodes + 1) + id_dtype(size.num_nodes).itemsize * size.num_edges


def _seconds_for_edges(raw: RawFolder, num_nodes: int, num_lines: int, work: Path) -> float:
    """Time to read the lines of edges, both their directions if need be, and to sort them in."""
    both = 2 if raw.spec.inverse else 1
    blocks: list[Any] = []
    edges = raw.edges(num_nodes, hashed=False)
    begin = timed(lambda: blocks.extend(islice(edges, 1)))  # finds the second row, too
    seconds = timed(lambda: blocks.extend(islice(edges, _BLOCKS)))
    blocks = blocks[1:] or blocks
    count = sum(sources.size for sources, _ in blocks)
    sorter = EdgeSorter(work / "buckets", num_nodes, both * count)

    def sort() -> None:
        for sources, targets in blocks:
            sorter.add(sources, targets)
            if raw.spec.inverse:
                sorter.add(targets, sources)
        sorter.finish(work / "graph")

    return begin + (seconds + timed(sort)) / max(count, 1) * num_lines


def _seconds_for_rows(
    raw: RawFolder, num_nodes: int, num_lines: int, work: Path
) -> tuple[float, int]:
    """Time to read, check and write the features; and how many columns they have."""
    rows = num_lines if raw.spec.num_tasks > 1 else num_nodes
    blocks: list[NDArray[np.float32]] = []
    features: Iterator[NDArray[np.float32]] = raw.features(rows)
    seconds = timed(lambda: blocks.extend(islice(features, _BLOCKS)))
    count, channels = sum(map(len, blocks)), blocks[0].shape[1] if blocks else 0
    columns, file = Columns(), ArrayFile(work / "x.npy", (count, channels), np.float32)

    def write() -> None:
        for block in blocks:
            file.write(block)
            columns.add(block)
        file.close()

    return (seconds + timed(write)) / max(count, 1) * rows, channels


def _seconds_to_hash() -> float:
    content = bytes(_HASHED)
    return timed(lambda: hashlib.sha256(content).digest()) / _HASHED
