"""Graphs at their worst: a star and a path of a million nodes, a complete graph, and no edges.

What is right is known in closed form. Memory is bounded by what arrays need, time by the suite's.
"""

import tracemalloc
from functools import partial

import numpy as np
import pytest
import torch
from scipy.stats import chi2
from torch_geometric.data import Data

from graphattn.graph import CSRGraph
from graphattn.ops.neighborhood import sample_neighborhood
from graphattn.ops.propagate import propagate
from graphattn.sampling.bottom_k import BottomKSampler
from graphattn.sampling.fanout import sample_fanout
from graphattn.sampling.loader import TokenLoader
from graphattn.sampling.neighbor_loader import NeighborLoader
from graphattn.sampling.random_walk import random_walk
from graphattn.sampling.store import TokenStore
from graphattn.sampling.walk_neighborhood import walk_neighborhood

MANY = 1_000_000  # leaves of the star, whose hub is node 0; nodes of the path
FULL = 3_000  # nodes of the complete graph
SAMPLERS = {
    "list": partial(sample_neighborhood, pool="list"),
    "set": partial(sample_neighborhood, pool="set"),
    "bottom-k": BottomKSampler(),
    "bottom-k alone": BottomKSampler(share=1),
    "walks": partial(walk_neighborhood, pool="set"),
}
SETS = {name: sampler for name, sampler in SAMPLERS.items() if name != "list"}


def both_ways(one, other):
    return np.stack([np.concatenate([one, other]), np.concatenate([other, one])])


def star_edges():
    return both_ways(np.zeros(MANY, np.int64), np.arange(1, MANY + 1))


def path_edges():
    return both_ways(np.arange(MANY - 1), np.arange(1, MANY))


def complete_edges(size=FULL):
    nodes = np.arange(size)
    edges = np.stack([np.repeat(nodes, size), np.tile(nodes, size)])
    return edges[:, edges[0] != edges[1]]


@pytest.fixture(scope="module")
def star():
    return CSRGraph.from_edge_index(star_edges())


@pytest.fixture(scope="module")
def path():
    return CSRGraph.from_edge_index(path_edges())


@pytest.fixture(scope="module")
def complete():
    return CSRGraph.from_edge_index(complete_edges())


@pytest.fixture(params=[0, 7], ids=["no nodes", "no edges"])
def empty(request):
    return CSRGraph.from_edge_index(np.zeros((2, 0), np.int64), request.param)


def megabytes(run, first=None):
    """What a call has allocated at its highest, and what it returns; another before it compiles."""
    (first or run)()
    tracemalloc.start()
    try:
        result = run()
        return tracemalloc.get_traced_memory()[1] / 1e6, result
    finally:
        tracemalloc.stop()


def first_of(loader):
    return next(iter(loader))


def is_uniform(values, bins):
    """Whether chi-square takes values from 0 to 1 for uniform, at a level of 1e-4."""
    count = np.histogram(values, bins, (0.0, 1.0))[0]
    expected = len(values) / bins
    return ((count - expected) ** 2 / expected).sum() < chi2.isf(1e-4, bins - 1)


@pytest.mark.parametrize("edges", [star_edges, path_edges, complete_edges])
def test_graph(edges):
    edges = edges()
    small = complete_edges(3)
    make = CSRGraph.from_edge_index
    grown, graph = megabytes(partial(make, edges), first=partial(make, small))
    assert grown < 40 * edges.shape[1] / 1e6
    assert graph.num_edges == edges.shape[1]
    assert np.array_equal(graph.degree(), np.bincount(edges[1]))
    assert graph.is_undirected
    assert graph.reverse() is graph
    assert (graph.num_duplicates, graph.num_self_loops) == (0, 0)


def test_empty_graph(empty):
    assert empty.num_edges == 0
    assert empty.degree().tolist() == [0] * empty.num_nodes
    assert empty.edge_index().shape == (2, 0)
    assert empty.is_undirected
    assert empty.to_undirected() is empty


