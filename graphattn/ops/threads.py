"""How many threads kernels use: as many as torch, whose own number they leave alone."""

from collections.abc import Iterator
from contextlib import contextmanager

import numba
import torch

_LAUNCHED = numba.get_num_threads()  # as many as numba ever starts; set_num_threads takes no more


@contextmanager
def as_many_threads_as_torch() -> Iterator[None]:
    """Runs numba kernels on as many threads as torch is set to, and keeps torch's number.

    Where numba and torch share one OpenMP, a parallel kernel would set torch's number of threads
    to its own, and with it the last bits of whatever torch computes next.

    Example:
        >>> with as_many_threads_as_torch():
        ...     numba.get_num_threads() <= torch.get_num_threads()
        True
    """
    threads, before = torch.get_num_threads(), numba.get_num_threads()
    numba.set_num_threads(max(1, min(threads, _LAUNCHED)))
    try:
        yield
    finally:
        numba.set_num_threads(before)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
