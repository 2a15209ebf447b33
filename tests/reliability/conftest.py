"""What faults are made with: small graphs on disk, processes to be killed, no network, no room."""

import functools
import http.server
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphattn import cli
from graphattn.datasets import download
from graphattn.datasets.twin import write_twin

NODES = 12
MODELS = {
    "gcn": ["--model.name", "gcn", "--model.hidden_channels", "4"],
    "largegt": [
        *("--model.name", "largegt", "--model.hidden_channels", "8", "--model.codebook_size", "8"),
        *("--tokens.num_samples", "4", "--train.batch_size", "4"),
    ],
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, with a cache of its own and no folder of data sets."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRAPHATTN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GRAPHATTN_DATA", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


@pytest.fixture
def command(here: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command line; its exit code must be the one given, a refusal one sentence."""

    def run(*argv: str, code: int = 0) -> str:
        capfd.readouterr()
        found = cli.main([str(arg) for arg in argv])
        shown = capfd.readouterr()
        assert found == code, shown.err
        assert "Traceback" not in shown.err
        if code in (2, 3, 4):
            assert shown.err.splitlines()[-1].startswith("graphattn: ")
        return shown.out + shown.err

    return run


@pytest.fixture
def train(command: Callable[..., str]) -> Callable[..., str]:
    """Train two epochs of a small model, on `data.npz` unless told otherwise."""

    def run(*argv: str, model: str = "gcn", code: int = 0) -> str:
        given = [] if "--data.name" in argv else ["--data.name", "data.npz"]
        short = [*given, *MODELS[model], "--train.epochs", "2"]
        return command("train", *short, *argv, code=code)

    return run


@pytest.fixture
def save(here: Path) -> Callable[..., dict[str, np.ndarray]]:
    """Write `data.npz`, a ring of 12 nodes of two classes, with what is given put in its place."""

    def write(path: str = "data.npz", **changes: Any) -> dict[str, np.ndarray]:
        node = np.arange(NODES)
        ahead = np.stack([node, (node + 1) % NODES])
        parts = {key: node % 3 == i for i, key in enumerate(("train", "val", "test"))}
        arrays = {
            "edge_index": np.concatenate([ahead, ahead[::-1]], axis=1),
            "x": np.random.default_rng(0).standard_normal((NODES, 3)).astype(np.float32),
            "y": node // 3 % 2,
            **{f"{key}_mask": mask for key, mask in parts.items()},
            **changes,
        }
        arrays = {key: array for key, array in arrays.items() if array is not None}
        np.savez(path, **arrays)
        return arrays

    return write


def weights(run: str = "runs/data-gcn", part: str = "best") -> bytes:
    """The weights of the first run in a folder, byte for byte."""
    return (Path(run) / "split0-seed0" / part / "weights.safetensors").read_bytes()


@pytest.fixture(name="weights")
def _weights() -> Callable[..., bytes]:
    return weights


@pytest.fixture(scope="session")
def _twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("twin")
    write_twin("ogbn-arxiv", root, scale=0.002, progress=False)
    return root


@pytest.fixture
def arxiv(_twin: Path, here: Path) -> Path:
    """A folder `ogb` of one's own with a small twin of ogbn-arxiv; its data set's folder."""
    shutil.copytree(_twin / "ogbn_arxiv", here / "ogb" / "ogbn_arxiv")
    return here / "ogb" / "ogbn_arxiv"


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No name is resolved and no socket opened; who tried is in the list."""
    tried: list[str] = []

    def refuse(*args: Any, **_: Any) -> None:
        tried.append(str(args))
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    for name in ("getaddrinfo", "create_connection", "socket"):
        monkeypatch.setattr(socket, name, refuse)
    monkeypatch.setattr(download, "_WAITS", (0.0,))
    return tried


class _Handler(http.server.BaseHTTPRequestHandler):
    """Serves one body, resumed where asked; the first answers may be cut."""

    protocol_version = "HTTP/1.1"

    def __init__(self, state: dict[str, Any], *args: Any) -> None:
        self.state = state
        super().__init__(*args)

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""

    def do_GET(self) -> None:
        body, asked = self.state["body"], self.headers.get("Range")
        self.state["ranges"].append(asked)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("ETag", '"one"')
        self.send_header("Content-Length", str(self.state.get("length") or len(body) - start))
        self.end_headers()
        cut = self.state["cuts"].pop(0) if self.state["cuts"] else len(body)
        self.wfile.write(body[start:cut])
        self.close_connection = True


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """A server on this machine in the place of OGB's: `body`, `cuts`, and the `ranges` it saw."""
    state: dict[str, Any] = {"body": b"", "cuts": [], "ranges": []}
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, state))
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    place = f"http://127.0.0.1:{running.server_port}"
    monkeypatch.setattr("graphattn.datasets.ogb_table._PLACE", place)
    monkeypatch.setattr(download, "_WAITS", (0.0,))
    yield state
    running.shutdown()
    running.server_close()
    thread.join()


