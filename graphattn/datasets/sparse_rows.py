"""Sparse features from a file: checked before anything walks through them, then dense in blocks."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array

_MOST_COLUMNS = 2**20  # more channels than any data set has
_BLOCK = 2**24  # numbers of a dense block


def sparse_rows(
    data: NDArray[Any],
    indices: NDArray[Any],
    indptr: NDArray[Any],
    shape: Sequence[int],
    what: str,
    *,
    by_column: bool = False,
) -> csr_array:
    """Make a sparse matrix of arrays that nobody has checked yet.

    Args:
        data: Its numbers.
        indices: The column of each.
        indptr: Where each row begins, and the end of the last.
        shape: Rows and columns.
        what: It is, for the message.
        by_column: Indices are rows, and indptr is of columns.

    Returns:
        The matrix by rows; numbers at the same place add up.

    Raises:
        ValueError: The arrays contradict each other.

    Example:
        >>> ones, ids = np.ones(2), np.array([0, 2])
        >>> sparse_rows(ones, ids, np.array([0, 1, 2]), (2, 3), "x").toarray().tolist()
        [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    rows, columns = (int(size) for size in shape) if len(shape) == 2 else (-1, -1)
    if rows < 0 or not 0 <= columns <= _MOST_COLUMNS:
        raise ValueError(
            f"{what} must have rows and at most {_MOST_COLUMNS:,} columns: got {list(shape)[:3]}."
        )
    outer, inner = (columns, rows) if by_column else (rows, columns)
    parts = (data, indices, indptr)
    if any(part.ndim != 1 for part in parts) or data.dtype.kind not in "iufb":
        raise ValueError(f"{what} must be lists of numbers: got {[part.ndim for part in parts]}.")
    if indices.dtype.kind not in "iu" or indptr.dtype.kind not in "iu":
        raise ValueError(f"{what} must have whole indices: got {indices.dtype} and {indptr.dtype}.")
    ends = indptr.astype(np.int64)
    falls = len(ends) != outer + 1 or ends[0] != 0 or (np.diff(ends) < 0).any()
    if falls or ends[-1] != len(indices) or len(data) != len(indices):
        raise ValueError(
            f"{what} must have {outer + 1:,} offsets that rise from 0 to its {len(indices):,} "
            f"indices: got {len(ends):,} offsets and {len(data):,} numbers."
        )
    wrong = np.flatnonzero((indices < 0) | (indices >= inner))
    if wrong.size:
        raise ValueError(
            f"indices of {what} must lie in 0..{inner - 1}: got {indices[wrong[0]]} at {wrong[0]} "
            f"({wrong.size:,} such)."
        )
    kind = csc_array if by_column else csr_array
    width = np.int32 if max(rows, columns, len(indices)) < 2**31 else np.int64
    places = indices.astype(width, copy=False), ends.astype(width, copy=False)
    return csr_array(kind((data, *places), shape=(rows, columns)))


def dense_blocks(matrix: csr_array | NDArray[Any]) -> Iterator[NDArray[np.float32]]:
    """Return the rows of a matrix, dense and in blocks of 64 MiB.

    Args:
        matrix: Sparse by rows, or dense `[rows, columns]`.

    Example:
        >>> [block.tolist() for block in dense_blocks(csr_array(np.eye(2)))]
        [[[1.0, 0.0], [0.0, 1.0]]]
    """
    rows, columns = matrix.shape
    step = max(1, _BLOCK // max(1, columns))
    for start in range(0, rows, step):
        block = matrix[start : start + step]
        with np.errstate(over="ignore", invalid="ignore"):
            dense = block if isinstance(block, np.ndarray) else block.toarray()
            yield np.ascontiguousarray(dense, dtype=np.float32)
