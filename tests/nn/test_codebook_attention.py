"""CodebookAttention: equality with loops over 20 batches, the exact histogram, and its errors."""

import pytest
import torch
from oracles import Codebook

from graphattn.nn import CodebookAttention
from graphattn.ops.codebook import nearest_code

NODES, CODES, CHANNELS, G, PE = 30, 7, 5, 4, 3


def make_layer(pe_channels: int = PE, **options) -> CodebookAttention:
    torch.manual_seed(1)
    return CodebookAttention(
        CHANNELS,
        head_channels=6,
        heads=2,
        global_channels=G,
        pe_channels=pe_channels,
        codebook_size=CODES,
        **options,
    ).double()


@pytest.mark.parametrize("pe_channels", [0, PE])
def test_forward_and_moving_averages_equal_loops_over_20_batches(pe_channels):
    layer = make_layer(pe_channels)
    state = {name: value.clone() for name, value in layer.state_dict().items()}
    named = dict(layer.named_parameters()) | {
        k: v for k, v in state.items() if k not in dict(layer.named_parameters())
    }
    book = Codebook(named, NODES, heads=2, global_channels=G)
    codes = torch.full((NODES,), -1, dtype=torch.int32)
    for step in range(20):
        nodes = torch.randperm(NODES)[: 1 if step == 7 else 8]
        x = torch.randn(nodes.numel(), CHANNELS, dtype=torch.double, requires_grad=True)
        pe = torch.randn(nodes.numel(), pe_channels, dtype=torch.double) if pe_channels else None
        ours = layer(x, pe, seeds=nodes, codes=codes)
        theirs = book.forward(x, pe)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)
        inputs = [x, *layer.parameters()]
        weight = torch.randn_like(ours)
        got = torch.autograd.grad((ours * weight).sum(), inputs)
        expected = torch.autograd.grad((theirs * weight).sum(), inputs)
        for a, b in zip(got, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)
        book.update(x, pe, nodes.tolist())
        assert [-1 if c is None else c for c in book.code_of] == codes.tolist()
        torch.testing.assert_close(layer.codebook, torch.stack(book.e), rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(layer.keys, torch.stack(book.keys), rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(
            layer.cluster_size, torch.tensor(book.s, dtype=torch.double), rtol=1e-10, atol=1e-12
        )
        assert torch.equal(layer.count, torch.bincount(codes[codes >= 0].long(), minlength=CODES))


def test_codes_beyond_16_bits_are_counted():
    layer = CodebookAttention(2, head_channels=2, global_channels=1, codebook_size=40_000)
    codes = torch.full((4,), -1, dtype=torch.int32)
    with torch.no_grad():
        layer.codebook.fill_(1e6)
        layer.codebook[39_999] = 0.0
    layer(torch.randn(4, 2), seeds=torch.arange(4), codes=codes)
    assert codes.tolist() == [39_999] * 4 and layer.count[39_999] == 4


def test_as_global_attention_of_any_model_it_needs_no_codes():
    layer = make_layer(0)
    x = torch.randn(NODES, CHANNELS, dtype=torch.double)
    for _ in range(3):
        out = layer(x)
    assert out.shape == (NODES, 12) and out.isfinite().all() and layer.count.sum() == 0
    torch.testing.assert_close(
        layer.cluster_size.sum(), torch.tensor(NODES * (1 - 0.99**3)).double()
    )


def test_evaluation_moves_no_buffer_and_is_repeatable():
    layer = make_layer(0)
    layer(torch.randn(NODES, CHANNELS, dtype=torch.double))
    layer.eval()
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    x = torch.randn(NODES, CHANNELS, dtype=torch.double)
    assert torch.equal(layer(x), layer(x))
    for name, value in layer.state_dict().items():
        assert torch.equal(value, before[name]), name
    torch.testing.assert_close(layer(x[3:4])[0], layer(x)[3])


def test_renumbering_nodes_renumbers_the_output():
    layer = make_layer(0).eval()
    x, order = torch.randn(NODES, CHANNELS, dtype=torch.double), torch.randperm(NODES)
    torch.testing.assert_close(layer(x).index_select(0, order), layer(x.index_select(0, order)))


def test_reseeding_brings_dead_codes_to_the_nodes():
    x = torch.randn(200, CHANNELS, dtype=torch.double)
    used = []
    for reseed_below in (0.0, 0.5):
        layer = make_layer(0, reseed_below=reseed_below)
        codes = torch.full((200,), -1, dtype=torch.int32)
        for _ in range(5):
            layer(x, seeds=torch.arange(200), codes=codes)
        used.append(int((layer.count > 0).sum()))
    assert used[1] == CODES and used[1] > used[0]


def test_every_parameter_receives_a_gradient_and_state_survives():
    layer = make_layer()
    x, pe = torch.randn(9, CHANNELS).double(), torch.randn(9, PE).double()
    layer(x, pe).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in layer.parameters())
    twin = make_layer()
    twin.load_state_dict(layer.state_dict())
    assert torch.equal(twin.eval()(x, pe), layer.eval()(x, pe))
    twin.reset_parameters()
    assert twin.count.sum() == 0 and not torch.equal(twin.codebook, layer.codebook)


def test_an_empty_batch_moves_nothing_and_counts_are_forgotten():
    layer = make_layer(0)
    codes = torch.full((NODES,), -1, dtype=torch.int32)
    x = torch.randn(NODES, CHANNELS, dtype=torch.double)
    layer(x, seeds=torch.arange(NODES), codes=codes)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    assert layer(x[:0]).shape == (0, 12)
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())
    layer.forget_counts()
    assert layer.count.sum() == 0 and before["count"].sum() == NODES


