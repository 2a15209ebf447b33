"""Tasks on the processes of this machine."""

import multiprocessing
import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

import torch

from graphattn.checks import check_least
from graphattn.memory import usable_memory
from graphattn.preprocess.engine import AnyTask, Engine, Task, WorkerLost

_SPAWN = multiprocessing.get_context("spawn")  # a fork copies locks that other threads hold
_BEFORE = 400_000_000  # bytes a worker takes before it does anything: Python, torch, kernels


@dataclass
class _Worker:
    process: SpawnProcess
    pipe: Connection
    ready: bool = False
    task: tuple[Any, int] | None = field(default=None)  # what it works at, and the try it is


class LocalEngine(Engine):
    """Runs tasks on processes that are started anew, so that they share nothing with this one.

    A script that uses it must not do so while it is imported: its workers import it too, as those
    of :mod:`multiprocessing` do.

    Args:
        workers: Processes, by default one a core; 0 runs everything in this process.
        retries: How often a task is given to another worker after one has died of it.
        memory: Bytes that the tables of one worker may take; by default its part of what is free.

    Raises:
        ValueError: A number is below 0.

    Example:
        >>> with LocalEngine(0) as engine:
        ...     engine.workers, list(engine.run([]))
        (0, [])
    """

    def __init__(
        self, workers: int | None = None, *, retries: int = 3, memory: int | None = None
    ) -> None:
        check_least(0, retries=retries)
        if workers is not None:
            check_least(0, workers=workers)
        self._count = _cores() if workers is None else workers
        self._retries, self._memory = retries, memory
        self._workers: list[_Worker] = []

    @property
    def workers(self) -> int:
        """How many processes there are."""
        return self._count

    @property
    def memory(self) -> int:
        """Bytes that the tables of one worker may take."""
        if self._memory is None and self._count:
            return max(0, usable_memory() // self._count - _BEFORE)
        return usable_memory() if self._memory is None else self._memory

    def run(self, tasks: Sequence[AnyTask]) -> Iterator[tuple[AnyTask, Any]]:
        """Runs tasks; see :meth:`Engine.run`."""
        if not self._count:
            for task in tasks:
                yield task, task()
            return
        waiting = deque((task, 1) for task in tasks)
        done = 0
        try:
            while done < len(tasks):
                while len(self._workers) < min(self._count, len(tasks) - done):
                    self._workers.append(self._start())
                for worker in self._workers:
                    if worker.ready and not worker.task and waiting:
                        worker.task = waiting.popleft()
                        _send(worker.pipe, worker.task[0])
                for pipe in wait([worker.pipe for worker in self._workers]):
                    worker = next(worker for worker in self._workers if worker.pipe is pipe)
                    answer = self._answer(worker)
                    if answer is None:
                        waiting.extendleft(self._lost(worker, waiting))
                    elif worker.task:
                        task, worker.task = worker.task[0], None
                        done += 1
                        yield task, answer[0]
        finally:
            if any(worker.task for worker in self._workers):
                self.close()  # whoever stops early does not wait for what was begun

    def _answer(self, worker: _Worker) -> tuple[Any] | None:
        """What a worker says; None where it has ended."""
        try:
            kind, content = worker.pipe.recv()
        except (EOFError, OSError):
            return None
        if kind == "raised":
            worker.task = None
            raise content
        worker.ready = True
        return (content,)

    def _lost(self, worker: _Worker, waiting: "deque[Any]") -> list[tuple[Any, int]]:
        """Buries a worker; returns the task that it had, or would have had, to be tried again."""
        self._workers.remove(worker)
        worker.pipe.close()
        worker.process.join()
        code = worker.process.exitcode or 0
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        guard = " before it began (is the call guarded by `if __name__ == '__main__':`?)"
        why = how if worker.ready else how + guard
        if not worker.task and not waiting:
            return []
        task, tries = worker.task or waiting.popleft()
        if tries > self._retries:
            raise WorkerLost(task.name, tries, why)
        return [(task, tries + 1)]

    def _start(self) -> _Worker:
        ours, theirs = _SPAWN.Pipe()
        threads = max(1, _cores() // self._count)
        process = _SPAWN.Process(target=_serve, args=(theirs, threads), daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def close(self) -> None:
        """Ends the workers: what they are at is left undone, and never half written."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
            worker.pipe.close()
        self._workers = []


def _send(pipe: Connection, task: Task) -> None:
    try:
        pipe.send(task)
    except OSError:
        return  # it has ended, which the next look at its pipe finds


def _serve(pipe: Connection, threads: int) -> None:
    """What a worker does: task after task, until the other end is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the first one decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    pipe.send(("ready", None))
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(("done", task()))
        except Exception as error:  # told to whoever gave the task
            pipe.send(("raised", _portable(error)))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _portable(error: Exception) -> Exception:
    """The error, or its words where it cannot travel."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _cores() -> int:
    known = getattr(os, "sched_getaffinity", None)
    return len(known(0)) if known else os.cpu_count() or 1
