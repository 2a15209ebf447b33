"""What an out-of-core propagation will take: memory, disk and time, said before it starts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from graphattn.edges import id_dtype
from graphattn.graph import CSRGraph
from graphattn.kernels.propagate import row_table, spread
from graphattn.ops.propagate import check_propagation, storage_types
from graphattn.ops.threads import as_many_threads_as_torch
from graphattn.plan import disk_rates, timed

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

    Example:
        >>> PropagationPlan(2, 100, 64, 10**9, 2 * 10**9, 10**10, 60.0).slices
        [slice(0, 64, None), slice(64, 100, None)]
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
        >>> import tempfile
        >>> plan_propagation(tempfile.mkdtemp(), graph, x, 1, memory=10**7).slice_channels
        6
    """
    check_out_of_core(graph, x, num_hops, "sym")
    Path(folder).mkdir(parents=True, exist_ok=True)
    sizes = (graph.num_nodes, graph.num_edges, x.shape[1])
    return plan_sizes(sizes, x.dtype, num_hops, memory=memory, rates=disk_rates(Path(folder)))


def plan_sizes(
    sizes: tuple[int, int, int],
    dtype: np.dtype[Any],
    num_hops: int,
    *,
    memory: int,
    rates: tuple[float, float],
) -> PropagationPlan:
    """Estimates a propagation of whose graph and features only the sizes are known.

    Args:
        sizes: Nodes, edges and channels.
        dtype: Of the features.
        num_hops: How many hops.
        memory: Bytes that may be used.
        rates: Seconds to write a byte and to read one, as
            :func:`~graphattn.plan.disk_rates` measures them.

    Returns:
        The plan.

    Raises:
        ValueError: ``memory`` is too small for one column.

    Example:
        >>> plan = plan_sizes((10, 20, 6), np.dtype("f4"), 1, memory=10**7, rates=(0.0, 0.0))
        >>> plan.slice_channels, plan.disk
        (6, 240)
    """
    num_nodes, num_edges, channels = sizes
    at_once, used = fit_columns(num_nodes, channels, dtype, memory)
    slices = -(-channels // max(1, at_once))
    x = num_nodes * channels * dtype.itemsize
    graph = 8 * (num_nodes + 1) + id_dtype(num_nodes).itemsize * num_edges
    hops = x * num_hops
    again = hops if slices > 1 else 0  # slices are merged
    reads = x * (2 + slices) + slices * num_hops * graph + hops + 2 * again  # hashed, too
    writes = hops + again
    sums = (num_edges + num_nodes) * num_hops * slices
    seconds = sums * _seconds_an_edge(num_nodes, at_once, dtype)
    seconds += writes * rates[0] + reads * rates[1]
    disk = hops + again // max(1, num_hops)
    return PropagationPlan(num_hops, channels, at_once, used, disk, reads + writes, seconds)


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
    """Time to add a random row, on a table of up to 256 MB."""
    rows = max(1, min(num_nodes, (1 << 28) // max(1, channels * dtype.itemsize)))
    table = row_table(rows, channels, dtype)
    table.fill(0)
    col = np.random.default_rng(0).integers(rows, size=_SAMPLE).astype(np.int32)
    rowptr = np.linspace(0, col.size, min(rows, 4096) + 1).astype(np.int64)
    scale: npt.NDArray[Any] = np.ones(rows, np.float64 if dtype == np.float64 else np.float32)
    out = np.zeros((rows, channels), dtype)
    seconds = []
    with as_many_threads_as_torch():
        for _ in range(3):  # the first may compile
            seconds.append(timed(lambda: spread(rowptr, col, table, scale, out=out)))
    return min(seconds) / col.size