def test_half_precision_stays_finite():
    layer = CodebookAttention(CHANNELS, head_channels=6, codebook_size=CODES)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for _ in range(3):
            out = layer(torch.randn(50, CHANNELS) * 1e3)
    assert out.isfinite().all() and layer.codebook.dtype == torch.float32
    assert layer.codebook.isfinite().all()


def test_errors_say_what_would_be_right():
    with pytest.raises(ValueError, match="codebook_size must be at least 1: got codebook_size=0"):
        CodebookAttention(4, head_channels=4, codebook_size=0)
    with pytest.raises(ValueError, match=r"decay must be in \(0, 1\): got decay=1.5"):
        CodebookAttention(4, head_channels=4, decay=1.5)
    with pytest.raises(ValueError, match=r"pe must have pe_channels=3 channels: got 0 \(no pe\)"):
        make_layer()(torch.randn(2, CHANNELS).double())
    with pytest.raises(ValueError, match="codes needs seeds"):
        make_layer(0)(torch.randn(2, CHANNELS).double(), codes=torch.zeros(9, dtype=torch.int32))


def test_following_puts_each_code_at_the_mean_of_its_nodes_and_lets_gradients_through():
    layer = make_layer()
    x = torch.randn(NODES, CHANNELS, dtype=torch.double)
    pe = torch.randn(NODES, PE, dtype=torch.double)
    for _ in range(3):
        layer(x, pe)
    layer.eval()
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    x.requires_grad_()
    few = slice(0, 4)
    with layer.following(x, pe):
        out = layer(x[few].detach(), pe[few])
        keys, count = layer.keys.detach().clone(), layer.count.clone()
    (grad,) = torch.autograd.grad(out.sum(), x)
    u = layer.encode(x.detach(), pe)
    code = torch.cdist(layer.norm(u), layer.codebook).argmin(dim=1)
    for j in range(CODES):
        mine = code == j
        expected = u[mine].mean(dim=0) if mine.any() else before["keys"][j]
        torch.testing.assert_close(keys[j], expected)
        assert count[j] == mine.sum()
    assert (grad.abs().sum(dim=1) > 0).all()  # every node, none of which was asked for
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())
    with pytest.raises(ValueError, match="evaluation mode"), layer.train().following(x, pe):
        pass


def test_codes_without_nodes_have_no_say_in_the_plain_use_either():
    """Such codes lie anywhere, 1e5 away at first; attention to them once ended in NaN."""
    torch.manual_seed(0)
    layer = CodebookAttention(4, head_channels=4, heads=2, global_channels=4, codebook_size=64)
    x = torch.randn(20, 4)
    for _ in range(200):
        layer(x)
    layer.eval()
    u = layer.encode(x)
    used = nearest_code(layer.norm(u), layer.codebook)[0].unique()
    seen = layer.weights(x)
    *_, bias = layer._scored(u)
    assert used.numel() <= bias.numel() < 64
    assert bias.isfinite().all() and (seen.sum(-1) - 1).abs().max() < 1e-5
    assert layer.codebook.abs().max() > 100  # where codes without nodes still lie
    assert layer(x).abs().max() < 1e3
