"""What every launch of a kernel needs: its chunks in threads, a lock for numba's own, one type of
arrays.
"""

import os
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

LAUNCH = threading.Lock()
"""Held while a kernel with ``parallel=True`` runs: one of numba's threading layers aborts the
process when two Python threads enter such kernels at once, and a kernel uses all cores anyway."""


def run_chunks(chunk: Any, num_chunks: int, *arrays: Any) -> None:
    """Runs a kernel chunk by chunk, in threads only where there is more than one of them.

    All threads run the very same machine code, so that their number changes no bit. A loop that
    numba makes parallel is compiled twice, once for the process that compiles it and once for those
    that find it in the cache, and sums whose order is the compiler's may differ between the two.

    Args:
        chunk: Compiled without the GIL; takes the number of a chunk, how many there are, and the
            arrays. Chunks write to different places.
        num_chunks: Chunks, about one a thread. One wakes no thread.
        arrays: What it takes besides.

    Example:
        >>> def chunk(number, num_chunks, out):
        ...     out[number::num_chunks] = number
        >>> out = np.empty(3)
        >>> run_chunks(chunk, 2, out)
        >>> out.tolist()
        [0.0, 1.0, 0.0]
    """
    others = [_pool().submit(chunk, i, num_chunks, *arrays) for i in range(1, num_chunks)]
    try:
        chunk(0, max(1, num_chunks), *arrays)
    finally:  # whatever happened here, nobody writes to the arrays once this has returned
        wait(others)
    for other in others:
        other.result()


@cache
def _pool() -> ThreadPoolExecutor:
    """Makes the threads of this process; one forked from it has none of them, and makes its own."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_pool.cache_clear)
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="graphattn")


def read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Views an array as a plain, contiguous, read-only one, so that kernels compile once.

    Args:
        array: Any array, memory-mapped ones included.

    Returns:
        A view, or a copy where the array is not contiguous.

    Example:
        >>> read_only(np.arange(3)).flags.writeable
        False
    """
    view = np.ascontiguousarray(array).view(np.ndarray)
    view = view[:] if view is array else view
    view.flags.writeable = False
    return view
