"""LocalAttention: the seven checks of a layer, and its errors."""

import pytest
import torch
from oracles import local_attention

from graphattn.nn import LocalAttention

SEEDS, TOKENS, ROWS, CHANNELS = 4, 6, 9, 5


def make_layer(**options) -> LocalAttention:
    layer = LocalAttention(CHANNELS, heads=2, **options).double().eval()
    with torch.no_grad():
        for (
            parameter
        ) in layer.parameters():  # larger than at the start, so that attention is uneven
            parameter.copy_(torch.randn_like(parameter) * 0.5)
    return layer


def make_input(num_types: int = 0):
    x = torch.randn(ROWS, CHANNELS, dtype=torch.double, requires_grad=True)
    index = torch.randint(ROWS, (SEEDS, TOKENS))
    mask = torch.rand(SEEDS, TOKENS) < 0.6
    mask[:, 0] = True
    mask[0, 1:] = False  # a seed with no other token
    types = torch.randint(num_types, (SEEDS, TOKENS)) if num_types else None
    return x, index, mask, types


@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("num_types", [0, 4])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("training", [False, True])  # in training, one layer runs in chunks
def test_equals_loops_in_value_and_gradient(num_layers, num_types, masked, training):
    torch.manual_seed(0)
    layer = make_layer(num_layers=num_layers, num_types=num_types, dropout=0.0).train(training)
    x, index, mask, types = make_input(num_types)
    mask = mask if masked else None
    ours = layer(x, index, mask=mask, types=types)
    named = dict(layer.named_parameters())
    theirs = local_attention(named, x, index, mask, heads=2, num_layers=num_layers, types=types)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)
    inputs = [x, *named.values()]
    weight = torch.randn_like(ours)
    grads = torch.autograd.grad((ours * weight).sum(), inputs)
    loops = torch.autograd.grad((theirs * weight).sum(), inputs, allow_unused=True)
    for got, expected in zip(grads, loops, strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-10)


def test_renumbering_rows_changes_nothing():
    layer = make_layer()
    x, index, mask, _ = make_input()
    order = torch.randperm(ROWS)
    renumbered = torch.empty_like(order).scatter_(0, order, torch.arange(ROWS))
    again = layer(
        x.index_select(0, order),
        renumbered.index_select(0, index.flatten()).view_as(index),
        mask=mask,
    )
    torch.testing.assert_close(layer(x, index, mask=mask), again)


def test_padding_tokens_have_no_say():
    layer = make_layer()
    x, index, mask, _ = make_input()
    other = torch.where(mask, index, torch.randint(ROWS, index.shape))
    torch.testing.assert_close(layer(x, index, mask=mask), layer(x, other, mask=mask))


def test_batch_of_one_equals_its_row_in_a_batch():
    layer = make_layer()
    x, index, mask, _ = make_input()
    torch.testing.assert_close(
        layer(x, index[2:3], mask=mask[2:3])[0], layer(x, index, mask=mask)[2]
    )


def test_every_parameter_receives_a_gradient_and_state_survives():
    layer = LocalAttention(CHANNELS, heads=2, num_layers=2, num_types=3)
    types = torch.randint(3, (SEEDS, TOKENS))
    layer(
        torch.randn(ROWS, CHANNELS), torch.randint(ROWS, (SEEDS, TOKENS)), types=types
    ).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in layer.parameters())
    twin = LocalAttention(CHANNELS, heads=2, num_layers=2, num_types=3)
    twin.load_state_dict(layer.state_dict())
    twin.reset_parameters()
    assert not torch.equal(twin.lin_in.weight, layer.lin_in.weight)


def test_evaluation_twice_is_the_same_and_training_drops():
    layer = make_layer()
    x, index, mask, _ = make_input()
    assert torch.equal(layer(x, index, mask=mask), layer(x, index, mask=mask))
    layer.train()
    assert not torch.equal(layer(x, index, mask=mask), layer(x, index, mask=mask))


def test_errors_say_what_would_be_right():
    with pytest.raises(ValueError, match="heads must be at least 1: got heads=0"):
        LocalAttention(4, heads=0)
    with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\): got dropout=1.0"):
        LocalAttention(4, dropout=1.0)
    with pytest.raises(ValueError, match="types must be given exactly when num_types > 0"):
        LocalAttention(4)(
            torch.randn(3, 4),
            torch.zeros(1, 2, dtype=torch.long),
            types=torch.zeros(1, 2, dtype=torch.long),
        )
