"""SparseGIN: the seven checks of a layer, messages that arrive, and tokens that come in steps."""

import pytest
import torch
from oracles import linear

from graphattn.nn.sparse_gin import SparseGIN
from graphattn.ops.sparse_gin import to_edges

BATCH, TOKENS, CHANNELS = 2, 6, 8
OPTIONS = [
    {},
    {"num_layers": 2, "mlp_ratio": 2.0},
    {"heads": 2, "act": "silu"},
    {"norm": None, "act": "relu"},
]


def make_layer(**options):
    torch.manual_seed(0)
    layer = SparseGIN(CHANNELS, 5, scale=0.7, **options).double().eval()
    with torch.no_grad():
        layer.self_weight.fill_(0.3)
    return layer


def make_input(heads=1):
    torch.manual_seed(1)
    u = torch.randn(BATCH, TOKENS, CHANNELS, dtype=torch.double, requires_grad=True)
    adjacency = torch.rand(BATCH, heads, TOKENS, TOKENS, dtype=torch.double).tril()
    return u, adjacency * (adjacency > 0.3)


def by_loops(layer, u, adjacency):
    """The formula for one token after the other."""
    p, heads = dict(layer.named_parameters()), layer.heads
    width = CHANNELS // heads

    def act(v):
        slope = p.get("act.weight", torch.zeros(1))
        if type(layer.act).__name__ == "SiLU":
            return v / (1 + torch.exp(-v))
        return torch.where(v > 0, v, slope * v)

    def lin(name, h, v):
        return linear(p[f"{name}.weight"][h].t(), p[f"{name}.bias"][h, 0], v)

    rows = []
    for b in range(BATCH):
        parts = []
        for h in range(heads):
            z = [lin("lin_in", h, u[b, i, h * width : (h + 1) * width]) for i in range(TOKENS)]
            for r in range(len(layer.lins_hidden)):
                new = []
                for i in range(TOKENS):
                    m = p["self_weight"][r] * z[i]
                    for j in range(TOKENS):
                        m = m + adjacency[b, h, i, j] * z[j]
                    back = lin(f"lins_back.{r}", h, act(lin(f"lins_hidden.{r}", h, m)))
                    new.append(act(m + back))
                z = new
            parts.append(torch.stack([lin("lin_out", h, v) for v in z]))
        row = torch.cat(parts, -1)
        if layer.norm_weight is not None:
            size = torch.sqrt(row.square().sum(-1, keepdim=True) / CHANNELS + 1e-6)
            row = row / size * layer.norm_weight
        rows.append(row)
    return layer.scale * torch.stack(rows)


@pytest.mark.parametrize("options", OPTIONS)
def test_equals_loops_in_value_and_gradient(options):
    layer = make_layer(**options)
    u, adjacency = make_input(layer.heads)
    ours, theirs = layer(u, adjacency), by_loops(layer, u, adjacency)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    inputs, weight = [u, *layer.parameters()], torch.randn_like(ours)
    grads = torch.autograd.grad((ours * weight).sum(), inputs)
    loops = torch.autograd.grad((theirs * weight).sum(), inputs)
    for got, expected in zip(grads, loops, strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-11)


def test_a_message_arrives_where_there_is_an_edge_and_nowhere_else():
    layer = make_layer()
    u, _ = make_input()
    adjacency = torch.eye(TOKENS, dtype=torch.double).expand(BATCH, -1, -1).clone()
    adjacency[0, TOKENS - 1, 0] = 0.7
    changed = u.detach().clone()
    changed[:, 0] += 1.0
    moved = (layer(changed, adjacency) - layer(u, adjacency)).abs().amax(-1)
    assert moved[0, TOKENS - 1] > 1e-3
    assert moved[:, 0].min() > 1e-3
    assert not moved[0, 1:-1].any()
    assert not moved[1, 1:].any()


