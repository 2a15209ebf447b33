"""Tasks that misbehave, in a module that workers can import."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Dying:
    """Kills its worker, the first ``times`` times that it is tried; then says who did it."""

    name: str
    folder: Path
    times: int

    def __call__(self):
        tries = len(list(self.folder.glob(f"{self.name}-*")))
        (self.folder / f"{self.name}-{tries}").touch()
        if tries < self.times:
            os.kill(os.getpid(), signal.SIGKILL)
        return os.getpid()


@dataclass(frozen=True)
class Raising:
    """Raises an error of its own making."""

    name: str
    error: Exception

    def __call__(self):
        raise self.error


@dataclass(frozen=True)
class Adding:
    """Adds a number to a file that tells who has it, and waits for the others."""

    name: str
    number: int

    def __call__(self):
        return self.number + 1
