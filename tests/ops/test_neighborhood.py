"""The 2-hop sampler: only what theory allows, as often as theory says, whatever the threads."""

import itertools
import os
import resource
import subprocess
import sys

import numpy as np
import oracles
import pytest
import torch
from scipy.stats import chi2

from graphattn.graph import CSRGraph
from graphattn.kernels.sample import draw_neighborhood
from graphattn.ops.neighborhood import sample_neighborhood


def random_graph(seed):
    """A random directed graph of at most 60 nodes, sparse or dense, with loops and repeats."""
    generator = np.random.default_rng(seed)
    num_nodes = int(generator.integers(2, 61))
    num_edges = int(num_nodes * generator.uniform(0.5, 6.0))
    edges = generator.integers(num_nodes, size=(2, num_edges))
    if seed % 2:
        edges = np.concatenate([edges, edges[::-1]], axis=1)
    return edges, num_nodes


@pytest.mark.parametrize("num_hops", [1, 2, 3])
@pytest.mark.parametrize("pool", ["list", "set"])
@pytest.mark.parametrize("seed", range(6))
def test_only_what_the_pool_holds(seed, pool, num_hops):
    edges, num_nodes = random_graph(seed)
    graph = CSRGraph.from_edge_index(edges, num_nodes)
    for num_samples in (1, 2, 8, 200):  # the last is more than any pool has
        table = sample_neighborhood(
            graph, torch.arange(num_nodes), num_samples, pool=pool, num_hops=num_hops, seed=seed
        )
        for node in range(num_nodes):
            times, distance = oracles.pool_of(edges.T.tolist(), num_nodes, node, num_hops, pool)
            ids, mask, hop = (part[node].tolist() for part in table)
            size = min(num_samples - 1, sum(times.values()))
            assert ids[0] == node
            assert mask == [True] * (1 + size) + [False] * (num_samples - 1 - size)
            assert ids[1 + size :] == [node] * (num_samples - 1 - size)
            assert hop == [0] + [distance[i] for i in ids[1 : 1 + size]] + [0] * (
                num_samples - 1 - size
            )
            assert all(ids[1 : 1 + size].count(i) <= times[i] for i in ids[1 : 1 + size])
            if num_samples == 200:  # the pool is taken whole
                assert sorted(ids[1 : 1 + size]) == sorted(
                    i for i, count in times.items() for _ in range(count)
                )


