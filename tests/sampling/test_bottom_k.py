"""The sampler of lowest ranks: uniform over ranks, right for any graph, and kept small."""

import gc
import os
import resource
import subprocess
import sys
import threading
import weakref

import numpy as np
import oracles
import pytest
import torch
from scipy.stats import chi2

from graphattn.graph import CSRGraph
from graphattn.sampling import bottom_k
from graphattn.sampling.bottom_k import BottomKSampler
from graphattn.sampling.loader import TokenLoader
from graphattn.sampling.store import TokenStore


def random_graph(seed):
    """A random graph of at most 60 nodes, every second one undirected, with loops and repeats."""
    generator = np.random.default_rng(seed)
    num_nodes = int(generator.integers(2, 61))
    edges = generator.integers(num_nodes, size=(2, int(num_nodes * generator.uniform(0.5, 6.0))))
    if seed % 2:
        edges = np.concatenate([edges, edges[::-1]], axis=1)
    return edges, num_nodes


def a_graph():
    generator = np.random.default_rng(5)
    return CSRGraph.from_edge_index(generator.integers(500, size=(2, 3000)), 500)


@pytest.mark.parametrize("seed", range(50))
def test_only_what_the_pool_holds_and_each_once(seed):
    edges, num_nodes = random_graph(seed)
    graph = CSRGraph.from_edge_index(edges, num_nodes)
    nodes = torch.arange(num_nodes)
    pairs = edges.T.tolist()
    for num_samples, num_hops, share in ((1, 2, 1), (8, 2, None), (8, 1, 3), (200, 2, 1)):
        table = BottomKSampler(share=share)(graph, nodes, num_samples, num_hops=num_hops, seed=seed)
        for node in range(num_nodes):
            _, distance = oracles.pool_of(pairs, num_nodes, node, num_hops, "set")
            ids, mask, hop = (part[node].tolist() for part in table)
            size = min(num_samples - 1, len(distance))
            rest = num_samples - 1 - size
            assert len(set(ids[: 1 + size])) == 1 + size
            assert mask == [True] * (1 + size) + [False] * rest
            assert ids[1 + size :] == [node] * rest
            assert hop == [0] + [distance[i] for i in ids[1 : 1 + size]] + [0] * rest


def test_every_node_of_the_pool_is_as_likely_over_ranks():
    """Some 20 graphs, 200 permutations of each with one offset.

    Drawing k of n nodes, each is drawn k / n times on average, and counts covary as in a
    hypergeometric law, so Pearson's statistic over (n - k) / (n - 1) is chi-square.
    """
    values = []
    for number in range(100, 126):
        edges, num_nodes = random_graph(number)
        pools = [
            oracles.pool_of(edges.T.tolist(), num_nodes, v, 2, "set")[1] for v in range(num_nodes)
        ]
        node = max(range(num_nodes), key=lambda v: len(pools[v]))
        size = len(pools[node])
        if size < 6:
            continue
        take = size // 3
        graph = CSRGraph.from_edge_index(edges, num_nodes)
        sampler = BottomKSampler(permute_every=1)
        counts = np.zeros(num_nodes)
        for epoch in range(200):
            ids, mask, _ = sampler(graph, torch.tensor([node]), 1 + take, seed=7, epoch=epoch)
            assert mask.all()
            counts[ids[0, 1:]] += 1
        nodes = sorted(pools[node])
        expected = 200 * take / size
        assert counts.sum() == counts[nodes].sum() == 200 * take
        statistic = ((counts[nodes] - expected) ** 2 / expected).sum() / (
            (size - take) / (size - 1)
        )
        values.append(chi2.sf(statistic, size - 1))
    assert len(values) >= 15
    assert min(values) * len(values) > 1e-3
    assert max(values) < 1 - 1e-3 / len(values)


def test_offsets_and_epochs_move_the_draw_between_two_changes_of_the_ranks():
    graph, seeds = a_graph(), torch.arange(500)
    sampler = BottomKSampler(permute_every=5)
    first = sampler(graph, seeds, 6, seed=1, epoch=5)
    (ranks,) = bottom_k._RANKED[graph]
    assert not torch.equal(first.ids, sampler(graph, seeds, 6, seed=1, epoch=9).ids)
    assert bottom_k._RANKED[graph][-1] is ranks
    assert torch.equal(first.ids, sampler(graph, seeds, 6, seed=1, epoch=5).ids)
    for other in ({"epoch": 10, "seed": 1}, {"seed": 2}, {"seed": -1}, {"seed": 2**70}):
        assert not torch.equal(first.ids, sampler(graph, seeds, 6, **{"epoch": 5, **other}).ids)
        assert bottom_k._RANKED[graph][-1].rank.tolist() != ranks.rank.tolist()


