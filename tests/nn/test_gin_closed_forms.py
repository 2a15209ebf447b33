"""GINAttention beside the formulas of attention, GIN, PNA, and differential attention.

What the published code does otherwise stands here as stubs: its "max" is the token's own value.
"""

import math

import pytest
import torch
from torch.nn import functional as F

import graphattn.nn.gin_attention as module
from graphattn.nn.gin_attention import GINAttention
from graphattn.ops.gin_attention import gather_tokens, token_weights

TOKENS, CHANNELS, HEADS, SIZE, THETA = 12, 8, 2, 4, 0.2


def make(aggregators, **options):
    torch.manual_seed(0)
    layer = GINAttention(
        CHANNELS, HEADS, value="linear", out_proj=True, sharpen=False, norm=None,
        aggregators=aggregators, train_self_weight=False, **options
    ).double()  # fmt: skip
    with torch.no_grad():
        layer.mlp.bias_in.zero_()
        layer.mlp.bias_out.zero_()
        for linear in (layer.lin_query, layer.lin_key):
            linear.weight.mul_(4.0)  # uneven attention
    return layer, torch.randn(1, TOKENS, CHANNELS, dtype=torch.double, requires_grad=True)


def attention(layer, x, names=("lin_query", "lin_key")):
    """Causal softmax attention and values, by the formulas."""
    q, k, v = (
        (x @ getattr(layer, name).weight.t()).unflatten(-1, (HEADS, SIZE)).transpose(1, 2)
        for name in (*names, "lin_value")
    )
    future = torch.ones(TOKENS, TOKENS, dtype=torch.bool).triu(1)
    scores = (q @ k.transpose(2, 3) / math.sqrt(SIZE)).masked_fill(future, -math.inf)
    return scores.softmax(-1), v


def update(layer, stack):
    heads = []
    for head in range(HEADS):
        hidden = F.silu(stack[:, head] @ layer.mlp.weight_in[head])
        heads.append(hidden @ layer.mlp.weight_out[head])
    return torch.cat(heads, -1) @ layer.lin_out.weight.t()


