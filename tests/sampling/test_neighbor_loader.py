"""NeighborLoader: PyG's batches field by field, whole neighbourhoods exact, passes repeatable."""

import inspect
import threading

import numpy as np
import pytest
import torch
from torch_geometric.data import Data, HeteroData
from torch_geometric.loader.node_loader import NodeLoader
from torch_geometric.nn import GCNConv, SAGEConv
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.sampler import BaseSampler, SamplerOutput
from torch_geometric.sampler.base import SubgraphType
from torch_geometric.utils import k_hop_subgraph

from graphattn.graph import CSRGraph
from graphattn.sampling.fanout import sample_fanout
from graphattn.sampling.neighbor_loader import NeighborLoader


def a_data(num_nodes=80, num_edges=400, seed=0):
    """A directed multigraph with loops, repeated edges, isolated nodes, and all sorts of fields."""
    generator = torch.Generator().manual_seed(seed)
    edge_index = torch.randint(num_nodes - 5, (2, num_edges), generator=generator)
    edge_index = torch.cat([edge_index, edge_index[:, :40], torch.arange(6).repeat(2, 1)], dim=1)
    edge_index = edge_index[:, torch.randperm(edge_index.shape[1], generator=generator)]
    return Data(
        x=torch.randn(num_nodes, 5, generator=generator),
        edge_index=edge_index,
        edge_attr=torch.randn(edge_index.shape[1], 2, generator=generator),
        y=torch.randint(3, (num_nodes,), generator=generator),
        train_mask=torch.arange(num_nodes) % 3 == 0,
        pe=np.arange(2.0 * num_nodes).reshape(num_nodes, 2),
        pair_index=torch.arange(2 * num_nodes).view(2, num_nodes),
        name="made",
        classes=torch.arange(3),
    )


OPTIONS = {"batch_size": 16, "seed": 5}


def same(one, two):
    """Whether two batches have the same fields in the same order with the same content."""
    one, two = one.to_dict(), two.to_dict()
    if list(one) != list(two):
        return False
    pairs = ((one[key], two[key]) for key in one)
    return all(
        torch.equal(a, b) if isinstance(a, torch.Tensor) else type(a) is type(b) and a == b
        for a, b in pairs
    )


class Given(BaseSampler):
    """A sampler for PyG's own loader that gives it what our loader drew."""

    def __init__(self, batches):
        self.batches = iter(batches)

    def sample_from_nodes(self, inputs, **kwargs):
        batch = next(self.batches)
        row, col = batch.edge_index
        out = SamplerOutput(
            node=batch.n_id,
            row=row,
            col=col,
            edge=batch.e_id,
            batch=batch.batch,
            num_sampled_nodes=batch.num_sampled_nodes,
            num_sampled_edges=batch.to_dict().get("num_sampled_edges"),  # none where induced
        )
        out.metadata = (inputs.input_id, inputs.time)
        return out

    def sample_from_edges(self, inputs, neg_sampling=None):
        raise NotImplementedError

    @property
    def edge_permutation(self):
        return None


@pytest.mark.parametrize(
    ("input_nodes", "options"),
    [
        (None, {}),
        ("mask", {}),
        (torch.tensor([7, 3, 50, 79, 7]), {"disjoint": True}),
        ([5, 4, 3], {"replace": True}),
        (torch.tensor([7, 3, 50]), {"time_attr": "y", "input_time": torch.tensor([0, 2, 1])}),
        ("mask", {"subgraph_type": "induced"}),
    ],
)
@pytest.mark.parametrize("with_count", [False, True])
def test_fields_and_their_order_are_those_of_pyg(input_nodes, options, with_count):
    data = a_data()
    if with_count:
        data.num_nodes = 80
    nodes = data.train_mask if isinstance(input_nodes, str) else input_nodes
    ours = list(NeighborLoader(data, [4, 3], nodes, **options, **OPTIONS))
    theirs = NodeLoader(
        data, Given(ours), nodes, input_time=options.get("input_time"), batch_size=16
    )
    assert len(ours) == len(theirs)
    assert all(same(one, two) for one, two in zip(ours, theirs, strict=True))
    assert all(batch.num_nodes == batch.n_id.numel() for batch in ours)