def test_propagate_star(star):
    x = torch.arange(MANY + 1, dtype=torch.float64)[:, None] % 5
    grown, hops = megabytes(lambda: propagate(star, x, 1, norm="row"))
    assert grown < 80 * (MANY + 1) / 1e6
    torch.testing.assert_close(hops[0, 1], x.mean(0))
    torch.testing.assert_close(hops[1:, 1], (x[1:] + x[0]) / 2)
    hops = propagate(star, x, 1)
    root = (2 * (MANY + 1)) ** 0.5
    torch.testing.assert_close(hops[0, 1], x[0] / (MANY + 1) + x[1:].sum(0) / root)
    torch.testing.assert_close(hops[1:, 1], x[1:] / 2 + x[0] / root)


def test_propagate_path(path):
    x = torch.arange(MANY, dtype=torch.float64)[:, None] ** 2
    hops = propagate(path, x, 2, norm="row")
    torch.testing.assert_close(hops[1:-1, 1], x[1:-1] + 2 / 3)
    torch.testing.assert_close(hops[2:-2, 2], x[2:-2] + 4 / 3)
    torch.testing.assert_close(hops[0, 1], (x[0] + x[1]) / 2)


def test_propagate_complete_and_empty(complete, empty):
    x = torch.arange(FULL, dtype=torch.float64)[:, None]
    for norm in ("row", "sym"):
        hops = propagate(complete, x, 2, norm=norm)
        torch.testing.assert_close(hops[:, 1:], x.mean().expand(FULL, 2, 1))
        x_empty = torch.ones(empty.num_nodes, 3)
        assert torch.equal(
            propagate(empty, x_empty, 2, norm=norm), x_empty[:, None].repeat(1, 3, 1)
        )


@pytest.mark.parametrize("name", SAMPLERS)
def test_tokens_of_the_star(star, name):
    sampler, seeds = SAMPLERS[name], torch.tensor([0, 1, 2, MANY])
    near = sampler(star, seeds, 20, num_hops=1)
    assert near.mask.sum(1).tolist() == [20, 2, 2, 2]
    assert near.ids[1:, 1].tolist() == [0, 0, 0]
    grown, far = megabytes(lambda: sampler(star, seeds, 20))
    assert grown < 24 * MANY / 1e6
    assert far.mask.all()
    for seed, ids, hop in zip(seeds.tolist(), far.ids.tolist(), far.hop.tolist(), strict=True):
        assert ids[0] == seed
        assert len(set(ids)) == 20
        assert hop == [0] + [1 if 0 in (seed, node) else 2 for node in ids[1:]]
    assert len(set(near.ids[0].tolist())) == 20


@pytest.mark.parametrize("name", SAMPLERS)
def test_tokens_of_the_hub_and_of_leaves_are_uniform(star, name):
    draws = [SAMPLERS[name](star, torch.tensor([0, 1]), 50, epoch=epoch) for epoch in range(9)]
    for row in range(2):
        ids = torch.cat([draw.ids[row, 1:] for draw in draws])
        assert is_uniform(ids[ids > 0].numpy() / (MANY + 1), 20)


@pytest.mark.parametrize("name", SAMPLERS)
def test_tokens_of_the_path(path, name):
    seeds = torch.tensor([0, 1, MANY // 2, MANY - 1])
    grown, (ids, mask, hop) = megabytes(lambda: SAMPLERS[name](path, seeds, 20))
    assert grown < 2
    for row, seed in enumerate(seeds.tolist()):
        known = {seed + step: abs(step) for step in range(-2, 3) if 0 <= seed + step < MANY}
        found = zip(ids[row, mask[row]].tolist(), hop[row, mask[row]].tolist(), strict=True)
        assert sorted(found) == sorted(known.items())
        assert (ids[row, ~mask[row]] == seed).all()


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "walks"])
def test_tokens_of_all_nodes_of_the_path(path, name):
    seeds = torch.arange(MANY)
    draw = partial(SAMPLERS[name], path)
    grown, (ids, mask, hop) = megabytes(partial(draw, seeds, 5), first=partial(draw, seeds[:9], 5))
    assert grown < 8 + ids.numel() * (8 + 1 + 1 + 8) / 1e6
    inner = slice(2, MANY - 2)
    assert mask[inner].all()
    assert mask[[0, 1, -2, -1]].sum(1).tolist() == [3, 4, 4, 3]
    assert torch.equal(ids[inner].sort(1).values, seeds[inner, None] + torch.arange(-2, 3))
    assert torch.equal(hop, (ids - seeds[:, None]).abs())


