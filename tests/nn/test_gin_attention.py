"""GINAttention: the seven checks of a layer, its limits, and what it keeps for the gradient."""

import itertools
import math
import subprocess
import sys

import pytest
import torch
from gin_oracle import gin_attention

from graphattn.nn.gin_attention import GINAttention
from graphattn.ops import gin_attention as ops

BATCH, TOKENS, CHANNELS, HEADS = 2, 6, 8, 2
ALL = ("sum", "mean", "var", "max", "min")
OPTIONS = [
    {},
    {"normalize": "sigmoid"},
    {"aggregators": ("sum", "mean", "max", "var")},
    {"aggregators": ("mean", "max", "var", "min"), "value": "linear", "bias": True},
    {"threshold": 0.2, "aggregators": ALL},
    {"top_k": 2, "normalize": "sigmoid", "aggregators": ALL},
    {"differential": True},
    {"differential": True, "threshold": 0.1},
    {"differential": True, "top_k": 2},
    {"value": "linear", "head_dim": 3, "out_channels": 5, "out_proj": True, "norm": None},
]


def make_layer(**options) -> GINAttention:
    torch.manual_seed(0)
    layer = GINAttention(CHANNELS, HEADS, self_weight=0.3, **options).double().eval()
    with torch.no_grad():
        for parameter in layer.parameters():  # larger than at the start: attention is uneven
            parameter.add_(torch.randn_like(parameter) * 0.4)
    return layer


def make_input():
    torch.manual_seed(1)
    x = torch.randn(BATCH, TOKENS, CHANNELS, dtype=torch.double, requires_grad=True)
    mask = torch.ones(BATCH, TOKENS, dtype=torch.bool)
    mask[1, 4:] = False
    bias = torch.randn(1, 1, TOKENS, TOKENS, dtype=torch.double)
    bias[..., 2, 3:] = -math.inf
    return x, mask, bias


def by_loops(layer, x, mask, bias, is_causal):
    o, rows = layer.options, []
    for b in range(BATCH):
        incoming = []
        for i in range(TOKENS):
            seen = [
                (j, 0.0 if bias is None else bias[0, 0, i, j], 1.0, None)
                for j in range(i + 1 if is_causal else TOKENS)
                if (mask is None or bool(mask[b, j]))
                and (bias is None or bias[0, 0, i, j] > -math.inf)
            ]
            incoming.append(seen)
        row = gin_attention(
            dict(layer.named_parameters()),
            x[b],
            x[b],
            incoming,
            heads=HEADS,
            normalize=o.normalize,
            threshold=o.threshold,
            top_k=o.top_k,
            aggregators=o.aggregators,
        )
        rows.append(row if mask is None else row * mask[b].unsqueeze(1))
    return torch.stack(rows)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("scene", ["plain", "mask", "causal", "bias", "causal+mask"])