def test_rows_belong_to_nodes_and_edges():
    data = a_data()
    for batch in NeighborLoader(data, [3, 2], **OPTIONS):
        assert torch.equal(batch.x, data.x[batch.n_id])
        assert torch.equal(batch.pe, torch.from_numpy(data.pe)[batch.n_id])
        assert torch.equal(batch.pair_index, data.pair_index[:, batch.n_id])
        assert torch.equal(batch.edge_attr, data.edge_attr[batch.e_id])
        assert torch.equal(batch.n_id[batch.edge_index], data.edge_index[:, batch.e_id])
        assert torch.equal(batch.input_id, batch.n_id[: batch.batch_size])
        assert batch.classes is data.classes
        assert sum(batch.num_sampled_nodes) == batch.num_nodes
        assert sum(batch.num_sampled_edges) == batch.num_edges
    assert data.num_nodes == 80


@pytest.mark.parametrize("subgraph_type", ["directional", "induced", SubgraphType.induced])
@pytest.mark.parametrize("hops", [1, 2, 3])
def test_all_neighbours_are_those_of_k_hop_subgraph(hops, subgraph_type):
    data = a_data()
    directed = subgraph_type == "directional"
    loader = NeighborLoader(
        data, [-1] * hops, batch_size=3, subgraph_type=subgraph_type, shuffle=True
    )
    for batch in loader:
        seeds = batch.n_id[: batch.batch_size]
        subset, _, _, inside = k_hop_subgraph(seeds, hops, data.edge_index, num_nodes=80)
        assert torch.equal(batch.n_id.sort().values, subset)
        if directed:  # the edges into what is fewer hops away
            nearer = k_hop_subgraph(seeds, hops - 1, data.edge_index, num_nodes=80)[0]
            inside = torch.isin(data.edge_index[1], nearer)
        assert torch.equal(batch.e_id.sort().values, inside.nonzero().view(-1))


@pytest.mark.parametrize("options", [{}, {"disjoint": True}])
def test_a_gnn_sees_with_all_neighbours_what_it_sees_of_the_whole_graph(options):
    data = a_data()
    data.edge_index, data.edge_weight = gcn_norm(data.edge_index, num_nodes=80)
    data.edge_attr = None
    torch.manual_seed(0)
    convs = torch.nn.ModuleList(
        [GCNConv(5, 8, normalize=False), SAGEConv(8, 8, aggr="max"), SAGEConv(8, 4)]
    )

    def logits(batch):
        x = convs[0](batch.x, batch.edge_index, batch.edge_weight).relu()
        return convs[2](convs[1](x, batch.edge_index).relu(), batch.edge_index)

    whole = logits(data)
    loader = NeighborLoader(data, [-1, -1, -1], batch_size=7, shuffle=True, **options)
    for batch in loader:
        found = logits(batch)[: batch.batch_size]
        assert (found - whole[batch.input_id]).abs().max() <= 1e-5


def test_of_sorted_edges_without_repeats_as_sample_fanout():
    data = a_data()
    data.edge_index, data.edge_attr = data.edge_index.unique(dim=1), None  # as PyG's coalesce
    graph = CSRGraph.from_data(data)
    for batch in NeighborLoader(data, [3, 3], **OPTIONS):
        found = sample_fanout(graph, batch.input_id, [3, 3], seed=5)
        assert torch.equal(batch.n_id, found.n_id)
        assert torch.equal(batch.edge_index, found.edge_index)
        assert torch.equal(data.edge_index[:, batch.e_id], graph.edge_index()[:, found.e_id])


