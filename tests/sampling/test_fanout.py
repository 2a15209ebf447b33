"""Layer-wise sampling: only what the rules allow, as often as theory says, whatever the batch."""

import inspect

import numpy as np
import pytest
import torch
from scipy.stats import chi2

from graphattn.graph import CSRGraph
from graphattn.sampling.fanout import rows_of_edges, sample_fanout


def a_graph(seed=0, num_nodes=60, num_edges=300):
    """A directed graph with loops and some isolated nodes."""
    generator = np.random.default_rng(seed)
    edges = generator.integers(num_nodes - 5, size=(2, num_edges))
    return CSRGraph.from_edge_index(edges, num_nodes)


def follow(graph, seeds, found, disjoint):
    """What PyG's rules make of the edges drawn and who drew them: nodes in order of discovery.

    With it the tree of each, how many each hop found, and the sender of each edge as a position.
    """
    source, target = graph.edge_index().tolist()
    places = [(tree if disjoint else 0, node) for tree, node in enumerate(seeds)]
    hops, senders, edge = [len(places)], [], 0
    for count in found.num_sampled_edges:
        begin = len(places) - hops[-1]
        end = len(places)
        at = found.edge_index[1, edge : edge + count].tolist()
        assert at == sorted(at)
        assert all(begin <= place < end for place in at)
        for i, place in enumerate(at, edge):
            e_id = int(found.e_id[i])
            assert places[place][1] == target[e_id]
            key = (places[place][0], source[e_id])
            if key not in places:
                places.append(key)
            senders.append(places.index(key))
        hops.append(len(places) - end)
        edge += count
    return [node for _, node in places], [tree for tree, _ in places], hops, senders


def check(graph, seeds, fanouts, found, disjoint=False, allowed=None):
    """Every edge is real; every node is expanded once, with as many edges as there should be."""
    n_id, e_id, receivers = found.n_id.tolist(), found.e_id.tolist(), found.edge_index[1].tolist()
    nodes, trees, hops, senders = follow(graph, seeds.tolist(), found, disjoint)
    assert n_id == nodes
    assert found.num_sampled_nodes == hops
    assert found.edge_index[0].tolist() == senders
    assert (found.batch is None) if not disjoint else (found.batch.tolist() == trees)
    ends = np.cumsum([0, *hops])
    edge_start = 0
    for hop, fanout in enumerate(fanouts):
        edges = range(edge_start, edge_start + found.num_sampled_edges[hop])
        edge_start = edges.stop
        drawn = {}
        for i in edges:
            drawn.setdefault(receivers[i], []).append(e_id[i])
        for place in range(ends[hop], ends[hop + 1]):
            start, stop = graph.rowptr[n_id[place]], graph.rowptr[n_id[place] + 1]
            candidates = [e for e in range(start, stop) if allowed is None or allowed(e, place)]
            mine = drawn.pop(place, [])
            assert len(set(mine)) == len(mine)
            assert set(mine) <= set(candidates)
            assert len(mine) == (len(candidates) if fanout < 0 else min(fanout, len(candidates)))
        assert not drawn


@pytest.mark.parametrize("disjoint", [False, True])
@pytest.mark.parametrize("fanouts", [[-1, -1], [3, 2], [2, -1, 1], [-1, 0, 2], [40], []])
def test_only_what_the_rules_allow(fanouts, disjoint):
    for seed in range(4):
        graph = a_graph(seed)
        seeds = torch.from_numpy(np.random.default_rng(seed).permutation(60)[:12])
        found = sample_fanout(graph, seeds, fanouts, disjoint=disjoint, seed=seed)
        check(graph, seeds, fanouts, found, disjoint)


@pytest.mark.parametrize("by_seed", [False, True])
def test_time_keeps_the_future_out(by_seed):
    generator = np.random.default_rng(0)
    for seed in range(4):
        graph = a_graph(seed)
        seeds = torch.from_numpy(generator.integers(60, size=10))
        time = torch.from_numpy(generator.integers(20, size=60))
        limit = torch.from_numpy(generator.integers(20, size=10)) if by_seed else time[seeds]
        for fanouts in ([-1, -1], [2, 3]):
            found = sample_fanout(
                graph, seeds, fanouts, node_time=time, seed_time=limit if by_seed else None
            )
            trees = found.batch

            def in_time(edge, place, graph=graph, limit=limit, time=time, trees=trees):
                return time[graph.col[edge]] <= limit[trees[place]]

            check(graph, seeds, fanouts, found, True, in_time)
            assert (time[found.n_id[10:]] <= limit[trees[10:]]).all()


def test_times_of_floats_are_the_same_draw():
    graph, seeds, time = a_graph(), torch.arange(20), torch.arange(60) % 7
    one = sample_fanout(graph, seeds, [2, 2], node_time=time)
    two = sample_fanout(graph, seeds, [2, 2], node_time=time.half())
    assert torch.equal(one.e_id, two.e_id)