def test_the_last_two_renumbered_graphs_until_the_graph_is_dropped():
    graph, sampler = a_graph(), BottomKSampler(permute_every=1)

    def draw(graph, epoch):
        sampler(graph, torch.arange(5), 4, epoch=epoch)
        return weakref.ref(bottom_k._RANKED[graph][-1].col)

    epoch_0, epoch_1 = draw(graph, 0), draw(graph, 1)
    assert draw(graph, 0)() is epoch_0()  # as evaluation does after each epoch
    epoch_2 = draw(graph, 2)
    gc.collect()
    assert epoch_1() is None
    assert draw(graph, 0)() is epoch_0()
    del graph
    gc.collect()
    assert epoch_0() is None
    assert epoch_2() is None


def test_the_order_of_ranks_is_not_that_of_a_shuffled_loader():
    graph = a_graph()
    BottomKSampler()(graph, torch.arange(5), 4, seed=3)
    order = np.random.default_rng([3, 0]).permutation(500)  # as TokenLoader shuffles
    (ranked,) = bottom_k._RANKED[graph]
    assert abs(np.corrcoef(ranked.rank, order)[0, 1]) < 0.2
    assert abs(np.corrcoef(ranked.node_of, order)[0, 1]) < 0.2


@pytest.mark.parametrize("direction", ["in", "both"])
def test_without_sharing_the_batch_does_not_matter(direction):
    graph, seeds, sampler = a_graph(), torch.arange(500), BottomKSampler(share=1)
    options = {"num_samples": 10, "seed": 3, "epoch": 4, "direction": direction}
    table = sampler(graph, seeds, **options)
    order = torch.randperm(500, generator=torch.Generator().manual_seed(0))
    for size in (1, 7, 64, 499):
        for part in order[: 3 * size].split(size):
            rows = sampler(graph, part, **options)
            assert all(torch.equal(a[part], b) for a, b in zip(table, rows, strict=True))


def test_groups_depend_on_their_first_seed_only():
    graph, seeds = a_graph(), torch.arange(100)
    four = BottomKSampler(share=4)(graph, seeds, 10).ids
    assert torch.equal(four[8:], BottomKSampler(share=4)(graph, seeds[8:], 10).ids)
    assert not torch.equal(four[2:], BottomKSampler(share=4)(graph, seeds[2:], 10).ids)
    whole = BottomKSampler()(graph, seeds, 10).ids
    assert torch.equal(whole, BottomKSampler(share=100)(graph, seeds, 10).ids)
    assert torch.equal(whole[:20], BottomKSampler()(graph, seeds[:20], 10).ids)
    alone = BottomKSampler(share=1)(graph, seeds, 10).ids
    assert whole.unique().numel() < four.unique().numel() < alone.unique().numel()


@pytest.mark.parametrize("share", [None, 1, 7])
def test_same_table_for_one_and_two_threads(share):
    graph, seeds, sampler = a_graph(), torch.arange(500), BottomKSampler(share=share)
    table = sampler(graph, seeds, 10, seed=3, epoch=4)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            again = sampler(graph, seeds, 10, seed=3, epoch=4)
            assert all(torch.equal(a, b) for a, b in zip(table, again, strict=True))
    finally:
        torch.set_num_threads(before)