def test_repeated_edges_are_drawn_as_often_as_they_are():
    edge_index = torch.tensor([[1, 2, 1, 1], [0, 0, 0, 0]])
    loader = NeighborLoader(Data(edge_index=edge_index, num_nodes=3), [1], torch.tensor([0]))
    counts = torch.zeros(4)
    for _ in range(400):
        (batch,) = loader
        counts[batch.e_id] += 1
    assert ((counts - 100) ** 2 / 100).sum() < 16.3  # the 99.9 % point of chi-square with 3
    (batch,) = NeighborLoader(loader.data, [-1], torch.tensor([0]))
    assert batch.e_id.sort().values.tolist() == [0, 1, 2, 3]
    assert batch.n_id.tolist() == [0, 1, 2]


def test_time_of_nodes_and_of_edges():
    data = a_data()
    data.node_time = torch.arange(80) * 7 % 20
    data.when = torch.rand(data.num_edges)
    limit = torch.rand(80)
    for batch in NeighborLoader(data, [-1, 3], time_attr="node_time", **OPTIONS):
        own = data.node_time[batch.input_id][batch.batch]
        assert (batch.node_time <= own).all()
        near = batch.edge_index[1] < batch.batch_size
        wanted = data.node_time[data.edge_index[0]] <= data.node_time[data.edge_index[1]]
        wanted &= torch.isin(data.edge_index[1], batch.input_id)
        assert torch.equal(batch.e_id[near].sort().values, wanted.nonzero().view(-1))
        assert "seed_time" not in batch
    loader = NeighborLoader(data, [-1, 2], time_attr="when", input_time=limit, **OPTIONS)
    for batch in loader:
        seed_of_edge = batch.input_id[batch.batch[batch.edge_index[1]]]
        assert (batch.when <= limit[seed_of_edge]).all()
        assert torch.equal(batch.seed_time, limit[batch.input_id])
        near = batch.edge_index[1] < batch.batch_size
        wanted = (data.when <= limit[data.edge_index[1]]) & torch.isin(
            data.edge_index[1], batch.input_id
        )
        assert torch.equal(batch.e_id[near].sort().values, wanted.nonzero().view(-1))


def test_trees_are_disjoint():
    (batch,) = NeighborLoader(a_data(), [5, 5], torch.arange(30), batch_size=30, disjoint=True)
    source, target = batch.edge_index
    assert torch.equal(batch.batch[source], batch.batch[target])
    assert torch.equal(batch.batch[:30], torch.arange(30))
    pairs = torch.stack([batch.batch, batch.n_id])
    assert pairs.unique(dim=1).shape == pairs.shape


@pytest.mark.parametrize("num_workers", [1, 3])
def test_workers_change_no_bit(num_workers):
    loaders = [
        NeighborLoader(a_data(), [3, 2], shuffle=True, num_workers=n, **OPTIONS)
        for n in (0, num_workers)
    ]
    for _ in range(2):
        assert all(same(one, two) for one, two in zip(*loaders, strict=True))


def test_batch_size_changes_no_draw():
    def senders(batch_size):
        loader = NeighborLoader(a_data(), [3], batch_size=batch_size, seed=5)
        return torch.cat([batch.e_id for batch in loader])

    assert torch.equal(senders(1), senders(80))
    assert torch.equal(senders(7), senders(80))


def test_each_pass_is_another_epoch_and_can_be_chosen():
    def draws(loader):
        return torch.cat([batch.e_id for batch in loader])

    loader = NeighborLoader(a_data(), [2, 2], shuffle=True, **OPTIONS)
    state = torch.get_rng_state()
    passes = [draws(loader) for _ in range(3)]
    assert torch.equal(state, torch.get_rng_state())
    assert not torch.equal(passes[0], passes[1])
    assert not torch.equal(passes[1], passes[2])
    loader.set_epoch(1)
    assert torch.equal(draws(loader), passes[1])
    assert torch.equal(draws(loader), passes[2])
    loader.set_epoch(-1)
    assert not torch.equal(draws(loader), passes[0])
    other = NeighborLoader(a_data(), [2, 2], shuffle=True, batch_size=16, seed=-6)
    assert not torch.equal(draws(other), passes[0])


