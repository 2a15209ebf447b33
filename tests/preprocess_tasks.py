"""Tasks that misbehave, in a module that workers can import."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphattn.preprocess.engine import Engine


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
    """Adds one to a number."""

    name: str
    number: int

    def __call__(self):
        return self.number + 1


@dataclass(frozen=True)
class KilledOnce:
    """A task whose worker is killed the first time: before the work, or just after it."""

    task: Any
    folder: Path
    after: bool

    @property
    def name(self):
        return self.task.name

    def __call__(self):
        mark = self.folder / self.task.name.replace("/", " ")
        first = not mark.exists()
        mark.touch()
        if first and not self.after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = self.task()
        if first:
            os.kill(os.getpid(), signal.SIGKILL)
        return result


class Plagued(Engine):
    """An engine that loses a worker at the first task of every kind; by turns before and after."""

    def __init__(self, engine, folder):
        self.engine, self.folder, self.runs = engine, folder, 0

    @property
    def workers(self):
        return self.engine.workers

    @property
    def memory(self):
        return self.engine.memory

    def close(self):
        self.engine.close()

    def run(self, tasks):
        if not tasks:
            return
        self.runs += 1
        killed = KilledOnce(tasks[0], self.folder, bool(self.runs % 2))
        for task, result in self.engine.run([killed, *tasks[1:]]):
            yield getattr(task, "task", task), result
