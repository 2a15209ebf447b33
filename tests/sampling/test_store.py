"""The store: its numbers, its folder, and what a crash, a flipped bit or a second process does."""

import itertools
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import contents, made

from graphattn import files
from graphattn import graph as graph_module
from graphattn.graph import CSRGraph
from graphattn.ops.propagate import propagate
from graphattn.sampling.store import TokenStore

OPTIONS = {"num_hops": 2, "num_own_hops": 3, "shard_rows": 16, "progress": False}


@pytest.mark.parametrize("direction", ["in", "out", "both"])
@pytest.mark.parametrize("norm", ["sym", "row"])
def test_holds_what_propagate_says(direction, norm):
    graph, x = made()
    store = TokenStore.in_memory(graph, x, num_own_hops=3, norm=norm, direction=direction)
    own_graph = graph.reverse() if direction == "out" else graph
    expected = propagate(own_graph, x, 2, norm=norm)
    if direction == "both":
        outward = propagate(graph.reverse(), x, 2, norm=norm)
        expected = torch.cat([expected, outward[:, 1:]], dim=1)
    assert torch.equal(store.features, expected)
    assert torch.equal(store.own, propagate(own_graph, x, 3, norm=norm))
    assert store.pe is None
    assert store.gather_pe(torch.tensor([0])) is None
    assert (store.num_nodes, store.num_contexts, store.in_channels) == (50, expected.size(1), 3)
    assert (store.num_own_hops, store.pe_channels, store.direction) == (3, 0, direction)


@pytest.mark.parametrize("shard_rows", [16, 100])
def test_half_precision_rounds_once(tmp_path, shard_rows):
    graph, x = made()
    options = OPTIONS | {"shard_rows": shard_rows, "dtype": "float16"}
    store = TokenStore.build(tmp_path / "s", graph, x, pe=x, **options)
    rows = torch.tensor([3, 49, 3, 20])
    assert torch.equal(store.features, propagate(graph, x, 2).half())
    assert torch.equal(store.own, propagate(graph, x, 3).half())
    assert torch.equal(store.gather(rows), store.features[rows])
    assert torch.equal(store.pe, x)  # positions are not features
    halved = TokenStore.in_memory(graph, x, num_own_hops=3, pe=x, dtype="float16")
    assert torch.equal(halved.features, store.features)
    assert store.num_bytes == 50 * (2 * (3 + 4) * 3 + 4 * 3)
    with pytest.raises(ValueError, match="dtype: the store has float16, asked float32"):
        TokenStore.build(tmp_path / "s", graph, x, pe=x, **(options | {"dtype": "float32"}))


@pytest.mark.parametrize("direction", ["in", "both"])
def test_hops_larger_than_memory_go_by_way_of_the_disk(tmp_path, caplog, direction):
    graph, x = made(num_nodes=20_000, channels=40)
    options = OPTIONS | {"direction": direction, "shard_rows": 9_000}
    TokenStore.build(tmp_path / "whole", graph, x, **options)
    assert not caplog.records
    TokenStore.build(tmp_path / "slices", graph, x, memory=8_000_000, **options)
    assert "features need more memory than there is: 3 hops in" in caplog.text
    assert contents(tmp_path / "slices") == contents(tmp_path / "whole")


def test_what_half_precision_cannot_hold():
    graph, x = made()
    x[7, 1] = -1e5
    with pytest.raises(ValueError, match="float16 holds numbers up to 65504: got 1e"):
        TokenStore.in_memory(graph, x, dtype="float16")


def test_moves_to_where_it_lies_for_nothing():
    store = TokenStore.in_memory(*made(), num_own_hops=1)
    moved = store.to("cpu")
    assert moved.features.data_ptr() == store.features.data_ptr()
    assert moved.own.data_ptr() == store.own.data_ptr()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_rows_from_a_gpu(tmp_path):
    store = TokenStore.build(tmp_path / "s", *made(), **OPTIONS)
    rows = torch.tensor([3, 49, 3, 20])
    there = store.to("cuda")
    assert there.gather(rows).is_cuda
    assert torch.equal(there.gather(rows).cpu(), store.gather(rows))
    assert torch.equal(there.gather_own(rows).cpu(), store.gather_own(rows))


