"""GINAttentionConv: the seven checks of a layer, dense against sparse, counting, and memory."""

import math

import pytest
import torch
from gin_oracle import gin_attention
from torch_geometric import EdgeIndex
from torch_geometric.nn import GPSConv

from graphattn.nn.gin_attention import GINAttention
from graphattn.nn.gin_attention_conv import GINAttentionConv
from graphattn.ops.adjacency import to_sparse_adjacency

NODES, EDGES, CHANNELS, HEADS, EDGE_DIM = 7, 18, 8, 2, 3
ALL = ("sum", "mean", "var", "max", "min")
OPTIONS = [
    {},
    {"normalize": "sigmoid", "value": "linear", "bias": True},
    {"aggregators": ALL, "scalers": ("identity", "amplification", "attenuation")},
    {"threshold": 0.3, "aggregators": ALL},
    {"top_k": 2, "normalize": "sigmoid", "aggregators": ("mean", "max")},
    {"differential": True, "threshold": 0.1, "add_self_loops": True},
    {"edge_dim": EDGE_DIM, "value": "linear", "out_proj": True, "norm": None},
]


def make_layer(channels=CHANNELS, out=6, **options) -> GINAttentionConv:
    torch.manual_seed(0)
    if "scalers" in options:
        options["deg"] = torch.tensor([1, 2, 3, 1])
    layer = GINAttentionConv(channels, out, HEADS, **options).double().eval()
    with torch.no_grad():
        for parameter in layer.parameters():  # larger than at the start: attention is uneven
            parameter.add_(torch.randn_like(parameter) * 0.4)
    return layer


def make_input(edge_dim=None):
    torch.manual_seed(1)
    x = torch.randn(NODES, CHANNELS, dtype=torch.double, requires_grad=True)
    edge_index = torch.randint(NODES - 1, (2, EDGES))  # the last node is isolated
    weight = torch.rand(EDGES, dtype=torch.double).requires_grad_()
    attr = torch.randn(EDGES, edge_dim, dtype=torch.double).requires_grad_() if edge_dim else None
    return x, edge_index, weight, attr


def by_loops(layer, targets, sources, edge_index, weight, attr):
    o = layer.options
    incoming = [[] for _ in range(targets.size(0))]
    for e, (source, target) in enumerate(edge_index.t().tolist()):
        incoming[target].append((source, 0.0, weight[e], None if attr is None else attr[e]))
    if layer.add_self_loops:
        for node in range(targets.size(0)):
            incoming[node].append((node, 0.0, 1.0, None))
    mean_log = (2 * math.log(2) + 3 * math.log(3) + math.log(4)) / 7
    scales = {
        "identity": lambda degree: 1.0,
        "amplification": lambda degree: math.log(max(degree, 1) + 1) / mean_log,
        "attenuation": lambda degree: mean_log / math.log(max(degree, 1) + 1),
    }
    return gin_attention(
        dict(layer.named_parameters()),
        targets,
        sources,
        incoming,
        heads=HEADS,
        normalize=o.normalize,
        threshold=o.threshold,
        top_k=o.top_k,
        aggregators=o.aggregators,
        scales=[scales[name] for name in layer.scalers],
    )