def test_a_pass_keeps_the_epoch_it_began_with():
    loader = NeighborLoader(a_data(), [2], shuffle=True, **OPTIONS)
    one, two = iter(loader), iter(loader)
    first = next(two).input_id
    seeds = torch.cat([batch.input_id for batch in one])
    assert torch.equal(seeds.sort().values, torch.arange(80))
    assert not torch.equal(seeds[:16], first)


def test_left_early_no_thread_stays():
    before = threading.active_count()
    for _ in NeighborLoader(a_data(), [2], num_workers=2, **OPTIONS):
        break
    assert threading.active_count() == before


def test_sizes_of_passes():
    data = a_data()
    for options, sizes in (({}, [30, 30, 20]), ({"drop_last": True}, [30, 30])):
        loader = NeighborLoader(data, [2], batch_size=30, **options)
        assert [batch.batch_size for batch in loader] == sizes
        assert len(loader) == len(sizes)
        assert len(loader.dataset) == 80
    loader = NeighborLoader(data, [2], torch.zeros(80, dtype=torch.bool), num_workers=2)
    assert list(loader) == []
    assert len(loader) == 0
    assert len(list(NeighborLoader(data, [2], torch.tensor([3]), drop_last=True))) == 1


def test_masks_and_ids_of_any_container():
    data = a_data()
    mask = data.train_mask
    for nodes in (mask, mask.numpy(), mask.tolist(), mask.nonzero().view(-1).int()):
        (batch,) = NeighborLoader(data, [2], nodes, batch_size=99)
        assert torch.equal(batch.n_id[: batch.batch_size], mask.nonzero().view(-1))
    (batch,) = NeighborLoader(data, [2], np.array([9, 9, 4]), batch_size=99)
    assert batch.n_id[:3].tolist() == [9, 9, 4]
    assert batch.input_id.tolist() == [0, 1, 2]
    (batch,) = NeighborLoader(data, [2], mask, batch_size=99)
    assert torch.equal(batch.input_id, mask.nonzero().view(-1))


def test_no_neighbours_and_isolated_seeds():
    (batch,) = NeighborLoader(a_data(), [0, 5], torch.tensor([3, 79]), batch_size=2)
    assert batch.n_id.tolist() == [3, 79]
    assert batch.edge_index.shape == (2, 0)
    assert batch.edge_attr.shape == (0, 2)
    (batch,) = NeighborLoader(a_data(), [-1, -1], torch.tensor([79]))
    assert batch.n_id.tolist() == [79]
    assert batch.num_sampled_nodes == [1, 0, 0]
    bare = Data(edge_index=torch.zeros(2, 0).long(), num_nodes=4)
    assert [batch.num_nodes for batch in NeighborLoader(bare, [-1], batch_size=3)] == [3, 1]


def test_attributes_may_go_and_come_between_passes():
    """As PyG's examples do for layer-wise inference."""
    loader = NeighborLoader(a_data(), [-1], **OPTIONS)
    del loader.data.x, loader.data.y
    loader.data.num_nodes = 80
    loader.data.n_id = torch.arange(80)
    for batch in loader:
        assert "x" not in batch
        assert torch.equal(batch.n_id[: batch.batch_size], batch.input_id)
        keys = list(batch.to_dict())
        assert keys.index("n_id") < keys.index("e_id")


def test_transform_sees_each_batch_in_the_thread_that_asks():
    threads = []

    def transform(batch):
        threads.append(threading.current_thread())
        return batch.n_id.sum()

    data = a_data()
    plain = [batch.n_id.sum() for batch in NeighborLoader(data, [2], **OPTIONS)]
    loader = NeighborLoader(data, [2], transform=transform, num_workers=2, **OPTIONS)
    assert list(loader) == plain
    assert set(threads) == {threading.current_thread()}


