"""What runs the tasks of preprocessing: any number of workers, each task until it is done."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar, runtime_checkable


@runtime_checkable
class Task(Protocol):
    """Work that a worker does: a pure function of files that writes a file, whole or not at all.

    It can be pickled, knows files by paths that all machines share, and may be run twice.
    """

    @property
    def name(self) -> str:
        """What it makes, for messages."""

    def __call__(self) -> Any:
        """Does the work, and returns something small."""


AnyTask = TypeVar("AnyTask", bound=Task)


class WorkerLost(OSError):  # noqa: N818 - reads as what happened
    """A task was given up, because each worker that tried it ended.

    Args:
        name: What the task makes.
        tries: How many workers tried.
        why: What became of the last one.

    Example:
        >>> print(WorkerLost("features-00003.npy", 4, "was killed by SIGKILL"))
        features-00003.npy could not be made: 4 workers tried, the last was killed by SIGKILL; ...
    """

    def __init__(self, name: str, tries: int, why: str) -> None:
        self.name, self.tries = name, tries
        workers = "the only worker that tried" if tries == 1 else f"{tries} workers tried, the last"
        super().__init__(
            f"{name} could not be made: {workers} {why}; where memory was short, give fewer "
            "workers; the same command goes on from what is done."
        )


class Engine(AbstractContextManager["Engine"], ABC):
    """Runs tasks on workers; use it in a ``with`` block, which ends the workers.

    A task whose worker ends (killed, out of memory, its machine lost) is given to another one, a
    bounded number of times. An error that a task raises is raised to whoever iterates.
    """

    @property
    @abstractmethod
    def workers(self) -> int:
        """How many tasks run at once; 0 where this process does all."""

    @property
    @abstractmethod
    def memory(self) -> int:
        """Bytes that the tables of one worker may take."""

    @abstractmethod
    def run(self, tasks: Sequence[AnyTask]) -> Iterator[tuple[AnyTask, Any]]:
        """Runs tasks, in any order.

        Args:
            tasks: What is to be done.

        Yields:
            Each task when it is done, and what it returned.

        Raises:
            WorkerLost: A task was tried too often.
        """

    @abstractmethod
    def close(self) -> None:
        """Ends the workers."""

    def __exit__(self, *_: object) -> None:
        """Ends the workers."""
        self.close()
