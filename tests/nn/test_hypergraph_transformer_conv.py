"""HypergraphTransformerConv: equation 1.2 through dense masks, and the checks of a layer."""

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
from hypergraph_oracle import gelu, norm, transformer_conv

from graphattn.hypergraph import Incidence
from graphattn.nn.hypergraph_transformer_conv import HypergraphTransformerConv

CHANNELS, OUT, HEADS, EDGE_DIM, TYPES = 6, 3, 2, 4, 3
OPTIONS = [
    {"edge_dim": EDGE_DIM},
    {"num_types": TYPES, "norm": "layer"},
    {"norm": None, "residual": False},
    {"chunk_size": 3, "ffn_mult": 1},
]


def make_layer(in_channels=CHANNELS, **options):
    return HypergraphTransformerConv(in_channels, OUT, HEADS, **options)


def make_others(num_hyperedges, dtype, options):
    torch.manual_seed(5)
    if "edge_dim" in options:
        return {"hyperedge_attr": torch.randn(num_hyperedges, EDGE_DIM).to(dtype)}
    if "num_types" in options:
        return {"hyperedge_type": torch.arange(num_hyperedges) % TYPES}
    return {}


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("channels", [CHANNELS, 5])
def test_equals_dense_masks_in_value_and_gradient(sizes, options, channels):
    made = make(*sizes)
    layer = uneven(make_layer(channels, **options))
    x = torch.randn(made.num_nodes, channels, dtype=torch.double, requires_grad=True)
    others = make_others(made.num_hyperedges, torch.double, options)
    inputs = [x, *layer.parameters()]
    p = dict(layer.named_parameters())
    if "edge_dim" in options:
        inputs.append(others["hyperedge_attr"].requires_grad_())
        seeds = others["hyperedge_attr"] @ p["lin_seed.weight"].T
    else:
        types = others.get("hyperedge_type", torch.zeros(made.num_hyperedges, dtype=torch.long))
        seeds = p["seed"][types]
    ours, u = layer(x, made, return_hyperedges=True, **others)
    theirs, states = transformer_conv(
        p,
        dict(layer.named_buffers()),
        x,
        made.to_dense().bool(),
        seeds,
        heads=HEADS,
        residual=layer.residual,
    )
    same(ours, theirs, inputs)
    torch.testing.assert_close(u, states, rtol=0, atol=1e-12)
    assert (u[-1] == 0).all()  # the empty hyperedge


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


@pytest.mark.parametrize("options", [OPTIONS[0], OPTIONS[3]])
def test_gradcheck(options):
    made = make(5, 4, 9)
    layer = uneven(make_layer(**options))
    x = torch.randn(5, CHANNELS, dtype=torch.double, requires_grad=True)
    others = make_others(4, torch.double, options)
    inputs = [part.requires_grad_() for part in others.values()]

    def run(x, *parts):
        return layer(x, made, **dict(zip(others, parts, strict=True)))

    assert torch.autograd.gradcheck(run, (x, *inputs), fast_mode=True)


def test_any_block_gives_the_same():
    made = make(30, 12, 70)
    layer = uneven(make_layer())
    x = torch.randn(30, CHANNELS, dtype=torch.double, requires_grad=True)
    expected = layer(x, made)
    inputs = [x, *layer.parameters()]
    count = made.num_incidences
    for chunk_size in (1, 3, count - 1, count, 10 * count):
        layer.chunk_size = chunk_size
        same(layer(x, made), expected, inputs, 1e-12)
        expected = layer(x, made)


def test_an_isolated_node_goes_through_residual_and_mlp_alone():
    layer = uneven(make_layer(norm="layer"))
    x = torch.randn(4, CHANNELS, dtype=torch.double)
    out = layer(x, torch.tensor([[0, 1], [0, 0]]))
    p = dict(layer.named_parameters())
    y = norm(p, {}, "norm1", x[2:])
    hidden = gelu(y @ p["mlp_in.weight"].T + p["mlp_in.bias"])
    alone = norm(p, {}, "norm2", y + hidden @ p["mlp_out.weight"].T + p["mlp_out.bias"])
    torch.testing.assert_close(out[2:], alone, rtol=0, atol=1e-12)
    nothing = layer(x, torch.zeros(2, 0, dtype=torch.long))
    torch.testing.assert_close(nothing[2:], out[2:])


def test_a_partition_gives_a_constant_a_hyperedge():
    layer = uneven(make_layer(norm=None, residual=False))
    x = torch.randn(6, CHANNELS, dtype=torch.double)
    out = layer(x, torch.tensor([[0, 1, 2, 3, 4, 5], [0, 1, 0, 1, 1, 0]]))
    for members in ([0, 2, 5], [1, 3, 4]):
        torch.testing.assert_close(out[members], out[members[:1]].expand(3, -1), atol=1e-12, rtol=0)


def test_dropout_draws_and_evaluation_does_not():
    layer = make_layer(dropout=0.3, attn_dropout=0.3, norm="layer")
    made, x = make(9, 6, 20), torch.randn(9, CHANNELS)
    layer.train()
    assert not torch.equal(layer(x, made), layer(x, made))
    layer.eval()
    assert torch.equal(layer(x, made), layer(x, made))


@pytest.mark.parametrize("options", [OPTIONS[0], {**OPTIONS[1], "chunk_size": 3}])
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
    made = Incidence.from_lists([[0, 1], [2, 4]])
    layer = make_layer(num_types=TYPES)
    for types in ([0, 3], [-1, 0]):
        with pytest.raises(ValueError, match=r"hyperedge_type must be in \[0, 3\): got from"):
            layer(x, made, hyperedge_type=torch.tensor(types))
    with pytest.raises(ValueError, match="given exactly when num_types is: got none"):
        layer(x, made)
    with pytest.raises(ValueError, match="given exactly when num_types is: got some"):
        make_layer()(x, made, hyperedge_type=torch.tensor([0, 0]))
    said = r"hyperedge_type looks per-incidence \(4 rows\), expected per-hyperedge \(2\)"
    with pytest.raises(ValueError, match=said):
        layer(x, made, hyperedge_type=torch.zeros(4, dtype=torch.long))
    with pytest.raises(ValueError, match=r"edge_dim=4 was given .* but hyperedge_attr is missing"):
        make_layer(edge_dim=4)(x, made)
    with pytest.raises(ValueError, match="chunk_size must be a positive int or None: got 0"):
        make_layer(chunk_size=0)
    with pytest.raises(ValueError, match="seeds come from edge_dim or num_types"):
        make_layer(edge_dim=4, num_types=3)
    with pytest.raises(ValueError, match="norm must be one of batch, layer: got 'rms'"):
        make_layer(norm="rms")