@pytest.mark.parametrize("options", OPTIONS)
def test_equals_loops_in_value_and_gradient(options):
    layer = make_layer(**options)
    x, edge_index, weight, attr = make_input(options.get("edge_dim"))
    ours = layer(x, edge_index, attr, edge_weight=weight)
    theirs = by_loops(layer, x, x, edge_index, weight, attr)
    # The mean logarithm of degrees is kept in single precision.
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6 if "scalers" in options else 1e-10)
    inputs = [t for t in (x, weight, attr, *layer.parameters()) if t is not None]
    factor = torch.randn_like(ours)
    grads = torch.autograd.grad((ours * factor).sum(), inputs, allow_unused=True)
    loops = torch.autograd.grad((theirs * factor).sum(), inputs, allow_unused=True)
    for got, expected in zip(grads, loops, strict=True):
        tolerance = 1e-5 if "scalers" in options else 1e-10
        torch.testing.assert_close(got, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("aggregators", [("sum",), ALL])
def test_two_kinds_of_nodes(aggregators):
    layer = make_layer((5, 4), value="linear", aggregators=aggregators)
    sources = torch.randn(6, 5, dtype=torch.double)
    targets = torch.randn(3, 4, dtype=torch.double)
    edge_index = torch.tensor([[0, 5, 5, 2], [1, 1, 0, 0]])
    ours = layer((sources, targets), edge_index)
    theirs = by_loops(layer, targets, sources, edge_index, torch.ones(4), None)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


@pytest.mark.parametrize("normalize", ["softmax", "sigmoid"])
@pytest.mark.parametrize("cut", [{}, {"threshold": 0.14}, {"top_k": 3}, {"differential": True}])
@pytest.mark.parametrize("complete", [True, False])
def test_same_weights_give_the_same_over_tokens(normalize, cut, complete):
    aggregators = ("sum",) if "differential" in cut else ALL
    options = {"normalize": normalize, "aggregators": aggregators, "self_weight": 0.3, **cut}
    layer = make_layer(out=CHANNELS, **options)
    dense = GINAttention(CHANNELS, HEADS, **options).double()
    dense.load_state_dict(layer.state_dict())
    x = make_input()[0]
    adjacency = torch.rand(NODES, NODES) < (2.0 if complete else 0.4)
    bias = torch.zeros(1, 1, NODES, NODES).double().masked_fill(~adjacency, -math.inf)
    ours = layer(x, adjacency.nonzero().t().flip(0))
    theirs = dense(x.unsqueeze(0), attn_bias=None if complete else bias)[0]
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    factor = torch.randn_like(ours)
    grads = torch.autograd.grad((ours * factor).sum(), [x, *layer.parameters()])
    others = torch.autograd.grad((theirs * factor).sum(), [x, *dense.parameters()])
    for got, expected in zip(grads, others, strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("options", OPTIONS)
def test_renumbering_nodes_and_edges_renumbers_the_output(options):
    layer = make_layer(**options)
    x, edge_index, weight, attr = make_input(options.get("edge_dim"))
    order, shuffled = torch.randperm(NODES), torch.randperm(EDGES)
    number = torch.empty_like(order).scatter_(0, order, torch.arange(NODES))
    attr_moved = None if attr is None else attr[shuffled]
    edges = number[edge_index[:, shuffled]]
    moved = layer(x[order], edges, attr_moved, edge_weight=weight[shuffled])
    expected = layer(x, edge_index, attr, edge_weight=weight)[order]
    torch.testing.assert_close(moved, expected, rtol=0, atol=1e-12)


def test_two_graphs_side_by_side_are_each_alone():
    layer, (x, edge_index, *_) = make_layer(), make_input()
    other = torch.randn_like(x)
    both = layer(torch.cat([x, other]), torch.cat([edge_index, edge_index + NODES], 1))
    alone = torch.cat([layer(x, edge_index), layer(other, edge_index)])
    torch.testing.assert_close(both, alone, rtol=0, atol=1e-12)


def test_every_form_of_edges_is_taken():
    layer, (x, *_) = make_layer(), make_input()
    edge_index = torch.tensor([[0, 1, 2, 3, 0], [1, 2, 0, 4, 4]])
    expected = layer(x, edge_index)
    sorted_by_target = EdgeIndex(edge_index, sparse_size=(NODES, NODES)).sort_by("col").values
    torch.testing.assert_close(layer(x, sorted_by_target), expected, rtol=0, atol=1e-12)
    sparse = to_sparse_adjacency(edge_index, NODES)
    torch.testing.assert_close(layer(x, sparse), expected, rtol=0, atol=1e-12)
    out, (edges, weights) = layer(x, edge_index, return_attention_weights=True)
    assert torch.equal(out, expected)
    assert torch.equal(edges, edge_index)
    into_4 = weights[edge_index[1] == 4].sum(0)
    torch.testing.assert_close(into_4, torch.ones_like(into_4))


def test_serves_as_the_local_part_of_a_gps_layer():
    layer = GPSConv(CHANNELS, GINAttentionConv(CHANNELS, CHANNELS, HEADS), heads=HEADS)
    x, edge_index, *_ = make_input()
    assert layer(x.detach().float(), edge_index).shape == (NODES, CHANNELS)


@pytest.mark.parametrize("options", OPTIONS)
def test_gradcheck(options):
    layer = make_layer(**options)
    x, edge_index, weight, attr = make_input(options.get("edge_dim"))
    inputs = (x, weight) if attr is None else (x, weight, attr)

    def run(x, weight, attr=None):
        return layer(x, edge_index, attr, edge_weight=weight)

    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)


@pytest.mark.parametrize("options", OPTIONS)
def test_no_edges_and_one_node_are_finite(options):
    layer = make_layer(**options)
    attr = torch.zeros(0, EDGE_DIM, dtype=torch.double) if "edge_dim" in options else None
    x = torch.randn(1, CHANNELS, dtype=torch.double, requires_grad=True)
    out = layer(x, torch.zeros(2, 0, dtype=torch.long), attr)
    out.sum().backward()
    assert out.isfinite().all()
    assert x.grad.isfinite().all()


def test_memory_grows_by_about_a_number_an_edge_and_head():
    layer, x = GINAttentionConv(64, 64, 4), torch.randn(200, 64, requires_grad=True)

    def kept_for(num_edges):
        kept = {}

        def keep(tensor):
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = (tensor, storage.nbytes())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
            out = layer(x, torch.randint(200, (2, num_edges)))
        assert out.isfinite().all()
        return sum(size for _, size in kept.values())

    small, large, larger = kept_for(2000), kept_for(4000), kept_for(6000)
    assert abs((larger - large) - (large - small)) <= 0.05 * (large - small)
    assert (large - small) / (2000 * 4) <= 2 * 4 + 1  # bytes of two numbers; ends and orders too


@pytest.mark.parametrize("options", OPTIONS)
def test_every_parameter_receives_a_gradient_and_state_survives(options):
    layer = make_layer(**options)
    x, edge_index, weight, attr = make_input(options.get("edge_dim"))
    layer(x, edge_index, attr, edge_weight=weight).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in layer.parameters())
    twin = make_layer(**options)
    twin.load_state_dict(layer.state_dict())
    twin.reset_parameters()
    assert not torch.equal(twin.lin_query.weight, layer.lin_query.weight)


