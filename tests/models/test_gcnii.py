"""GCNII: the seven checks of a model, against a dense formula of its own."""

import copy
import math

import pytest
import torch

from graphattn.models.gcnii import GCNII
from graphattn.ops.adjacency import to_sparse_adjacency


def graph(num_nodes=12, seed=0):
    """A directed graph with isolated nodes, self-loops and no duplicates."""
    generator = torch.Generator().manual_seed(seed)
    edges = torch.randint(num_nodes - 2, (2, 30), generator=generator).unique(dim=1)
    return torch.randn(num_nodes, 6, generator=generator, dtype=torch.float64), edges


def make(**options):
    torch.manual_seed(0)
    return GCNII(6, 8, 3, **{"num_layers": 5, **options}).double()


def dense(model, x, edges, alpha, theta):
    adjacency = torch.zeros(len(x), len(x), dtype=torch.float64)
    adjacency[edges[1], edges[0]] = 1
    adjacency.fill_diagonal_(1)
    scale = adjacency.sum(dim=1) ** -0.5
    matrix = scale[:, None] * adjacency * scale[None, :]
    first = h = torch.relu(x @ model.lin_in.weight.t() + model.lin_in.bias)
    for layer, conv in enumerate(model.convs, 1):
        beta = math.log(theta / layer + 1)
        spread = (1 - alpha) * matrix @ h + alpha * first
        h = torch.relu((1 - beta) * spread + beta * spread @ conv.weight1)
    return h @ model.lin_out.weight.t() + model.lin_out.bias


@pytest.mark.parametrize("sparse", [False, True])
def test_equals_the_formula_value_and_gradient(sparse):
    x, edges = graph()
    model = make(alpha=0.2, theta=1.5).eval()
    adj = to_sparse_adjacency(edges, len(x)) if sparse else edges
    grads = []
    for forward in (
        lambda leaf: model(leaf, adj),
        lambda leaf: dense(model, leaf, edges, 0.2, 1.5),
    ):
        leaf = x.clone().requires_grad_()
        out = forward(leaf)
        wanted = [leaf, *model.parameters()]
        grads.append([out, *torch.autograd.grad(out.square().sum(), wanted)])
    for ours, theirs in zip(*grads, strict=True):
        assert (ours - theirs).abs().max() < 1e-10


def test_shape_repeats_and_moves_no_buffer():
    x, edges = graph()
    model = make().eval()
    before = copy.deepcopy(model.state_dict())
    assert model(x, edges).shape == (12, 3)
    assert torch.equal(model(x, edges), model(x, edges))
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_renumbering_the_nodes_renumbers_the_output():
    x, edges = graph()
    model = make().eval()
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    moved = model(x[order], order.argsort()[edges])
    assert (moved - model(x, edges)[order]).abs().max() < 1e-10


def test_a_single_node():
    x, edges = torch.ones(1, 6, dtype=torch.float64), torch.empty(2, 0, dtype=torch.long)
    assert make().train()(x, edges).isfinite().all()


def test_every_parameter_gets_a_gradient():
    x, edges = graph()
    model = make(dropout=0.0)
    model(x, edges).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_state_there_and_back_and_reset():
    x, edges = graph()
    model, twin = make().eval(), make().eval()
    twin.reset_parameters()
    assert not torch.equal(model(x, edges), twin(x, edges))
    twin.load_state_dict(model.state_dict())
    assert torch.equal(model(x, edges), twin(x, edges))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"alpha": 1.5}, "alpha is a share"),
        ({"theta": 0.0}, "theta must"),
        ({"num_layers": 0}, "1"),
    ],
)
def test_options_out_of_range(options, words):
    with pytest.raises(ValueError, match=words):
        make(**options)
