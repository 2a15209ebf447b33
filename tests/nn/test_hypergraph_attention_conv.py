"""HypergraphAttentionConv: equation 1.1 through a dense mask, and the checks of a layer."""

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
from hypergraph_oracle import attention_conv

from graphattn.hypergraph import Incidence
from graphattn.nn.hypergraph_attention_conv import HypergraphAttentionConv

CHANNELS, OUT, HEADS, EDGE_DIM = 6, 3, 2, 4
PUBLISHED = {"aggr": "sum", "bias": False, "act": "relu", "eps": 1e-9}
OPTIONS = [
    {"edge_dim": EDGE_DIM, **PUBLISHED},
    {"edge_dim": EDGE_DIM, "eps": 0.5},
    {"aggr": "mean", "negative_slope": 0.01},
    {"aggr": "sum", "residual": False},
]


def make_layer(in_channels=CHANNELS, **options):
    return HypergraphAttentionConv(in_channels, OUT, HEADS, **options)


def make_others(num_hyperedges, dtype, options):
    torch.manual_seed(5)
    others = {"hyperedge_weight": torch.rand(num_hyperedges).to(dtype) + 0.1}
    if "edge_dim" in options:
        others["hyperedge_attr"] = torch.randn(num_hyperedges, EDGE_DIM).to(dtype)
    return others


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("channels", [CHANNELS, 5])
def test_equals_a_dense_mask_in_value_and_gradient(sizes, options, channels):
    made = make(*sizes)
    layer = uneven(make_layer(channels, **options))
    x = torch.randn(made.num_nodes, channels, dtype=torch.double, requires_grad=True)
    others = make_others(made.num_hyperedges, torch.double, options)
    inputs = [x, *layer.parameters(), *(part.requires_grad_() for part in others.values())]
    ours, alpha = layer(x, made, return_attention_weights=True, **others)
    p = dict(layer.named_parameters())
    if not layer.residual:
        p["lin_residual.weight"] = torch.zeros(HEADS * OUT, channels).double()
    theirs, weights = attention_conv(
        p,
        x,
        made.to_dense().bool(),
        others.get("hyperedge_attr"),
        others["hyperedge_weight"],
        heads=HEADS,
        slope=layer.negative_slope,
        aggr=layer.aggr,
        eps=layer.eps,
        act=options.get("act"),
    )
    same(ours, theirs, inputs)
    torch.testing.assert_close(alpha, weights[made.node, made.edge], rtol=0, atol=1e-12)


@pytest.mark.parametrize("options", OPTIONS)
def test_checks_of_a_layer(options):
    made = make(9, 6, 20)
    layer = uneven(make_layer(**options))
    x = torch.randn(9, CHANNELS, dtype=torch.double)
    check_layer(layer, made, x, **make_others(6, torch.double, options))


@pytest.mark.parametrize("options", OPTIONS[:3])
def test_extremes(options):
    check_extremes(
        lambda: make_layer(**options), CHANNELS, lambda m, dtype: make_others(m, dtype, options)
    )


def test_gradcheck():
    made = make(5, 4, 9)
    layer = uneven(make_layer(**OPTIONS[1]))
    x = torch.randn(5, CHANNELS, dtype=torch.double, requires_grad=True)
    others = make_others(4, torch.double, OPTIONS[1])
    names = list(others)
    inputs = [part.requires_grad_() for part in others.values()]

    def run(x, *parts):
        return layer(x, made, **dict(zip(names, parts, strict=True)))

    assert torch.autograd.gradcheck(run, (x, *inputs), fast_mode=True)


def test_an_isolated_node_keeps_its_residual():
    layer = uneven(make_layer(bias=False))
    x = torch.randn(4, CHANNELS, dtype=torch.double)
    index = torch.tensor([[0, 1], [0, 0]])
    assert torch.equal(layer(x, index)[2:], x[2:])
    nothing = layer(x, torch.zeros(2, 0, dtype=torch.long))
    assert torch.equal(nothing, x)


def test_attention_comes_in_the_order_of_the_caller():
    layer = uneven(make_layer())
    x = torch.randn(3, CHANNELS, dtype=torch.double)
    index = torch.tensor([[2, 0, 1, 0], [0, 0, 1, 0]])
    _, alpha = layer(x, index, return_attention_weights=True)
    assert torch.equal(alpha[1], alpha[3])
    torch.testing.assert_close(alpha[0] + alpha[1], torch.ones_like(alpha[0]))
    assert torch.equal(alpha[2], torch.ones_like(alpha[2]))


def test_heads_side_by_side_or_their_mean():
    side, mean = (
        HypergraphAttentionConv(5, 3, 2, concat=concat, residual=False, bias=False).double()
        for concat in (True, False)
    )
    mean.load_state_dict(side.state_dict())
    made, x = make(7, 5, 18), torch.randn(7, 5, dtype=torch.double)
    torch.testing.assert_close(mean(x, made), side(x, made).view(7, 2, 3).mean(1))


def test_dropout_spares_the_residual():
    layer = HypergraphAttentionConv(4, 4, dropout=0.9, attn_dropout=0.5, bias=False).train()
    x = torch.randn(3, 4)
    assert torch.equal(layer(x, torch.tensor([[0], [0]]))[1:], x[1:])


@pytest.mark.parametrize("options", [OPTIONS[0], OPTIONS[2]])
def test_compiles_whole(unchecked, options):
    made = make(9, 6, 20)
    layer = uneven(make_layer(**options))
    x = torch.randn(9, CHANNELS, dtype=torch.double, requires_grad=True)
    check_compiles(layer, made, x, **make_others(6, torch.double, options))


def test_stands_in_for_pyg():
    check_stands_in_for_pyg(make_layer, CHANNELS)


def test_errors_by_their_words():
    x = torch.randn(5, CHANNELS)
    check_errors(make_layer(), x)
    layer = make_layer(edge_dim=EDGE_DIM)
    index = torch.tensor([[0, 1, 2], [0, 1, 2]])
    with pytest.raises(ValueError, match=r"edge_dim=4 was given .* but hyperedge_attr is missing"):
        layer(x, index)
    with pytest.raises(ValueError, match="needs hyperedge_attr with >= 3 rows, got 2"):
        layer(x, index, hyperedge_attr=torch.ones(2, EDGE_DIM))
    made = Incidence.from_lists([[0, 1], [2, 4]])
    said = r"hyperedge_attr looks per-incidence \(4 rows\), expected per-hyperedge \(2\)"
    with pytest.raises(ValueError, match=said):
        layer(x, made, hyperedge_attr=torch.ones(4, EDGE_DIM))
    with pytest.raises(
        ValueError, match=r"hyperedge_attr must have one row for each of 2 .* got 3"
    ):
        layer(x, made, hyperedge_attr=torch.ones(3, EDGE_DIM))
    with pytest.raises(ValueError, match=r"hyperedge_attr must be \[M, 4\].* got \[2, 3\]"):
        layer(x, made, hyperedge_attr=torch.ones(2, 3))
    with pytest.raises(ValueError, match="the layer has no edge_dim: make it with edge_dim=4"):
        make_layer()(x, made, hyperedge_attr=torch.ones(2, 4))
    with pytest.raises(ValueError, match="aggr must be one of mean, sum: got 'max'"):
        make_layer(aggr="max")
    with pytest.raises(ValueError, match="in_channels must be at least 1: got in_channels=0"):
        make_layer(0)