def test_with_replacement_as_many_as_asked():
    graph, seeds = a_graph(), torch.arange(60)
    found = sample_fanout(graph, seeds, [7], replace=True)
    drawn = torch.bincount(found.edge_index[1], minlength=60)[:60]
    assert drawn.tolist() == [7 * (degree > 0) for degree in graph.degree()]
    real = graph.edge_index()[:, found.e_id]
    assert torch.equal(found.n_id[found.edge_index], real)
    every = sample_fanout(graph, seeds, [-1], replace=True)
    assert every.e_id.tolist() == list(range(graph.num_edges))


def test_induced_edges_are_all_among_the_nodes():
    for seed in range(4):
        graph, seeds = a_graph(seed), torch.tensor([3, 50, 7])
        drawn = sample_fanout(graph, seeds, [3, 2], seed=seed)
        found = sample_fanout(graph, seeds, [3, 2], directed=False, seed=seed)
        assert torch.equal(found.n_id, drawn.n_id)
        assert found.num_sampled_nodes == drawn.num_sampled_nodes
        assert found.num_sampled_edges is None
        source, target = graph.edge_index()
        inside = torch.isin(source, found.n_id) & torch.isin(target, found.n_id)
        assert torch.equal(found.e_id.sort().values, inside.nonzero().view(-1))
        assert torch.equal(found.n_id[found.edge_index], graph.edge_index()[:, found.e_id])


@pytest.mark.parametrize("directed", [True, False])
def test_a_seed_that_repeats_has_edges_at_each_place(directed):
    graph = a_graph()
    once = sample_fanout(graph, torch.tensor([4, 9]), [-1, 2])
    found = sample_fanout(graph, torch.tensor([4, 9, 4]), [-1, 2], directed=directed)
    assert found.n_id[:3].tolist() == [4, 9, 4]
    assert set(found.n_id.tolist()) == set(once.n_id.tolist())
    edges = [found.e_id[found.edge_index[1] == place].tolist() for place in (0, 1, 2)]
    assert edges[0] == edges[2]
    assert len(edges[0]) == graph.degree()[4]
    assert 2 not in found.edge_index[0]
    if directed:
        check(graph, torch.tensor([4, 9, 4]), [-1, 2], found)


def test_isolated_seed_and_batch_of_one_and_none():
    graph = a_graph()
    assert graph.degree()[58] == 0
    found = sample_fanout(graph, torch.tensor([58]), [5, 5], disjoint=True)
    assert found.n_id.tolist() == [58]
    assert found.edge_index.shape == (2, 0)
    assert found.num_sampled_nodes == [1, 0, 0]
    assert found.num_sampled_edges == [0, 0]
    for options in ({}, {"disjoint": True}, {"directed": False}, {"node_time": torch.zeros(60)}):
        found = sample_fanout(graph, torch.zeros(0).long(), [5, 5], **options)
        assert found.n_id.numel() == found.e_id.numel() == found.edge_index.numel() == 0
        assert found.num_sampled_nodes == [0, 0, 0]


def test_graph_without_nodes():
    graph = CSRGraph.from_edge_index(np.zeros((2, 0)), 0)
    assert sample_fanout(graph, torch.zeros(0).long(), [-1]).n_id.numel() == 0


def a_hub(leaves):
    return CSRGraph.from_edge_index(
        np.stack([np.arange(1, leaves + 1), np.zeros(leaves, np.int64)]), leaves + 1
    )


@pytest.mark.parametrize("number", [10, 1000, -1])
def test_hub_of_a_hundred_thousand(number):
    hub = a_hub(100_000)
    time = torch.arange(100_001)
    found = sample_fanout(hub, torch.tensor([0]), [number, 3])
    assert found.e_id.unique().numel() == found.e_id.numel() == (number if number > 0 else 100_000)
    late = sample_fanout(
        hub, torch.tensor([0]), [number], node_time=time, seed_time=torch.tensor([5000])
    )
    assert late.n_id.max() <= 5000
    assert late.n_id.unique().numel() == 1 + (number if number > 0 else 5000)