def assert_same(layer, x, ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
    inputs, factor = [x, *layer.parameters()], torch.randn_like(ours)
    grads = [
        torch.autograd.grad((out * factor).sum(), inputs, allow_unused=True)
        for out in (ours, theirs)
    ]
    for got, want in zip(*grads, strict=True):
        if want is not None:  # the biases of the update are 0 in the formula
            torch.testing.assert_close(got, want, rtol=0, atol=1e-6)


def stub(monkeypatch, replace):
    """Lets the layer gather as it does, then replaces some of the parts."""

    def gather(q, k, v, *, aggregators, **options):
        parts = gather_tokens(q, k, v, aggregators=aggregators, **options)
        weights = token_weights(q, k, is_causal=options["is_causal"])
        for name, find in replace.items():
            parts[aggregators.index(name)] = find(weights, v)
        return parts

    monkeypatch.setattr(module, "gather_tokens", gather)


@pytest.mark.parametrize("own_rows", [False, True])
def test_pna_is_its_formula_and_the_published_max_its_stub(own_rows, monkeypatch):
    layer, x = make(("sum", "mean", "max", "var"))
    if own_rows:
        stub(monkeypatch, {"max": lambda weights, v: v})
    a, v = attention(layer, x)
    mean = a @ v  # softmax: the degree is 1
    spread = (a @ v.square() - mean.square()).clamp(min=0)
    largest = torch.stack([v[:, :, : i + 1].amax(2) for i in range(TOKENS)], 2)
    stack = torch.cat([mean, mean, v if own_rows else largest, spread], -1)
    assert_same(layer, x, layer(x, is_causal=True), update(layer, stack))


def test_pna_with_whole_vectors_is_its_formula_with_a_stub(monkeypatch):
    def whole(sign):
        def find(weights, v):
            size = (sign * v.norm(dim=-1))[:, :, None, :].expand_as(weights)
            size = size.masked_fill(weights <= THETA, -math.inf)
            index = size.argmax(-1)  # 0 where none is above the threshold
            return v.gather(2, index.unsqueeze(-1).expand_as(v))

        return find

    layer, x = make(("mean", "max", "var", "min"))
    stub(monkeypatch, {"max": whole(1), "min": whole(-1)})
    a, v = attention(layer, x)
    mean = a @ v
    spread = (a @ v.square() - mean.square()).clamp(min=0)
    chosen = []
    for better in (max, min):
        rows = []
        for h in range(HEADS):
            for i in range(TOKENS):
                near = [j for j in range(TOKENS) if a[0, h, i, j] > THETA]
                best = (
                    better(near, key=lambda j, h=h: float(v[0, h, j].detach().norm()))
                    if near
                    else 0
                )
                rows.append(v[0, h, best])
        chosen.append(torch.stack(rows).view(1, HEADS, TOKENS, SIZE))
    stack = torch.cat([mean, chosen[0], spread, chosen[1]], -1)
    assert_same(layer, x, layer(x, is_causal=True), update(layer, stack))


def test_differential_attention_is_its_formula():
    layer, x = make(("sum",), differential=True)
    first, v = attention(layer, x)
    second, _ = attention(layer, x, ("lin_query2", "lin_key2"))
    z = (first - layer.contrast * second) @ v
    assert_same(layer, x, layer(x, is_causal=True), update(layer, z))


def test_vanilla_limit_is_attention_and_a_projection():
    layer = GINAttention(
        CHANNELS, HEADS, mlp_ratio=1.0, norm=None, act="identity", out_proj=True, out_channels=5
    ).double()
    with torch.no_grad():
        for weight in (layer.mlp.weight_in, layer.mlp.weight_out):
            weight.copy_(torch.eye(CHANNELS // HEADS).expand_as(weight))
        layer.mlp.bias_in.zero_()
        layer.mlp.bias_out.zero_()
    x = torch.randn(2, 6, CHANNELS, dtype=torch.double)

    def split(t):
        return t.unflatten(-1, (HEADS, -1)).transpose(1, 2)

    q, k = split(x @ layer.lin_query.weight.t()), split(x @ layer.lin_key.weight.t())
    z = F.scaled_dot_product_attention(q, k, split(x)).transpose(1, 2).flatten(2)
    torch.testing.assert_close(layer(x), z @ layer.lin_out.weight.t(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("tokens", [1, 12, 257])
def test_closed_form_in_single_precision(tokens):
    torch.manual_seed(0)
    layer = GINAttention(16, 2, self_weight=0.3, mlp_ratio=0.5)
    with torch.no_grad():
        layer.log_sharpness.fill_(math.log(1.7))
    x = torch.randn(1, tokens, 16, requires_grad=True)
    future = torch.ones(tokens, tokens, dtype=torch.bool).triu(1)
    parts = []
    for head in range(2):
        own = slice(8 * head, 8 * head + 8)
        q, k = x @ layer.lin_query.weight[own].t(), x @ layer.lin_key.weight[own].t()
        a = (1.7 * q @ k.transpose(1, 2) / math.sqrt(8)).masked_fill(future, -math.inf).softmax(-1)
        z = 0.3 * x[..., own] + a @ x[..., own]
        h = z @ layer.mlp.weight_in[head] + layer.mlp.bias_in[head]
        h = h / torch.sqrt(h.square().mean(-1, keepdim=True) + 1e-6)
        parts.append(F.silu(h) @ layer.mlp.weight_out[head] + layer.mlp.bias_out[head])
    expected, ours = torch.cat(parts, -1), layer(x, is_causal=True)
    torch.testing.assert_close(ours, expected, rtol=0, atol=2e-6)
    for got, want in zip(
        *(
            torch.autograd.grad(y.mean(), [x, *layer.parameters()], allow_unused=True)
            for y in (ours, expected)
        ),
        strict=True,
    ):
        if want is not None:
            torch.testing.assert_close(got, want, rtol=0, atol=1e-5)
    low = layer.bfloat16()(x.bfloat16(), is_causal=True).float()
    assert (low - expected).norm() <= 2e-2 * expected.norm()
