"""The tasks of preprocessing: pure functions of files, each of which writes a shard atomically."""

import socket
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from graphattn.edges import id_dtype
from graphattn.files import digest_arrays, read_array, sync_folder, write_array
from graphattn.graph import CSRGraph
from graphattn.kernels.propagate import row_table, scale_rows, spread
from graphattn.ops.neighborhood import Neighborhood
from graphattn.ops.threads import as_many_threads_as_torch
from graphattn.sampling.recipe import Recipe

_NODES = 1 << 16  # rows that are read at once

Range = tuple[int, int]  # from the first to before the last


class NotShared(OSError):  # noqa: N818 - reads as what it is
    """A worker does not see the folder that the others work in.

    Example:
        >>> raise NotShared("stores/a is not seen by the worker on node7")
        Traceback (most recent call last):
        ...
        graphattn.preprocess.tasks.NotShared: stores/a is not seen by the worker on node7
    """


@dataclass(frozen=True)
class Block:
    """A file that holds some rows and columns of a table.

    Args:
        file: ``[rows, columns]``, float32.
        rows: Which rows of the table.
        columns: Which columns.
    """

    file: Path
    rows: Range
    columns: Range


def read_blocks(blocks: Sequence[Block], rows: Range, columns: Range) -> npt.NDArray[np.float32]:
    """Reads a part of a table out of the files that it lies in.

    Args:
        blocks: Files that hold, together, the part.
        rows: Which rows.
        columns: Which columns.

    Returns:
        ``[rows, columns]``.

    Raises:
        ValueError: A file is missing or damaged.

    Example:
        >>> read_blocks([], (0, 0), (0, 3)).shape
        (0, 3)
    """
    part = np.empty((rows[1] - rows[0], columns[1] - columns[0]), np.float32)
    for block in blocks:
        first, last = max(rows[0], block.rows[0]), min(rows[1], block.rows[1])
        left, right = max(columns[0], block.columns[0]), min(columns[1], block.columns[1])
        if first < last and left < right:
            held = read_array(block.file, mmap=True)
            part[first - rows[0] : last - rows[0], left - columns[0] : right - columns[0]] = held[
                first - block.rows[0] : last - block.rows[0],
                left - block.columns[0] : right - block.columns[0],
            ]
    return part


@dataclass(frozen=True)
class SpmmTask:
    """One hop of propagation, of some columns, for some rows; reads the graph of these rows once.

    Args:
        name: Of the file, within the folder.
        folder: Where it is written.
        place: Folder of this run, which all workers see; holds what the scaling is done by.
        graph: Folder of the graph, as :meth:`CSRGraph.save` writes it.
        side: ``"in"`` or ``"out"``: whose scales.
        sources: The hop before, all rows of it.
        rows: Rows of the result.
        columns: Its columns.
    """

    name: str
    folder: Path
    place: Path
    graph: Path
    side: str
    sources: tuple[Block, ...]
    rows: Range
    columns: Range

    def __call__(self) -> str:
        """Computes the block.

        Returns:
            Its hash.

        Raises:
            OSError: The folder is not seen, or cannot be written.
        """
        check_place(self.place)
        before, after = (
            read_array(self.place / f"{self.side}-{which}.npy", mmap=True)
            for which in ("before", "after")
        )
        rowptr, col = (
            read_array(self.graph / f"{which}.npy", mmap=True) for which in ("rowptr", "col")
        )
        shape = rowptr.size - 1, self.columns[1] - self.columns[0]
        table = row_table(*shape, np.float32)
        out = np.empty(shape, np.float32)  # only memory that is written to is taken
        with as_many_threads_as_torch():
            for rows in _pieces((0, shape[0])):
                part = read_blocks(self.sources, rows, self.columns)
                scale_rows(part, before[slice(*rows)], table[slice(*rows)])
            for first, last in _pieces(self.rows):
                spread(rowptr[first : last + 1], col, table, after, out=out, first=first)
        return write_shard(self.place, self.folder / self.name, out[slice(*self.rows)])


