"""Propagation into files: the bits of propagate, in the memory given, whatever interrupts it."""

import tracemalloc

import numpy as np
import pytest
import torch

from graphattn.graph import CSRGraph
from graphattn.ops import out_of_core, propagation_plan
from graphattn.ops.out_of_core import propagate_to
from graphattn.ops.propagate import propagate
from graphattn.ops.propagation_plan import plan_propagation

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
N = 500


def array_of(x):
    return (x.view(torch.uint16) if x.dtype == torch.bfloat16 else x).numpy()


def case(tmp_path, channels=40, dtype=torch.float32, num_nodes=N):
    """A mapped directed graph and mapped features; the features again, for propagate."""
    generator = np.random.default_rng(0)
    edges = generator.integers(num_nodes - 2, size=(2, 8 * num_nodes))
    CSRGraph.from_edge_index(edges, num_nodes).save(tmp_path / "graph")
    x = torch.from_numpy(generator.standard_normal((num_nodes, channels))).to(dtype)
    np.save(tmp_path / "x.npy", array_of(x))
    return CSRGraph.load(tmp_path / "graph"), np.load(tmp_path / "x.npy", mmap_mode="r"), x


def room(channels, itemsize=4):
    """Bytes in which so many columns fit, and not one more."""
    return (1 << 22) + N * (16 if itemsize == 8 else 8) + 2 * N * channels * itemsize


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("norm", ["sym", "row"])
def test_gives_the_bits_of_propagate(tmp_path, dtype, norm, monkeypatch):
    monkeypatch.setattr(out_of_core, "_NODES", 64)  # many blocks of rows
    for module in (out_of_core, propagation_plan):
        monkeypatch.setattr(module, "SCRATCH", 1 << 10)  # and many of merged rows
    graph, mapped, x = case(tmp_path, dtype=dtype)
    expected = propagate(graph, x, 3, norm=norm)
    memory = (1 << 10) + N * (16 + 12 * 2 * x.element_size() + 40)
    hops = propagate_to(
        tmp_path / "hops", graph, mapped, 3, norm=norm, memory=memory, progress=False
    )
    assert len(hops) == 3
    for k, hop in enumerate(hops, start=1):
        assert hop.dtype == mapped.dtype
        assert np.array_equal(hop, array_of(expected[:, k].contiguous()))
    names = {path.name for path in (tmp_path / "hops").iterdir()}
    assert names == {"hop1.npy", "hop2.npy", "hop3.npy", "hops.json"}
    assert len(plan_propagation(tmp_path, graph, mapped, 3, memory=memory).slices) > 1


def test_slices_fill_whole_lines_and_the_memory(tmp_path):
    graph, mapped, _ = case(tmp_path)
    for wide, expected in ((40, [40]), (39, [32, 8]), (20, [20, 20]), (15, [14, 14, 12])):
        plan = plan_propagation(tmp_path, graph, mapped, 2, memory=room(wide))
        assert [part.stop - part.start for part in plan.slices] == expected
        assert plan.memory <= room(wide)
        assert plan.seconds > 0
    assert "2 hops in 3 slices of 14 channels" in str(plan)
    assert "minutes" in str(plan)


def test_memory_stays_below_what_was_given(tmp_path):
    """Allocations are counted; what is mapped is not, for the system takes it back at will."""
    num_nodes, channels = 40_000, 64  # features of 10 MB
    graph, mapped, _ = case(tmp_path, channels, num_nodes=num_nodes)
    small = (graph, mapped, 1)
    propagate_to(tmp_path / "first", *small, memory=10**9, progress=False)  # compiles
    memory = 9_000_000
    tracemalloc.start()
    try:
        propagate_to(tmp_path / "hops", *small, memory=memory, progress=False)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= memory
    assert peak >= memory / 3  # it was measured
    assert np.array_equal(np.load(tmp_path / "hops/hop1.npy"), np.load(tmp_path / "first/hop1.npy"))


class Stopped(Exception):
    pass


