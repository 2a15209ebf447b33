"""Kernels: numba functions of plain arrays. What numba compiles is kept in the folder `CACHE`."""

import atexit
import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numba

_LOG = logging.getLogger(__name__)


def _cache() -> Path | None:
    """Finds where numba keeps what it compiles: NUMBA_CACHE_DIR, beside this file, or at home.

    Where it can write to none of them it refuses to define a kernel at all; it is then given a
    folder that goes with the process.
    """

    def probe() -> None:
        """Has a place in the cache like any kernel, and is never compiled."""

    try:
        return Path(str(numba.njit(cache=True)(probe).stats.cache_path))
    except RuntimeError:
        folder = tempfile.mkdtemp(prefix="graphattn-kernels-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        config: Any = numba.config
        config.CACHE_DIR = folder
        _LOG.warning(
            "no folder for compiled kernels can be written, so this process compiles them for "
            "itself alone: set NUMBA_CACHE_DIR to one that can."
        )
        return None


CACHE = _cache()
"""Where compiled kernels are kept for later processes; none if they go with this one."""
