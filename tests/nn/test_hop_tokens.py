"""HopTokens: equality with loops, gradients, errors."""

import pytest
import torch

from graphattn.nn import HopTokens


def test_equals_loops_in_value_and_gradient():
    layer = HopTokens(3, 4, num_hops=2).double().eval()
    own = torch.randn(5, 3, 3, dtype=torch.double, requires_grad=True)
    tokens, summary = layer(own)
    for seed in range(5):
        projected = [own[seed, i] @ layer.weight[i] + layer.bias[i, 0] for i in range(3)]
        for hop in range(3):
            expected = layer.lin_token(torch.relu(projected[hop]))
            torch.testing.assert_close(tokens[seed, hop], expected, rtol=0, atol=1e-12)
        expected = layer.lin_summary(torch.relu(sum(projected)))
        torch.testing.assert_close(summary[seed], expected, rtol=0, atol=1e-12)
    assert torch.autograd.gradcheck(layer, own)


def test_every_parameter_receives_a_gradient_and_state_survives():
    layer = HopTokens(3, 4, num_hops=2)
    tokens, summary = layer(torch.randn(5, 3, 3))
    (tokens.square().sum() + summary.square().sum()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in layer.parameters())
    twin = HopTokens(3, 4, num_hops=2)
    twin.load_state_dict(layer.state_dict())
    twin.reset_parameters()
    assert not torch.equal(twin.weight, layer.weight)


def test_errors_say_what_would_be_right():
    with pytest.raises(ValueError, match="num_hops must be at least 1: got num_hops=0"):
        HopTokens(3, 4, num_hops=0)