def test_runs_are_equal_bit_by_bit_and_training_drops():
    layer, (x, edge_index, *_) = make_layer(dropout=0.5), make_input()

    def run():
        out = layer(x, edge_index)
        return out, torch.autograd.grad(out.square().sum(), x)[0]

    for one, other in zip(run(), run(), strict=True):
        assert torch.equal(one, other)
    layer.train()
    assert not torch.equal(layer(x, edge_index), layer(x, edge_index))


@pytest.mark.parametrize(
    ("options", "backend"),
    [(OPTIONS[0], "eager"), *[(OPTIONS[i], "aot_eager") for i in (0, 3, 6)]],
)
def test_compiles_without_a_graph_break(options, backend, unchecked):
    layer = make_layer(**options)
    x, edge_index, _, attr = make_input(options.get("edge_dim"))
    compiled = torch.compile(layer, fullgraph=True, backend=backend)
    out = compiled(x, edge_index, attr)
    torch.testing.assert_close(out, layer(x, edge_index, attr), rtol=0, atol=1e-12)
    out.square().sum().backward()
    assert x.grad.abs().sum() > 0


@pytest.mark.parametrize("options", OPTIONS)
def test_autocast_is_finite(options):
    layer = make_layer(**options).float()
    x, edge_index, _, attr = make_input(options.get("edge_dim"))
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(x.detach().float(), edge_index, None if attr is None else attr.float())
    out.float().square().sum().backward()
    assert out.isfinite().all()
    assert all(p.grad.isfinite().all() for p in layer.parameters())


def test_errors_say_what_would_be_right(unchecked):
    x, edge_index, _, attr = make_input(EDGE_DIM)
    with pytest.raises(ValueError, match="given exactly when edge_dim is: got some"):
        make_layer()(x, edge_index, attr)
    with pytest.raises(ValueError, match="right would be deg="):
        GINAttentionConv(8, 8, 2, scalers=("amplification",))
    with pytest.raises(ValueError, match="scalers must be one of"):
        GINAttentionConv(8, 8, 2, scalers=("double",), deg=torch.ones(2).long())
    with pytest.raises(ValueError, match=r"edge_index must be \[2, edges\]: got \[18, 2\]"):
        make_layer()(x, edge_index.t())
    with pytest.raises(ValueError, match=r"Edges must join nodes 0..6: got ids from 0 to 7"):
        make_layer()(x, torch.tensor([[0, 7], [1, 2]]))
    with pytest.raises(
        ValueError, match=r"x must be \[nodes, channels\] with 8 channels: got \[7, 3\]"
    ):
        make_layer()(x[:, :3], edge_index)
