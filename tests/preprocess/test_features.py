"""A store built in blocks: the same bytes as of one process, however it is cut, killed, resumed."""

import dataclasses
import json
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from stores import contents

from graphattn.graph import CSRGraph
from graphattn.preprocess.features import build_store
from graphattn.preprocess.local_engine import LocalEngine
from graphattn.preprocess.tasks import Block, NotShared, check_place, read_blocks, write_shard
from graphattn.sampling.recipe import Recipe
from graphattn.sampling.store import TokenStore

HERE = LocalEngine(0)


def made(num_nodes=300, channels=40, seed=0):
    generator = np.random.default_rng(seed)
    ends = generator.integers(num_nodes, size=(2, 5 * num_nodes)) if num_nodes else np.empty((2, 0))
    ends[0] //= 3  # some send to many, most to none
    graph = CSRGraph.from_edge_index(ends.astype(np.int64), num_nodes)
    return graph, torch.from_numpy(generator.standard_normal((num_nodes, channels))).float()


def in_one_process(path, graph, x, recipe, **options):
    TokenStore.build(path, graph, x, **recipe.as_dict(), progress=False, **options)
    return contents(path)


class Stopping(LocalEngine):
    """Counts tasks, and fails after some."""

    def __init__(self, most=10**9):
        super().__init__(0)
        self.most, self.done = most, []

    def run(self, tasks) -> Iterator:
        for task in tasks:
            if len(self.done) == self.most:
                raise OSError("stopped")
            self.done.append(task.name)
            yield task, task()


@pytest.mark.parametrize("partitions", [1, 4, 8])
@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(num_own_hops=3),
        Recipe(direction="both", norm="row", dtype="float16"),
        Recipe(num_hops=1, num_own_hops=2, direction="out"),
        Recipe(num_hops=0),
    ],
)
def test_any_number_of_partitions_gives_the_bytes_of_one_process(tmp_path, recipe, partitions):
    graph, x = made()
    options = {"shard_rows": 128, "pe": x[:, :2]}
    expected = in_one_process(tmp_path / "one", graph, x, recipe, **options)
    arguments = {"engine": HERE, "recipe": recipe, "partitions": partitions, "progress": False}
    store = build_store(tmp_path / "many", graph, x, **arguments, **options)
    assert contents(tmp_path / "many") == expected
    assert torch.equal(store.pe, x[:, :2])
    assert sorted(p.name for p in tmp_path.glob(".*")) == [".many.lock", ".one.lock"]


@pytest.mark.parametrize(("num_nodes", "channels"), [(0, 3), (1, 1), (5, 0), (0, 0)])
def test_next_to_nothing(tmp_path, num_nodes, channels):
    graph, x = made(num_nodes, channels)
    expected = in_one_process(tmp_path / "one", graph, x, Recipe(num_own_hops=1))
    build_store(
        tmp_path / "many",
        graph,
        x,
        engine=HERE,
        recipe=Recipe(num_own_hops=1),
        partitions=3,
        progress=False,
    )
    assert contents(tmp_path / "many") == expected


def test_little_memory_makes_narrow_blocks(tmp_path):
    graph, x = made(20_000, 40)
    expected = in_one_process(tmp_path / "one", graph, x, Recipe())
    engine = Stopping()
    engine._memory = 8_000_000  # of 3.2 MB each for table and result, and 4.2 for what is small
    build_store(tmp_path / "many", graph, x, engine=engine, progress=False)
    columns = {tuple(name.split("-")[3:]) for name in engine.done if name.startswith("hops/in1-")}
    assert len(columns) > 1
    assert contents(tmp_path / "many") == expected
    engine._memory = 1000
    with pytest.raises(ValueError, match="memory must hold one column of 20000 nodes"):
        build_store(tmp_path / "none", graph, x, engine=engine, progress=False)


def test_what_is_done_is_not_done_again(tmp_path):
    """Stopped after every task in turn: each is done once, and the bytes are those of one go."""
    graph, x = made()
    expected = in_one_process(tmp_path / "one", graph, x, Recipe(), shard_rows=128)
    options = {"shard_rows": 128, "partitions": 4, "progress": False}
    done = []
    for _ in range(20):
        engine = Stopping(most=1)
        try:
            build_store(tmp_path / "many", graph, x, engine=engine, **options)
        except OSError as error:
            assert str(error) == "stopped"
            done += engine.done
        else:
            done += engine.done
            break
    assert contents(tmp_path / "many") == expected
    assert len(done) == len(set(done)) == 2 * 6 + 3  # three blocks of columns by two of rows
    again = Stopping()
    build_store(tmp_path / "many", graph, x, engine=again, **options)
    assert again.done == []


