"""Layers on hypergraphs under autocast: bfloat16 is finite, near to float32, and learns."""

import pytest
import torch
from hypergraph_cases import make

from graphattn.nn import (
    AllSetTransformerConv,
    EDHNNConv,
    HypergraphAttentionConv,
    HypergraphTransformerConv,
)

LAYERS = {
    "attention": lambda: HypergraphAttentionConv(8, 4, heads=2),
    "transformer": lambda: HypergraphTransformerConv(8, 4, heads=2, norm="layer"),
    "allset": lambda: AllSetTransformerConv(8, 4, heads=2),
    "edhnn": lambda: EDHNNConv(8, 8),
}


@pytest.mark.parametrize("name", LAYERS)
def test_bfloat16_is_finite_near_and_learns(name):
    torch.manual_seed(0)
    layer, made = LAYERS[name](), make(30, 12, 90)
    x = torch.randn(30, 8, requires_grad=True)
    exact = layer(x, made).detach()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = layer(x, made)
    assert out.isfinite().all()
    assert float((out.detach().float() - exact).abs().max()) <= 2e-2 * float(exact.abs().max())
    out.float().square().sum().backward()
    for parameter in (x, *layer.parameters()):
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
