"""HeadMLP: each head beside a network of its own, with and without dropout, and its errors."""

import pytest
import torch
from torch.nn import functional as F

from graphattn.nn.head_mlp import HeadMLP


@pytest.mark.parametrize("norm", ["rms", None])
def test_each_head_is_a_network_of_its_own(norm):
    torch.manual_seed(0)
    layer, z = HeadMLP(2, 3, 5, 4, norm=norm).double(), torch.randn(2, 2, 7, 3).double()
    out = layer(z)
    for head in range(2):
        hidden = z[:, head] @ layer.weight_in[head] + layer.bias_in[head]
        if norm:
            hidden = hidden / (hidden.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        expected = F.silu(hidden) @ layer.weight_out[head] + layer.bias_out[head]
        torch.testing.assert_close(out[:, head], expected, rtol=0, atol=1e-12)


def test_dropout_autocast_and_narrow_numbers():
    layer, z = HeadMLP(2, 3, 64, 4, dropout=0.5), torch.randn(2, 7, 3)
    assert not torch.equal(layer(z), layer(z))
    layer.eval()
    assert torch.equal(layer(z), layer(z))
    with torch.autocast("cpu", torch.bfloat16):
        low = layer(z)
    assert not torch.equal(low.float(), layer(z))
    torch.testing.assert_close(low.float(), layer(z), rtol=0.1, atol=0.05)
    assert layer.bfloat16()(z.bfloat16()).dtype == torch.bfloat16


def test_errors_say_what_would_be_right():
    with pytest.raises(ValueError, match="hidden_channels must be at least 1: got"):
        HeadMLP(2, 3, 0, 4)
    with pytest.raises(ValueError, match="act must be one of silu, relu, gelu, identity"):
        HeadMLP(2, 3, 4, 4, act="tanh")
    with pytest.raises(ValueError, match="norm must be one of rms"):
        HeadMLP(2, 3, 4, 4, norm="batch")