@settings(deadline=None, max_examples=25)
@given(
    num_nodes=st.integers(0, 9),
    channels=st.integers(0, 3),
    shard_rows=st.integers(1, 12),
    num_hops=st.integers(0, 2),
    num_own_hops=st.integers(0, 2),
    positions=st.booleans(),
    direction=st.sampled_from(["in", "out", "both"]),
)
def test_folder_holds_what_memory_holds(
    tmp_path_factory,
    num_nodes,
    channels,
    shard_rows,
    num_hops,
    num_own_hops,
    positions,
    direction,
):
    folder = tmp_path_factory.mktemp("stores") / "a störe"
    edges = np.arange(num_nodes).reshape(1, -1).repeat(2, axis=0)
    edges[1] = (edges[0] * 3 + 1) % max(num_nodes, 1)
    graph = CSRGraph.from_edge_index(edges, num_nodes)
    x = torch.randn(num_nodes, channels)
    options = {
        "num_hops": num_hops,
        "num_own_hops": num_own_hops,
        "pe": torch.randn(num_nodes, 2) if positions else None,
        "direction": direction,
    }
    memory = TokenStore.in_memory(graph, x, **options)
    disk = TokenStore.build(folder, graph, x, shard_rows=shard_rows, progress=False, **options)
    assert disk.graph.digest() == graph.digest()
    nodes = torch.randint(max(num_nodes, 1), (20,)) if num_nodes else torch.zeros(0).long()
    for name in ("features", "own", "pe"):
        ours, theirs = getattr(disk, name), getattr(memory, name)
        assert (ours is None) == (theirs is None)
        assert ours is None or torch.equal(ours, theirs)
    assert torch.equal(disk.gather(nodes), memory.gather(nodes))
    assert torch.equal(disk.gather(nodes), memory.features[nodes])
    if num_own_hops:
        assert torch.equal(disk.gather_own(nodes), memory.own[nodes])
    if positions:
        assert torch.equal(disk.gather_pe(nodes), memory.pe[nodes])
    manifest = dict(disk.manifest)
    assert manifest["inputs"] == memory.manifest["inputs"]
    assert manifest["parameters"] == memory.manifest["parameters"] | {"shard_rows": shard_rows}


def test_nothing_but_the_store_is_left(tmp_path):
    graph, x = made()
    TokenStore.build(tmp_path / "s", graph, x, **OPTIONS)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".s.lock", "s"]
    names = [f"{t}-0000{i}.npy" for t in ("features", "own") for i in range(4)]
    graph_names = ["graph/col.npy", "graph/graph.json", "graph/rowptr.npy"]
    assert list(contents(tmp_path / "s")) == sorted([*names, *graph_names, "manifest.json"])


