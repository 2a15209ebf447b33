"""Baselines on the whole graph: the seven checks of a model, and equality with PyG's own."""

import copy

import pytest
import torch
import torch_geometric.nn as pyg

from graphattn.models.gnn import GNN
from graphattn.ops.adjacency import to_sparse_adjacency

FORMS = [
    {"conv": conv, "residual": residual, "norm": norm}
    for conv in ("gcn", "sage", "gat")
    for residual in (False, True)
    for norm in ("none", "batch", "layer")
]


def graph(num_nodes=12, num_edges=30, seed=0, dtype=torch.float64):
    """A directed graph with isolated nodes, self-loops and no duplicates."""
    generator = torch.Generator().manual_seed(seed)
    edges = torch.randint(num_nodes - 2, (2, num_edges), generator=generator).unique(dim=1)
    return torch.randn(num_nodes, 6, generator=generator, dtype=dtype), edges


def make(**options):
    torch.manual_seed(0)
    return GNN(6, 8, 3, heads=2 if options.get("conv") == "gat" else 1, **options).double()


@pytest.fixture(params=FORMS, ids=lambda form: "-".join(map(str, form.values())))
def form(request):
    return request.param


def test_shape_and_that_evaluation_is_repeatable(form):
    x, edges = graph()
    model = make(**form).eval()
    before = copy.deepcopy(model.state_dict())
    first, second = model(x, edges), model(x, edges)
    assert first.shape == (12, 3)
    assert torch.equal(first, second)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_sparse_adjacency_equals_edges_on_a_directed_graph(form):
    if form["conv"] == "gat":
        pytest.skip("GAT takes edges only")
    x, edges = graph()
    adj = to_sparse_adjacency(edges, len(x))
    gradients = []
    for given in (edges, adj):
        model, leaf = make(**form, dropout=0.0), x.clone().requires_grad_()
        out = model(leaf, given)
        out.square().sum().backward()
        gradients.append([out.detach(), leaf.grad, *(p.grad for p in model.parameters())])
    for by_edges, by_matrix in zip(*gradients, strict=True):
        assert (by_edges - by_matrix).abs().max() < 1e-10


def test_renumbering_the_nodes_renumbers_the_output(form):
    x, edges = graph()
    model = make(**form).eval()
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    rank = order.argsort()
    assert (model(x[order], rank[edges]) - model(x, edges)[order]).abs().max() < 1e-10


def test_a_single_node_in_training_and_evaluation(form):
    x, edges = torch.ones(1, 6, dtype=torch.float64), torch.empty(2, 0, dtype=torch.long)
    model = make(**form)
    assert model.train()(x, edges).isfinite().all()
    assert model.eval()(x, edges).isfinite().all()


def test_every_parameter_gets_a_gradient(form):
    x, edges = graph()
    model = make(**form)
    model(x, edges).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert all(p.grad.abs().sum() > 0 for p in list(model.parameters())[-1:])


def test_state_there_and_back_and_reset(form):
    x, edges = graph()
    model, twin = make(**form).eval(), make(**form).eval()
    twin.reset_parameters()
    assert not torch.equal(model(x, edges), twin(x, edges))
    twin.load_state_dict(model.state_dict())
    assert torch.equal(model(x, edges), twin(x, edges))


@pytest.mark.parametrize(
    ("conv", "theirs", "options"),
    [("gcn", pyg.GCN, {}), ("sage", pyg.GraphSAGE, {}), ("gat", pyg.GAT, {"heads": 2})],
)
def test_plain_is_what_pyg_computes(conv, theirs, options):
    x, edges = graph()
    ours = make(conv=conv, num_layers=3).eval()
    reference = theirs(6, 8, 3, 3, **options).double().eval()
    reference.load_state_dict(ours.net.state_dict())
    assert (ours(x, edges) - reference(x, edges)).abs().max() < 1e-12


def test_strong_equals_the_formula():
    x, edges = graph()
    model = make(conv="gcn", residual=True, norm="none", num_layers=2).eval()
    adjacency = torch.zeros(12, 12, dtype=torch.float64)
    adjacency[edges[1], edges[0]] = 1
    adjacency.fill_diagonal_(1)
    scale = adjacency.sum(dim=1) ** -0.5
    matrix = scale[:, None] * adjacency * scale[None, :]
    net = model.net
    h = torch.relu(x @ net.lin_in.weight.t() + net.lin_in.bias)
    for conv, lin in zip(net.convs, net.lins, strict=True):
        spread = matrix @ h @ conv.lin.weight.t() + conv.bias
        h = torch.relu(spread + h @ lin.weight.t() + lin.bias)
    expected = h @ net.lin_out.weight.t() + net.lin_out.bias
    assert (model(x, edges) - expected).abs().max() < 1e-10


def test_another_graph_is_not_answered_from_the_memo():
    model = make(conv="gcn").eval()
    x, edges = graph()
    _, other = graph(seed=5)
    model(x, edges)
    fresh = make(conv="gcn").eval()
    assert torch.equal(model(x, other), fresh(x, other))


def test_dropout_acts_in_training_only_and_on_the_input_too():
    x, edges = graph()
    model = make(conv="gcn", dropout=0.0, input_dropout=0.9)
    assert not torch.equal(model(x, edges), model.eval()(x, edges))
    assert torch.equal(model(x, edges), make(conv="gcn", dropout=0.0).eval()(x, edges))


def test_says_what_it_wants():
    assert [make(conv=conv).wants_edge_index for conv in ("gcn", "sage", "gat")] == [0, 0, 1]
    x, edges = graph()
    with pytest.raises(ValueError, match="GAT takes edge_index: got a sparse matrix"):
        make(conv="gat")(x, to_sparse_adjacency(edges, 12))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_layers": 0}, "at least one layer: got num_layers=0"),
        ({"conv": "gat", "heads": 3}, "heads must divide hidden_channels: got heads=3, hidden"),
        ({"conv": "gcn", "heads": 2}, "Only conv='gat' has heads: got heads=2, conv='gcn'"),
    ],
)
def test_wrong_sizes_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        GNN(6, 8, 3, **options)
