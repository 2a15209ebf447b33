"""Polynormer around PyG's: the same numbers, and the warm-up from local to global."""

import copy

import pytest
import torch
import torch_geometric.nn as pyg

from graphattn.models.polynormer import Polynormer
from graphattn.ops.adjacency import to_sparse_adjacency

EDGES = torch.tensor([[0, 1, 2, 3, 0, 5, 5], [1, 2, 3, 0, 2, 1, 5]])  # directed, one self-loop


def make(**options):
    torch.manual_seed(0)
    return Polynormer(4, 8, 3, local_layers=2, global_layers=1, heads=2, **options).double()


def features():
    return torch.randn(7, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("warmup_steps", [0, 5])
def test_is_what_pyg_computes(warmup_steps):
    torch.manual_seed(0)
    model = Polynormer(4, 8, 3, local_layers=2, global_layers=1, warmup_steps=warmup_steps)
    model = model.double().eval()
    reference = pyg.models.Polynormer(4, 8, 3, local_layers=2, global_layers=1)
    reference = reference.double().eval()
    reference.load_state_dict(model.net.state_dict())
    reference._global = warmup_steps == 0
    x = features()
    expected = reference(x, EDGES, torch.zeros(7, dtype=torch.long))
    assert (model(x, EDGES) - expected).abs().max() < 1e-12
    assert (model(x, to_sparse_adjacency(EDGES, 7)) - expected).abs().max() < 1e-10


def test_warmup_counts_training_steps_and_is_saved():
    model, x = make(warmup_steps=2), features()
    states = []
    for _ in range(4):
        states.append(model.is_global)
        model.train()(x, EDGES)
        model.eval()(x, EDGES)
    assert states == [False, False, True, True]
    twin = make(warmup_steps=2)
    assert not twin.is_global
    twin.load_state_dict(model.state_dict())
    assert twin.is_global
    assert torch.equal(twin.eval()(x, EDGES), model.eval()(x, EDGES))
    twin.reset_parameters()
    assert not twin.is_global


def test_renumbering_repeating_and_one_node():
    x, model = features(), make(warmup_steps=0).eval()
    before = copy.deepcopy(model.state_dict())
    out = model(x, EDGES)
    order = torch.tensor([3, 0, 6, 2, 5, 1, 4])
    assert (model(x[order], order.argsort()[EDGES]) - out[order]).abs().max() < 1e-10
    assert torch.equal(model(x, EDGES), out)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert model(x[:1], EDGES[:, :0]).shape == (1, 3)


def test_every_parameter_gets_a_gradient_in_one_phase_or_the_other():
    model = make(warmup_steps=1, dropout=0.0)
    for _ in range(2):
        model(features(), EDGES)[:, 0].sum().backward()
    assert all(
        p.grad is not None and p.grad.isfinite().all()
        for p in model.parameters()
        if p.requires_grad
    )


@pytest.mark.parametrize(
    "options", [{"local_layers": 0}, {"global_layers": 0}, {"warmup_steps": -1}]
)
def test_wrong_options(options):
    with pytest.raises(ValueError, match="needs local_layers >= 1, global_layers >= 1 and warmup"):
        Polynormer(4, 8, 3, **options)