@dataclass(frozen=True)
class JoinTask:
    """A shard of the store: hops side by side, for some rows.

    Args:
        name: Of the file, within the folder.
        folder: Where it is written.
        place: Folder of this run, which all workers see.
        recipe: Says in which type numbers are kept.
        sources: The hops, in the order in which they are laid side by side.
        rows: Rows of the shard.
        channels: Columns of a hop.
    """

    name: str
    folder: Path
    place: Path
    recipe: Recipe
    sources: tuple[tuple[Block, ...], ...]
    rows: Range
    channels: int

    def __call__(self) -> str:
        """Writes the shard.

        Returns:
            Its hash.

        Raises:
            ValueError: A number is too large for float16.
            OSError: The folder is not seen, or cannot be written.
        """
        check_place(self.place)
        hops = [read_blocks(blocks, self.rows, (0, self.channels)) for blocks in self.sources]
        return write_shard(self.place, self.folder / self.name, self.recipe.interleave(hops))


@dataclass(frozen=True)
class SampleTask:
    """The tokens of a block of seeds: tables of ids, mask and hops.

    Args:
        name: Ending of the three files, such as ``00003.npy``.
        folder: Where they are written.
        place: Folder of this run, which all workers see; holds the seeds in ``seeds.npy``.
        graph: Folder of the graph, as :meth:`CSRGraph.save` writes it.
        rows: Which of the seeds.
        sampler: Draws for each node by (seed, epoch, node) alone; can be pickled.
        num_samples: Columns, the seed included.
        options: What the sampler is given besides, by name.
    """

    name: str
    folder: Path
    place: Path
    graph: Path
    rows: Range
    sampler: Callable[..., Neighborhood]
    num_samples: int
    options: tuple[tuple[str, Any], ...]

    def __call__(self) -> str:
        """Draws the tokens.

        Returns:
            The hash of the three tables together.

        Raises:
            ValueError: An option of the sampler is out of its range.
            OSError: The folder is not seen, or cannot be written.
        """
        check_place(self.place)
        graph = _graph(self.graph, self.place)
        seeds = np.array(read_array(self.place / "seeds.npy", mmap=True)[slice(*self.rows)])
        drawn = self.sampler(graph, torch.from_numpy(seeds), self.num_samples, **dict(self.options))
        tables = {
            "ids": drawn.ids.numpy().astype(id_dtype(graph.num_nodes)),
            "mask": drawn.mask.numpy(),
            "hop": drawn.hop.numpy().astype(np.uint8),
        }
        for key, table in tables.items():
            write_shard(self.place, self.folder / f"{key}-{self.name}", table)
        return digest_arrays(*tables.values())


def write_shard(place: Path, target: Path, array: npt.NDArray[Any]) -> str:
    """Writes a file under a name that nobody else uses, and then puts it in its place.

    So two workers that do the same task, because one was believed lost, do not disturb each other.

    Args:
        place: Folder for the time being, on the same disk.
        target: Where the file will stand.
        array: What it holds.

    Returns:
        Its hash.

    Raises:
        OSError: The disk is full or cannot be written.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_shard(folder, folder / "a.npy", np.arange(3)) == digest_arrays(np.arange(3))
        True
    """
    own = place / f"{uuid.uuid4().hex}.npy"
    write_array(own, array)
    own.replace(target)
    sync_folder(target.parent)
    return digest_arrays(array)


def check_place(place: Path) -> None:
    """Refuses to work where the folder of the run is not seen.

    Raises:
        NotShared: It is not; the message names this machine.

    Example:
        >>> check_place(Path())
    """
    if not place.is_dir():
        raise NotShared(
            f"{place} is not seen by the worker on {socket.gethostname()}: all machines must see "
            "the folder that is made under the same path, on a file system that they share."
        )


def _pieces(rows: Range) -> list[Range]:
    return [(first, min(first + _NODES, rows[1])) for first in range(*rows, _NODES)]


@lru_cache(maxsize=1)
def _graph(folder: Path, place: Path) -> CSRGraph:
    """Reads and checks a graph once for all tasks of a run that a worker does."""
    return CSRGraph.load(folder)