@pytest.mark.parametrize("timed", [False, True])
def test_draws_of_many_epochs_are_uniform(timed):
    """4 of 16 leaves of 100 hubs, or of the 12 that came in time.

    Pearson's statistic of the counts, over (n - k) / (n - 1), is chi-square.
    """
    place = np.arange(100) * 17
    leaf = (place[:, None] + np.arange(1, 17)).reshape(-1)
    hubs = CSRGraph.from_edge_index(np.stack([leaf, leaf // 17 * 17]), 1700)
    options = {"node_time": torch.arange(1700) % 17 // 13} if timed else {}
    leaves, take, epochs = (12 if timed else 16), 4, 40
    counts = torch.zeros(17)
    for epoch in range(epochs):
        found = sample_fanout(hubs, torch.from_numpy(place), [take], epoch=epoch, **options)
        assert torch.equal(found.n_id[100:] // 17, torch.arange(100).repeat_interleave(take))
        counts += torch.bincount(found.n_id[100:] % 17, minlength=17)
    counts = counts[1 : leaves + 1].numpy()
    assert counts.sum() == 100 * epochs * take
    expected = counts.sum() / leaves
    statistic = ((counts - expected) ** 2 / expected).sum() * (leaves - 1) / (leaves - take)
    assert chi2.sf(statistic, leaves - 1) > 1e-3


def test_draw_depends_on_seed_epoch_node_and_hop_only():
    graph = a_graph(num_edges=900)

    def senders(seeds, place, **options):
        found = sample_fanout(graph, torch.tensor(seeds), [3], **options)
        return found.e_id[found.edge_index[1] == place].tolist()

    state = torch.get_rng_state()
    alone = senders([7], 0)
    assert torch.equal(state, torch.get_rng_state())
    assert (
        alone == senders([1, 7, 30], 1) == senders([7, 7], 1) == senders([4, 7], 1, disjoint=True)
    )
    assert senders([7], 0, seed=-1) == senders([7], 0, seed=2**64 - 1) != alone
    assert alone != senders([7], 0, epoch=1)
    path = CSRGraph.from_edge_index(np.array([[7] * 1 + list(range(60)), [60] + [7] * 60]), 61)
    first = sample_fanout(path, torch.tensor([7]), [3])
    second = sample_fanout(path, torch.tensor([60]), [1, 3])
    assert first.n_id[first.edge_index[0]].tolist() != second.e_id[1:].tolist()


def test_threads_of_torch_change_nothing():
    graph, before = a_graph(), torch.get_num_threads()
    one = sample_fanout(graph, torch.arange(60), [3, 3])
    try:
        torch.set_num_threads(2)
        two = sample_fanout(graph, torch.arange(60), [3, 3])
    finally:
        torch.set_num_threads(before)
    assert torch.equal(one.edge_index, two.edge_index)


@pytest.mark.parametrize("timed", [False, True])
def test_rows_keep_every_edge_and_their_order(timed):
    generator = np.random.default_rng(0)
    edges, time = generator.integers(20, size=(2, 500)), generator.integers(9, size=500)
    found = rows_of_edges(edges, 25, time if timed else None)
    expected = np.lexsort([np.arange(500), time * timed, edges[1]])
    assert found.origin.tolist() == expected.tolist()
    assert found.col.tolist() == edges[0][expected].tolist()
    assert found.rowptr.tolist() == np.searchsorted(edges[1][expected], np.arange(26)).tolist()
    assert found.origin.dtype == found.col.dtype == np.int32
    assert (found.time is None) if not timed else (found.time.tolist() == time[expected].tolist())
    assert rows_of_edges(np.zeros((2, 0), np.int64), 3, None).rowptr.tolist() == [0] * 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_neighbors": [-2]}, r"num_neighbors must be 0 or more each, or -1 for all: got \[-2"),
        ({"seeds": torch.tensor([60])}, r"seeds must be ids from 0 to 59: got \[60\]"),
        (
            {"seeds": torch.tensor([-1]), "node_time": torch.zeros(60)},
            r"seeds must be ids from 0 to 59: got \[-1\]",
        ),
        ({"disjoint": True, "directed": False}, "must be directed: got directed=False"),
        ({"seed_time": torch.zeros(3)}, "seed_time needs the times of all nodes"),
        ({"node_time": torch.zeros(59)}, r"node_time must be \[60\]: got shape \[59\]"),
        (
            {"node_time": torch.tensor([float("nan")] * 60)},
            "node_time must not be NaN: got 60 of 60",
        ),
    ],
)
def test_errors(options, words):
    options = {"seeds": torch.arange(3), "num_neighbors": [2], **options}
    with pytest.raises(ValueError, match=words):
        sample_fanout(a_graph(), options.pop("seeds"), options.pop("num_neighbors"), **options)


def test_times_of_other_kinds():
    with pytest.raises(
        TypeError, match=r"node_time must hold integers or real numbers: got .*bool"
    ):
        sample_fanout(a_graph(), torch.arange(3), [2], node_time=torch.ones(60, dtype=torch.bool))
    with pytest.raises(
        TypeError, match=r"seed_time must be of the kind .* int64: got torch.float32"
    ):
        sample_fanout(
            a_graph(),
            torch.arange(3),
            [2],
            node_time=torch.zeros(60).long(),
            seed_time=torch.zeros(3),
        )


def test_options_are_keywords():
    parameters = inspect.signature(sample_fanout).parameters
    positional = [n for n, p in parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert positional == ["graph", "seeds", "num_neighbors"]
