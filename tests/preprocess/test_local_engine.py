"""Processes of this machine: killed ones are replaced, errors travel, bits do not change."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from preprocess_tasks import Adding, Dying, Plagued, Raising
from stores import contents, made

from graphattn.cli import exit_code
from graphattn.corrupt import CorruptFile
from graphattn.preprocess.engine import WorkerLost
from graphattn.preprocess.features import build_store
from graphattn.preprocess.local_engine import LocalEngine
from graphattn.sampling.store import TokenStore

pytestmark = pytest.mark.distributed


@pytest.fixture(scope="module")
def engine():
    with LocalEngine(2, retries=1) as engine:
        yield engine


def test_two_workers_give_the_bytes_of_one_process(tmp_path, engine):
    graph, x = made(300, 40, edges=5)
    TokenStore.build(tmp_path / "one", graph, x, shard_rows=128, progress=False)
    build_store(tmp_path / "two", graph, x, engine=engine, shard_rows=128, progress=False)
    assert contents(tmp_path / "two") == contents(tmp_path / "one")


def test_workers_killed_while_a_store_is_built_change_no_bit(tmp_path, engine):
    graph, x = made(300, 40, edges=5)
    options = {"shard_rows": 128, "progress": False}
    TokenStore.build(tmp_path / "one", graph, x, **options)
    (tmp_path / "marks").mkdir()
    plagued = Plagued(engine, tmp_path / "marks")
    build_store(tmp_path / "two", graph, x, engine=plagued, **options)
    assert len(list((tmp_path / "marks").iterdir())) == plagued.runs == 3
    assert contents(tmp_path / "two") == contents(tmp_path / "one")


def test_a_killed_worker_is_replaced_and_its_task_tried_again(tmp_path, engine):
    tasks = [Adding(f"add{i}", i) for i in range(5)] + [Dying("dying", tmp_path, 1)]
    done = {task.name: result for task, result in engine.run(tasks)}
    assert len(done) == 6 and [done[f"add{i}"] for i in range(5)] == [1, 2, 3, 4, 5]
    assert done["dying"] not in (os.getpid(), None)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_task_that_kills_every_worker_is_given_up(tmp_path, engine):
    with pytest.raises(WorkerLost) as caught:
        list(engine.run([Dying("features-00003.npy", tmp_path, 99)]))
    assert str(caught.value).startswith(
        "features-00003.npy could not be made: 2 workers tried, the last was killed by SIGKILL; "
    )
    assert exit_code(caught.value) == 3
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("error", "code"),
    [(ValueError("heads"), 2), (CorruptFile("torn"), 4), (OSError(28, "full"), 3)],
)
def test_an_error_of_a_task_is_that_of_the_run(engine, error, code):
    with pytest.raises(type(error), match=str(error.args[-1])) as caught:
        list(engine.run([Raising("raising", error)]))
    assert exit_code(caught.value) == code


BUILD = """
import os, signal, sys, numpy as np, torch
from graphattn.graph import CSRGraph
from graphattn.preprocess.features import build_store
from graphattn.preprocess.local_engine import LocalEngine

class Killed(LocalEngine):
    done = 0

    def run(self, tasks):
        for task, result in super().run(tasks):
            yield task, result
            Killed.done += 1
            if Killed.done == 3:
                print(*(worker.process.pid for worker in self._workers), flush=True)
                os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    generator = np.random.default_rng(0)
    graph = CSRGraph.from_edge_index(generator.integers(300, size=(2, 1500)), 300)
    x = torch.from_numpy(generator.standard_normal((300, 40))).float()
    with Killed(1) as engine:
        build_store(sys.argv[1], graph, x, engine=engine, partitions=3, progress=False)
"""


def test_case_26_a_killed_driver_leaves_what_is_done_and_no_worker(tmp_path):
    graph, x = made(300, 40, edges=5)
    TokenStore.build(tmp_path / "whole", graph, x, progress=False)
    (tmp_path / "build.py").write_text(BUILD)
    command = [sys.executable, str(tmp_path / "build.py"), str(tmp_path / "s")]
    killed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    workers = [int(word) for word in killed.stdout.split()]
    assert len(workers) == 1
    for _ in range(600):
        if not any(_runs(pid) for pid in workers):
            break
        time.sleep(0.05)
    assert not any(_runs(pid) for pid in workers)
    work = tmp_path / ".s.building"
    before = json.loads((work / "journal.json").read_text())["files"]
    assert sum(name.startswith("hops/in") for name in before) == 3

    class Counting(LocalEngine):
        done = 0

        def run(self, tasks):
            for pair in super().run(tasks):
                self.done += 1
                yield pair

    rest = Counting(0)
    build_store(tmp_path / "s", graph, x, engine=rest, partitions=3, progress=False)
    assert rest.done == 3 + 1  # the second hop, and the shard
    assert contents(tmp_path / "s") == contents(tmp_path / "whole")


def _runs(pid):
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def test_options_out_of_range():
    with pytest.raises(ValueError, match="workers must be at least 0: got workers=-1"):
        LocalEngine(-1)
    with pytest.raises(ValueError, match="retries must be at least 0"):
        LocalEngine(1, retries=-1)
    assert LocalEngine(2).memory < LocalEngine(1).memory
    assert LocalEngine(2, memory=5).memory == 5
