"""Propagation of features that do not fit into memory: slices of their columns, one after another,
over a graph that is read from front to back."""

import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as format_
from tqdm import tqdm

from graphattn.files import (
    check_space,
    digest_arrays,
    read_array,
    read_json,
    sync_folder,
    write_array,
    write_json,
)
from graphattn.graph import CSRGraph
from graphattn.kernels.propagate import row_table, scale_rows, spread
from graphattn.memory import release
from graphattn.ops.propagate import Norm, scales
from graphattn.ops.propagation_plan import SCRATCH, check_out_of_core, fit_columns
from graphattn.ops.threads import as_many_threads_as_torch

_LOG = logging.getLogger(__name__)

_FORMAT = 1
_NODES = 1 << 16  # rows of the graph that are read at once


def propagate_to(
    folder: Path | str,
    graph: CSRGraph,
    x: npt.NDArray[Any],
    num_hops: int,
    *,
    memory: int,
    norm: Norm = "sym",
    progress: bool = True,
) -> list[npt.NDArray[Any]]:
    """Computes what :func:`~graphattn.ops.propagate.propagate` does, hop by hop into files.

    As many columns as fit are spread at once, through all hops; the graph is read once for each
    hop of each slice. A finished slice survives a kill, and is checked before it is used again; of
    a finished folder nothing is computed. Only one process may use a folder.

    Args:
        folder: Made if missing; holds ``hop1.npy``, ``hop2.npy``, ... and ``hops.json`` afterwards.
        graph: The graph, memory-mapped where it is large.
        x: ``[N, C]``, contiguous, perhaps memory-mapped; float16, float32, float64, or the
            bits of bfloat16 as uint16. Half precision is summed in float32.
        num_hops: How many hops, 0 or more.
        memory: Bytes that may be used, beside mapped pages, which the system takes back at will.
        norm: As for :func:`~graphattn.ops.propagate.propagate`.
        progress: Show a bar, if there is a terminal.

    Returns:
        Each hop from the first on, ``[N, C]`` memory-mapped, with the bits that ``propagate`` gives
        for the same type.

    Raises:
        ValueError: As for ``propagate``; ``memory`` is too small for one column; or the folder
            holds something else, or hops made from other inputs or options.
        TypeError: ``x`` is of another type.
        OSError: The disk is full or cannot be written.

    Example:
        >>> graph = CSRGraph.from_edge_index(np.array([[0, 1], [1, 0]]))
        >>> import tempfile
        >>> folder, x = tempfile.mkdtemp(), np.float16([[1], [3]])
        >>> propagate_to(folder, graph, x, 1, norm="row", memory=10**7)[0].tolist()
        [[2.0], [2.0]]
    """
    sums = check_out_of_core(graph, x, num_hops, norm)
    channels, _ = fit_columns(graph.num_nodes, x.shape[1], x.dtype, memory)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {
        "format": _FORMAT,
        "graph": graph.digest(),
        "x": digest_arrays(x),
        "num_hops": num_hops,
        "norm": norm,
    }
    work = _Folder(folder, wanted)
    starts = range(0, x.shape[1], max(1, channels))
    parts = [slice(c, min(c + channels, x.shape[1])) for c in starts] or [slice(0, 0)]
    names = [f"hop{hop}.npy" for hop in range(1, num_hops + 1)]
    if not all(work.has(name) for name in names):
        hops = num_hops + (len(parts) > 1)  # one more while slices are merged
        check_space(folder, max(0, hops * x.nbytes - work.size()))
        before, after = (scale.astype(sums) for scale in scales(graph, norm))
        release(graph.col)
        _spread_slices(work, graph, x, names, parts, before, after, progress)
        for name in names:
            if not work.has(name):
                _merge(work, name, parts, x.shape)
        work.keep(names)
    return [read_array(folder / name, mmap=True) for name in names]


