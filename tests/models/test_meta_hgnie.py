"""MetaHGNIE against its equations with dense masks, its loss, its channels, and its errors."""

import math

import pytest
import torch
from hypergraph_cases import make, same, uneven
from hypergraph_oracle import attention_conv, transformer_conv

from graphattn.models.meta_hgnie import MetaHGNIE

STRUCT, TEXT, TYPES, HIDDEN, HEADS = 3, 5, 2, 2, 2
FUSIONS = ["adaptive", "fixed", "gate", "attention", "concat"]


def build(struct=STRUCT, text=TEXT, types=TYPES, **options):
    torch.manual_seed(0)
    return uneven(MetaHGNIE(struct, text, types, HIDDEN, HEADS, 2, 3, **options))


def given(num_nodes=7, num_hyperedges=5, count=18):
    made = make(num_nodes, num_hyperedges, count)
    x, text = (torch.randn(num_nodes, size, dtype=torch.double) for size in (STRUCT, TEXT))
    types = torch.arange(num_hyperedges) % TYPES
    return x.requires_grad_(), text.requires_grad_(), made, types


def parts_of(p, name):
    """The parameters whose names start so, without that."""
    return {k.removeprefix(name + "."): v for k, v in p.items() if k.startswith(name + ".")}


def linear(p, name, x):
    return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]


def two_maps(p, name, x):
    return linear(p, f"{name}.2", torch.clamp(linear(p, f"{name}.0", x), min=0))


def by_equations(model, x, text, made, types, aggr):
    """Scores of both channels, and what they are linear maps of: sections 1.1 to 1.3."""
    p, buffers = dict(model.named_parameters()), dict(model.named_buffers())
    H, r = made.to_dense().bool(), p["types.weight"][types]
    h = torch.cat([two_maps(p, f"struct.mlps.{k}", x) for k in range(HEADS)], dim=1)
    for layer in range(2):
        if layer:
            h = h.mean(dim=1, keepdim=True).repeat(1, HEADS * HIDDEN)
        own = parts_of(p, f"struct.layers.{layer}")
        options = {"heads": HEADS * HIDDEN, "slope": 0.2, "aggr": aggr, "eps": 0.0, "act": "relu"}
        h, _ = attention_conv(own, h, H, r, None, **options)
    z = text
    for layer in range(2):
        own, kept = parts_of(p, f"text.{layer}"), parts_of(buffers, f"text.{layer}")
        z, _ = transformer_conv(own, kept, z, H, r @ own["lin_seed.weight"].T, heads=HEADS)
    return linear(p, "struct.lin_out", h)[:, 0], linear(p, "lin_text", z)[:, 0], h, z


def fused(model, s, t):
    p = dict(model.named_parameters())
    mode = model.fusion.mode
    if mode in ("adaptive", "fixed"):
        eta = p.get("fusion.eta", 0.2)
        return eta * s + (1 - eta) * t
    w, c = p["fusion.scale"], p["fusion.shift"]
    if mode == "concat":
        return torch.clamp(w[0] * s + w[1] * t + c[0], min=0)
    u, v = w[0] * s + c[0], w[1] * t + c[1]
    if mode == "gate":
        g = 1 / (1 + torch.exp(-u - v))
        return g * u + (1 - g) * v
    share = torch.exp(u) / (torch.exp(u) + torch.exp(v))
    return share * s + (1 - share) * t


@pytest.mark.parametrize("aggr", ["mean", "sum"])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_scores_and_gradients_are_those_of_the_equations(fusion, aggr):
    model = build(fusion=fusion, aggr=aggr)
    x, text, made, types = given()
    ours = model(x, text, made, types)
    s, t, h, z = by_equations(model, x, text, made, types, aggr)
    torch.testing.assert_close(ours.struct, s, rtol=0, atol=1e-10)
    torch.testing.assert_close(ours.text, t, rtol=0, atol=1e-10)
    torch.testing.assert_close(ours.z_struct, h, rtol=0, atol=1e-10)
    torch.testing.assert_close(ours.z_text, z, rtol=0, atol=1e-10)
    weights = [v for k, v in model.named_parameters() if not k.startswith("view")]
    same(ours.score[:, None], fused(model, s, t)[:, None], [x, text, *weights], atol=1e-8)


def test_the_loss_and_its_gradients_are_those_of_the_equations():
    model = build()
    x, text, made, types = given()
    y, index = torch.rand(7, dtype=torch.double), torch.tensor([5, 0, 3, 1])
    y[2] = torch.nan
    ours, parts = model.loss(model(x, text, made, types), y, index)
    s, t, h, z = by_equations(model, x, text, made, types, "mean")
    p = dict(model.named_parameters())
    a, b = (two_maps(p, "view", part[index]) for part in (h, z))
    a, b = (part / part.norm(dim=1, keepdim=True) for part in (a, b))
    S, contrast = a @ b.T / 0.5, 0.0
    for i in range(4):
        rows = math.log(1) + torch.log(torch.exp(S[i]).sum()) + torch.log(torch.exp(S[:, i]).sum())
        contrast = contrast + (rows - 2 * S[i, i]) / 8

    def mse(part):
        return ((part[index] - y[index]) ** 2).mean()

    expected = mse(fused(model, s, t)) + 0.1 * contrast + 0.1 * (mse(s) + mse(t))
    torch.testing.assert_close(parts["contrast"], contrast, rtol=0, atol=1e-10)
    same(ours[None, None], expected[None, None], [x, text, *model.parameters()], atol=1e-8)


