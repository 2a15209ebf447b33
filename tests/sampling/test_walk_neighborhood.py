"""Tokens from walks: real neighbours, the same whatever the threads and the batch."""

import numpy as np
import oracles
import pytest
import torch

from graphattn.graph import CSRGraph
from graphattn.sampling.loader import TokenLoader
from graphattn.sampling.store import TokenStore
from graphattn.sampling.walk_neighborhood import walk_neighborhood


def a_graph():
    generator = np.random.default_rng(5)
    return CSRGraph.from_edge_index(generator.integers(200, size=(2, 900)), 200)


@pytest.mark.parametrize("num_hops", [1, 2])
@pytest.mark.parametrize("pool", ["list", "set"])
def test_only_near_nodes_with_their_distances(pool, num_hops):
    graph = a_graph()
    table = walk_neighborhood(graph, torch.arange(200), 9, pool=pool, num_hops=num_hops)
    edges = graph.edge_index().T.tolist()
    for node in range(200):
        _, distance = oracles.pool_of(edges, 200, node, num_hops, "set")
        ids, mask, hop = (part[node].tolist() for part in table)
        count = sum(mask)
        assert ids[0] == node
        assert hop == [0] + [distance[i] for i in ids[1:count]] + [0] * (9 - count)
        assert ids[count:] == [node] * (9 - count)


def test_same_table_for_any_threads_split_and_time():
    graph, seeds = a_graph(), torch.arange(200)
    table = walk_neighborhood(graph, seeds, 6, seed=1, epoch=2)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            again = walk_neighborhood(graph, seeds, 6, seed=1, epoch=2)
            assert all(torch.equal(a, b) for a, b in zip(table, again, strict=True))
    finally:
        torch.set_num_threads(before)
    rows = walk_neighborhood(graph, seeds[[7, 3, 7]], 6, seed=1, epoch=2)
    assert all(torch.equal(a[[7, 3, 7]], b) for a, b in zip(table, rows, strict=True))
    for other in ({"seed": 2}, {"epoch": 3}):
        assert not torch.equal(
            table.ids, walk_neighborhood(graph, seeds, 6, **{"seed": 1, "epoch": 2, **other}).ids
        )


def test_both_directions_and_a_loader():
    graph = CSRGraph.from_edge_index(torch.tensor([[0, 1, 2, 3], [1, 2, 3, 4]]))  # 0->1->2->3->4
    both = walk_neighborhood(graph, torch.tensor([2]), 6, direction="both", pool="set")
    assert set(both.ids[0, 1:4].tolist()) <= {0, 1, 2}
    assert set(both.ids[0, 4:].tolist()) <= {2, 3, 4}
    store = TokenStore.in_memory(graph, torch.eye(5))
    loader = TokenLoader(
        store, torch.arange(5), num_samples=3, batch_size=2, sampler=walk_neighborhood
    )
    assert [batch.ids.shape for batch in loader] == [(2, 3), (2, 3), (1, 3)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_hops": 3}, "num_hops must be 1 or 2 for walk_neighborhood: got num_hops=3"),
        ({"num_samples": 0}, "at least 1: got num_samples=0"),
        ({"pool": "most"}, "pool must be .* got 'most'"),
        ({"direction": "most"}, "direction must be .* got 'most'"),
    ],
)
def test_errors(unchecked, options, words):
    options = {"num_samples": 3, **options}
    with pytest.raises(ValueError, match=words):
        walk_neighborhood(a_graph(), torch.tensor([0]), options.pop("num_samples"), **options)