def test_options_of_pyg_that_change_nothing_are_taken():
    options = {"persistent_workers": True, "pin_memory": True, "prefetch_factor": 2}
    one = NeighborLoader(a_data(), [2], **options, **OPTIONS)
    assert same(next(iter(one)), next(iter(NeighborLoader(a_data(), [2], **OPTIONS))))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"num_neighbors": [3, -2]},
            r"num_neighbors must be 0 or more each, or -1 .*: got \[3, -2",
        ),
        ({"batch_size": 0}, "batch_size must be at least 1: got batch_size=0"),
        ({"num_workers": -1}, "num_workers must be at least 0"),
        ({"subgraph_type": "bidirectional"}, "'directional' or 'induced': got 'bidirectional'"),
        ({"subgraph_type": "induced", "disjoint": True}, "must be directional: got .*'induced'"),
        ({"input_time": torch.zeros(80)}, "input_time needs the times of nodes or edges"),
        (
            {"time_attr": "when"},
            "must name an attribute of nodes or edges: got 'when'; data has classes,",
        ),
        ({"time_attr": "name"}, "must name an attribute of nodes or edges: got 'name'"),
        ({"time_attr": "w"}, "times of edges need input_time, .* got time_attr='w'"),
        (
            {"time_attr": "y", "input_time": torch.zeros(3).long()},
            r"input_time must be \[80\]: got shape \[3\]",
        ),
        ({"input_nodes": torch.tensor([0, 80, -4])}, r"ids from 0 to 79: got \[80, -4\], 2 such"),
        ({"input_nodes": torch.ones(79, dtype=torch.bool)}, r"as a mask must be \[80\]: got .*79"),
        ({"input_nodes": torch.zeros(2, 2).long()}, r"input_nodes must be \[seeds\]: got shape"),
    ],
)
def test_errors(options, words):
    data = a_data()
    data.w = data.edge_attr[:, 0]
    options = {"num_neighbors": [2], **options}
    with pytest.raises(ValueError, match=words):
        NeighborLoader(data, options.pop("num_neighbors"), **options)


def test_kinds_that_are_refused(unchecked):
    data = a_data()
    with pytest.raises(TypeError, match="data must be a homogeneous PyG Data: got HeteroData"):
        NeighborLoader(HeteroData(), [2])
    with pytest.raises(TypeError, match="one number for each hop: got dict"):
        NeighborLoader(data, {("a", "to", "b"): [2]})
    with pytest.raises(
        TypeError, match="does not support temporal_strategy, weight_attr: it takes"
    ):
        NeighborLoader(data, [2], weight_attr="w", temporal_strategy="last")
    with pytest.raises(TypeError, match=r"integer ids or be a mask: got torch.float32"):
        NeighborLoader(data, [2], data.x[:, 0])
    with pytest.raises(ValueError, match=r"data must have edge_index \[2, edges\]: got none"):
        NeighborLoader(Data(x=data.x), [2])
    data.edge_index = data.edge_index + 1000
    with pytest.raises(ValueError, match=r"ids run 0\.\.79"):
        NeighborLoader(data, [2])


def test_options_are_keywords():
    parameters = inspect.signature(NeighborLoader).parameters
    positional = [n for n, p in parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert positional == ["data", "num_neighbors", "input_nodes"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_data_on_a_gpu_gives_batches_there():
    data = a_data()
    ours = NeighborLoader(data, [3, 2], data.train_mask, **OPTIONS)
    theirs = NeighborLoader(a_data().to("cuda"), [3, 2], data.train_mask.cuda(), **OPTIONS)
    for one, two in zip(ours, theirs, strict=True):
        assert two.x.is_cuda
        assert two.edge_index.is_cuda
        assert same(one, two.cpu())