def test_unchanged_is_a_hit_and_anything_else_is_replaced_only_where_it_may_be(tmp_path):
    graph, x = made()
    path = tmp_path / "s"
    TokenStore.build(path, graph, x, **OPTIONS)

    def rebuilt(graph=graph, x=x, **other):
        before = path.stat().st_ino
        store = TokenStore.build(path, graph, x, **{**OPTIONS, **other}, overwrite=True)
        fresh = TokenStore.in_memory(graph, x, **{"num_own_hops": 3, **other})
        assert torch.equal(store.features, fresh.features)
        return path.stat().st_ino != before

    assert not rebuilt()
    assert rebuilt(norm="row")
    assert rebuilt()
    assert rebuilt(num_hops=1)
    assert rebuilt(direction="both")
    assert rebuilt(pe=torch.ones(50, 1))
    assert rebuilt(pe=torch.zeros(50, 1))
    assert rebuilt(x=x + 1)
    assert rebuilt(graph=graph.reverse())
    assert not rebuilt(graph=graph.reverse())


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"norm": "row"}, r"\(norm: the store has sym, asked row\): choose another folder, or de"),
        ({"num_own_hops": 16}, r"\(num_own_hops: the store has 3, asked 16\)"),
        ({"shard_rows": 8}, r"\(shard_rows: the store has 16, asked 8\)"),
        ({"pe": torch.ones(50, 1)}, r"\(positions: the store has none\)"),
        ({"x": torch.ones(50, 3), "num_hops": 1}, r"num_hops: .* 1; features: the store has othe"),
        ({"graph": made(seed=1)[0]}, r"\(graph: the store has another\)"),
    ],
)
def test_a_store_made_from_others_is_refused_as_it_is(tmp_path, other, words):
    graph, x = made()
    TokenStore.build(tmp_path / "s", graph, x, **OPTIONS)
    whole = contents(tmp_path)
    with pytest.raises(ValueError, match=words):
        TokenStore.build(tmp_path / "s", **{"graph": graph, "x": x, **OPTIONS, **other})
    assert contents(tmp_path) == whole
    with pytest.raises(ValueError, match=r"positions: the store has some, asked none"):
        TokenStore.build(tmp_path / "t", graph, x, pe=torch.ones(50, 1), **OPTIONS)
        TokenStore.build(tmp_path / "t", graph, x, **OPTIONS)


@pytest.mark.parametrize("manifest", ["{}", "mine", None])
def test_a_store_with_files_of_others_in_it_is_never_replaced(tmp_path, manifest):
    graph, x = made()
    path = tmp_path / "s"
    TokenStore.build(path, graph, x, **OPTIONS)
    (path / "thesis.txt").write_text("years of work")
    if manifest is not None:
        (path / "manifest.json").write_text(manifest)
    whole = contents(tmp_path)
    with pytest.raises(
        ValueError, match=r"s holds what no build of .*: got 'thesis.txt' \(1 in al"
    ):
        TokenStore.build(path, graph, x + 1, **OPTIONS, overwrite=True)
    assert contents(tmp_path) == whole


def test_a_file_in_the_place_of_the_lock_is_left_alone(tmp_path):
    graph, x = made()
    (tmp_path / "s.lock").write_text("years of work")
    TokenStore.build(tmp_path / "s", graph, x, **OPTIONS)
    (tmp_path / ".t.lock").write_text("years of work")
    with pytest.raises(ValueError, match=r"\.t\.lock is needed as an empty lock file"):
        TokenStore.build(tmp_path / "t", graph, x, **OPTIONS)
    assert (tmp_path / "s.lock").read_text() == (tmp_path / ".t.lock").read_text()
    assert (tmp_path / "s.lock").read_text() == "years of work"


def test_other_format_version_is_rebuilt(tmp_path, caplog):
    graph, x = made()
    TokenStore.build(tmp_path / "s", graph, x, **OPTIONS)
    whole = contents(tmp_path / "s")
    manifest = json.loads(whole["manifest.json"])
    (tmp_path / "s" / "manifest.json").write_text(json.dumps(manifest | {"format": 0}))
    with pytest.raises(ValueError, match="must be of format 1: got 0"):
        TokenStore.open(tmp_path / "s")
    TokenStore.build(tmp_path / "s", graph, x, **OPTIONS)
    assert contents(tmp_path / "s") == whole
    assert "Building it anew" in caplog.text


BUILD = """
import os, pathlib, signal, sys, torch, numpy as np
from graphattn.graph import CSRGraph
from graphattn.sampling.store import TokenStore
path, stop, how = sys.argv[1], int(sys.argv[2]), sys.argv[3]
generator = np.random.default_rng(0)
graph = CSRGraph.from_edge_index(generator.integers(50, size=(2, 200)), 50)
x = torch.from_numpy(generator.standard_normal((50, 3))).float()
count = 0
replace = pathlib.Path.replace
def stopping(self, target):  # every file is put in its place by a rename
    global count
    count += 1
    if count == stop and how == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    result = replace(self, target)
    if count == stop:
        os.kill(os.getpid(), signal.SIGKILL)
    return result
pathlib.Path.replace = stopping
TokenStore.build(path, graph, x, num_own_hops=3, shard_rows=16, progress=False)
print(count)
"""


