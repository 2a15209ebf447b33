"""Edges in any order to compressed sparse rows, within a bound of memory: a sort in buckets."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphattn.edges import distinct, id_dtype
from graphattn.files import check_space, write_arrays

_MOST_NODES = 3_037_000_499  # the square of more is no int64
_MOST_BUCKETS = 512  # files open at once

BUCKET_BYTES = 1 << 27
"""What a bucket holds at most, where targets are spread evenly."""


class EdgeSorter:
    """Takes edges in blocks and writes the graph's rows, each sorted, repeated edges merged.

    An edge is a key, ``target * num_nodes + source``. Keys are thrown into buckets, files of equal
    ranges of targets; then one bucket after the other is sorted in memory. What is held is about
    three buckets and the array of row starts; the disk holds 8 bytes an edge meanwhile.

    Args:
        scratch: A new folder for the buckets; removed by :meth:`finish`.
        num_nodes: Ids run from 0 to ``num_nodes - 1``; whoever calls has checked them.
        num_edges: How many will come; decides the number of buckets.
        bucket_bytes: What a bucket should hold at most. Where one node receives more edges, or
            targets crowd in one range, a bucket holds more.

    Raises:
        ValueError: There are too many nodes.
        OSError: The disk is too small, or cannot be written.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> sorter = EdgeSorter(folder / "buckets", 3, 3)
        >>> sorter.add(np.array([0, 1, 1]), np.array([2, 2, 0]))
        >>> sorter.finish(folder / "graph")["num_edges"]
        3
    """

    def __init__(
        self, scratch: Path, num_nodes: int, num_edges: int, *, bucket_bytes: int = BUCKET_BYTES
    ) -> None:
        if not 0 < num_nodes <= _MOST_NODES:
            raise ValueError(f"num_nodes must be from 1 to {_MOST_NODES}: got {num_nodes}.")
        scratch.mkdir(parents=True)
        check_space(scratch, 8 * num_edges)
        count = min(-(-8 * num_edges // bucket_bytes), _MOST_BUCKETS, num_nodes)
        self._num_nodes, self._scratch = num_nodes, scratch
        self._width = -(-num_nodes // max(1, count))  # targets of a bucket
        paths = [scratch / f"{i}.keys" for i in range(-(-num_nodes // self._width))]
        self._buckets = [path.open("wb") for path in paths]
        self._added = 0

    def add(self, sources: NDArray[np.int64], targets: NDArray[np.int64]) -> None:
        """Take some edges.

        Args:
            sources: Ids.
            targets: As many.

        Raises:
            OSError: The disk is full or cannot be written.
        """
        keys = targets * self._num_nodes + sources
        self._added += keys.size
        if len(self._buckets) == 1:
            self._buckets[0].write(keys.data)
            return
        places = (targets // self._width).astype(np.uint16)
        keys = keys[np.argsort(places, kind="stable")]
        ends = np.cumsum(np.bincount(places, minlength=len(self._buckets)))
        for bucket, part in zip(self._buckets, np.split(keys, ends[:-1]), strict=True):
            bucket.write(np.ascontiguousarray(part).data)

    def drop(self) -> None:
        """Remove what was taken so far."""
        for bucket in self._buckets:
            bucket.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def finish(self, folder: Path) -> dict[str, int]:
        """Sort, and write what :meth:`graphattn.graph.CSRGraph.load` reads.

        Args:
            folder: Of the graph; made if missing.

        Returns:
            ``num_edges`` left, and what was merged or counted: ``num_duplicates``,
            ``num_self_loops``.

        Raises:
            OSError: The disk is full or cannot be written.
        """
        for bucket in self._buckets:
            bucket.close()
        rowptr = np.zeros(self._num_nodes + 1, np.int64)
        kind, loops, kept = id_dtype(self._num_nodes), 0, 0
        path = self._scratch / "col"
        with path.open("wb") as file:
            for number in range(len(self._buckets)):
                bucket_path = self._scratch / f"{number}.keys"
                keys = distinct(np.fromfile(bucket_path, np.int64))
                bucket_path.unlink()
                first = number * self._width
                last = min(first + self._width, self._num_nodes)
                ends = np.arange(first + 1, last + 1, dtype=np.int64) * self._num_nodes
                rowptr[first + 1 : last + 1] = kept + np.searchsorted(keys, ends)
                loops += int((keys % (self._num_nodes + 1) == 0).sum())
                kept += keys.size
                keys %= self._num_nodes
                file.write(keys.astype(kind).data)
        col: NDArray[Any] = np.memmap(path, kind, "r") if kept else np.empty(0, kind)
        counts = {"num_duplicates": self._added - kept, "num_self_loops": loops}
        write_arrays(folder, "graph", {"rowptr": rowptr, "col": col}, counts)
        del col
        shutil.rmtree(self._scratch)
        return {"num_edges": kept, **counts}