def test_one_process_goes_on_where_workers_stopped_and_the_other_way_round(tmp_path):
    graph, x = made()
    expected = in_one_process(tmp_path / "one", graph, x, Recipe(), shard_rows=128)
    options = {"shard_rows": 128, "progress": False}
    with pytest.raises(OSError, match="stopped"):
        build_store(tmp_path / "a", graph, x, engine=Stopping(13), partitions=4, **options)
    inode = (tmp_path / ".a.building" / "features-00000.npy").stat().st_ino
    TokenStore.build(tmp_path / "a", graph, x, **options)
    assert contents(tmp_path / "a") == expected
    assert (tmp_path / "a" / "features-00000.npy").stat().st_ino == inode
    (tmp_path / "a" / "features-00001.npy").unlink()
    mending = Stopping()
    build_store(tmp_path / "a", graph, x, engine=mending, partitions=1, **options)
    hops = [f"hops/in{hop}-0-300-0-40.npy" for hop in (1, 2)]
    assert mending.done == [*hops, "features-00001.npy"]
    assert contents(tmp_path / "a") == expected


@pytest.mark.parametrize("damage", ["block", "blocks.json", "other cut"])
def test_what_was_damaged_meanwhile_is_made_again(tmp_path, damage):
    graph, x = made()
    expected = in_one_process(tmp_path / "one", graph, x, Recipe(), shard_rows=128)
    options = {"shard_rows": 128, "partitions": 4, "progress": False}
    with pytest.raises(OSError, match="stopped"):
        build_store(tmp_path / "many", graph, x, engine=Stopping(5), **options)
    hops = tmp_path / ".many.building" / "hops"
    cut = json.loads((hops / "blocks.json").read_text())
    assert cut["columns"] == [0, 16, 32, 40] and len(cut["rows"]) == 3
    if damage == "block":
        block = next(hops.glob("in1-*"))
        content = bytearray(block.read_bytes())
        content[-1] ^= 1
        block.write_bytes(content)
    elif damage == "blocks.json":
        (hops / "blocks.json").write_text(json.dumps(cut | {"rows": [0, 10**9, "all"]}))
    else:
        options["partitions"] = 2
    engine = Stopping()
    build_store(tmp_path / "many", graph, x, engine=engine, **options)
    assert len(engine.done) == {"block": 11, "blocks.json": 10, "other cut": 2 * 2 + 3}[damage]
    assert contents(tmp_path / "many") == expected


def test_a_worker_believed_lost_cannot_write_into_what_came_after_it(tmp_path):
    graph, x = made()
    options = {"shard_rows": 128, "progress": False}

    class Keeping(Stopping):
        def run(self, tasks):
            self.kept = tasks[0]
            yield from super().run(tasks)

    engine = Keeping(3)
    with pytest.raises(OSError, match="stopped"):
        build_store(tmp_path / "s", graph, x, engine=engine, **options)
    late = dataclasses.replace(engine.kept)
    build_store(tmp_path / "s", graph, x + 1, engine=HERE, **options)
    with pytest.raises(NotShared, match=r"is not seen by the worker on .*: all machines must see"):
        late()


def test_a_machine_without_the_folder_says_so(tmp_path):
    with pytest.raises(NotShared, match="under the same path, on a file system that they share"):
        check_place(tmp_path / "elsewhere")


def test_numbers_too_large_for_half_precision_are_refused_as_by_one_process(tmp_path):
    graph, x = made()
    x[7, 1] = -1e5
    with pytest.raises(ValueError, match="float16 holds numbers up to 65504: got 1e"):
        build_store(tmp_path / "s", graph, x, engine=HERE, recipe=Recipe(dtype="float16"))


def test_a_part_of_a_table_comes_from_whichever_files_hold_it(tmp_path):
    table = np.arange(70, dtype=np.float32).reshape(10, 7)
    blocks = []
    for rows in ((0, 4), (4, 10)):
        for columns in ((0, 3), (3, 7)):
            file = tmp_path / f"{rows[0]}-{columns[0]}.npy"
            write_shard(tmp_path, file, table[slice(*rows), slice(*columns)])
            blocks.append(Block(file, rows, columns))
    assert np.array_equal(read_blocks(blocks, (2, 9), (1, 6)), table[2:9, 1:6])
    assert np.array_equal(read_blocks(blocks, (0, 10), (0, 7)), table)
