"""Lowest ranks: exactly those of a sorted set, for any graph, ranks, offset and window."""

import threading

import numpy as np
import oracles
import pytest

from graphattn.graph import CSRGraph
from graphattn.kernels.bottom_k import draw_bottom_k
from graphattn.kernels.csr import renumber_nodes
from graphattn.kernels.random_words import below, key_words, stream


def offset_of(key, node, num_nodes):
    name = np.uint64(stream(key_words(*key), node))
    return int(below(name, np.uint64(0), np.uint64(num_nodes))[0])


def check(edges, num_nodes, rank, seeds, num_samples, num_hops, share, key=(3, 4)):
    """Compares each row with the oracle."""
    graph = CSRGraph.from_edge_index(edges, num_nodes)
    node_of = np.argsort(rank).astype(rank.dtype)
    arrays = (*renumber_nodes(graph.rowptr, graph.col, rank), rank, node_of)
    table = draw_bottom_k(*arrays, seeds, num_samples, num_hops, share, key)
    pairs = edges.T.tolist()
    for row, node in enumerate(seeds.tolist()):
        offset = offset_of(key, int(seeds[row - row % share]), num_nodes)
        nodes, hops = oracles.bottom_k(
            pairs, num_nodes, node, num_hops, rank.tolist(), offset, num_samples - 1
        )
        rest = num_samples - 1 - len(nodes)
        ids, mask, hop = (part[row].tolist() for part in table)
        assert ids == [node, *nodes] + [node] * rest
        assert mask == [True] * (1 + len(nodes)) + [False] * rest
        assert hop == [0, *hops] + [0] * rest


@pytest.mark.parametrize("number", range(50))
def test_equals_the_sorted_set(number):
    generator = np.random.default_rng(number)
    num_nodes = int(generator.integers(1, 80))
    edges = generator.integers(num_nodes, size=(2, int(num_nodes * generator.uniform(0, 8))))
    if number % 2:
        edges = np.concatenate([edges, edges[::-1]], axis=1)
    rank = generator.permutation(num_nodes).astype(np.int32)
    seeds = generator.integers(num_nodes, size=20)
    for num_samples, share in ((1, 1), (2, 3), (7, 1), (7, 1000), (200, 5)):
        for num_hops in (1, 2):
            check(edges, num_nodes, rank, seeds, num_samples, num_hops, share, (number, -number))


def test_rows_entered_beforehand_change_no_token():
    """So many seeds that all rows are entered once, and as few as never do, by one offset."""
    generator = np.random.default_rng(5)
    graph = CSRGraph.from_edge_index(generator.integers(3000, size=(2, 60_000)), 3000)
    graph = graph.to_undirected()
    rank = generator.permutation(3000).astype(np.int32)
    rows = renumber_nodes(graph.rowptr, graph.col, rank)
    arrays = (*rows, rank, np.argsort(rank).astype(np.int32))
    for number in range(12):  # offsets near the last rank among them
        seeds = np.roll(np.arange(3000), -number * 17)
        whole = draw_bottom_k(*arrays, seeds, 40, 2, 3000, (number, 0))
        for first in range(1, 3000, 500):
            few = np.concatenate([seeds[:1], seeds[first : first + 20]])
            assert few.size * graph.num_edges < 3000**2
            part = draw_bottom_k(*arrays, few, 40, 2, few.size, (number, 0))
            for of_whole, of_part in zip(whole, part, strict=True):
                assert np.array_equal(of_whole[first : first + 20], of_part[1:])


def test_windows_of_large_pools():
    """Pools of some thousand nodes, a few per cent of which are looked at."""
    generator = np.random.default_rng(1)
    edges = generator.integers(4000, size=(2, 50_000))
    edges = np.concatenate([edges, edges[::-1]], axis=1)
    hub = np.stack([np.arange(1500), np.full(1500, 3999)])
    edges = np.concatenate([edges, hub, hub[::-1]], axis=1)
    rank = generator.permutation(4000).astype(np.int32)
    check(edges, 4000, rank, np.array([0, 3999, 77]), 10, 2, 1)
    check(edges, 4000, rank, np.array([3999, 5, 3998]), 50, 2, 3)


def test_ranks_may_be_as_bad_as_they_like():
    """All near nodes have ranks in a row, so that windows are far too large, or too small."""
    num_nodes = 3000
    generator = np.random.default_rng(2)
    for first in (0, 700, 2500):
        near = (first + np.arange(600)) % num_nodes
        edges = np.stack([near, np.full(600, 3)])
        far = np.stack([generator.choice(near, 2000), generator.choice(near, 2000)])
        edges = np.concatenate([edges, far], axis=1)
        rank = np.arange(num_nodes, dtype=np.int32)
        for key in range(12):
            check(edges, num_nodes, rank, np.array([3]), 8, 2, 1, (key, 0))


def arrays_of(num_nodes=2000, ids=np.int32):
    generator = np.random.default_rng(5)
    edges = generator.integers(num_nodes, size=(2, 20_000))
    graph = CSRGraph.from_edge_index(edges, num_nodes)
    rank = generator.permutation(num_nodes).astype(ids)
    rows = renumber_nodes(graph.rowptr, graph.col.astype(ids), rank)
    return (*rows, rank, np.argsort(rank).astype(ids), np.arange(num_nodes))


def test_wide_ids_give_the_same():
    few = np.arange(40)  # so that no second parallel kernel is compiled
    narrow = draw_bottom_k(*arrays_of()[:4], few, 6, 2, 1, (0, 1))
    wide = draw_bottom_k(*arrays_of(ids=np.int64)[:4], few, 6, 2, 1, (0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(narrow, wide, strict=True))


def test_threads_may_call_at_once():
    arrays = arrays_of()
    expected = draw_bottom_k(*arrays, 6, 2, 100, (0, 1))[0]
    wrong = []

    def draw():
        for _ in range(5):
            got = draw_bottom_k(*arrays, 6, 2, 100, (0, 1))[0]
            if not np.array_equal(got, expected):
                wrong.append(got)

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize(("num_samples", "num_hops"), [(0, 2), (3, 0), (3, 3)])
def test_sizes_out_of_range(num_samples, num_hops):
    with pytest.raises(ValueError, match=f"got num_samples={num_samples}, num_hops={num_hops}"):
        draw_bottom_k(*arrays_of(), num_samples, num_hops, 1, (0, 0))
