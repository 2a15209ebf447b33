"""Ray's workers: any number of them gives the same bits, and killed ones are replaced."""

import importlib.util

import preprocess_tasks
import pytest
import torch
from preprocess_tasks import Adding, Dying, Plagued, Raising
from stores import contents, made

from graphattn.cli import exit_code
from graphattn.corrupt import CorruptFile
from graphattn.preprocess.draw import draw_tokens
from graphattn.preprocess.engine import WorkerLost
from graphattn.preprocess.features import build_store
from graphattn.preprocess.local_engine import LocalEngine
from graphattn.preprocess.ray_engine import RayEngine
from graphattn.sampling.recipe import Recipe
from graphattn.sampling.store import TokenStore

pytestmark = [
    pytest.mark.distributed,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
    pytest.mark.filterwarnings("ignore::ResourceWarning:ray"),
]


@pytest.fixture(scope="session")
def cluster():
    """One cluster for all tests, on the loopback interface."""
    with RayEngine(4, retries=1) as engine:
        yield engine


@pytest.fixture
def by_value(cluster):
    """Sends our tasks with their code: the cluster has graphattn alone."""
    import ray

    ray.cloudpickle.register_pickle_by_value(preprocess_tasks)
    yield cluster
    ray.cloudpickle.unregister_pickle_by_value(preprocess_tasks)


def test_case_42_one_two_and_four_workers_give_the_bytes_of_one_process(tmp_path, cluster):
    graph, x = made(300, 40, edges=5)
    recipe = Recipe(direction="both", dtype="float16")
    options = {"shard_rows": 128, "progress": False}
    TokenStore.build(tmp_path / "one", graph, x, **recipe.as_dict(), **options)
    for workers in (1, 2, 4):
        engine, path = RayEngine(workers), tmp_path / f"of {workers}"
        assert engine.workers == workers
        build_store(path, graph, x, engine=engine, recipe=recipe, **options)
        assert contents(path) == contents(tmp_path / "one")


def test_one_two_and_four_workers_draw_the_tokens_of_one_process(tmp_path, cluster):
    graph, _ = made(300, 40, edges=5)
    graph.save(tmp_path / "graph")
    options = {"seeds": torch.arange(0, 300, 2), "num_samples": 12, "progress": False}
    arguments = {"graph": tmp_path / "graph", "block_rows": 40, **options}
    draw_tokens(tmp_path / "here", engine=LocalEngine(0), **arguments)
    for workers in (1, 2, 4):
        path = tmp_path / f"of {workers}"
        draw_tokens(path, engine=RayEngine(workers), **arguments)
        assert contents(path) == contents(tmp_path / "here")


def test_case_41_workers_killed_while_a_store_is_built_change_no_bit(tmp_path, by_value):
    graph, x = made(300, 40, edges=5)
    options = {"shard_rows": 128, "progress": False}
    TokenStore.build(tmp_path / "one", graph, x, **options)
    (tmp_path / "marks").mkdir()
    plagued = Plagued(by_value, tmp_path / "marks")
    build_store(tmp_path / "two", graph, x, engine=plagued, **options)
    assert len(list((tmp_path / "marks").iterdir())) == plagued.runs == 3
    assert contents(tmp_path / "two") == contents(tmp_path / "one")


def test_case_41_a_killed_worker_is_replaced_and_its_task_tried_again(tmp_path, by_value):
    tasks = [Adding(f"add{i}", i) for i in range(5)] + [Dying("dying", tmp_path, 1)]
    done = {task.name: result for task, result in by_value.run(tasks)}
    assert len(done) == 6 and [done[f"add{i}"] for i in range(5)] == [1, 2, 3, 4, 5]
    assert len(list(tmp_path.iterdir())) == 2


def test_case_41_a_task_that_kills_every_worker_is_given_up(tmp_path, by_value):
    with pytest.raises(WorkerLost, match="dying could not be made: 2 workers tried, the last was"):
        list(by_value.run([Dying("dying", tmp_path, 99)]))
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("error", "code"),
    [(ValueError("heads"), 2), (CorruptFile("torn"), 4), (OSError(28, "full"), 3)],
)
def test_an_error_of_a_task_is_that_of_the_run(by_value, error, code):
    with pytest.raises(type(error), match=str(error.args[-1])) as caught:
        list(by_value.run([Raising("raising", error)]))
    assert exit_code(caught.value) == code


def test_a_machine_without_our_code_says_so(cluster):
    with pytest.raises(
        ImportError, match=r"No module named 'preprocess_tasks'\): all machines need"
    ):
        list(cluster.run([Adding("add", 1)]))


def test_the_memory_of_a_worker_is_its_part_of_the_smallest_machine(cluster):
    assert RayEngine(4).memory < RayEngine(1).memory
    assert RayEngine(4, memory=7).memory == 7
    assert RayEngine().workers == 4