class _Folder:
    """The finished files of a folder, and their hashes, in ``hops.json``."""

    def __init__(self, path: Path, wanted: dict[str, Any]) -> None:
        self.path, self._wanted = path, wanted
        self._files: dict[str, str] = {}
        if (path / "hops.json").is_file():
            found = read_json(path / "hops.json")
            differ = [name for name, value in wanted.items() if found.get(name) != value]
            if differ:
                raise ValueError(
                    f"{path} must be empty or hold hops of the same inputs and options: got others "
                    f"({', '.join(differ)} differ); choose another folder, or delete it."
                )
            self._files = {
                name: digest
                for name, digest in found.get("files", {}).items()
                if self._is_sound(name, digest)
            }
        elif others := {file.name for file in path.iterdir()} - {"hops.json.part"}:
            raise ValueError(
                f"{path} must be empty or hold propagated hops: got {min(others)} "
                "and no hops.json; choose another folder."
            )
        self._record()

    def has(self, name: str) -> bool:
        return name in self._files

    def size(self) -> int:
        return sum((self.path / name).stat().st_size for name in self._files)

    def write(self, name: str, array: npt.NDArray[Any]) -> None:
        write_array(self.path / name, array)
        self.add(name, digest_arrays(array))

    def add(self, name: str, digest: str, *, instead_of: tuple[str, ...] = ()) -> None:
        self._files[name] = digest
        for other in instead_of:
            self._files.pop(other, None)
        self._record()
        for other in instead_of:
            (self.path / other).unlink(missing_ok=True)

    def keep(self, names: list[str]) -> None:
        """Drops all other files of ours, such as slices of another width before a kill."""
        self._files = {name: self._files[name] for name in names}
        self._record()
        for pattern in ("hop*-*.npy", "hop*.npy.part"):
            for file in self.path.glob(pattern):
                file.unlink()

    def _record(self) -> None:
        write_json(self.path / "hops.json", self._wanted | {"files": self._files})

    def _is_sound(self, name: str, digest: str) -> bool:
        try:
            return digest_arrays(read_array(self.path / name, mmap=True)) == digest
        except ValueError:
            return False


def _spread_slices(
    work: _Folder,
    graph: CSRGraph,
    x: npt.NDArray[Any],
    names: list[str],
    parts: list[slice],
    before: npt.NDArray[Any],
    after: npt.NDArray[Any],
    progress: bool,
) -> None:
    """Computes the slices that are missing, each through all hops."""
    total = len(parts) * len(names) * (graph.num_edges + graph.num_nodes)
    with (
        as_many_threads_as_torch(),
        tqdm(
            total=total,
            desc="propagation",
            unit="edge",
            unit_scale=True,
            disable=None if progress else True,
        ) as bar,
    ):
        for part in parts:
            table = row_table(graph.num_nodes, part.stop - part.start, x.dtype)
            out = np.empty((graph.num_nodes, part.stop - part.start), x.dtype)
            current = x[:, part]
            for name in names:
                file = _slice_name(name, part, parts)
                if work.has(name) or work.has(file):
                    whole = read_array(work.path / (name if work.has(name) else file), mmap=True)
                    current = whole[:, part] if work.has(name) else whole
                    bar.update(graph.num_edges + graph.num_nodes)
                    continue
                for rows in _blocks(graph.num_nodes):
                    scale_rows(current[rows], before[rows], table[rows])
                    release(current[rows])
                for rows in _blocks(graph.num_nodes):
                    rowptr = graph.rowptr[rows.start : rows.stop + 1]
                    spread(rowptr, graph.col, table, after, out=out, first=rows.start)
                    release(graph.col[rowptr[0] : rowptr[-1]])
                    bar.update(int(rowptr[-1] - rowptr[0]) + rowptr.size - 1)
                work.write(file, out)
                current = out
            del table, out, current


def _blocks(num_nodes: int) -> list[slice]:
    starts = range(0, num_nodes, _NODES)
    return [slice(start, min(start + _NODES, num_nodes)) for start in starts]


def _slice_name(name: str, part: slice, parts: list[slice]) -> str:
    stem = name.removesuffix(".npy")
    return f"{stem}-{part.start:05}-{part.stop:05}.npy" if len(parts) > 1 else name


def _merge(work: _Folder, name: str, parts: list[slice], shape: tuple[int, ...]) -> None:
    """Writes a hop's slices side by side, some rows at a time."""
    files = tuple(_slice_name(name, part, parts) for part in parts)
    slices = [read_array(work.path / file, mmap=True) for file in files]
    dtype = slices[0].dtype
    rows = max(1, SCRATCH // max(1, shape[1] * dtype.itemsize))
    partial = work.path / f"{name}.part"
    header = {"descr": format_.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    with partial.open("wb") as file:
        format_.write_array_header_1_0(file, header)
        for first in range(0, shape[0], rows):
            block = np.concatenate([part[first : first + rows] for part in slices], axis=1)
            file.write(block.data)
            for part in slices:
                release(part[first : first + rows])
        file.flush()
        os.fsync(file.fileno())
    partial.replace(work.path / name)
    sync_folder(work.path)
    work.add(name, digest_arrays(read_array(work.path / name, mmap=True)), instead_of=files)