def test_equals_loops_in_value_and_gradient(options, scene, monkeypatch):
    monkeypatch.setattr(ops, "_CHUNK", 100)  # several chunks of queries
    layer, (x, mask, bias) = make_layer(**options), make_input()
    mask = mask if "mask" in scene else None
    bias, is_causal = bias if scene == "bias" else None, "causal" in scene
    ours = layer(x, mask, attn_bias=bias, is_causal=is_causal)
    theirs = by_loops(layer, x, mask, bias, is_causal)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)
    inputs, weight = [x, *layer.parameters()], torch.randn_like(ours)
    grads = torch.autograd.grad((ours * weight).sum(), inputs)
    loops = torch.autograd.grad((theirs * weight).sum(), inputs)
    for got, expected in zip(grads, loops, strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("options", OPTIONS)
def test_renumbering_tokens_renumbers_the_output(options):
    layer, (x, mask, bias) = make_layer(**options), make_input()
    order = torch.randperm(TOKENS)
    moved = layer(x[:, order], mask[:, order], attn_bias=bias[:, :, order][:, :, :, order])
    torch.testing.assert_close(moved, layer(x, mask, attn_bias=bias)[:, order], rtol=0, atol=1e-12)


@pytest.mark.parametrize("options", OPTIONS)
def test_padding_has_no_say_and_each_graph_is_alone(options):
    layer, (x, mask, _) = make_layer(**options), make_input()
    other = torch.where(mask.unsqueeze(-1), x, math.nan)
    assert torch.equal(layer(x, mask), layer(other, mask))
    assert not layer(x, mask)[~mask].any()
    alone = layer(x[1:, :4])
    torch.testing.assert_close(layer(x, mask)[1:, :4], alone, rtol=0, atol=1e-12)
    assert not layer(x, mask & False).any()


@pytest.mark.parametrize(
    ("normalize", "cut", "aggregators", "masked", "biased"),
    list(
        itertools.product(
            ["softmax", "sigmoid"],
            [{}, {"threshold": 0.1}, {"top_k": 2}, {"differential": True}],
            [("sum",), ALL],
            [False, True],
            [False, True],
        )
    ),
)
def test_the_future_has_no_say(normalize, cut, aggregators, masked, biased):
    if "differential" in cut and len(aggregators) > 1:
        cut = {}
    layer = make_layer(normalize=normalize, aggregators=aggregators, **cut)
    x, mask, bias = make_input()
    with torch.no_grad():
        layer.log_sharpness.fill_(-50.0)  # next to no sharpness must not undo the mask
    options = {"attn_bias": bias if biased else None, "is_causal": True}
    changed = x.detach().clone()
    changed[:, 3] += 5.0
    mask = mask if masked else None
    before, after = layer(x, mask, **options), layer(changed, mask, **options)
    assert torch.equal(before[:, :3], after[:, :3])
    assert not torch.equal(before[:, 3:], after[:, 3:])


@pytest.mark.parametrize("options", OPTIONS)
def test_gradcheck(options):
    layer = make_layer(**options)
    x = torch.randn(1, 4, CHANNELS, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: layer(x, is_causal=True), (x,), fast_mode=True)


@pytest.mark.parametrize("cut", [{"threshold": 0.2}, {"top_k": 2}])
def test_queries_and_keys_learn_where_weights_are_cut(cut):
    layer, (x, _, _) = make_layer(**cut), make_input()
    layer(x).square().sum().backward()
    for linear in (layer.lin_query, layer.lin_key):
        assert linear.weight.grad.isfinite().all()
        assert linear.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("normalize", ["softmax", "sigmoid"])
def test_a_token_that_sees_nothing_stays_finite(normalize):
    for aggregators in (("sum",), ALL):
        layer, (x, _, bias) = make_layer(normalize=normalize, aggregators=aggregators), make_input()
        layer(x, attn_bias=bias.fill_(-math.inf)).sum().backward()
        assert x.grad.isfinite().all()
        assert layer(x[:1, :1]).isfinite().all()
        assert all(p.grad is None or p.grad.isfinite().all() for p in layer.parameters())


def test_weights_on_request_are_those_used():
    layer, (x, mask, _) = make_layer(aggregators=("sum",)), make_input()
    out, weights = layer(x, mask, need_weights=True)
    assert torch.equal(out, layer(x, mask))
    assert weights.shape == (BATCH, HEADS, TOKENS, TOKENS)
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
    assert not weights[1, ..., 4:].any()


def test_rotary_attention_knows_distances_only():
    layer, (x, _, _) = make_layer(), make_input()
    angle = torch.arange(20, dtype=torch.double).unsqueeze(1) * torch.tensor([1.0, 0.1]).double()
    cos, sin = (f(torch.cat([angle, angle], 1)) for f in (torch.cos, torch.sin))
    here = layer(x, rotary=(cos[:TOKENS], sin[:TOKENS]))
    there = layer(x, rotary=(cos[5 : 5 + TOKENS], sin[5 : 5 + TOKENS]))
    torch.testing.assert_close(here, there, rtol=0, atol=1e-12)
    assert (here - layer(x)).abs().max() > 1e-3
    each = layer(x, rotary=(cos[:TOKENS].expand(BATCH, -1, -1), sin[:TOKENS].expand(BATCH, -1, -1)))
    torch.testing.assert_close(here, each, rtol=0, atol=1e-12)


def test_batch_of_one_equals_its_row_in_a_batch():
    layer, (x, mask, _) = make_layer(), make_input()
    torch.testing.assert_close(layer(x[1:], mask[1:])[0], layer(x, mask)[1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("options", OPTIONS)
def test_every_parameter_receives_a_gradient_and_state_survives(options):
    layer = GINAttention(CHANNELS, HEADS, **options)
    layer(torch.randn(BATCH, TOKENS, CHANNELS)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in layer.parameters())
    twin = GINAttention(CHANNELS, HEADS, **options)
    twin.load_state_dict(layer.state_dict())
    twin.reset_parameters()
    assert not torch.equal(twin.lin_query.weight, layer.lin_query.weight)


def test_evaluation_twice_is_the_same_and_training_drops():
    layer, (x, _, _) = make_layer(dropout=0.5, mlp_dropout=0.5), make_input()
    assert torch.equal(layer(x), layer(x))
    layer.train()
    assert not torch.equal(layer(x), layer(x))


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiles_without_a_graph_break(backend, unchecked):
    layer, (x, _, _) = make_layer(), make_input()
    compiled = torch.compile(layer, fullgraph=True, backend=backend)
    out = compiled(x)
    torch.testing.assert_close(out, layer(x), rtol=0, atol=1e-12)
    out.square().sum().backward()
    assert x.grad.abs().sum() > 0


CHUNKS_COMPILED = """
import torch
from graphattn.nn.gin_attention import GINAttention

for options in ({"normalize": "sigmoid"}, {"threshold": 0.2, "aggregators": ("sum", "max", "var")}):
    layer, x = GINAttention(8, 2, **options), torch.randn(2, 6, 8, requires_grad=True)
    out = torch.compile(layer, fullgraph=True, backend="aot_eager")(x)
    torch.testing.assert_close(out, layer(x))
    out.sum().backward()
    assert x.grad.abs().sum() > 0
"""


def test_chunks_compile_without_a_graph_break():
    # In a process of its own: the check of shapes, even turned off, wraps functions in what
    # cannot be traced inside a checkpoint.
    subprocess.run([sys.executable, "-c", CHUNKS_COMPILED], check=True, timeout=400)


@pytest.mark.parametrize("options", OPTIONS)
def test_autocast_is_finite(options):
    layer, (x, mask, _) = make_layer(**options).float(), make_input()
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(x.detach().float(), mask)
    out.float().square().sum().backward()
    assert out.isfinite().all()
    assert all(p.grad.isfinite().all() for p in layer.parameters())


def saved_bytes(make):
    """Bytes of distinct storages that autograd keeps."""
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        out = make()
    return out, sum(kept.values())


def test_no_matrix_of_tokens_is_kept():
    layer, x = GINAttention(256, 8), torch.randn(1, 1024, 256)
    assert saved_bytes(lambda: layer(x))[1] <= 20e6


def test_errors_say_what_would_be_right(unchecked):
    with pytest.raises(ValueError, match=r'right would be value="linear"'):
        GINAttention(8, 3)
    with pytest.raises(ValueError, match="normalize must be one of softmax, sigmoid: got 'relu'"):
        GINAttention(8, 2, normalize="relu")
    with pytest.raises(ValueError, match="aggregators must name at least one, each once"):
        GINAttention(8, 2, aggregators=("sum", "sum"))
    with pytest.raises(ValueError, match="takes a sum only"):
        GINAttention(8, 2, aggregators=("max",), differential=True)
    with pytest.raises(ValueError, match="heads must divide out_channels: got heads=2"):
        GINAttention(8, 2, out_channels=5)
    with pytest.raises(ValueError, match=r"threshold must be in \[0, 1\): got threshold=1.5"):
        GINAttention(8, 2, threshold=1.5)
    with pytest.raises(ValueError, match="top_k must be at least 1: got top_k=0"):
        GINAttention(8, 2, top_k=0)
    with pytest.raises(ValueError, match=r"mlp_dropout must be in \[0, 1\)"):
        GINAttention(8, 2, mlp_dropout=1.0)
    with pytest.raises(ValueError, match="mlp_ratio must be above 0"):
        GINAttention(8, 2, mlp_ratio=0.0)
    with pytest.raises(
        ValueError, match=r"\[batch, tokens, channels\] with 8 channels: got \[5, 8\]"
    ):
        GINAttention(8, 2)(torch.randn(5, 8))
    with pytest.raises(ValueError, match=r"with 8 channels: got \[1, 5, 6\]"):
        GINAttention(8, 2)(torch.randn(1, 5, 6))
    with pytest.raises(ValueError, match=r"mask must be \[batch, tokens\], \[1, 5\]: got \[5, 1\]"):
        GINAttention(8, 2)(torch.randn(1, 5, 8), torch.ones(5, 1, dtype=torch.bool))