def start(path, stop, how="after"):
    command = [sys.executable, "-c", BUILD, str(path), str(stop), how]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_killed_builds_end_in_the_same_bits(tmp_path):
    """Killed before and after a rename, one store is built by the attempts together."""
    graph, x = made()
    TokenStore.build(tmp_path / "whole", graph, x, **OPTIONS)
    path = tmp_path / "cut"
    for stop, how in ((4, "before"), (9, "after")):
        killed = start(path, stop, how)
        killed.communicate()
        assert killed.returncode == -signal.SIGKILL
        with pytest.raises(ValueError, match="there is no token store"):
            TokenStore.open(path)
    work = tmp_path / ".cut.building"
    journal = json.loads((work / "journal.json").read_text())
    kept = {name: (work / name).stat().st_ino for name in journal["files"]}
    assert len(kept) >= 4
    TokenStore.build(path, graph, x, **OPTIONS)
    assert contents(path) == contents(tmp_path / "whole")
    shards = [name for name in kept if not name.startswith("hops/")]
    assert all((path / name).stat().st_ino == kept[name] for name in shards)  # not made again


def test_stopped_at_every_write_and_rename(tmp_path, monkeypatch):
    """The same without processes: an error at each step in turn, then a build to the end."""
    graph, x = made()
    options = {"num_hops": 1, "num_own_hops": 1, "shard_rows": 25, "progress": False}
    TokenStore.build(tmp_path / "whole", graph, x, **options)
    whole = contents(tmp_path / "whole")
    older = TokenStore.in_memory(graph, x, norm="row", num_hops=1).features
    for stop in itertools.count(1):
        path = tmp_path / f"cut{stop}"
        TokenStore.build(path, graph, x, norm="row", num_hops=1, progress=False)
        count = 0
        with monkeypatch.context() as patch:
            for name in ("replace", "rename", "unlink"):
                real = getattr(Path, name)

                def stopping(self, *args, _real=real, _stop=stop, **kwargs):
                    nonlocal count
                    count += not str(self).endswith(".lock")
                    if count >= _stop:
                        raise OSError("stopped")
                    return _real(self, *args, **kwargs)

                patch.setattr(Path, name, stopping)
            try:
                TokenStore.build(path, graph, x, overwrite=True, **options)
            except OSError as error:
                assert str(error) == "stopped"
                if path.exists():  # a whole store: the older one, or from some step on the new one
                    found = TokenStore.open(path, verify=True)
                    is_new = "own" in found.manifest["shapes"]
                    assert contents(path) == whole if is_new else torch.equal(found.features, older)
            else:
                break
        TokenStore.build(path, graph, x, overwrite=True, **options)
        assert contents(path) == whole
    assert stop > 15
    assert not [p for p in tmp_path.iterdir() if p.suffix in (".building", ".replaced")]


def test_damaged_finished_shard_of_a_cut_build_is_made_again(tmp_path):
    graph, x = made()
    TokenStore.build(tmp_path / "whole", graph, x, **OPTIONS)
    killed = start(tmp_path / "cut", 16)
    killed.communicate()
    shard = tmp_path / ".cut.building" / "features-00000.npy"
    flip(shard)
    TokenStore.build(tmp_path / "cut", graph, x, **OPTIONS)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_unfinished_build_of_other_inputs_is_not_used(tmp_path):
    graph, x = made()
    start(tmp_path / "cut", 16).communicate()
    store = TokenStore.build(tmp_path / "cut", graph, x + 1, **OPTIONS)
    assert torch.equal(store.features, TokenStore.in_memory(graph, x + 1).features)


def flip(path):
    content = bytearray(path.read_bytes())
    content[-3] ^= 16
    path.write_bytes(content)


