"""What every launch of a parallel kernel needs: one at a time, its chunks, arrays of one type."""

import threading
from typing import Any

import numpy as np
import numpy.typing as npt

LAUNCH = threading.Lock()
"""Held while a parallel kernel runs: one of numba's threading layers aborts the process when two
Python threads enter parallel kernels at once, and a kernel uses all cores anyway."""


def run_chunks(chunk: Any, chunks: Any, num_chunks: int, *arrays: Any) -> None:
    """Runs a kernel, in parallel only where there is more than one chunk of work.

    Each kernel has a ``chunks`` of its own: one for all, given the kernel as an argument, would be
    compiled anew in every process, for numba's cache knows no such argument again.

    Args:
        chunk: Compiled; takes the number of a chunk, how many there are, and the arrays.
        chunks: Compiled for threads; takes how many chunks there are, and the arrays, and calls
            ``chunk`` for each.
        num_chunks: Chunks, about one a thread. One wakes no thread.
        arrays: What both take besides.

    Example:
        >>> def chunk(number, num_chunks, out):
        ...     out[number::num_chunks] = number
        >>> out = np.empty(3)
        >>> run_chunks(chunk, None, 1, out)
        >>> out.tolist()
        [0.0, 0.0, 0.0]
    """
    if num_chunks < 2:
        chunk(0, 1, *arrays)
    else:
        with LAUNCH:
            chunks(num_chunks, *arrays)


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