@pytest.mark.parametrize("num_hops", [1, 2])
@pytest.mark.parametrize("name", SAMPLERS)
def test_tokens_of_the_complete_graph(complete, name, num_hops):
    seeds = torch.arange(0, FULL, FULL // 40)
    sampler = partial(SAMPLERS[name], complete, seeds, 40, num_hops=num_hops)
    grown, (ids, mask, hop) = megabytes(sampler)
    assert grown < 1
    assert mask.all()
    assert (hop[:, 1:] == 1).all()
    assert (ids[:, 1:] != seeds[:, None]).all()
    twice = name == "list" and num_hops == 2  # each node stands at both hops
    assert max(max(np.unique(row, return_counts=True)[1]) for row in ids.numpy()) <= 1 + twice
    if name != "bottom-k":  # whose seeds here share what they draw
        assert is_uniform(ids[:, 1:].flatten().numpy() / FULL, 30)


@pytest.mark.parametrize("name", SAMPLERS)
def test_tokens_of_nothing(empty, name):
    seeds = torch.arange(empty.num_nodes)
    for num_hops in (1, 2):
        ids, mask, hop = SAMPLERS[name](empty, seeds, 4, num_hops=num_hops)
        assert torch.equal(ids, seeds[:, None].expand(-1, 4))
        assert mask.sum(1).tolist() == [1] * empty.num_nodes
        assert not hop.any()
    with pytest.raises(ValueError, match=f"got \\[{empty.num_nodes}\\]"):
        SAMPLERS[name](empty, torch.tensor([empty.num_nodes]), 4)


def test_fanout_of_the_star(star):
    grown, found = megabytes(lambda: sample_fanout(star, torch.tensor([0]), [15, 10]))
    assert grown < 1  # the map of all nodes, 4 bytes each, is kept from the call before
    assert (found.num_sampled_nodes, found.num_sampled_edges) == ([1, 15, 0], [15, 15])
    assert found.edge_index[0].tolist() == [*range(1, 16), *[0] * 15]
    leaf = torch.tensor([5])
    found = sample_fanout(star, leaf, [15, 10])
    assert found.num_sampled_nodes == [1, 1, 10 - (5 in found.n_id[found.edge_index[0, 1:]])]
    assert found.num_sampled_edges == [1, 10]
    again = sample_fanout(star, leaf, [15, 10], replace=True)
    assert again.num_sampled_edges == [15, 10]
    assert again.n_id[:2].tolist() == [5, 0]
    assert again.edge_index[0, :15].tolist() == [1] * 15
    grown, found = megabytes(lambda: sample_fanout(star, leaf, [-1, -1]))
    assert grown < 80 * MANY / 1e6
    assert found.num_sampled_edges == [1, MANY]
    assert torch.equal(found.n_id.sort().values, torch.arange(MANY + 1))


def test_fanout_of_the_path(path):
    found = sample_fanout(path, torch.tensor([MANY // 2]), [-1, -1])
    assert (found.num_sampled_nodes, found.num_sampled_edges) == ([1, 2, 2], [2, 4])
    assert sorted((found.n_id - MANY // 2).tolist()) == [-2, -1, 0, 1, 2]
    end = sample_fanout(path, torch.tensor([0]), [15, 10])
    assert end.n_id.tolist() == [0, 1, 2]


def test_fanout_of_the_complete_graph(complete):
    draw = partial(sample_fanout, complete, torch.tensor([7]))
    grown, found = megabytes(partial(draw, [-1, -1]), first=partial(draw, [-1]))
    assert grown < 64 * complete.num_edges / 1e6
    assert found.num_sampled_nodes == [1, FULL - 1, 0]
    assert found.num_sampled_edges == [FULL - 1, (FULL - 1) ** 2]
    assert torch.equal(found.n_id[found.edge_index], complete.edge_index()[:, found.e_id])
    found = sample_fanout(complete, torch.arange(FULL), [15])
    assert is_uniform(found.n_id[found.edge_index[0]].numpy() / FULL, 30)


def test_fanout_of_nothing(empty):
    seeds = torch.arange(empty.num_nodes)
    for options in ({}, {"replace": True}, {"directed": False}, {"disjoint": True}):
        found = sample_fanout(empty, seeds, [15, -1], **options)
        assert torch.equal(found.n_id, seeds)
        assert found.edge_index.shape == (2, 0)


@pytest.mark.parametrize("edges", [star_edges, path_edges, complete_edges])
def test_neighbor_loader(edges):
    edge_index = torch.from_numpy(edges())
    num_nodes = int(edge_index.max()) + 1
    data = Data(x=torch.arange(num_nodes)[:, None], edge_index=edge_index)
    nodes = torch.tensor([0, 1, num_nodes - 1])

    def first_batch(data, nodes):
        return first_of(NeighborLoader(data, [15, 10], nodes, batch_size=3))

    small = Data(edge_index=torch.from_numpy(complete_edges(3)), num_nodes=3)
    first = partial(first_batch, small, torch.arange(3))
    grown, batch = megabytes(partial(first_batch, data, nodes), first)
    assert grown < 48 * edge_index.size(1) / 1e6
    assert torch.equal(batch.x[:, 0], batch.n_id)
    assert torch.equal(batch.n_id[batch.edge_index], edge_index[:, batch.e_id])
    degree = torch.bincount(edge_index[1])[nodes]
    assert torch.equal(torch.bincount(batch.edge_index[1])[:3], degree.clamp(max=15))


def test_neighbor_loader_of_nothing(empty):
    data = Data(x=torch.ones(empty.num_nodes, 2), edge_index=empty.edge_index())
    batches = list(NeighborLoader(data, [15, 10], batch_size=4))
    assert [batch.num_nodes for batch in batches] == ([4, 3] if empty.num_nodes else [])


@pytest.mark.parametrize("bias", [(1.0, 1.0), (0.001, 1.0), (100.0, 100.0)])
def test_walks(star, path, complete, empty, bias):
    p, q = bias
    starts = torch.tensor([0, 1, 999] * 20)
    grown, walks = megabytes(lambda: random_walk(star, starts, 6, p=p, q=q))
    assert grown < 1
    at_hub = walks == 0
    assert torch.equal(at_hub[:, 1:], ~at_hub[:, :-1])
    steps = random_walk(path, starts, 6, p=p, q=q).diff(dim=1)
    assert (steps.abs() == 1).all()
    assert (random_walk(complete, starts, 6, p=p, q=q).diff(dim=1) != 0).all()
    alone = torch.arange(empty.num_nodes)
    stays = random_walk(empty, alone, 6, p=p, q=q)
    assert torch.equal(stays, alone[:, None].expand(-1, 7))


@pytest.mark.parametrize("name", SETS)
def test_a_batch_of_tokens(star, path, complete, name):
    for graph in (star, path, complete):
        x = torch.arange(graph.num_nodes)[:, None].float() % 64
        grown, store = megabytes(partial(TokenStore.in_memory, graph, x))
        assert grown < 1 + 80 * graph.num_nodes / 1e6
        seeds = torch.tensor([0, 1, graph.num_nodes - 1])
        loader = TokenLoader(
            store, seeds, num_samples=20, batch_size=3, sampler=SETS[name], pool="set"
        )
        grown, batch = megabytes(partial(first_of, loader))
        assert grown < 1 + 24 * graph.num_nodes / 1e6
        tokens = loader.sampler(graph, seeds, 20)
        assert torch.equal(batch.rows[batch.ids][..., 0, 0], x[tokens.ids, 0])
        assert torch.equal(batch.rows[batch.ids], store.features[tokens.ids])
        assert torch.equal(batch.mask, tokens.mask)


def test_a_batch_of_nothing(empty):
    store = TokenStore.in_memory(empty, torch.ones(empty.num_nodes, 2))
    loader = TokenLoader(store, torch.arange(empty.num_nodes), num_samples=4, batch_size=9)
    shapes = [tuple(batch.rows.shape) for batch in loader]
    assert shapes == ([(7, 3, 2)] if empty.num_nodes else [])