def test_self_loops_alone_are_a_gated_network_of_each_token():
    # What the released code computes: a token's own weight g scales its own message only.
    layer = make_layer()
    u, _ = make_input()
    gate = torch.rand(BATCH, TOKENS, dtype=torch.double)
    z = (gate.unsqueeze(-1) + 0.3) * layer.lin_in(u.unsqueeze(1))[:, 0]
    r = z + layer.lins_back[0](layer.act(layer.lins_hidden[0](z).unsqueeze(1)))[:, 0]
    row = layer.lin_out(layer.act(r).unsqueeze(1))[:, 0]
    expected = layer.scale * row / torch.sqrt(row.square().mean(-1, keepdim=True) + 1e-6)
    torch.testing.assert_close(layer(u, torch.diag_embed(gate)), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("options", OPTIONS)
def test_renumbering_tokens_renumbers_the_output(options):
    layer = make_layer(**options)
    u, adjacency = make_input(layer.heads)
    order = torch.randperm(TOKENS)
    moved = layer(u[:, order], adjacency[:, :, order][:, :, :, order])
    torch.testing.assert_close(moved, layer(u, adjacency)[:, order], rtol=0, atol=1e-12)


@pytest.mark.parametrize("options", OPTIONS)
def test_tokens_in_steps_equal_all_at_once(options):
    layer = make_layer(**options)
    u, adjacency = make_input(layer.heads)
    z_cache, steps = [], []
    for start, stop in ((0, 3), (3, 4), (4, 6)):
        steps.append(layer(u[:, start:stop], adjacency[:, :, start:stop, :stop], z_cache))
    torch.testing.assert_close(torch.cat(steps, 1), layer(u, adjacency), rtol=0, atol=1e-12)
    assert [z.size(2) for z in z_cache] == [TOKENS] * len(layer.lins_hidden)
    near = adjacency.triu(-2)  # a window of three keys
    z_cache = []
    steps = [layer(u[:, :3], near[:, :, :3, :3], z_cache)]
    steps += [layer(u[:, i : i + 1], near[:, :, i : i + 1, i - 2 : i + 1], z_cache) for i in (3, 4)]
    torch.testing.assert_close(torch.cat(steps, 1), layer(u, near)[:, :5], rtol=0, atol=1e-12)


def test_edges_equal_the_matrix_and_one_group_needs_no_axis():
    layer = make_layer().float()
    u, adjacency = make_input()
    u, adjacency = u.float(), adjacency.float()
    out = layer(u, adjacency)
    torch.testing.assert_close(layer(u, to_edges(adjacency)), out, rtol=0, atol=1e-6)
    assert torch.equal(layer(u, adjacency[:, 0]), out)


def test_scale_zero_adds_exactly_nothing_and_learns_at_once():
    layer = SparseGIN(CHANNELS, 5)
    u, adjacency = (x.float() for x in make_input())
    out = layer(u, adjacency)
    assert not out.any()
    (out * torch.randn_like(out)).sum().backward()
    assert layer.scale.grad.abs() > 0
    assert all(parameter.grad is not None for parameter in layer.parameters())


@pytest.mark.parametrize("options", OPTIONS)
def test_every_parameter_receives_a_gradient_and_state_survives(options):
    layer = make_layer(**options)
    u, adjacency = make_input(layer.heads)
    (layer(u, adjacency) * torch.randn(CHANNELS, dtype=torch.double)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in layer.parameters())
    twin = SparseGIN(CHANNELS, 5, scale=0.7, **options).double().eval()
    twin.load_state_dict(layer.state_dict())
    assert torch.equal(twin(u, adjacency), layer(u, adjacency))
    twin.reset_parameters()
    assert not torch.equal(twin.lin_in.weight, layer.lin_in.weight)
    assert twin.scale.item() == pytest.approx(0.7)


def test_batch_of_one_and_evaluation_twice():
    layer = make_layer(dropout=0.5)
    u, adjacency = make_input()
    torch.testing.assert_close(
        layer(u[1:], adjacency[1:])[0], layer(u, adjacency)[1], rtol=0, atol=1e-12
    )
    assert torch.equal(layer(u, adjacency), layer(u, adjacency))
    layer.train()
    assert not torch.equal(layer(u, adjacency), layer(u, adjacency))


def test_autocast_is_finite():
    layer = make_layer().float()
    u, adjacency = (x.detach().float() for x in make_input())
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(u, adjacency)
        edges = layer(u, to_edges(adjacency))
    torch.testing.assert_close(edges, out, rtol=0, atol=0.05)
    out.float().square().sum().backward()
    assert all(p.grad.isfinite().all() for p in layer.parameters())


def test_errors_say_what_would_be_right():
    with pytest.raises(ValueError, match="heads must divide channels: got heads=3, channels=8"):
        SparseGIN(8, heads=3)
    with pytest.raises(ValueError, match="act must be one of prelu, relu, silu, gelu: got 'tanh'"):
        SparseGIN(8, act="tanh")
    with pytest.raises(ValueError, match="norm must be one of rms: got 'layer'"):
        SparseGIN(8, norm="layer")
    with pytest.raises(ValueError, match="hidden_dim must be at least 1: got hidden_dim=0"):
        SparseGIN(8, 0)
