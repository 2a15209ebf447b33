"""What every launch of a parallel kernel needs: one at a time, and arrays of one type."""

import threading
from typing import Any

import numpy as np
import numpy.typing as npt

LAUNCH = threading.Lock()
"""Held while a parallel kernel runs: one of numba's threading layers aborts the process when two
Python threads enter parallel kernels at once, and a kernel uses all cores anyway."""


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
