"""Ranks of one run on a Ray cluster: Ray finds them a machine, and each is as torchrun starts it.

These are plain actors of Ray Core, not Ray Train, which needs pyarrow and pandas and would bring a
second process group, second checkpoints and second reports beside those that the run has.
"""

import os
import queue
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

from graphattn.checks import check_least
from graphattn.ray_cluster import import_ray, start_ray

_ECHO = "because another rank ended or did not answer"  # RankLost: what follows from another's end
_GRACE = 30.0  # seconds to end by itself, as torchrun gives
_TURN = 0.5  # seconds between two looks at a rank


def train_on_ray(
    argv: Sequence[str],
    *,
    workers: int,
    address: str | None = None,
    device: str = "auto",
    patience: float = 600.0,
) -> int:
    """Run ``graphattn train`` on several ranks of a Ray cluster, until all have ended.

    What the first rank says is passed on line by line; what others say, where it is something else.
    A signal is passed on too, so that the ranks save and stop.

    Args:
        argv: What follows ``graphattn train``.
        workers: How many ranks, each with one core, and one GPU where it trains on GPUs.
        address: Of a running cluster, ``"auto"`` for the one of this machine, None to start one.
        device: What the run is told: "auto" takes GPUs where the cluster has one for each rank.
        patience: Seconds to wait for a place on the cluster.

    Returns:
        The exit code of the run.

    Raises:
        ValueError: There would be no rank, or the address is none.
        ImportError: Ray is not installed.
        ConnectionError: There is no cluster, or a worker of it was lost.
        OSError: The cluster is too small or too busy.

    Example:
        >>> train_on_ray(["--data.name", "karate"], workers=0)
        Traceback (most recent call last):
        ...
        ValueError: workers must be at least 1: got workers=0.
    """
    check_least(1, workers=workers)
    ray = import_ray()
    before = signal.getsignal(signal.SIGTERM)
    start_ray(ray, workers, address)
    if threading.current_thread() is threading.main_thread() and before is not None:
        signal.signal(signal.SIGTERM, before)  # Ray's own would end this process without a word
    try:
        actors, environments = _place(ray, workers, device, patience)
        for actor, environment in zip(actors, environments, strict=True):
            actor.start.remote(list(argv), environment, str(Path.cwd()))
        return _Watch(ray, actors).until_the_end()
    finally:
        ray.shutdown()


class _Place(NamedTuple):
    node: str
    host: str
    port: int
    gpus: str


def _place(
    ray: Any, workers: int, device: str, patience: float
) -> tuple[list[Any], list[dict[str, str]]]:
    """Find each rank a place; the first ones, which write, on this machine if there is room."""
    has = ray.cluster_resources()
    gpus = device.startswith("cuda") or (device == "auto" and has.get("GPU", 0) >= workers)
    for needed, what in (("CPU", "cores"), ("GPU", "GPUs"))[: 1 + gpus]:
        if has.get(needed, 0) < workers:
            raise OSError(
                f"{workers} workers need {workers} {what} of the Ray cluster: it has "
                f"{has.get(needed, 0):g}; give fewer --workers."
            )
    remote = ray.remote(num_cpus=1, num_gpus=int(gpus), max_restarts=0)(_Rank)
    actors = [remote.remote() for _ in range(workers)]
    try:
        places = [_Place(*p) for p in ray.get([a.place.remote() for a in actors], timeout=patience)]
    except ray.exceptions.GetTimeoutError as error:
        raise OSError(
            f"the Ray cluster had no room for {workers} workers within {patience:g} s: wait, or "
            "give fewer --workers."
        ) from error
    except ray.exceptions.RayError as error:
        first = str(error).strip().partition("\n")[0]
        raise ConnectionError(f"a Ray worker could not be started ({first}).") from error
    here = ray.get_runtime_context().get_node_id()
    order = sorted(range(workers), key=lambda i: (places[i].node != here, places[i].node))
    places = [places[i] for i in order]
    return [actors[i] for i in order], rank_environments(places)


def rank_environments(places: Sequence[_Place]) -> list[dict[str, str]]:
    """Return what torchrun would set for each rank, given where each is.

    A rank that Ray gave a GPU sees no other, so it is the only one of its machine to PyTorch.

    Example:
        >>> places = [_Place("a", "10.0.0.1", 5000, ""), _Place("b", "10.0.0.2", 5001, "")]
        >>> made = rank_environments(places)
        >>> made[1]["RANK"], made[1]["LOCAL_RANK"], made[1]["MASTER_ADDR"]
        ('1', '0', '10.0.0.1')
    """
    nodes = [place.node for place in places]
    host = places[0].host if len(set(nodes)) > 1 else "127.0.0.1"
    return [
        {
            "RANK": str(rank),
            "WORLD_SIZE": str(len(places)),
            "LOCAL_RANK": "0" if place.gpus else str(nodes[:rank].count(place.node)),
            "LOCAL_WORLD_SIZE": "1" if place.gpus else str(nodes.count(place.node)),
            "MASTER_ADDR": host,
            "MASTER_PORT": str(places[0].port),
            "CUDA_VISIBLE_DEVICES": place.gpus,
        }
        for rank, place in enumerate(places)
    ]