def test_flipped_bit_is_found_named_and_mended(tmp_path, caplog):
    graph, x = made()
    path = tmp_path / "s"
    TokenStore.build(path, graph, x, **OPTIONS)
    whole = contents(path)
    flip(path / "own-00002.npy")
    with pytest.raises(ValueError, match=r"shard .*own-00002.npy is damaged"):
        TokenStore.open(path, verify=True)
    kept = (path / "own-00001.npy").stat().st_ino
    TokenStore.build(path, graph, x, **OPTIONS)
    assert "damaged, rebuilt: own-00002.npy" in caplog.text
    assert contents(path) == whole
    assert (path / "own-00001.npy").stat().st_ino == kept  # only the damaged one is made again
    TokenStore.open(path, verify=True)


def test_truncated_missing_and_foreign_files_are_named(tmp_path):
    graph, x = made()
    path = tmp_path / "s"
    TokenStore.build(path, graph, x, **OPTIONS)
    whole = contents(path)

    def broken(name, change, words):
        change(path / name)
        with pytest.raises(ValueError, match=words):
            TokenStore.open(path)
        TokenStore.build(path, graph, x, **OPTIONS)
        assert contents(path) == whole

    broken("features-00003.npy", lambda p: p.write_bytes(p.read_bytes()[:-5]), "features-00003.npy")
    broken("features-00003.npy", lambda p: p.unlink(), "features-00003.npy cannot be read")
    broken("features-00001.npy", lambda p: np.save(p, np.zeros((16, 3, 3))), "must be float32 of")
    broken("features-00001.npy", lambda p: np.save(p, np.zeros((15, 3, 3), "f4")), r"\[16, 3, 3\]")
    broken("graph/col.npy", flip, "damaged")
    broken("graph/graph.json", lambda p: p.unlink(), "graph.json cannot be read")
    broken("manifest.json", lambda p: p.write_text("{"), "manifest.json cannot be read as JSON")
    broken("graph", lambda p: graph.reverse().save(p), "not the graph that the store was made from")


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_hostile_manifests_give_our_errors_only(tmp_path_factory, data):
    """Any entry of a manifest may be anything: the store opens, or a ValueError says why not."""
    folder = tmp_path_factory.mktemp("hostile") / "s"
    graph, x = made(5)
    TokenStore.build(folder, graph, x, **OPTIONS)
    manifest = json.loads((folder / "manifest.json").read_text())
    target = manifest
    keys = [data.draw(st.sampled_from(sorted(target)))]
    while isinstance(target[keys[-1]], dict) and data.draw(st.booleans()):
        target = target[keys[-1]]
        keys.append(data.draw(st.sampled_from(sorted(target))))
    value = st.none() | st.integers() | st.text(max_size=3) | st.just("../../etc/passwd")
    value |= st.lists(st.integers(-5, 10**30), max_size=4) | st.dictionaries(st.text(), value)
    target[keys[-1]] = data.draw(value)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    try:
        TokenStore.open(folder, verify=data.draw(st.booleans()))
    except ValueError as error:
        assert "build" in str(error) or "store" in str(error)


@pytest.mark.parametrize("rows", [10**18, 10**30])
def test_manifest_of_too_many_rows_is_refused_at_once(tmp_path, rows):
    TokenStore.build(tmp_path / "s", *made(), num_hops=1, progress=False)
    manifest = json.loads((tmp_path / "s" / "manifest.json").read_text())
    manifest["shapes"]["features"][0] = rows
    manifest["parameters"]["shard_rows"] = 1
    (tmp_path / "s" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=r"manifest.json is damaged: its entries do not fit"):
        TokenStore.open(tmp_path / "s")


@pytest.mark.parametrize("name", [".s.building", ".s.replaced"])
def test_work_folder_of_something_else_is_left_alone(tmp_path, name):
    graph, x = made()
    TokenStore.build(tmp_path / "s", graph, x, progress=False)
    (tmp_path / name).mkdir()
    for other in (x, x + 1):  # an empty one is taken
        TokenStore.build(tmp_path / "s", graph, other, overwrite=True, progress=False)
    (tmp_path / name).mkdir(exist_ok=True)
    (tmp_path / name / "thesis.txt").write_text("years of work")
    for other in (x, x + 1):
        with pytest.raises(ValueError, match=r"no build made it: got neither journal.json nor"):
            TokenStore.build(tmp_path / "s", graph, other, overwrite=True, progress=False)
    assert (tmp_path / name / "thesis.txt").read_text() == "years of work"
    assert torch.equal(TokenStore.open(tmp_path / "s").gather(torch.arange(50))[:, 0], x + 1)