def test_same_table_for_four_threads():
    script = (
        "import torch, numpy as np\n"
        "from graphattn.graph import CSRGraph\n"
        "from graphattn.sampling.bottom_k import BottomKSampler\n"
        "generator = np.random.default_rng(5)\n"
        "graph = CSRGraph.from_edge_index(generator.integers(500, size=(2, 3000)), 500)\n"
        "torch.set_num_threads(4)\n"
        "table = BottomKSampler(share=7)(graph, torch.arange(500), 10, seed=3, epoch=4)\n"
        "print(table.ids.flatten().tolist())\n"
    )
    environment = os.environ | {"NUMBA_NUM_THREADS": "4"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    here = BottomKSampler(share=7)(a_graph(), torch.arange(500), 10, seed=3, epoch=4)
    assert done.stdout.strip() == str(here.ids.flatten().tolist())


def test_threads_may_call_at_once_and_make_the_ranks_once():
    graph, seeds = a_graph(), torch.arange(500)
    expected = BottomKSampler()(a_graph(), seeds, 8).ids
    tables = []

    def draw():
        tables.append(BottomKSampler()(graph, seeds, 8).ids)

    threads = [threading.Thread(target=draw) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tables) == 6
    assert all(torch.equal(table, expected) for table in tables)


@pytest.mark.parametrize("num_workers", [0, 3])
def test_serves_a_loader(num_workers):
    graph = a_graph()
    store = TokenStore.in_memory(graph, torch.randn(500, 3))
    loader = TokenLoader(
        store,
        torch.arange(500),
        num_samples=6,
        batch_size=64,
        pool="set",
        sampler=BottomKSampler(),
        num_workers=num_workers,
    )
    loader.set_epoch(3)
    batches = list(loader)
    assert sum(batch.seeds.numel() for batch in batches) == 500
    for batch, part in zip(batches, torch.arange(500).split(64), strict=True):
        ids = BottomKSampler()(graph, part, 6, epoch=3).ids
        assert torch.equal(ids.unique()[batch.ids], ids)


def test_directions():
    graph = CSRGraph.from_edge_index(torch.tensor([[0, 1, 2, 3], [1, 2, 3, 4]]))  # 0->1->2->3->4
    seeds, sampler = torch.tensor([2]), BottomKSampler()
    both = sampler(graph, seeds, 6, direction="both")
    assert sorted(sampler(graph, seeds, 5, direction="in").ids[0].tolist()) == [0, 1, 2, 2, 2]
    assert sorted(sampler(graph, seeds, 5, direction="out").ids[0].tolist()) == [2, 2, 2, 3, 4]
    found = dict(zip(both.ids[0].tolist(), both.hop[0].tolist(), strict=True))
    assert (found[1], found[0], found[3], found[4]) == (1, 2, 3, 4)
    assert both.mask.tolist() == [[True, True, True, False, True, True]]
    graph = a_graph().to_undirected()
    both = sampler(graph, torch.arange(500), 9, direction="both").ids
    assert not torch.equal(both[:, 1:5], both[:, 5:])


def test_graphs_of_extreme_shape():
    """A star, a path, a complete and an empty graph, large: right, in little time and memory."""
    sampler = BottomKSampler()
    leaves = np.arange(1, 1_000_001)
    edges = np.stack([leaves, np.zeros_like(leaves)])
    star = CSRGraph.from_edge_index(np.concatenate([edges, edges[::-1]], axis=1))
    path = CSRGraph(
        np.concatenate([[0], np.arange(1, 2_000_000, 2)[:-1], [1_999_998] * 1]),
        np.stack([np.arange(-1, 999_999), np.arange(1, 1_000_001)], axis=1)
        .reshape(-1)[1:-1]
        .astype(np.int32),
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    table = sampler(star, torch.tensor([0, 1, 2, 999_999]), 50)
    assert table.mask.all()
    assert (table.hop[0, 1:] == 1).all()
    assert (table.hop[1:, 1:] == 1).sum(dim=1).max() <= 1
    assert all(row.unique().numel() == 50 for row in table.ids)
    ids, mask, hop = sampler(path, torch.tensor([0, 500_000, 999_999]), 50)
    assert mask.sum(dim=1).tolist() == [3, 5, 3]
    assert sorted(ids[1, 1:5].tolist()) == [499_998, 499_999, 500_001, 500_002]
    assert ((ids - ids[:, :1]).abs() == hop).all()
    node = np.arange(3000)
    col = np.tile(node, 3000).reshape(3000, 3000)[~np.eye(3000, dtype=bool)]
    complete = CSRGraph(np.arange(3001) * 2999, col.astype(np.int32))
    ids, mask, hop = sampler(complete, torch.arange(3000), 50)
    assert mask.all()
    assert (hop[:, 1:] == 1).all()
    assert (ids.sort(dim=1).values.diff(dim=1) > 0).all()
    assert ids.unique().numel() >= 3000  # the seeds; the tokens are the same 49 or 50 nodes
    assert ids[:, 1:].unique().numel() == 50
    empty = CSRGraph(np.zeros(1_000_001, np.int64), np.empty(0, np.int32))
    assert sampler(empty, torch.tensor([5, 999_999]), 50).mask.sum() == 2
    nothing = CSRGraph(np.zeros(1, np.int64), np.empty(0, np.int32))
    assert sampler(nothing, torch.zeros(0, dtype=torch.long), 50).ids.shape == (0, 50)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 400_000  # kB, most of it the arrays that the complete graph is made of


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seeds": torch.tensor([0, 2, -1])}, r"ids from 0 to 1: got \[2, -1\], 2 such seeds"),
        ({"num_samples": 0}, "at least 1: got num_samples=0"),
        ({"num_hops": 3}, "num_hops must be 1 or 2 .* got num_hops=3; sample_neighborhood goes"),
        ({"pool": "list"}, "pool must be 'set' .* got 'list'; sample_neighborhood draws from"),
        ({"direction": "most"}, "direction must be .* got 'most'"),
    ],
)
def test_errors(unchecked, options, words):
    graph = CSRGraph.from_edge_index(torch.tensor([[0], [1]]))
    options = {"seeds": torch.tensor([0]), "num_samples": 3, **options}
    seeds, num_samples = options.pop("seeds"), options.pop("num_samples")
    with pytest.raises(ValueError, match=words):
        BottomKSampler()(graph, seeds, num_samples, **options)


@pytest.mark.parametrize("option", ["share", "permute_every"])
def test_options_below_one(option):
    with pytest.raises(ValueError, match=f"{option} must be at least 1: got {option}=0"):
        BottomKSampler(**{option: 0})
