"""OGB's raw files, read in blocks: edges, features, labels and splits of one data set."""

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from graphattn.datasets.csv_gz import CsvGz
from graphattn.datasets.npz_stream import NpzArray
from graphattn.datasets.ogb_files import Files, Triplet, relation_folder
from graphattn.datasets.ogb_table import OgbSpec

_ROWS = 1 << 17  # rows read at once from an archive
_MOST_NODES = 2**40  # more than any count that can be meant


class RawFolder:
    """The raw files of one data set, which are only ever read.

    Args:
        folder: Holds `raw` and `split`.
        spec: Which data set.
        progress: Show bars, if there is a terminal.

    Attributes:
        sha256: Of the files that were read to their end, by place.

    Example:
        >>> from graphattn.datasets.ogb_table import OGB
        >>> RawFolder(Path("nowhere"), OGB["ogbn-arxiv"]).stat()
        {}
    """

    def __init__(self, folder: Path, spec: OgbSpec, *, progress: bool = False) -> None:
        self.folder, self.spec = folder, spec
        self.files = Files.of(spec)
        self.sha256: dict[str, str] = {}
        self._progress = progress

    def stat(self) -> dict[str, list[int]]:
        """Return size and time of change of every file under `raw` and `split`, by place."""
        found = {}
        for top in ("raw", "split"):
            for path in sorted((self.folder / top).rglob("*")):
                if path.suffix in (".gz", ".npz") and path.is_file():
                    about = path.stat()
                    place = path.relative_to(self.folder).as_posix()
                    found[place] = [about.st_size, about.st_mtime_ns]
        return found

    def num_nodes(self) -> int:
        """Read the number of nodes (of mag: papers)."""
        if self.spec.name == "ogbn-mag":
            return self.nodes_by_type()["paper"]
        return self._count("num_nodes_list", self.files.num_nodes)

    def num_edges(self) -> int:
        """Read the number of lines of edges."""
        return self._count("num_edges_list", self.files.num_edges)

    def nodes_by_type(self) -> dict[str, int]:
        """Read mag's number of nodes of each type."""
        place = self.files.num_nodes
        head, *lines = self._cells(place) or [[]]
        whole = len(lines) == 1 and len(lines[0]) == len(head)
        if not whole or not all(cell.isdecimal() and len(cell) < 12 for cell in lines[0]):
            raise ValueError(
                f"{self.folder / place} must hold names of node types and a line of their counts: "
                f"got {len(lines)} lines under {','.join(head)[:60]!r}."
            )
        counts = dict(zip(head, map(int, lines[0]), strict=True))
        if not counts.get("paper"):
            raise ValueError(f"{self.folder / place} must count papers: got {sorted(counts)}.")
        return counts

    def relations(self, nodes: dict[str, int]) -> list[Triplet]:
        """Read mag's relations, in order.

        Raises:
            ValueError: A line is no triplet, or names a type that has no nodes.
        """
        place = "raw/triplet-type-list.csv.gz"
        found: list[Triplet] = []
        for number, cells in enumerate(self._cells(place), start=1):
            plain = all(cell.replace("_", "").isalnum() for cell in cells)
            if len(cells) != 3 or not plain or cells[0] not in nodes or cells[2] not in nodes:
                raise ValueError(
                    f"{self.folder / place}: line {number} must name source, relation and target "
                    f"among the types {', '.join(sorted(nodes))}: got {','.join(cells)[:60]!r}."
                )
            found.append((cells[0], cells[1], cells[2]))
        return sorted(found)

    def edges(
        self, num_nodes: int, *, hashed: bool = True
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Read the lines of edges: blocks of sources and targets; an archive is hashed before."""
        count = self.num_edges()
        if not self.spec.binary:
            for block in self._csv(self.files.edges, 2, count).whole(0, num_nodes - 1):
                yield block[:, 0].copy(), block[:, 1].copy()
            return
        path = self._hashed(self.files.edges) if hashed else self.folder / self.files.edges
        with NpzArray(path, "edge_index") as one, NpzArray(path, "edge_index") as other:
            if one.shape != (2, count) or one.dtype.kind not in "iu":
                raise ValueError(
                    f"edge_index in {path} must be whole numbers {[2, count]}: "
                    f"got {one.dtype} {list(one.shape)}."
                )
            other.skip(count)
            for start in range(0, count, 8 * _ROWS):
                size = min(8 * _ROWS, count - start)
                ends = [array.read(size).astype(np.int64) for array in (one, other)]
                wrong = [np.flatnonzero((end < 0) | (end >= num_nodes)) for end in ends]
                for row in (0, 1):
                    if wrong[row].size:
                        first = int(wrong[row][0])
                        raise ValueError(
                            f"edge_index[{row},{start + first}] in {path} must lie in "
                            f"0..{num_nodes - 1}: got {ends[row][first]}."
                        )
                yield ends[0], ends[1]

    def relation_edges(
        self, triplet: Triplet, nodes: dict[str, int]
    ) -> tuple[int, Iterator[NDArray[np.int64]]]:
        """Read a relation of mag: how many edges, and blocks of `[edges, 2]`."""
        folder = relation_folder(triplet)
        count = self._count("", f"{folder}/num-edge-list.csv.gz")
        sizes = nodes[triplet[0]], nodes[triplet[2]]

        def blocks() -> Iterator[NDArray[np.int64]]:
            done = 0
            table = self._csv(f"{folder}/edge.csv.gz", 2, count)
            for block in table.whole(0, max(sizes) - 1):
                for column in (0, 1):
                    wrong = np.flatnonzero(block[:, column] >= sizes[column])
                    if wrong.size:
                        kind, first = triplet[2 * column], int(wrong[0])
                        raise ValueError(
                            f"{self.folder / folder}/edge.csv.gz: line {done + first + 1} must "
                            f"name one of {sizes[column]:,} {kind}s in column {column + 1}: "
                            f"got {block[first, column]}."
                        )
                done += len(block)
                yield block

        return count, blocks()

    def features(self, rows: int) -> Iterator[NDArray[np.float32]]:
        """Read the features of nodes, or of proteins' edges: blocks of float32 rows."""
        if self.spec.binary:
            yield from self._array(self.files.features, "node_feat", rows)
        else:
            yield from self._csv(self.files.features, None, rows).numbers()

    def labels(self, rows: int) -> Iterator[NDArray[np.float64]]:
        """Read the labels: blocks `[nodes, tasks]`, NaN where there is none."""
        if not self.spec.binary:
            table = self._csv(self.files.labels, self.spec.num_tasks, rows)
            yield from table.numbers(np.float64, missing=True)
            return
        self._hashed(self.files.labels)
        for block in self._array(self.files.labels, "node_label", rows, missing=True):
            yield block.astype(np.float64)

    def extra(self, rows: int) -> Iterator[NDArray[np.int64]]:
        """Read the further number of each node, such as its year; blocks `[nodes, 1]`."""
        if self.spec.binary:
            for block in self._array(self.files.extra, "node_year", rows):
                yield block.astype(np.int64)
        else:
            yield from self._csv(self.files.extra, 1, rows).whole(-_MOST_NODES, _MOST_NODES)

    def has_extra(self) -> bool:
        """Whether there is such a number; every other file must be there."""
        if self.spec.extra is None:
            return False
        return self.spec.binary or (self.folder / self.files.extra).is_file()

    def split(self, part: str, num_nodes: int) -> NDArray[np.int64]:
        """Read the node ids of one part of the standard split."""
        blocks = list(self._csv(f"{self.files.split}/{part}.csv.gz", 1).whole(0, num_nodes - 1))
        return np.concatenate(blocks).reshape(-1) if blocks else np.empty(0, np.int64)

    def _count(self, key: str, place: str) -> int:
        """Read a list of counts, which holds one, as there is one graph."""
        if place.endswith(".npz"):
            with NpzArray(self.folder / place, key) as array:
                if int(np.prod(array.shape)) != 1 or array.dtype.kind not in "iu":
                    raise ValueError(
                        f"{key} in {self.folder / place} must be one whole number: "
                        f"got {array.dtype} {list(array.shape)}."
                    )
                count = int(array.read(1)[0])
        else:
            (block,) = list(self._csv(place, 1, 1).whole(0, _MOST_NODES))
            count = int(block[0, 0])
        if not 0 <= count <= _MOST_NODES or (count == 0 and key == "num_nodes_list"):
            raise ValueError(f"{self.folder / place} must count what there is: got {count}.")
        return count

    def _array(
        self, place: str, key: str, rows: int, *, missing: bool = False
    ) -> Iterator[NDArray[np.float32]]:
        with NpzArray(self.folder / place, key) as array:
            width = array.shape[1] if len(array.shape) == 2 else 1
            if array.shape not in ((rows, width), (rows,)):
                raise ValueError(
                    f"{key} in {self.folder / place} must have {rows:,} rows: "
                    f"got {list(array.shape)}."
                )
            for start in range(0, rows, _ROWS):
                size = min(_ROWS, rows - start)
                with np.errstate(over="ignore"):
                    block = array.read(size * width).reshape(size, width).astype(np.float32)
                bad = np.flatnonzero(~np.isfinite(block).all(axis=1))
                if bad.size and not missing:
                    raise ValueError(
                        f"{key}[{start + bad[0]}] in {self.folder / place} must be finite numbers: "
                        "got NaN or infinity."
                    )
                yield block

    def _csv(self, place: str, columns: int | None, rows: int | None = None) -> CsvGz:
        noted = partial(self.sha256.__setitem__, place)
        path = self.folder / place
        return CsvGz(path, columns=columns, rows=rows, noted=noted, progress=self._progress)

    def _cells(self, place: str) -> list[list[str]]:
        return self._csv(place, None).cells()

    def _hashed(self, place: str) -> Path:
        path = self.folder / place
        if not path.is_file():
            raise ValueError(f"{path} is needed: there is no such file; unpack the archive again.")
        disable = None if self._progress else True
        state = hashlib.sha256()
        with (
            path.open("rb") as file,
            tqdm(total=path.stat().st_size, desc=path.name, unit="B", disable=disable) as bar,
        ):
            while piece := file.read(1 << 24):
                state.update(piece)
                bar.update(len(piece))
        self.sha256[place] = state.hexdigest()
        return path
