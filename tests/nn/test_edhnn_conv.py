"""EDHNNConv: node by node and hyperedge by hyperedge, and the checks of a layer."""

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
from hypergraph_oracle import edhnn

from graphattn.nn.edhnn_conv import EDHNNConv

CHANNELS, OUT = 6, 4


def make_layer(in_channels=CHANNELS, out=OUT, **options):
    return EDHNNConv(in_channels, out, **options)


def parameters_of(layer):
    """By the names of the oracle, whose second network is one."""
    p = dict(layer.named_parameters())
    p["mlp2.0.weight"] = torch.cat([p["lin_node.weight"], p["lin_hyperedge.weight"]], dim=1)
    p["mlp2.0.bias"] = p["lin_node.bias"]
    p["mlp2.2.weight"], p["mlp2.2.bias"] = p["lin_message.weight"], p["lin_message.bias"]
    return p


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("aggr", ["mean", "sum"])
@pytest.mark.parametrize("out", [OUT, CHANNELS])
def test_equals_loops_in_value_and_gradient(sizes, aggr, out):
    made = make(*sizes)
    layer = uneven(make_layer(out=out, aggr=aggr, alpha=0.3))
    x = torch.randn(made.num_nodes, CHANNELS, dtype=torch.double, requires_grad=True)
    p = parameters_of(layer)
    first = x if out == CHANNELS else x @ p["lin_first.weight"].T
    theirs = edhnn(p, x, first, made.to_dense().bool(), aggr=aggr, alpha=0.3)
    same(layer(x, made), theirs, [x, *layer.parameters()])
    x0 = torch.randn(made.num_nodes, out, dtype=torch.double, requires_grad=True)
    theirs = edhnn(p, x, x0, made.to_dense().bool(), aggr=aggr, alpha=0.3)
    same(layer(x, made, x0=x0), theirs, [x, x0, *layer.parameters()])


@pytest.mark.parametrize("aggr", ["mean", "sum"])
def test_checks_of_a_layer(aggr):
    layer = uneven(make_layer(aggr=aggr))
    x = torch.randn(9, CHANNELS, dtype=torch.double)
    check_layer(layer, make(9, 6, 20), x)


def test_extremes():
    check_extremes(make_layer, CHANNELS, lambda m, dtype: {})


def test_gradcheck():
    made, layer = make(5, 4, 9), uneven(make_layer())
    x = torch.randn(5, CHANNELS, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: layer(x, made), (x,), fast_mode=True)


def test_states_of_hyperedges_and_dropout():
    layer = make_layer(dropout=0.5).train()
    made, x = make(9, 6, 20), torch.randn(9, CHANNELS)
    assert not torch.equal(layer(x, made), layer(x, made))
    layer.eval()
    out, h = layer(x, made, return_hyperedges=True)
    assert torch.equal(layer(x, made), out)
    assert h.shape == (6, OUT)
    assert (h[-1] == 0).all()


def test_compiles_whole(unchecked):
    layer = uneven(make_layer())
    x = torch.randn(9, CHANNELS, dtype=torch.double, requires_grad=True)
    check_compiles(layer, make(9, 6, 20), x)


def test_stands_in_for_pyg_and_refuses_by_words():
    check_stands_in_for_pyg(make_layer, CHANNELS)
    check_errors(make_layer(), torch.randn(5, CHANNELS))
    with pytest.raises(ValueError, match=r"alpha is a share in \[0, 1\]: got alpha=2.0"):
        make_layer(alpha=2.0)
    with pytest.raises(ValueError, match="aggr must be one of mean, sum: got 'max'"):
        make_layer(aggr="max")


def dense(layer, x, H):
    """The layer with MLPs of any depth, from dense matrices; mean both ways, alpha 0.5."""

    _, second, _ = layer.mlp_layers
    mean_of_nodes = H.T / H.sum(0).clamp(min=1)[:, None]
    mean_of_edges = H / H.sum(1).clamp(min=1)[:, None]
    h = mean_of_nodes @ layer.mlp1(layer.norm1(x))
    if second == 0:
        y = mean_of_edges @ h
    else:
        hidden = layer.lin_node(x)[:, None] + layer.lin_hyperedge(h)[None]
        if second == 2:
            hidden = layer.lin_message(torch.relu(hidden))
        y = (mean_of_edges[:, :, None] * hidden).sum(1)
    x0 = x if layer.lin_first is None else layer.lin_first(x)
    return layer.mlp3(layer.norm3(0.5 * y + 0.5 * x0))


@pytest.mark.parametrize("mlp_layers", [(0, 0, 1), (1, 1, 0), (2, 0, 2), (0, 2, 1), (1, 1, 1)])
@pytest.mark.parametrize("norm", [None, "layer"])
def test_networks_of_any_depth(mlp_layers, norm):
    made = make(9, 6, 20)
    layer = uneven(make_layer(out=CHANNELS, mlp_layers=mlp_layers, norm=norm))
    x = torch.randn(9, CHANNELS, dtype=torch.double, requires_grad=True)
    theirs = dense(layer, x, made.to_dense(torch.double))
    same(layer(x, made), theirs, [x, *layer.parameters()])
    if norm is None:  # which would not feel the same added to all channels of a node
        check_layer(layer, made, x.detach())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mlp_layers": (1, 2)}, r"three counts from 0 to 2: got \[1, 2\]"),
        ({"mlp_layers": (1, 2, 3)}, r"three counts from 0 to 2: got \[1, 2, 3\]"),
        ({"mlp_layers": (0, 2, 2)}, "not begin with 0 where the width changes"),
        ({"norm": "group"}, "norm must be one of batch, layer"),
        ({"norm": "layer", "in_channels": -1}, "in_channels must be given with a norm"),
    ],
)
def test_depths_and_norms_that_cannot_be(options, words):
    with pytest.raises(ValueError, match=words):
        make_layer(**options)
