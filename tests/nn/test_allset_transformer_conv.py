"""AllSetTransformerConv: its pooling through dense masks, and the checks of a layer."""

import pytest
import torch
from hypergraph_cases import (
    SIZES,
    check_compiles,
    check_errors,
    check_extremes,
    check_layer,
    check_stands_in_for_pyg,
    make,
    same,
    uneven,
)
from hypergraph_oracle import allset_transformer

from graphattn.nn.allset_transformer_conv import AllSetTransformerConv

CHANNELS, OUT, HEADS = 6, 4, 2


def make_layer(in_channels=CHANNELS, **options):
    return AllSetTransformerConv(in_channels, OUT, HEADS, **options)


@pytest.mark.parametrize("sizes", SIZES)
def test_equals_dense_masks_in_value_and_gradient(sizes):
    made = make(*sizes)
    layer = uneven(make_layer())
    x = torch.randn(made.num_nodes, CHANNELS, dtype=torch.double, requires_grad=True)
    ours, h = layer(x, made, return_hyperedges=True)
    p = dict(layer.named_parameters())
    theirs, states = allset_transformer(p, x, made.to_dense().bool(), heads=HEADS)
    same(ours, theirs, [x, *layer.parameters()])
    torch.testing.assert_close(h, states, rtol=0, atol=1e-12)


def test_checks_of_a_layer():
    layer = uneven(make_layer())
    x = torch.randn(9, CHANNELS, dtype=torch.double)
    check_layer(layer, make(9, 6, 20), x)


def test_extremes():
    check_extremes(make_layer, CHANNELS, lambda m, dtype: {})


def test_gradcheck():
    made, layer = make(5, 4, 9), uneven(make_layer())
    x = torch.randn(5, CHANNELS, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: layer(x, made), (x,), fast_mode=True)


def test_dropout_draws_in_training_alone():
    layer = make_layer(dropout=0.5, attn_dropout=0.5).train()
    made, x = make(9, 6, 20), torch.randn(9, CHANNELS)
    assert not torch.equal(layer(x, made), layer(x, made))
    layer.eval()
    assert torch.equal(layer(x, made), layer(x, made))


def test_compiles_whole(unchecked):
    layer = uneven(make_layer())
    x = torch.randn(9, CHANNELS, dtype=torch.double, requires_grad=True)
    check_compiles(layer, make(9, 6, 20), x)


def test_stands_in_for_pyg_and_refuses_by_words():
    check_stands_in_for_pyg(make_layer, CHANNELS)
    check_errors(make_layer(), torch.randn(5, CHANNELS))
