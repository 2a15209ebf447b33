"""What a run costs: its peak of memory, on the host and on the accelerator."""

import sys
from contextlib import suppress
from pathlib import Path

import torch

try:
    import resource
except ImportError:  # Windows has none
    resource = None  # type: ignore[assignment]

_PROC = Path("/proc/self")


def reset_peak(device: torch.device) -> None:
    """Begin a new peak for this process, where the system can, so that runs do not inherit one.

    Example:
        >>> reset_peak(torch.device("cpu"))
    """
    with suppress(OSError):  # Not Linux, or not allowed: it counts from the start of the process.
        (_PROC / "clear_refs").write_text("5")
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory() -> int:
    """Return the most memory this process has had in use since the last reset, in bytes.

    Example:
        >>> peak_memory() > 1_000_000
        True
    """
    with suppress(OSError):  # Not Linux.
        for line in (_PROC / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    if resource is None:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def peak_cuda(device: torch.device) -> int:
    """Return the most memory held on a CUDA device since the last reset, in bytes; 0 on others.

    Example:
        >>> peak_cuda(torch.device("cpu"))
        0
    """
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
