"""Influence on hypergraphs: a brute-force Jacobian, hops through hyperedges, all layers."""

import networkx as nx
import numpy as np
import pytest
import torch
from hypergraph_cases import make
from torch import nn
from torch_geometric.data.hypergraph_data import HyperGraphData
from torch_geometric.nn import HypergraphConv

from graphattn.diagnostics import influence, total_influence
from graphattn.diagnostics.hypergraph_subject import HypergraphRows
from graphattn.hypergraph import Incidence
from graphattn.models import EDHNN, HCHA, AllSetTransformer, HypergraphTransformer, MetaHGNIE
from graphattn.nn import HypergraphAttentionConv, HypergraphTransformerConv

SIZES = [(12, 7, 22), (8, 8, 15), (15, 4, 16)]


def make_data(sizes, channels=3):
    made = make(*sizes)
    data = made.to_data()
    torch.manual_seed(1)
    data.x = torch.randn(made.num_nodes, channels, dtype=torch.double)
    data.x_text = torch.randn(made.num_nodes, 4, dtype=torch.double)
    data.hyperedge_type = torch.arange(made.num_hyperedges) % 2
    return made, data


def hops_between(made):
    """Of all pairs of nodes, by networkx over the bipartite graph; -1 where there is no way."""
    graph = nx.Graph()
    graph.add_nodes_from(range(made.num_nodes))
    graph.add_edges_from((node, ("e", edge)) for node, edge in made.hyperedge_index().T.tolist())
    found = np.full((made.num_nodes, made.num_nodes), -1)
    for node in range(made.num_nodes):
        for other, steps in nx.single_source_shortest_path_length(graph, node).items():
            if not isinstance(other, tuple):
                found[node, other] = steps // 2
    return found


def check(model, data, made, run, max_hops=4):
    """T of every node against the Jacobian that autograd gives as one dense tensor."""
    model = model.double().eval()
    jacobian = torch.autograd.functional.jacobian(run, data.x).abs().sum((1, 3)).numpy()
    hops = hops_between(made)
    found = influence(model, data, max_hops=max_hops, seeds=torch.arange(made.num_nodes))
    for node in range(made.num_nodes):
        for hop in range(max_hops + 1):
            expected = jacobian[node, hops[node] == hop].sum()
            assert found.T[node, hop] == pytest.approx(expected, rel=1e-9, abs=1e-12)
        beyond = jacobian[node, (hops[node] > max_hops) | (hops[node] < 0)].sum()
        total = jacobian[node].sum()
        assert found.T[node].sum() == pytest.approx(total - beyond, rel=1e-9, abs=1e-12)
    assert found.about["num_hyperedges"] == made.num_hyperedges
    return found


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("kind", [HypergraphTransformer, AllSetTransformer, EDHNN, HCHA])
def test_whole_models(sizes, kind):
    made, data = make_data(sizes)
    torch.manual_seed(2)
    options = {"num_types": 2} if kind is HypergraphTransformer else {}
    model = kind(3, 8, 2, num_layers=2, **options)
    types = {"hyperedge_type": data.hyperedge_type} if options else {}
    found = check(model, data, made, lambda x: model(x, made, **types))
    assert found.T[:, 3:].max() == 0  # two layers see two hops
    assert found.T[:, 2].max() > 0


@pytest.mark.parametrize("sizes", SIZES)
def test_layers_by_themselves_and_pygs(sizes):
    made, data = make_data(sizes)
    torch.manual_seed(3)
    count = made.num_hyperedges
    for layer in (HypergraphAttentionConv(3, 2), HypergraphTransformerConv(3, 2, norm="layer")):
        found = check(
            layer,
            data,
            made,
            lambda x, layer=layer: layer(x, data.edge_index, num_hyperedges=count),
        )
        assert found.T[:, 2:].max() == 0
    theirs = HypergraphConv(3, 2)
    check(theirs, data, made, lambda x: theirs(x, data.edge_index, num_edges=count))


def test_repeated_incidences_are_given_as_they_are():
    """PyG's layer counts them twice, and is measured so; ours merge them."""
    made, data = make_data((12, 7, 22))
    plain = HypergraphConv(3, 2)
    data.edge_index = torch.cat([data.edge_index, data.edge_index[:, ::3]], dim=1)
    options = {"num_edges": made.num_hyperedges}
    check(plain, data, made, lambda x: plain(x, data.edge_index, **options))
    layer = HypergraphAttentionConv(3, 2)
    check(layer, data, made, lambda x: layer(x, made))


def test_metahgnie_with_its_text_held_fixed():
    made, data = make_data((12, 7, 22))
    model = MetaHGNIE(3, 4, 2, hidden_channels=3, heads=2)
    check(
        model,
        data,
        made,
        lambda x: model(x, data.x_text, made, data.hyperedge_type).score.unsqueeze(1),
    )


def test_a_large_hyperedge_costs_its_members():
    """A hyperedge of 60,000 nodes, and a second one that shares one of them."""
    members = torch.cat([torch.arange(60_000), torch.tensor([59_999, 60_000])])
    edges = torch.cat([torch.zeros(60_000, dtype=torch.long), torch.ones(2, dtype=torch.long)])
    data = HyperGraphData(edge_index=torch.stack([members, edges]), num_nodes=60_001)
    found = HypergraphRows(Incidence.from_data(data)).ball(60_000, 2)
    assert found.starts.tolist() == [0, 1, 2, 60_001]


def test_features_in_deviations():
    made, data = make_data((12, 7, 22))
    model = HypergraphTransformer(3, 8, 4, num_types=2).double().eval()
    run = lambda x: model(x, made, hyperedge_type=data.hyperedge_type)  # noqa: E731
    jacobian = torch.autograd.functional.jacobian(run, data.x).abs() * data.x.std(0)
    found = influence(model, data, max_hops=0, input_scale="std", seeds=torch.arange(12))
    own = jacobian.sum((1, 3)).diagonal()
    torch.testing.assert_close(torch.from_numpy(found.T[:, 0]), own, rtol=1e-9, atol=0)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"semantics": "pyg"}, "semantics must be full on a hypergraph.*got 'pyg'"),
        ({"distance": "resistance"}, "distance must be hops or euclid.*got 'resistance'"),
        ({"engine": "trimmed"}, "engine must be auto or single.*got 'trimmed'"),
    ],
)
def test_what_has_no_meaning_is_refused(option, words):
    _, data = make_data((8, 8, 15))
    with pytest.raises(ValueError, match=words):
        influence(HypergraphConv(3, 2).double(), data, max_hops=2, **option)


def test_other_errors():
    _, data = make_data((8, 8, 15))
    with pytest.raises(ValueError, match="semantics must be full on a hypergraph"):
        total_influence(HypergraphConv(3, 2).double(), data, 2)
    with pytest.raises(ValueError, match=r"a row a node: got \[1, 3\] for 8 nodes"):
        influence(lambda x, hyperedge_index: x[:1], data, max_hops=2)
    with pytest.raises(TypeError, match=r"HyperGraphData with x: got Incidence; .*to_data\(\)"):
        influence(HypergraphConv(3, 2), make(8, 8, 15), max_hops=2)
    with pytest.raises(ValueError, match=r"needs data\.x and data\.edge_index: got no x"):
        influence(nn.Identity(), HyperGraphData(edge_index=data.edge_index), max_hops=2)