class _Rank:
    """An actor that keeps one rank's process, which ends with it."""

    def place(self) -> tuple[str, str, int, str]:
        import ray

        with socket.socket() as free:
            free.bind(("", 0))
            port = free.getsockname()[1]
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "") if ray.get_gpu_ids() else ""
        node = ray.get_runtime_context().get_node_id()
        util: Any = ray.util
        return node, util.get_node_ip_address(), port, gpus

    def start(self, argv: list[str], environment: Mapping[str, str], folder: str) -> None:
        known = {**os.environ, **environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self.lines: queue.Queue[tuple[str, str]] = queue.Queue()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "graphattn.training.on_ray", "train", *argv],
            stdin=subprocess.PIPE,  # whose end tells it that this actor is gone
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=known,
            cwd=folder,
            text=True,
            start_new_session=True,
        )
        streams = {"stdout": self.process.stdout, "stderr": self.process.stderr}
        self.readers = [
            threading.Thread(target=self._read, args=item, daemon=True) for item in streams.items()
        ]
        for reader in self.readers:
            reader.start()

    def _read(self, name: str, stream: IO[str]) -> None:
        for line in stream:
            self.lines.put((name, line))

    def watch(self, seconds: float) -> tuple[list[tuple[str, str]], int | None]:
        """Return what the process said since, and its exit code once it has ended."""
        code: int | None
        try:
            code = self.process.wait(seconds)
            for reader in self.readers:
                reader.join()
        except subprocess.TimeoutExpired:
            code = None
        return [self.lines.get_nowait() for _ in range(self.lines.qsize())], code

    def send(self, number: int) -> None:
        if self.process.poll() is None:
            self.process.send_signal(number)


@dataclass
class _Watch:
    """Passes on what ranks say and what signals come, until all have ended."""

    ray: Any
    actors: Sequence[Any]
    codes: dict[int, int] = field(default_factory=dict)
    said: dict[int, list[str]] = field(default_factory=dict)
    lost: dict[int, str] = field(default_factory=dict)
    signal: int | None = None
    deadline: float | None = None

    def until_the_end(self) -> int:
        while len(self.codes) < len(self.actors):
            try:
                self._look()
            except (KeyboardInterrupt, SystemExit) as stop:
                if self.signal is not None:  # the second time: at once
                    raise
                interrupt = isinstance(stop, KeyboardInterrupt)
                self.signal = signal.SIGINT if interrupt else signal.SIGTERM
                self._send(self.signal)
        return self._verdict()

    def _look(self) -> None:
        open_ = [rank for rank in range(len(self.actors)) if rank not in self.codes]
        for rank, watched in [(r, self.actors[r].watch.remote(_TURN)) for r in open_]:
            try:
                lines, code = self.ray.get(watched)
            except self.ray.exceptions.RayTaskError as error:
                cause = error.cause if isinstance(error.cause, OSError) else error
                self.lost[rank], lines, code = str(cause), [], 3
            except self.ray.exceptions.RayError as error:
                first = type(error).__name__
                self.lost[rank], lines, code = f"its Ray worker was lost ({first})", [], 3
            for stream, line in lines:
                self._say(rank, stream, line)
            if code is not None:
                self.codes[rank] = code
        if self.deadline is None and any(self.codes.values()):
            self.deadline = time.monotonic() + _GRACE
        if self.deadline is not None and time.monotonic() > self.deadline:
            self._send(signal.SIGKILL)

    def _say(self, rank: int, stream: str, line: str) -> None:
        self.said.setdefault(rank, []).append(line)
        if rank == 0 and _ECHO not in line:
            print(line, end="", flush=True, file=getattr(sys, stream))

    def _send(self, number: int) -> None:
        for rank, actor in enumerate(self.actors):
            if rank not in self.codes:
                actor.send.remote(number)

    def _verdict(self) -> int:
        texts = {r: [_bare(line) for line in lines] for r, lines in self.said.items()}
        for rank in sorted(set(texts) - {0}):
            for line, text in zip(self.said[rank], texts[rank], strict=True):
                if text not in texts.get(0, []) and _ECHO not in text:
                    print(line, end="", file=sys.stderr)
        if self.signal is not None:
            return 128 + self.signal
        killed = {r: signal.Signals(-c).name for r, c in self.codes.items() if c < 0}
        ended = self.lost or {r: f"it was ended by {name}" for r, name in killed.items()}
        for rank, why in ended.items():
            raise ConnectionError(
                f"rank {rank} did not finish: {why.rstrip('.')}; the same command goes on from the "
                "last checkpoint."
            )
        own = [c for r, c in sorted(self.codes.items()) if c and not _echoes(texts.get(r, []))]
        if any(self.codes.values()) and not own:
            raise ConnectionError("the ranks lost each other: the same command goes on.")
        return own[0] if own else 0


def _bare(line: str) -> str:
    return line.partition(": ")[2] if line.startswith("graphattn") else line


def _echoes(texts: Sequence[str]) -> bool:
    return any(_ECHO in text for text in texts[-2:])


def _main() -> None:
    """Be a rank, which stops when the actor that holds its standard input is gone."""

    def follow() -> None:
        os.read(0, 1)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_GRACE)
        os._exit(3)

    # Ray's workers do not listen to Ctrl-C, and what they start inherits that.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=follow, daemon=True).start()
    runpy.run_module("graphattn", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()
