"""How much memory may be used: of the machine, or of a limit that somebody has set."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.array_utils import byte_bounds

_SHARE = 0.8  # of the memory that is free, to be used unless a limit is set
_MARGIN = 1 << 28  # bytes kept free below a limit, for what is small: loaded kernels, blocks
_PAGE = 4096
_PAGE_OUT = 21  # MADV_PAGEOUT: pages of files are let go, those written to are kept (Linux 5.4)
_LIMIT: ContextVar[int | None] = ContextVar("limit", default=None)


def available_memory() -> int:
    """Tells how many bytes could be allocated now without swapping.

    Where the system does not say (it is asked for ``MemAvailable``, on Linux), half of what there
    is.

    Example:
        >>> available_memory() > 0
        True
    """
    found = _field("/proc/meminfo", "MemAvailable")
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2 if found is None else found


@contextmanager
def memory_limit(limit: int | None) -> Iterator[None]:
    """Keeps what runs inside within a number of bytes, where it can work in pieces.

    Tables are then computed in slices that fit, by way of the disk, and mapped files are let go of
    as soon as they were read (:func:`release`), so that they do not count as memory of the process.

    Args:
        limit: Bytes the whole process may take, what it holds already included; None for no limit.

    Raises:
        ValueError: The process takes more than that already.

    Example:
        >>> with memory_limit(10**15):
        ...     usable_memory() > 10**14
        True
    """
    held = held_memory()
    if limit is not None and limit <= held + _MARGIN:
        raise ValueError(
            f"memory must be more than the {(held + _MARGIN) / 1e9:.2g} GB that Python and torch "
            f"take alone: got {limit / 1e9:.2g} GB."
        )
    token = _LIMIT.set(limit)
    try:
        yield
    finally:
        _LIMIT.reset(token)


def held_memory() -> int:
    """Tells how many bytes the process holds; 0 where the system does not say.

    Example:
        >>> held_memory() >= 0
        True
    """
    return _field("/proc/self/status", "VmRSS") or 0


def usable_memory() -> int:
    """Tells how many more bytes may be used: up to the limit, or four fifths of what is free.

    Example:
        >>> usable_memory() > 0
        True
    """
    limit = _LIMIT.get()
    if limit is None:
        return int(_SHARE * available_memory())
    return max(0, limit - _MARGIN - held_memory())


def release(array: npt.NDArray[Any]) -> None:
    """Lets go of the pages of a mapped array that was read, inside :func:`memory_limit` alone.

    They are read again from the file where they are needed again. Other arrays, and pages that were
    written to, keep what they hold.

    Args:
        array: Or a part of one; what lies between its rows is let go of too.

    Example:
        >>> x = np.ones(10_000)
        >>> with memory_limit(10**15):
        ...     release(x)
        >>> x.sum()
        np.float64(10000.0)
    """
    if _LIMIT.get() is None or sys.platform != "linux" or not array.size or _owner(array):
        return
    first, end = byte_bounds(array)
    start = first - first % _PAGE
    ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _PAGE_OUT)


def _owner(array: npt.NDArray[Any]) -> bool:
    """Whether the memory was allocated by NumPy, and so is no file's."""
    base: Any = array
    while isinstance(base, np.ndarray):
        if base.flags.owndata:
            return True
        base = base.base
    return False


def _field(path: str, name: str) -> int | None:
    """Reads a number of kilobytes from one of the system's lists, in bytes."""
    try:
        lines = Path(path).read_text(encoding="ascii").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
    except (OSError, StopIteration):
        return None
