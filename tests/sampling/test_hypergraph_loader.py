"""HypergraphLoader: exact at full fan-out, only real incidences, and draws that need no batch."""

import pytest
import torch
from hypergraph_cases import make, uneven
from torch_geometric.data.hypergraph_data import HyperGraphData

from graphattn.nn import HypergraphAttentionConv, HypergraphTransformerConv
from graphattn.sampling.hypergraph_loader import HypergraphLoader

NODES, EDGES, CHANNELS = 60, 40, 4


def make_data():
    made = make(NODES, EDGES, 110)
    data = made.to_data()
    data.x = torch.randn(NODES, CHANNELS, dtype=torch.double)
    data.y = torch.arange(NODES)
    data.hyperedge_type = torch.arange(EDGES) % 3
    data.name = "made"
    return data


@pytest.mark.parametrize("shuffle", [False, True])
def test_full_fanout_gives_the_outputs_of_the_whole(shuffle):
    data = make_data()
    torch.manual_seed(0)
    layers = [
        uneven(HypergraphTransformerConv(CHANNELS, CHANNELS, num_types=3)),
        uneven(HypergraphAttentionConv(CHANNELS, CHANNELS)),
        uneven(HypergraphTransformerConv(CHANNELS, CHANNELS, num_types=3, norm="layer")),
    ]

    def run(data):
        x = data.x
        for layer in layers:
            count = {"num_hyperedges": data.num_hyperedges}
            types = {"hyperedge_type": data.hyperedge_type} if hasattr(layer, "num_types") else {}
            x = layer(x, data.edge_index, **count, **types)
        return x

    whole = run(data)
    seeds = torch.randperm(NODES)[:23]
    loader = HypergraphLoader(data, [(-1, -1)] * 3, seeds, batch_size=5, shuffle=shuffle)
    assert len(loader) == 5
    seen = []
    for batch in loader:
        own = batch.n_id[: batch.batch_size]
        assert torch.equal(own, seeds[batch.input_id])
        assert torch.equal(batch.y, batch.n_id)
        assert batch.name == "made"
        out = run(batch)[: batch.batch_size]
        torch.testing.assert_close(out, whole[own], rtol=0, atol=1e-12)
        seen += own.tolist()
    assert sorted(seen) == sorted(seeds.tolist())
    assert (seen == seeds.tolist()) == (not shuffle)


def incidences(batch):
    node, edge = batch.n_id[batch.edge_index[0]], batch.e_id[batch.edge_index[1]]
    return set(zip(node.tolist(), edge.tolist(), strict=True))


def test_draws_are_real_and_few():
    data = make_data()
    real = set(map(tuple, data.edge_index.t().tolist()))
    for batch in HypergraphLoader(data, [(2, 3), (1, 2)], batch_size=7):
        found = incidences(batch)
        assert found <= real
        assert len(found) == batch.edge_index.size(1)
        assert batch.n_id.unique().numel() == batch.x.size(0)
        assert batch.e_id.unique().numel() == batch.num_hyperedges
        reached = {edge for node, edge in found if node in batch.n_id[:7].tolist()}
        assert len(reached) >= 1
    one = next(iter(HypergraphLoader(data, [(1, 2)], [0])))
    assert one.num_hyperedges == 1
    assert one.n_id.numel() <= 3
    isolated = next(iter(HypergraphLoader(data, [(-1, -1)], [NODES - 1])))
    assert (isolated.n_id.tolist(), isolated.num_hyperedges) == ([NODES - 1], 0)
    assert isolated.edge_index.shape == (2, 0)


def test_a_draw_depends_on_seed_epoch_and_node_alone():
    data = make_data()

    def of_nodes(batch_size, seed=0, epoch=0):
        loader = HypergraphLoader(data, [(1, 0)], batch_size=batch_size, seed=seed)
        loader.set_epoch(epoch)
        return set().union(*(incidences(batch) for batch in loader))

    assert of_nodes(1) == of_nodes(13) == of_nodes(60)
    assert of_nodes(1) != of_nodes(1, seed=1)
    assert of_nodes(1) != of_nodes(1, epoch=1)
    loader = HypergraphLoader(data, [(1, 0)], batch_size=60)
    first, second = (incidences(next(iter(loader))) for _ in range(2))
    assert first == of_nodes(60)
    assert second == of_nodes(60, epoch=1)


def test_every_member_is_drawn_as_often():
    index = torch.stack([torch.arange(6), torch.zeros(6, dtype=torch.long)])
    data = HyperGraphData(x=torch.eye(6), edge_index=index)
    loader = HypergraphLoader(data, [(1, 2)], [0])
    counts = torch.zeros(6)
    for _ in range(600):
        counts[next(iter(loader)).n_id] += 1
    assert counts[0] == 600
    assert ((counts[1:] - 200).abs() < 60).all()  # five standard deviations


def test_errors_by_their_words():
    data = make_data()
    with pytest.raises(ValueError, match=r"num_neighbors must be pairs .* got \(-2, 1\)"):
        HypergraphLoader(data, [(-2, 1)])
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        HypergraphLoader(data, [(1, 1)], batch_size=0)


def test_other_seeds_share_the_incidences_and_the_draws():
    data = make_data()
    loader = HypergraphLoader(data, [(2, 2)] * 2, torch.arange(9), batch_size=4, seed=5)
    next(iter(loader))
    other = loader.over(torch.tensor([7, 3]), batch_size=1)
    alone = HypergraphLoader(data, [(2, 2)] * 2, torch.tensor([7, 3]), batch_size=1, seed=5)
    for one, two in zip(other, alone, strict=True):
        assert torch.equal(one.n_id, two.n_id)
        assert torch.equal(one.edge_index, two.edge_index)
    assert other._members[1] is loader._members[1]
    assert len(loader) == 3
    with pytest.raises(ValueError, match="batch_size must be at least 1: got batch_size=0"):
        loader.over(torch.arange(2), batch_size=0)
