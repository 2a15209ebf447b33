"""One step of propagation: sums of neighbours' rows, without edge values."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import get_num_threads, njit, prange

from graphattn.kernels.half import bits_of, narrow, wide
from graphattn.kernels.launch import LAUNCH, read_only
from graphattn.kernels.prefetch import prefetch

_AHEAD = 8  # edges whose rows are asked for before they are added
_LINE = 64  # bytes asked for at once
_GROWTH = 1.3  # times the memory that rows may take for starting at a line

_Ids = npt.NDArray[np.int64]
_EVERY = np.empty(0, np.int64)  # no order: node i in row i


def row_table(num_nodes: int, channels: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Sets memory aside for rows that are read at random, in huge pages where NumPy has them.

    Args:
        num_nodes: Rows.
        channels: Numbers a row.
        dtype: float16, uint16 (the bits of bfloat16), float32 or float64.

    Returns:
        Not initialised, ``[num_nodes, at least channels]``, the first row at the start of a cache
        line. Rows are padded to whole lines where fewer lines have to be read then, and memory
        grows by 30 % at most.

    Example:
        >>> row_table(10, 50, np.float16).shape, row_table(10, 100, np.float16).shape
        ((10, 64), (10, 100))
    """
    size = np.dtype(dtype).itemsize
    used = channels * size
    padded = -(-used // _LINE) * _LINE
    lines = (used + _LINE - np.gcd(used, _LINE)) / _LINE  # of a row, on average
    stride = (padded if padded / _LINE < lines and padded <= _GROWTH * used else used) // size
    memory = np.empty(num_nodes * stride + _LINE // size, dtype)
    start = -memory.ctypes.data % _LINE // size
    return memory[start : start + num_nodes * stride].reshape(num_nodes, stride)


def scale_rows(
    x: npt.NDArray[Any],
    scale: npt.NDArray[np.floating[Any]],
    out: npt.NDArray[Any],
    order: _Ids | None = None,
) -> None:
    """Writes ``out[i] = scale[order[i]] * x[order[i]]``.

    Args:
        x: ``[N, C]``, rows contiguous; float16, uint16 (bfloat16), float32 or float64.
        scale: ``[N]``; float32, or float64 where ``x`` is.
        out: ``[N, at least C]``, of the type of ``x``; further columns are left alone.
        order: int64 ``[N]``, the node of each row; by default node i is in row i.

    Example:
        >>> out = np.empty((2, 1), np.float16)
        >>> scale_rows(np.float16([[1], [2]]), np.float32([1, 3]), out)
        >>> out.tolist()
        [[1.0], [6.0]]
    """
    nodes = _EVERY if order is None else order
    bounds = np.linspace(0, out.shape[0], 8 * get_num_threads() + 1).astype(np.int64)
    with LAUNCH:
        _scale_rows(
            *_flat(x), x.shape[1], read_only(scale), read_only(nodes), bounds, *_flat(out, True)
        )


def spread(
    rowptr: _Ids,
    col: npt.NDArray[Any],
    x: npt.NDArray[Any],
    scale: npt.NDArray[np.floating[Any]],
    *,
    out: npt.NDArray[Any] | None = None,
    order: _Ids | None = None,
    first: int = 0,
) -> npt.NDArray[Any]:
    """Sums over each node and those that send to it, then scales the sum.

    Args:
        rowptr: int64 ``[R + 1]``, where rows start in ``col``.
        col: Integer ``[E]``; a self-loop among them counts no second time.
        x: ``[N, C]``, rows contiguous; float16, uint16 (the bits of bfloat16), float32, float64.
        scale: ``[N]``; float32, or float64 where ``x`` is: the type in which is summed.
        out: ``[N, at most C]``, rows contiguous, of the type of ``x``; made if not given. Only its
            columns are summed.
        order: int64 ``[N]``, the node of each row, by which ``scale`` and ``out`` are numbered; by
            default node i is in row i.
        first: Number of the first of the R rows: those before and behind are left alone.

    Returns:
        ``out``, where ``out[order[i]] = scale[order[i]] * (x[i] + sum of x[j] over the senders
        j != i)``. Each row is summed in the order of ``col`` by one thread, so the result has the
        same bits for any number of threads.

    Example:
        >>> rowptr, col = np.array([0, 0, 1]), np.array([0], dtype=np.int32)  # 0 -> 1
        >>> spread(rowptr, col, np.array([[1.0], [2.0]]), np.ones(2)).tolist()
        [[1.0], [3.0]]
    """
    num_rows = rowptr.size - 1
    out = np.empty(x.shape, x.dtype) if out is None else out
    if not out.shape[1]:
        return out
    # Blocks of about equal work, several a thread: a node counts as much as an edge.
    work = (rowptr - rowptr[0]) + np.arange(num_rows + 1)
    blocks = min(max(num_rows, 1), 8 * get_num_threads())
    bounds = np.searchsorted(work, np.linspace(0, work[-1], blocks + 1)[1:-1]).astype(np.int64)
    bounds = np.concatenate([[0], bounds, [num_rows]])
    nodes = read_only(_EVERY if order is None else order)
    graph = read_only(rowptr), read_only(col)
    with LAUNCH:
        _spread(
            *graph,
            *_flat(x),
            out.shape[1],
            read_only(scale),
            nodes,
            first,
            bounds,
            *_flat(out, True),
            _LINE // x.itemsize,
        )
    return out


def _flat(rows: npt.NDArray[Any], writeable: bool = False) -> tuple[npt.NDArray[Any], int]:
    """All numbers from the first row to the last, and how many from one row to the next."""
    rows = bits_of(rows)
    if rows.size and rows.shape[1] > 1 and rows.strides[1] != rows.itemsize:
        raise ValueError(f"rows must be contiguous: got an array with strides {rows.strides}.")
    stride = rows.strides[0] // rows.itemsize if rows.shape[0] > 1 else rows.shape[1]
    size = max(0, (rows.shape[0] - 1) * stride + rows.shape[1]) if rows.size else 0
    flat = np.lib.stride_tricks.as_strided(
        rows.view(np.ndarray), (size,), (rows.itemsize,), writeable=writeable
    )
    return flat, stride


@njit(cache=True, nogil=True, parallel=True)
def _scale_rows(
    x: npt.NDArray[Any],
    x_stride: int,
    channels: int,
    scale: npt.NDArray[np.floating[Any]],
    order: _Ids,
    bounds: _Ids,
    out: npt.NDArray[Any],
    out_stride: int,
) -> None:
    for block in prange(bounds.size - 1):
        for row in range(bounds[block], bounds[block + 1]):
            node = order[row] if order.size else row
            source, target = np.uint64(node * x_stride), np.uint64(row * out_stride)
            factor = scale[node]
            for c in range(np.uint64(channels)):
                out[target + c] = narrow(wide(x[source + c]) * factor, out[target + c])


@njit(cache=True, nogil=True, parallel=True)
def _spread(
    rowptr: _Ids,
    col: npt.NDArray[Any],
    x: npt.NDArray[Any],
    x_stride: int,
    channels: int,
    scale: npt.NDArray[np.floating[Any]],
    order: _Ids,
    first: int,
    bounds: _Ids,
    out: npt.NDArray[Any],
    out_stride: int,
    line: int,
) -> None:
    for block in prange(bounds.size - 1):
        total = np.empty(channels, scale.dtype)
        for i in range(bounds[block], bounds[block + 1]):
            row = first + i
            _sum_row(col, rowptr[i], rowptr[i + 1], row, x, x_stride, line, total)
            node = order[row] if order.size else row
            start, factor = np.uint64(node * out_stride), scale[node]
            for c in range(np.uint64(channels)):
                out[start + c] = narrow(total[c] * factor, out[start + c])


@njit(cache=True, nogil=True)
def _sum_row(
    col: npt.NDArray[Any],
    edge: int,
    end: int,
    row: int,
    x: npt.NDArray[Any],
    stride: int,
    line: int,
    total: npt.NDArray[np.floating[Any]],
) -> None:
    """Sums a node's row and its senders' in their order, four at a time: sums stay at hand."""
    channels, step, last = np.uint64(total.size), np.uint64(stride), col.size - 1
    start = np.uint64(row) * step
    for c in range(channels):
        total[c] = wide(x[start + c])
    while edge + 4 <= end:
        for i in range(4):
            _ask(x, np.int64(col[min(edge + i + _AHEAD, last)]) * stride, total.size, line)
        j, k, m, n = col[edge], col[edge + 1], col[edge + 2], col[edge + 3]
        if row not in (j, k, m, n):
            p, q = np.uint64(j) * step, np.uint64(k) * step
            r, s = np.uint64(m) * step, np.uint64(n) * step
            for c in range(channels):
                two = (total[c] + wide(x[p + c])) + wide(x[q + c])
                total[c] = (two + wide(x[r + c])) + wide(x[s + c])
        else:
            for i in range(4):
                if col[edge + i] != row:
                    _add(x, np.uint64(col[edge + i]) * step, total)
        edge += 4
    while edge < end:
        _ask(x, np.int64(col[min(edge + _AHEAD, last)]) * stride, total.size, line)
        if col[edge] != row:
            _add(x, np.uint64(col[edge]) * step, total)
        edge += 1


@njit(cache=True, nogil=True)
def _ask(x: npt.NDArray[Any], start: Any, size: int, line: int) -> None:
    c = 0
    while c < size:  # a range with a step divides, which takes longer than the sum
        prefetch(x, start + c)
        c += line


@njit(cache=True, nogil=True)
def _add(x: npt.NDArray[Any], start: np.uint64, total: npt.NDArray[np.floating[Any]]) -> None:
    for c in range(np.uint64(total.size)):
        total[c] += wide(x[start + c])
