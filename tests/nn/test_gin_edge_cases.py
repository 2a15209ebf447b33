"""GIN-attention where nothing is seen, nothing is there, or numbers are narrow."""

import itertools
import math

import pytest
import torch

from graphattn.nn.gin_attention import GINAttention
from graphattn.nn.gin_attention_conv import GINAttentionConv

ALL = ("sum", "mean", "var", "max", "min")
DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


def assert_finite(layer, x, out):
    out.float().sum().backward()
    assert out.isfinite().all()
    assert x.grad.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in layer.parameters())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("normalize", ["softmax", "sigmoid"])
def test_a_graph_without_tokens_and_a_token_that_sees_none(dtype, normalize):
    mask = torch.ones(2, 5, dtype=torch.bool)
    mask[1] = False
    bias = torch.zeros(1, 1, 5, 5, dtype=dtype)
    bias[0, 0, 2] = -math.inf
    for aggregators, cut in itertools.product([("sum",), ALL], [{}, {"top_k": 2}]):
        layer = GINAttention(8, 2, normalize=normalize, aggregators=aggregators, **cut).to(dtype)
        for seen, added, causal in itertools.product([None, mask], [None, bias], [False, True]):
            x = torch.randn(2, 5, 8, dtype=dtype, requires_grad=True)
            assert_finite(layer, x, layer(x, seen, attn_bias=added, is_causal=causal))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("normalize", ["softmax", "sigmoid"])
def test_duplicates_isolated_nodes_and_no_edges(dtype, normalize):
    scaled = {"scalers": ("identity", "amplification"), "deg": torch.tensor([2, 3])}
    for options in ({}, scaled, {"aggregators": ALL, "threshold": 0.3}, {"value": "linear"}):
        layer = GINAttentionConv(8, 8, 2, normalize=normalize, **options).to(dtype)
        for edges in (torch.tensor([[0, 0, 1, 2], [1, 1, 2, 2]]), torch.zeros(2, 0).long()):
            x = torch.randn(6, 8, dtype=dtype, requires_grad=True)
            assert_finite(layer, x, layer(x, edges))


@pytest.mark.parametrize("aggregators", [("sum",), ALL])
@pytest.mark.parametrize("normalize", ["softmax", "sigmoid"])
def test_no_nodes_at_all(aggregators, normalize):
    options = {"normalize": normalize, "aggregators": aggregators}
    assert GINAttention(8, 2, **options)(torch.randn(2, 0, 8)).shape == (2, 0, 8)
    conv = GINAttentionConv(8, 8, 2, **options)
    assert conv(torch.randn(0, 8), torch.zeros(2, 0).long()).shape == (0, 8)


def test_what_stands_in_for_a_projection_is_called():
    layer, x = GINAttentionConv(8, 8, 2), torch.randn(4, 8)
    edges = torch.tensor([[0, 1, 2, 3], [3, 3, 3, 0]])
    before = layer(x, edges)
    hook = layer.lin_key.register_forward_hook(lambda module, inputs, out: 3 * out)
    assert not torch.allclose(layer(x, edges), before)
    hook.remove()
    assert torch.equal(layer(x, edges), before)


def test_degrees_that_count_no_edge_are_refused():
    with pytest.raises(ValueError, match=r"deg must count a node that has edges: got \[5\]"):
        GINAttentionConv(8, 8, 2, scalers=("amplification",), deg=torch.tensor([5]))