def test_no_more_than_so_many_nodes_are_contrasted_and_the_draw_is_seeded():
    model = build()
    x, text, made, types = given()
    scores, y, index = model(x, text, made, types), torch.rand(7), torch.arange(6)

    def contrast(seed):
        generator = torch.Generator().manual_seed(seed)
        parts = model.loss(scores, y, index, max_contrast=2, generator=generator)[1]
        return float(parts["contrast"].detach())

    assert contrast(0) == contrast(0)
    assert len({contrast(seed) for seed in range(8)}) > 1
    assert all(contrast(seed) <= math.log(2) + 2 / 0.5 for seed in range(8))  # of two nodes


@pytest.mark.parametrize("channel", ["struct", "text"])
def test_a_channel_alone_is_the_score_and_has_one_error(channel):
    x, text, made, types = given()
    sizes = {"struct": STRUCT, "text": TEXT, channel: None}
    off, on = channel, {"struct": "text", "text": "struct"}[channel]
    model = build(**sizes)
    inputs = {"x_struct": x, "x_text": text, f"x_{off}": None}
    found = model(*inputs.values(), made, types)
    assert found.score is getattr(found, on)
    assert getattr(found, off) is None
    assert getattr(found, f"z_{off}") is None
    loss, parts = model.loss(found, torch.zeros(7), torch.arange(7))
    assert list(parts) == ["main"]
    loss.backward()
    assert all(p.grad is not None for p in model.parameters())
    with pytest.raises(ValueError, match=f"x_{on} must be given, as its channel is on: got None"):
        model(None, None, made, types)


def test_renumbering_moves_the_scores_and_nothing_else():
    model = build()
    x, text, made, types = given(9, 6, 22)
    nodes, edges = torch.randperm(9), torch.randperm(6)
    index = made.hyperedge_index()
    moved = torch.stack([nodes.argsort()[index[0]], edges.argsort()[index[1]]])
    expected = model(x, text, made, types).score[nodes]
    found = model(x[nodes], text[nodes], moved, types[edges]).score
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_parameter_learns_and_state_goes_there_and_back(fusion):
    model = build(fusion=fusion, centrality=True)
    model.init_bias(5.0)  # else a ReLU may be shut for all nodes
    x, text, made, types = given(9, 6, 22)
    model.train()
    model.loss(model(x, text, made, types), torch.rand(9), torch.arange(9))[0].backward()
    assert all(p.grad is not None for p in model.parameters())
    model.eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    out = model(x, text, made, types).score
    assert torch.equal(model(x, text, made, types).score, out)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    model.reset_parameters()
    assert not torch.equal(model(x, text, made, types).score, out)
    model.load_state_dict(before)
    assert torch.equal(model(x, text, made, types).score, out)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_scores_start_from_the_mean(fusion):
    torch.manual_seed(0)
    model = MetaHGNIE(STRUCT, TEXT, TYPES, HIDDEN, HEADS, fusion=fusion).double()
    with torch.no_grad():
        model.lin_text.weight.zero_()
        model.struct.lin_out.weight.zero_()
    model.init_bias(9.5)
    x, text, made, types = given()
    score = model.eval()(x, text, made, types).score
    torch.testing.assert_close(score, torch.full_like(score, 9.5))


def test_centrality_scales_by_the_degree():
    model = build(centrality=True)
    x, text, made, types = given()
    with torch.no_grad():
        model.centrality.copy_(torch.tensor([0.0, 1.0]))
    plain = model(x, text, made, types)
    with torch.no_grad():
        model.centrality.copy_(torch.tensor([2.0, 1.0]))
    scaled = model(x, text, made, types)
    factor = 2 * torch.log1p(made.degree().double()) + 1
    torch.testing.assert_close(scaled.struct, plain.struct * factor)
    assert (plain.text >= 0).all()


def test_a_hypergraph_without_types_and_one_without_incidences():
    model = build(types=None)
    x, text, made, _ = given()
    assert model(x, text, made).score.isfinite().all()
    assert model(x, text, make(7, 2, 0)).score.isfinite().all()


def test_errors():
    x, text, made, types = given()
    with pytest.raises(ValueError, match="struct_channels or text_channels must be given"):
        MetaHGNIE(None, None, 2)
    with pytest.raises(ValueError, match="fusion"):
        MetaHGNIE(3, 3, 2, fusion="sum")
    with pytest.raises(ValueError, match="aggr"):
        MetaHGNIE(3, 3, 2, aggr="max")
    with pytest.raises(ValueError, match="exactly when num_types is: got none"):
        build()(x, text, made)
    with pytest.raises(ValueError, match="exactly when num_types is: got some"):
        build(types=None)(x, text, made, types)
