"""What long work will take, step by step, said before it starts."""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_TRIAL = 1 << 25  # bytes that are written and read to learn the rates of a disk


@dataclass(frozen=True)
class PlanStep:
    """A step of long work.

    Args:
        what: In a few words.
        passes: How often what is read is read.
        read: Bytes read, all passes together.
        written: Bytes written.
        memory: Bytes held at most, what the process holds before it included.
        disk: Bytes on the disk that are there only while the step lasts.
        seconds: At rates measured on this machine.
    """

    what: str
    passes: int
    read: int
    written: int
    memory: int
    seconds: float
    disk: int = 0


@dataclass(frozen=True)
class Plan:
    """Steps of long work, one after the other; ``str`` is a table of them.

    Args:
        steps: In their order; one that is done already is left out.
        kept: Bytes on the disk when all is done.
        free: Bytes that are free on that disk now.

    Example:
        >>> step = PlanStep("read", 1, 2 * 10**9, 10**9, 5 * 10**8, 90.0)
        >>> print(Plan([step], 10**9, 5 * 10**9))
        step      passes     reads    writes    memory     time
        read           1    2.0 GB    1.0 GB    0.5 GB    1.5 min
        in all                                  0.5 GB    1.5 min
        on the disk: 1.0 GB kept, 1.0 GB at most; 5.0 GB are free
    """

    steps: Sequence[PlanStep] = field(default_factory=list)
    kept: int = 0
    free: int = 0

    @property
    def memory(self) -> int:
        """Bytes held at most."""
        return max((step.memory for step in self.steps), default=0)

    @property
    def seconds(self) -> float:
        """Of all steps together."""
        return sum(step.seconds for step in self.steps)

    @property
    def disk(self) -> int:
        """Bytes on the disk at most."""
        there, most = 0, 0
        for step in self.steps:
            most = max(most, there + step.written + step.disk)
            there += step.written
        return max(most, self.kept)

    def __str__(self) -> str:
        """Lays the steps out, a line each, and their sums."""
        wide = max([len(step.what) for step in self.steps] + [len("in all")])
        lines = [f"{'step':{wide}}  passes     reads    writes    memory     time"]
        for step in self.steps:
            size = f"{_size(step.read)}{_size(step.written)}{_size(step.memory)}"
            lines.append(f"{step.what:{wide}}{step.passes:8}{size}{_time(step.seconds)}")
        lines.append(f"{'in all':{wide}}{'':28}{_size(self.memory)}{_time(self.seconds)}")
        lines.append(
            f"on the disk:{_size(self.kept, 0)} kept,{_size(self.disk, 0)} at most;"
            f"{_size(self.free, 0)} are free"
        )
        return "\n".join(lines)


def disk_rates(folder: Path) -> tuple[float, float]:
    """Measures a disk by a file of 32 MB.

    Args:
        folder: An existing folder on it.

    Returns:
        Seconds to write a byte, until it is safe, and to read one, as the system does it now.

    Raises:
        OSError: The folder cannot be written.

    Example:
        >>> all(seconds > 0 for seconds in disk_rates(Path(tempfile.gettempdir())))
        True
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        content = os.urandom(_TRIAL)

        def write() -> None:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

        written = timed(write)
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        file.seek(0)
        read = timed(file.read)
    return written / _TRIAL, read / _TRIAL


def timed(run: Callable[[], object]) -> float:
    """Returns how many seconds something takes.

    Example:
        >>> timed(lambda: None) < 1
        True
    """
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _size(count: int, width: int = 10) -> str:
    return f"{count / 1e9:.1f} GB".rjust(width) if width else f" {count / 1e9:.1f} GB"


def _time(seconds: float) -> str:
    text = f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
    return text.rjust(11)