_NURSERY = """
import importlib, json, os, signal, sys, time, traceback
for name in sys.argv[1].split(","):
    importlib.import_module(name)
for line in sys.stdin:
    job = json.loads(line)
    if "wait" in job:
        until = time.monotonic() + job["seconds"]
        found, status = os.waitpid(job["wait"], os.WNOHANG)
        while not found:
            time.sleep(0.01)
            if time.monotonic() > until:
                os.kill(job["wait"], signal.SIGKILL)
                found, status = 0, None
                os.waitpid(job["wait"], 0)
                break
            found, status = os.waitpid(job["wait"], os.WNOHANG)
        print(None if status is None else os.waitstatus_to_exitcode(status), flush=True)
        continue
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            for fd, path in ((1, job["said"]), (2, job["said"])):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), fd)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.chdir(job["cwd"])
            os.environ.update(job["env"])
            sys.path[:0] = job["path"]
            exec(job["code"], {"__name__": "job", "ARGV": job["argv"]})
            code = 0
        except SystemExit as error:
            code = error.code or 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    print(pid, flush=True)
"""
RUN = "from graphattn import cli; raise SystemExit(cli.main(ARGV))"


class Job:
    """A process of its own: its number, what it said, and how it ended."""

    def __init__(self, nursery: "Nursery", pid: int, said: Path) -> None:
        self.pid, self._nursery, self._said = pid, nursery, said

    @property
    def said(self) -> str:
        """All it wrote, to either stream."""
        return self._said.read_text() if self._said.exists() else ""

    def wait(self, seconds: float = 60.0) -> int | None:
        """The exit code, negative for a signal; none if it had to be ended after that time."""
        return self._nursery.ask({"wait": self.pid, "seconds": seconds})


class Nursery:
    """A process that has imported all there is, and forks: what it starts can be killed at once."""

    def __init__(self, imports: str) -> None:
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "NUMBA_NUM_THREADS": "4",
            "NUMBA_THREADING_LAYER": "workqueue",  # the one that survives a fork
            "OMP_NUM_THREADS": "1",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-c", _NURSERY, imports],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._count = 0

    def ask(self, job: dict[str, Any]) -> Any:
        """Hand in a job and read the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline().replace("None", "null"))

    def start(
        self, *argv: object, code: str = RUN, path: tuple[str, ...] = (), **environment: str
    ) -> Job:
        """Start a command line, or other code that finds its words in ARGV, in this folder."""
        self._count += 1
        said = Path.cwd() / f".said-{self._count}"
        job = {
            "code": code,
            "argv": [str(arg) for arg in argv],
            "cwd": str(Path.cwd()),
            "env": environment,
            "said": str(said),
            "path": list(path),
        }
        return Job(self, self.ask(job), said)

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Processes that begin with graphattn imported."""
    made = Nursery("graphattn.commands.data,graphattn.commands.tokenize,graphattn.commands.train")
    yield made
    made.close()


@pytest.fixture(scope="session")
def bare_nursery() -> Iterator[Nursery]:
    """Processes that begin with torch imported, but neither PyG nor graphattn."""
    made = Nursery("torch,torch._dynamo,sklearn.datasets,numba,scipy.sparse,networkx,jsonargparse")
    yield made
    made.close()