@pytest.mark.parametrize("pool", ["list", "set"])
def test_frequencies_agree_with_theory(pool):
    """20 graphs, 20,000 draws of one node of each; the chi-square of drawing without replacement.

    Drawing k of n pool positions, a node that stands m times in the pool is drawn m k / n times
    on average, and counts covary as in a multivariate hypergeometric law, whose covariance is
    (n - k) / (n - 1) times the multinomial one. So Pearson's statistic divided by that factor is
    chi-square with one degree of freedom less than there are nodes. The draws are those of 1,000
    copies of the graph side by side (each copy of a node has a stream of its own) in 20 epochs.
    """
    copies, epochs, graphs = 1000, 20, 20
    values = []
    for number in itertools.count(100):
        if len(values) == graphs:
            break
        edges, num_nodes = random_graph(number)
        pools = [
            oracles.pool_of(edges.T.tolist(), num_nodes, v, 2, pool)[0] for v in range(num_nodes)
        ]
        node = max(range(num_nodes), key=lambda v: len(pools[v]))
        if len(pools[node]) < 2:
            continue  # nothing to choose between
        nodes, times = np.array(sorted(pools[node].items())).T
        size = int(times.sum())
        take = max(1, size // 3)
        offsets = np.arange(copies) * num_nodes
        many = (edges[:, None, :] + offsets[None, :, None]).reshape(2, -1)
        graph = CSRGraph.from_edge_index(many, copies * num_nodes)
        counts = np.zeros(num_nodes)
        for epoch in range(epochs):
            ids, mask, _ = sample_neighborhood(
                graph, torch.from_numpy(offsets + node), 1 + take, pool=pool, seed=7, epoch=epoch
            )
            assert mask.all()
            assert torch.equal(ids // num_nodes, (ids[:, :1] // num_nodes).expand_as(ids))
            counts += np.bincount(ids[:, 1:].flatten() % num_nodes, minlength=num_nodes)
        expected = copies * epochs * take * times / size
        assert counts.sum() == counts[nodes].sum() == copies * epochs * take
        factor = (size - take) / (size - 1)
        statistic = ((counts[nodes] - expected) ** 2 / expected).sum() / factor
        values.append(chi2.sf(statistic, len(nodes) - 1))
    assert min(values) * graphs > 1e-3


@pytest.mark.parametrize("pool", ["list", "set"])
def test_pairs_are_drawn_as_without_replacement(pool):
    """On a star all leaves are alike: every pair of a draw of two is equally likely."""
    leaves = 5
    center = np.zeros(leaves, dtype=np.int64)
    edges = np.stack([np.arange(1, leaves + 1), center])
    graph = CSRGraph.from_edge_index(edges, leaves + 1)
    counts = np.zeros((leaves + 1, leaves + 1))
    for epoch in range(4000):
        ids = sample_neighborhood(graph, torch.tensor([0]), 3, pool=pool, epoch=epoch).ids[0]
        counts[min(ids[1:]), max(ids[1:])] += 1
    pairs = counts[np.triu_indices(leaves + 1, 1)].reshape(-1)
    pairs = pairs[pairs > 0]
    assert len(pairs) == 10
    assert counts.sum() == pairs.sum() == 4000
    assert chi2.sf(((pairs - 400) ** 2 / 400).sum(), 9) > 1e-3


def a_graph():
    generator = np.random.default_rng(5)
    return CSRGraph.from_edge_index(generator.integers(500, size=(2, 3000)), 500)


@pytest.mark.parametrize("pool", ["list", "set"])
def test_same_table_for_one_and_two_threads_and_any_split(pool):
    graph, seeds = a_graph(), torch.arange(500)
    options = {"num_samples": 10, "pool": pool, "seed": 3, "epoch": 4}
    table = sample_neighborhood(graph, seeds, **options)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            again = sample_neighborhood(graph, seeds, **options)
            assert all(torch.equal(a, b) for a, b in zip(table, again, strict=True))
    finally:
        torch.set_num_threads(before)
    order = torch.randperm(500, generator=torch.Generator().manual_seed(0))
    for size in (1, 7, 64, 499):
        for part in order[: 3 * size].split(size):
            rows = sample_neighborhood(graph, part, **options)
            assert all(torch.equal(a[part], b) for a, b in zip(table, rows, strict=True))


def test_large_pools_of_undirected_graphs_do_not_depend_on_threads_or_batch():
    """Drawn by rejection (tests/kernels/test_reject.py), unlike those of directed graphs."""
    generator = np.random.default_rng(8)
    directed = CSRGraph.from_edge_index(generator.integers(400, size=(2, 12000)), 400)
    for graph in (directed, directed.to_undirected()):
        options = (graph.rowptr, graph.col, np.arange(400), 6, 2, True, 3, 4)
        plain = torch.from_numpy(draw_neighborhood(*options)[0])
        table = sample_neighborhood(graph, torch.arange(400), 6, seed=3, epoch=4)
        assert torch.equal(table.ids, plain) == (graph is directed)
        part = torch.tensor([5, 399, 5, 17])
        rows = sample_neighborhood(graph, part, 6, seed=3, epoch=4)
        assert all(torch.equal(a[part], b) for a, b in zip(table, rows, strict=True))


def test_same_table_for_four_threads():
    script = (
        "import numba, torch, numpy as np\n"
        "from graphattn.graph import CSRGraph\n"
        "from graphattn.ops.neighborhood import sample_neighborhood\n"
        "from graphattn.ops.threads import as_many_threads_as_torch\n"
        "generator = np.random.default_rng(5)\n"
        "graph = CSRGraph.from_edge_index(generator.integers(500, size=(2, 3000)), 500)\n"
        "torch.set_num_threads(4)\n"
        "with as_many_threads_as_torch(): assert numba.get_num_threads() == 4\n"
        "table = sample_neighborhood(graph, torch.arange(500), 10, seed=3, epoch=4)\n"
        "print(table.ids.flatten().tolist())\n"
    )
    environment = os.environ | {"NUMBA_NUM_THREADS": "4"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    here = sample_neighborhood(a_graph(), torch.arange(500), 10, seed=3, epoch=4)
    assert done.stdout.strip() == str(here.ids.flatten().tolist())


def test_seed_and_epoch_change_the_draw_and_nothing_global_does():
    graph, seeds = a_graph(), torch.arange(500)
    first = sample_neighborhood(graph, seeds, 6)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    assert torch.equal(first.ids, sample_neighborhood(graph, seeds, 6).ids)
    assert torch.equal(state, torch.get_rng_state())
    for other in ({"seed": 1}, {"epoch": 1}, {"seed": -1}, {"seed": 2**70 + 1}):
        assert not torch.equal(first.ids, sample_neighborhood(graph, seeds, 6, **other).ids)


@pytest.mark.parametrize("direction", ["in", "both"])
@pytest.mark.parametrize("seed", [-1, 7])
def test_seed_of_any_integer_type(unchecked, direction, seed):
    graph, seeds = a_graph(), torch.arange(100)
    plain = sample_neighborhood(graph, seeds, 6, direction=direction, seed=seed, epoch=2)
    kinds = [np.int64, np.int32] + ([np.uint64, np.uint8] if seed > 0 else [])
    for kind in kinds:
        numbers = {"seed": kind(seed), "epoch": kind(2)}
        same = sample_neighborhood(graph, seeds, 6, direction=direction, **numbers)
        assert torch.equal(plain.ids, same.ids)


def test_a_node_keeps_its_draw_wherever_it_stands():
    graph = a_graph()
    twice = sample_neighborhood(graph, torch.tensor([3, 3, 9, 3]), 6).ids
    assert torch.equal(twice[0], twice[1])
    assert torch.equal(twice[0], twice[3])


def test_isolated_node_has_only_itself():
    graph = CSRGraph.from_edge_index(torch.tensor([[0, 2], [1, 2]]), 4)
    for node in (2, 3):  # node 2 has but a self-loop
        ids, mask, hop = sample_neighborhood(graph, torch.tensor([node]), 3)
        assert ids.tolist() == [[node] * 3]
        assert mask.tolist() == [[True, False, False]]
        assert hop.tolist() == [[0, 0, 0]]


def test_no_seeds_no_edges_one_node():
    one = CSRGraph.from_edge_index(torch.zeros(2, 0, dtype=torch.long), 1)
    assert sample_neighborhood(one, torch.tensor([0]), 4).mask.sum() == 1
    assert sample_neighborhood(one, torch.zeros(0, dtype=torch.long), 4).ids.shape == (0, 4)
    assert sample_neighborhood(one, torch.tensor([0]), 1).ids.tolist() == [[0]]


def test_directions():
    graph = CSRGraph.from_edge_index(torch.tensor([[0, 1, 2, 3], [1, 2, 3, 4]]))  # 0->1->2->3->4
    seeds = torch.tensor([2])
    inward = sample_neighborhood(graph, seeds, 5, direction="in")
    outward = sample_neighborhood(graph, seeds, 5, direction="out")
    both = sample_neighborhood(graph, seeds, 6, direction="both")
    assert inward.ids.tolist() == [[2, 1, 0, 2, 2]]
    assert outward.ids.tolist() == [[2, 3, 4, 2, 2]]
    assert both.ids.tolist() == [[2, 1, 0, 2, 3, 4]]
    assert both.mask.tolist() == [[True, True, True, False, True, True]]
    assert both.hop.tolist() == [[0, 1, 2, 0, 3, 4]]


def test_both_directions_of_an_undirected_graph_are_two_draws():
    graph = a_graph().to_undirected()
    both = sample_neighborhood(graph, torch.arange(500), 9, direction="both").ids
    assert not torch.equal(both[:, 1:5], both[:, 5:])


def test_star_needs_no_more_memory_than_its_pool():
    """A·A of a star with 10^6 leaves has 10^12 entries; its draws fit in memory all the same."""
    leaves = np.arange(1, 1_000_001)
    edges = np.stack([leaves, np.zeros_like(leaves)])
    graph = CSRGraph.from_edge_index(np.concatenate([edges, edges[::-1]], axis=1))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    table = sample_neighborhood(graph, torch.tensor([0, 1, 2, 999_999]), 50)
    assert table.mask.all()
    assert (table.hop[1:, 1:] == 2).sum() > 140
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 100_000  # kB


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seeds": torch.tensor([0, 2, -1])}, r"ids from 0 to 1: got \[2, -1\], 2 such seeds"),
        ({"num_samples": 0}, "at least 1: got num_samples=0"),
        ({"num_hops": 0}, "from 1 to 63: got num_hops=0"),
    ],
)
def test_errors(options, words):
    graph = CSRGraph.from_edge_index(torch.tensor([[0], [1]]))
    options = {"seeds": torch.tensor([0]), "num_samples": 3, **options}
    with pytest.raises(ValueError, match=words):
        sample_neighborhood(graph, options.pop("seeds"), options.pop("num_samples"), **options)


@pytest.mark.parametrize("option", ["pool", "direction"])
def test_unknown_option_is_named(unchecked, option):
    with pytest.raises(ValueError, match=f"{option} must be .* got 'most'"):
        sample_neighborhood(a_graph(), torch.tensor([0]), 3, **{option: "most"})
