"""The table that every sampler fills: checked seeds in column 0, and as yet no token."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import get_num_threads

_FEW = 32  # seeds a thread, below which fewer threads are used

Table = tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], npt.NDArray[np.int8]]


def empty_table(
    num_nodes: int, seeds: npt.NDArray[Any], num_samples: int, num_hops: int, most_hops: int
) -> Table:
    """Makes the table of some seeds, every column but the first masked.

    Args:
        num_nodes: Nodes of the graph.
        seeds: Integer ``[B]``.
        num_samples: Columns, at least 1.
        num_hops: Steps that were asked for.
        most_hops: Steps that the kernel can take.

    Returns:
        ids ``[B, K]``, the seed in each column; mask ``[B, K]``, true in column 0; hop ``[B, K]``,
        zeros.

    Raises:
        ValueError: A seed is no node, or a size is out of its range.

    Example:
        >>> empty_table(3, np.array([2]), 2, 1, 2)[0].tolist()
        [[2, 2]]
    """
    if num_samples < 1 or not 1 <= num_hops <= most_hops:
        raise ValueError(
            f"num_samples must be at least 1 and num_hops from 1 to {most_hops}: "
            f"got num_samples={num_samples}, num_hops={num_hops}."
        )
    if seeds.size and (seeds.min() < 0 or seeds.max() >= num_nodes):
        bad = seeds[(seeds < 0) | (seeds >= num_nodes)]
        raise ValueError(
            f"seeds must be ids from 0 to {num_nodes - 1}: got {bad[:5].tolist()}"
            f"{' and more' if bad.size > 5 else ''}, {bad.size} such seeds."
        )
    ids = np.repeat(seeds.astype(np.int64, copy=False), num_samples).reshape(-1, num_samples)
    mask = np.zeros(ids.shape, np.bool_)
    mask[:, 0] = True
    return ids, mask, np.zeros(ids.shape, np.int8)


def count_chunks(num_seeds: int) -> int:
    """Into how many parts, one a thread, the seeds of a call are split; 1 needs no threads.

    Waking threads for a few seeds would cost more than it saves.

    Example:
        >>> count_chunks(3)
        1
    """
    return max(1, min(get_num_threads(), num_seeds // _FEW))
