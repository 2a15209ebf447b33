"""Which tokens of a seed are joined by an edge, by bisection of sorted rows."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from graphattn.kernels.launch import LAUNCH, read_only


def joined_tokens(
    rowptr: npt.NDArray[np.int64],
    col: npt.NDArray[Any],
    ids: npt.NDArray[np.int64],
    mask: npt.NDArray[np.bool_],
) -> npt.NDArray[np.bool_]:
    """Tells for each pair of tokens of a seed whether the second sends to the first.

    Args:
        rowptr: int64 ``[N + 1]``, where the row of each node starts in ``col``.
        col: Integer ``[E]``, sorted distinct ids a row.
        ids: int64 ``[B, K]``, the tokens of each seed as nodes.
        mask: ``[B, K]``, true where there is a token.

    Returns:
        ``[B, K, K]``; entry (b, i, j) is true where both tokens exist and an edge goes from token j
        to token i.

    Raises:
        IndexError: An id is no node.

    Example:
        >>> rowptr, col = np.array([0, 0, 1]), np.array([0], dtype=np.int32)  # 0 -> 1
        >>> ids = np.array([[1, 0]])
        >>> joined_tokens(rowptr, col, ids, np.ones((1, 2), bool))[0].tolist()
        [[False, True], [False, False]]
    """
    if ids.size and not 0 <= ids.min() <= ids.max() < rowptr.size - 1:
        raise IndexError(
            f"ids run from 0 to {rowptr.size - 2}: got some from {ids.min()} to {ids.max()}."
        )
    found = np.zeros((*ids.shape, ids.shape[1]), np.bool_)
    with LAUNCH:
        _join(read_only(rowptr), read_only(col), read_only(ids), read_only(mask), found)
    return found


@njit(cache=True, nogil=True, parallel=True)
def _join(
    rowptr: npt.NDArray[np.int64],
    col: npt.NDArray[Any],
    ids: npt.NDArray[np.int64],
    mask: npt.NDArray[np.bool_],
    found: npt.NDArray[np.bool_],
) -> None:
    for b in prange(ids.shape[0]):
        for i in range(ids.shape[1]):
            if not mask[b, i]:
                continue
            start, end = rowptr[ids[b, i]], rowptr[ids[b, i] + 1]
            for j in range(ids.shape[1]):
                if not mask[b, j]:
                    continue
                low, high = start, end
                while low < high:
                    middle = (low + high) // 2
                    if col[middle] < ids[b, j]:
                        low = middle + 1
                    else:
                        high = middle
                found[b, i, j] = low < end and col[low] == ids[b, j]
