"""Tasks on a Ray cluster: this machine alone, or those of a running cluster."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from graphattn.checks import check_least
from graphattn.preprocess.engine import AnyTask, Engine, Task, WorkerLost
from graphattn.ray_cluster import import_ray, start_ray

_SHARE = 0.8  # of a machine's memory, for tables


class RayEngine(Engine):
    """Runs tasks on Ray's workers.

    Tasks carry paths, not arrays: every machine must see the folder that is made under the same
    path, and have the same graphattn. Ray authenticates nobody: use private networks only.

    Args:
        workers: Tasks at once, by default one a core of the cluster; fewer have more cores each.
        address: Of a running cluster, such as ``"10.0.0.1:6379"``, or ``"auto"`` for the one that
            this machine belongs to; by default one is started here, on the loopback interface and
            without dashboard, and ended by :meth:`close`. Where Ray runs in this process, it is
            used as it is.
        retries: How often a task is given to another worker after one has died of it.
        memory: Bytes that the tables of one worker may take; by default its part of the memory of
            the smallest machine.

    Raises:
        ImportError: Ray is not installed.
        ConnectionError: There is no cluster at the address.
        ValueError: A number is out of its range.

    Example:
        >>> RayEngine(0)
        Traceback (most recent call last):
        ...
        ValueError: workers must be at least 1: got workers=0.
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        address: str | None = None,
        retries: int = 3,
        memory: int | None = None,
    ) -> None:
        check_least(0, retries=retries)
        if workers is not None:
            check_least(1, workers=workers)
        self._ray, self._retries, self._memory = import_ray(), retries, memory
        self._started = not self._ray.is_initialized()
        if self._started:
            start_ray(self._ray, workers, address)
        cores = [int(node["Resources"].get("CPU", 0)) for node in self._nodes()]
        self._count = workers or max(1, sum(cores))
        self._threads = max(1, min(sum(cores) // self._count, max(cores, default=1)))
        options = {"num_cpus": self._threads, "max_retries": retries, "retry_exceptions": False}
        self._call = self._ray.remote(**options)(_do)

    @property
    def workers(self) -> int:
        """How many tasks run at once."""
        return self._count

    @property
    def memory(self) -> int:
        """Bytes that the tables of one worker may take."""
        if self._memory is not None:
            return self._memory
        parts = []
        for node in self._nodes():
            has = node["Resources"]
            at_once = min(self._count, int(has.get("CPU", 0)) // self._threads)
            if at_once:
                parts.append(int(_SHARE * has.get("memory", 0) / at_once))
        return min(parts, default=0)

    def _nodes(self) -> list[dict[str, Any]]:
        """The machines of the cluster."""
        return [node for node in self._ray.nodes() if node["Alive"]]

    def run(self, tasks: Sequence[AnyTask]) -> Iterator[tuple[AnyTask, Any]]:
        """Runs tasks; see :meth:`Engine.run`."""
        ray, rest = self._ray, iter(tasks)
        begun: dict[Any, AnyTask] = {}
        try:
            while True:
                for task in rest:
                    begun[self._call.options(name=task.name).remote(task, self._threads)] = task
                    if len(begun) >= self._count:
                        break
                if not begun:
                    return
                (ready, *_), _ = ray.wait(list(begun), num_returns=1)
                task = begun.pop(ready)
                yield task, self._result(ready, task)
        finally:
            for reference in begun:  # whoever stops early does not wait for what was begun
                ray.cancel(reference, force=True)

    def _result(self, reference: Any, task: Task) -> Any:
        failed = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except failed.RayTaskError as error:
            if isinstance(error.cause, failed.RayError):
                raise ImportError(
                    f"a worker could not read its task ({_first(error.cause)}): all machines need "
                    "the same graphattn and the same Python."
                ) from error
            raise error.cause from error
        except failed.RayError as error:
            why = f"was lost ({type(error).__name__}: {_first(error)})"
            raise WorkerLost(task.name, 1 + self._retries, why) from error

    def close(self) -> None:
        """Leaves the cluster; ends it where it was started here."""
        if self._started:
            self._ray.shutdown()
            self._started = False


def _do(task: Task, threads: int) -> Any:
    torch.set_num_threads(threads)
    return task()


def _first(error: BaseException) -> str:
    """The first sentence of what Ray says."""
    return str(error).strip().partition("\n")[0].partition(". ")[0].rstrip(".")
