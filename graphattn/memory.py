"""How much memory may be used."""

import os
from pathlib import Path


def available_memory() -> int:
    """Tells how many bytes could be allocated now without swapping.

    Where the system does not say (it is asked for ``MemAvailable``, on Linux), half of what there
    is.

    Example:
        >>> available_memory() > 0
        True
    """
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if "MemAvailable" in line)
    except (OSError, StopIteration):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
