"""One step of propagation: sums of neighbours' rows, without edge values."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import get_num_threads, njit, prange

from graphattn.kernels.launch import LAUNCH, read_only
from graphattn.kernels.prefetch import prefetch

_AHEAD = 8  # edges whose rows are asked for before they are added
_LINE = 16  # numbers asked for at once: a cache line of float32


def spread(
    rowptr: npt.NDArray[np.int64],
    col: npt.NDArray[Any],
    x: npt.NDArray[np.floating[Any]],
    scale: npt.NDArray[np.floating[Any]],
) -> npt.NDArray[np.floating[Any]]:
    """Sums over each node and those that send to it, then scales the sum.

    Args:
        rowptr: int64 ``[N + 1]``.
        col: Integer ``[E]``; a self-loop among them counts no second time.
        x: float32 or float64 ``[N, C]``.
        scale: ``[N]``, of the type of ``x``.

    Returns:
        ``scale[i] * (x[i] + sum of x[j] over the senders j != i)``, ``[N, C]``. Each row is summed
        in the order of ``col`` by one thread, so the result has the same bits for any number of
        threads.

    Example:
        >>> rowptr, col = np.array([0, 0, 1]), np.array([0], dtype=np.int32)  # 0 -> 1
        >>> spread(rowptr, col, np.array([[1.0], [2.0]]), np.ones(2)).tolist()
        [[1.0], [3.0]]
    """
    num_nodes = rowptr.size - 1
    out = np.empty(x.shape, x.dtype)
    # Blocks of about equal work, several a thread: a node counts as much as an edge.
    work = rowptr + np.arange(num_nodes + 1)
    blocks = min(max(num_nodes, 1), 8 * get_num_threads())
    bounds = np.searchsorted(work, np.linspace(0, work[-1], blocks + 1)[1:-1]).astype(np.int64)
    bounds = np.concatenate([[0], bounds, [num_nodes]])
    with LAUNCH:
        _spread(read_only(rowptr), read_only(col), read_only(x), read_only(scale), bounds, out)
    return out


@njit(cache=True, nogil=True, parallel=True)
def _spread(
    rowptr: npt.NDArray[np.int64],
    col: npt.NDArray[Any],
    x: npt.NDArray[np.floating[Any]],
    scale: npt.NDArray[np.floating[Any]],
    bounds: npt.NDArray[np.int64],
    out: npt.NDArray[np.floating[Any]],
) -> None:
    channels, flat, last = x.shape[1], x.reshape(-1), col.size - 1
    for block in prange(bounds.size - 1):
        total = np.empty(channels, x.dtype)
        for row in range(bounds[block], bounds[block + 1]):
            for c in range(channels):
                total[c] = x[row, c]
            for edge in range(rowptr[row], rowptr[row + 1]):
                soon = np.int64(col[min(edge + _AHEAD, last)]) * channels
                for c in range(0, channels, _LINE):
                    prefetch(flat, soon + c)
                if col[edge] != row:
                    start = np.uint64(col[edge]) * np.uint64(channels)
                    for c in range(channels):
                        total[c] += flat[start + np.uint64(c)]
            for c in range(channels):
                out[row, c] = total[c] * scale[row]
