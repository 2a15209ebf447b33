"""One step of propagation: sums of neighbours' rows, without edge values."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import get_num_threads, njit, prange

from graphattn.kernels.launch import LAUNCH, read_only


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
    channels = x.shape[1]
    for block in prange(bounds.size - 1):
        for row in range(bounds[block], bounds[block + 1]):
            total = out[row]
            total[:] = x[row]
            for edge in range(rowptr[row], rowptr[row + 1]):
                node = col[edge]
                if node != row:
                    sender = x[node]
                    for c in range(channels):
                        total[c] += sender[c]
            for c in range(channels):
                total[c] *= scale[row]
