"""The baseline without edges."""

import copy

import pytest
import torch

from graphattn.models.mlp import MLP

NORMS = ["none", "batch", "layer"]


@pytest.mark.parametrize("norm", NORMS)
def test_each_node_is_answered_alone(norm):
    torch.manual_seed(0)
    model = MLP(6, 8, 3, norm=norm).eval()
    x = torch.randn(5, 6)
    before = copy.deepcopy(model.state_dict())
    out = model(x, torch.tensor([[0, 1], [1, 2]]))
    assert out.shape == (5, 3)
    assert torch.equal(out, model(x))
    assert torch.allclose(out[2:3], model(x[2:3]), atol=1e-6)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize("norm", NORMS)
def test_gradients_state_and_a_batch_of_one(norm):
    model = MLP(6, 8, 3, norm=norm, num_layers=3)
    model(torch.randn(5, 6)).square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert model.train()(torch.ones(1, 6)).isfinite().all()
    twin = MLP(6, 8, 3, norm=norm, num_layers=3)
    twin.reset_parameters()
    twin.load_state_dict(model.state_dict())
    x = torch.randn(4, 6)
    assert torch.equal(model.eval()(x), twin.eval()(x))


def test_one_layer_is_linear():
    model = MLP(4, 8, 3, num_layers=1).eval()
    (lin,) = model.net.lins
    x = torch.randn(5, 4)
    assert torch.allclose(model(x), x @ lin.weight.t() + lin.bias, atol=1e-6)
    assert not MLP.wants_edge_index


def test_no_layer():
    with pytest.raises(ValueError, match="at least one layer: got num_layers=0"):
        MLP(4, 8, 3, num_layers=0)