@pytest.mark.parametrize("finished", [0, 1, 3, 5])
def test_goes_on_after_a_kill(tmp_path, finished, monkeypatch):
    graph, mapped, x = case(tmp_path)
    options = {"memory": room(15), "progress": False}  # three slices, two hops
    write, written = out_of_core.write_array, []

    def stop_after(path, array):
        if len(written) == finished:
            raise Stopped
        written.append(path.name)
        write(path, array)

    monkeypatch.setattr(out_of_core, "write_array", stop_after)
    with pytest.raises(Stopped):
        propagate_to(tmp_path / "hops", graph, mapped, 2, **options)
    assert len(written) == finished
    again = []
    monkeypatch.setattr(
        out_of_core,
        "write_array",
        lambda path, array: (again.append(path.name), write(path, array)),
    )
    hops = propagate_to(tmp_path / "hops", graph, mapped, 2, **options)
    assert len(again) == 6 - finished
    assert not set(again) & set(written)
    expected = propagate(graph, x, 2)
    assert all(np.array_equal(hop, expected[:, k + 1]) for k, hop in enumerate(hops))
    again.clear()
    propagate_to(tmp_path / "hops", graph, mapped, 2, **options)
    assert not again
    names = {path.name for path in (tmp_path / "hops").iterdir()}
    assert names == {"hop1.npy", "hop2.npy", "hops.json"}


def test_goes_on_with_another_memory(tmp_path, monkeypatch):
    """Slices of the old width are of no use; none of them stays."""
    graph, mapped, x = case(tmp_path)

    def stop(*_):
        raise Stopped

    with monkeypatch.context() as patched, pytest.raises(Stopped):
        patched.setattr(out_of_core, "_merge", stop)
        propagate_to(tmp_path / "hops", graph, mapped, 2, memory=room(15), progress=False)
    assert len(list((tmp_path / "hops").glob("hop*-*.npy"))) == 6
    for memory in (room(40), room(20)):  # one slice, and then nothing to do
        hops = propagate_to(tmp_path / "hops", graph, mapped, 2, memory=memory, progress=False)
        assert np.array_equal(hops[1], propagate(graph, x, 2)[:, 2])
        names = {path.name for path in (tmp_path / "hops").iterdir()}
        assert names == {"hop1.npy", "hop2.npy", "hops.json"}


def test_damaged_hop_is_made_again_from_whole_ones(tmp_path):
    graph, mapped, x = case(tmp_path)
    options = {"memory": room(15), "progress": False}
    propagate_to(tmp_path / "hops", graph, mapped, 2, **options)
    damaged = np.load(tmp_path / "hops/hop2.npy")
    damaged[3, 3] += 1
    np.save(tmp_path / "hops/hop2.npy", damaged)
    kept = (tmp_path / "hops/hop1.npy").stat().st_mtime_ns
    hops = propagate_to(tmp_path / "hops", graph, mapped, 2, **options)
    assert np.array_equal(hops[1], propagate(graph, x, 2)[:, 2])
    assert (tmp_path / "hops/hop1.npy").stat().st_mtime_ns == kept


def test_nothing_to_do(tmp_path):
    graph, mapped, _ = case(tmp_path)
    assert propagate_to(tmp_path / "none", graph, mapped, 0, memory=room(12)) == []
    empty = np.zeros((N, 0), np.float32)
    assert propagate_to(tmp_path / "empty", graph, empty, 1, memory=room(12))[0].shape == (N, 0)


def test_errors(tmp_path):
    graph, mapped, _ = case(tmp_path)
    with pytest.raises(ValueError, match=r"one column of 500 nodes, \d+ bytes: got memory=1000"):
        propagate_to(tmp_path / "a", graph, mapped, 1, memory=1000)
    with pytest.raises(ValueError, match="contiguous, row after row"):
        propagate_to(tmp_path / "a", graph, mapped[:, :4], 1, memory=10**7)
    with pytest.raises(TypeError, match="got int64"):
        propagate_to(tmp_path / "a", graph, np.zeros((N, 2), np.int64), 1, memory=10**7)
    with pytest.raises(ValueError, match="got graph"):
        propagate_to(tmp_path, graph, mapped, 1, memory=10**7)
    propagate_to(tmp_path / "a", graph, mapped, 1, memory=10**7, progress=False)
    with pytest.raises(ValueError, match=r"norm differ\); choose another folder"):
        propagate_to(tmp_path / "a", graph, mapped, 1, norm="row", memory=10**7)
