"""What an out-of-core propagation will take: memory, disk and time, said before it starts."""

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from graphattn.graph import CSRGraph
from graphattn.kernels.propagate import row_table, spread
from graphattn.ops.propagate import check_propagation, storage_types
from graphattn.ops.threads import as_many_threads_as_torch

SCRATCH = 1 << 22
"""Bytes for what is small: bounds of blocks, and rows that are merged."""

_SAMPLE = 1 << 18  # edges a rate is measured on


@dataclass(frozen=True)
class PropagationPlan:
    """What an out-of-core propagation will take; ``str`` says it in a line.

    Args:
        num_hops: Hops.
        channels: Columns in all.
        slice_channels: Columns at once; the last slice may have fewer.
        memory: Bytes in memory at most, beside the mapped graph and features.
        disk: Bytes on disk at most: all hops, and one more while slices are merged.
        traffic: Bytes read from and written to the disk.
        seconds: At the rates measured on this machine just now.
    """

    num_hops: int
    channels: int
    slice_channels: int
    memory: int
    disk: int
    traffic: int
    seconds: float

    @property
    def slices(self) -> list[slice]:
        """The columns of each slice."""
        starts = range(0, self.channels, max(1, self.slice_channels))
        return [slice(c, min(c + self.slice_channels, self.channels)) for c in starts]

    def __str__(self) -> str:
        """Says all of it in a line."""
        return (
            f"{self.num_hops} hops in {len(self.slices)} slices of {self.slice_channels} "
            f"channels: {self.memory / 1e9:.3g} GB of memory, {self.disk / 1e9:.3g} GB of disk, "
            f"{self.traffic / 1e9:.3g} GB read and written, about {self.seconds / 60:.2g} minutes"
        )


def plan_propagation(
    folder: Path | str,
    graph: CSRGraph,
    x: npt.NDArray[Any],
    num_hops: int,
    *,
    memory: int,
) -> PropagationPlan:
    """Estimates what :func:`propagate_to` will take; measures this machine for half a second.

    Args:
        folder: As for :func:`propagate_to`, like the others.
        graph: The graph.
        x: Features.
        num_hops: How many hops.
        memory: Bytes that may be used.

    Returns:
        The plan, to be printed before the work starts.

    Raises:
        ValueError: As for :func:`propagate_to`.

    Example:
        >>> graph = CSRGraph.from_edge_index(np.array([[0], [1]]))
        >>> x = np.ones((2, 6), np.float32)
        >>> plan_propagation(tempfile.mkdtemp(), graph, x, 1, memory=10**7).slice_channels
        6
    """
    check_out_of_core(graph, x, num_hops, "sym")
    channels, used = fit_columns(graph.num_nodes, x.shape[1], x.dtype, memory)
    slices = -(-x.shape[1] // max(1, channels))
    hop = x.nbytes * num_hops
    again = hop if slices > 1 else 0  # slices are merged
    reads = slices * x.nbytes + slices * num_hops * (graph.col.nbytes + graph.rowptr.nbytes)
    traffic = reads + hop + 2 * again
    Path(folder).mkdir(parents=True, exist_ok=True)
    edges = (graph.num_edges + graph.num_nodes) * num_hops * slices
    seconds = edges * _seconds_an_edge(graph.num_nodes, channels, x.dtype)
    seconds += traffic * _seconds_a_byte(Path(folder))
    disk = hop + again // max(1, num_hops)
    return PropagationPlan(num_hops, x.shape[1], channels, used, disk, traffic, seconds)


def check_out_of_core(
    graph: CSRGraph, x: npt.NDArray[Any], num_hops: int, norm: str
) -> np.dtype[Any]:
    """Refuses what :func:`~graphattn.ops.out_of_core.propagate_to` cannot do.

    Args:
        graph: The graph.
        x: Features.
        num_hops: Number of hops.
        norm: Name of the normalisation.

    Returns:
        The type in which is summed.

    Raises:
        ValueError: Sizes disagree, an option is out of its range, or ``x`` is not contiguous.
        TypeError: ``x`` is of a type that cannot be summed.

    Example:
        >>> graph = CSRGraph.from_edge_index(np.array([[0], [1]]))
        >>> check_out_of_core(graph, np.ones((2, 1), np.float16), 1, "row")
        dtype('float32')
    """
    check_propagation(graph, x.shape, num_hops, norm)
    _, sums = storage_types(torch.bfloat16 if x.dtype == np.uint16 else x.dtype)
    if not x.flags.c_contiguous:
        raise ValueError(
            "x must be contiguous, row after row: got a view with strides "
            f"{x.strides}; save it with np.save and map that file."
        )
    return sums


def fit_columns(
    num_nodes: int, channels: int, dtype: np.dtype[Any], memory: int
) -> tuple[int, int]:
    """Finds how many columns are spread at once: slices of equal width, of whole cache lines.

    Args:
        num_nodes: Rows.
        channels: Columns in all.
        dtype: Their type.
        memory: Bytes that may be used.

    Returns:
        Columns a slice, and the bytes used.

    Raises:
        ValueError: Not one column fits.

    Example:
        >>> fit_columns(10**6, 128, np.dtype("f2"), 150_000_000)
        (32, 140194304)
    """
    numbers = 8 if dtype == np.float64 else 4
    fixed = SCRATCH + num_nodes * 2 * numbers  # and what is needed to make them, before
    line = max(1, 64 // dtype.itemsize)

    def used(width: int) -> int:
        stride = row_table(0, width, dtype).shape[1]
        return fixed + max(num_nodes * (width + stride) * dtype.itemsize, 48 * num_nodes)

    most = next((width for width in range(channels, 0, -1) if used(width) <= memory), 0)
    if channels and not most:
        raise ValueError(
            f"memory must hold one column of {num_nodes} nodes, {used(1)} bytes: got "
            f"memory={memory}; give more."
        )
    if most < channels:
        even = -(-channels // -(-channels // most))  # slices of equal width
        whole = -(-even // line) * line
        most = whole if whole <= most else even
    return most, used(most)


def _seconds_an_edge(num_nodes: int, channels: int, dtype: np.dtype[Any]) -> float:
    """Time to add a random row, on a table of up to 64 MB."""
    rows = max(1, min(num_nodes, (1 << 26) // max(1, channels * dtype.itemsize)))
    table = row_table(rows, channels, dtype)
    table.fill(0)
    col = np.random.default_rng(0).integers(rows, size=_SAMPLE).astype(np.int32)
    rowptr = np.linspace(0, col.size, min(rows, 4096) + 1).astype(np.int64)
    scale: npt.NDArray[Any] = np.ones(rows, np.float64 if dtype == np.float64 else np.float32)
    out = np.zeros((rows, channels), dtype)
    seconds = []
    with as_many_threads_as_torch():
        for _ in range(3):  # the first may compile
            start = time.perf_counter()
            spread(rowptr, col, table, scale, out=out)
            seconds.append(time.perf_counter() - start)
    return min(seconds) / col.size


def _seconds_a_byte(folder: Path) -> float:
    """Time to bring a byte to the disk."""
    with tempfile.TemporaryFile(dir=folder) as file:
        start = time.perf_counter()
        file.write(bytes(_SAMPLE * 64))
        file.flush()
        os.fsync(file.fileno())
        return (time.perf_counter() - start) / (_SAMPLE * 64)