def test_neighbours_of_a_store_are_left_alone(tmp_path):
    graph, x = made()
    for name in ("s.old", "s.building"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.txt").write_text("years of work")
    for other in (x, x + 1):
        TokenStore.build(tmp_path / "s", graph, other, overwrite=True, progress=False)
    assert {p.name for p in tmp_path.iterdir()} - {".s.lock"} == {"s", "s.old", "s.building"}
    assert len(list(tmp_path.glob("s.*/thesis.txt"))) == 2


def test_graph_is_hashed_once(tmp_path, monkeypatch):
    graph, x = made()
    hashed = []
    real = files.digest_arrays

    def counting(*arrays):
        hashed.append(len(arrays))
        return real(*arrays)

    for module in (files, graph_module):
        monkeypatch.setattr(module, "digest_arrays", counting)
    TokenStore.build(tmp_path / "s", graph, x, progress=False)
    assert hashed.count(2) == 3  # made, saved, opened
    hashed.clear()
    TokenStore.open(tmp_path / "s").graph.digest()
    assert hashed.count(2) == 1


def test_folder_of_something_else_is_left_alone(tmp_path):
    graph, x = made()
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="exists and is no token store"):
        TokenStore.build(tmp_path, graph, x, **OPTIONS)
    with pytest.raises(ValueError, match="exists and is no token store"):
        TokenStore.build(tmp_path / "thesis.txt", graph, x, **OPTIONS)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_full_disk_leaves_the_older_store(tmp_path, monkeypatch):
    graph, x = made()
    TokenStore.build(tmp_path / "s", graph, x, **OPTIONS)
    whole = contents(tmp_path / "s")
    usage = type("usage", (), {"free": 100})
    monkeypatch.setattr("graphattn.files.shutil.disk_usage", lambda _: usage)
    with pytest.raises(OSError, match=r"needs .* GB in .*, 1e-07 GB free"):
        TokenStore.build(tmp_path / "s", graph, x + 1, overwrite=True, **OPTIONS)
    assert contents(tmp_path / "s") == whole


def test_two_processes_one_builds_one_waits(tmp_path):
    script = BUILD.replace("print(count)", "print(count > 0)")
    command = [sys.executable, "-c", script, str(tmp_path / "s"), "0", "after"]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    built = [process.communicate()[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(built) == ["False", "True"]


@pytest.mark.parametrize(
    ("x", "options", "words"),
    [
        (torch.zeros(49, 3), {}, r"each of the 50 nodes .* got shape \[49, 3\]"),
        (
            torch.full((50, 3), torch.nan),
            {},
            r"x must be finite: .* 50 rows, first \[0, 1, 2, 3, 4\]",
        ),
        (torch.zeros(50, 3), {"pe": torch.full((50, 1), torch.inf)}, "pe must be finite"),
        (torch.zeros(50, 3), {"num_hops": -1}, "0 or more: got num_hops=-1"),
        (torch.zeros(50, 3), {"num_own_hops": -1}, "num_own_hops=-1"),
        (torch.zeros(50, 3), {"shard_rows": 0}, "at least 1: got shard_rows=0"),
    ],
)
def test_errors_come_before_any_file(tmp_path, x, options, words):
    graph, _ = made()
    with pytest.raises(ValueError, match=words):
        TokenStore.build(tmp_path / "s", graph, x, **options)
    assert not list(tmp_path.iterdir())


def test_rows_that_are_not_there(tmp_path):
    graph, x = made()
    for store in (
        TokenStore.in_memory(graph, x),
        TokenStore.build(tmp_path / "s", graph, x, **OPTIONS),
    ):
        for node in (-1, 50):
            with pytest.raises(IndexError):
                store.gather(torch.tensor([0, node]))
