"""GPSLayer: the seven checks of a layer, with attention of all three forms."""

import copy

import pytest
import torch
from torch import nn
from torch_geometric.nn import GATConv, SAGEConv
from torch_geometric.nn.attention import (
    PerformerAttention,
    PolynormerAttention,
    SGFormerAttention,
)

from graphattn.nn.codebook_attention import CodebookAttention
from graphattn.nn.gin_attention import GINAttention
from graphattn.nn.gin_attention_conv import GINAttentionConv
from graphattn.nn.gps_layer import GPSLayer

CHANNELS = 8
EDGES = torch.tensor([[0, 1, 2, 3, 4, 5, 1], [1, 2, 0, 4, 5, 3, 0]])
BATCH = torch.tensor([0, 0, 0, 1, 1, 1, 2])  # the last graph is one node


class Scale(nn.Module):
    """An attention of somebody's own: dense, without a mask."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))

    def forward(self, x):
        return x * self.weight


ATTENTIONS = {
    "gin": lambda: GINAttention(CHANNELS, 2),
    "multihead": lambda: nn.MultiheadAttention(CHANNELS, 2, batch_first=True),
    "performer": lambda: PerformerAttention(CHANNELS, 2, head_channels=4),
    "sgformer": lambda: SGFormerAttention(CHANNELS, 2, head_channels=CHANNELS),
    "polynormer": lambda: PolynormerAttention(CHANNELS, 2, head_channels=4),
    "codebook": lambda: CodebookAttention(
        CHANNELS, head_channels=4, heads=2, global_channels=4, codebook_size=6
    ),
    "own": Scale,
}
DENSE = [name for name in ATTENTIONS if name != "codebook"]


def make(attn=None, conv=True, **options) -> GPSLayer:
    torch.manual_seed(0)
    message = GINAttentionConv(CHANNELS, CHANNELS, 2) if conv else None
    attention = ATTENTIONS[attn]() if attn else None
    layer = GPSLayer(CHANNELS, message, attention, **options).eval()
    return layer if attn == "sgformer" else layer.double()  # PyG's makes a tensor of its own


def features(layer: GPSLayer) -> torch.Tensor:
    x = torch.randn(7, CHANNELS, generator=torch.Generator().manual_seed(1), dtype=torch.double)
    return x.to(layer.lin_in.weight.dtype)


def by_hand(layer, x, batch):
    """The formula, one graph after the other."""
    heard = 0
    if layer.conv is not None:
        heard = layer.norm_conv(x + layer.conv(x, EDGES))
    if layer.attn is not None:
        parts = []
        for graph in batch.unique():
            rows = x[batch == graph].unsqueeze(0)
            if isinstance(layer.attn, nn.MultiheadAttention):
                parts.append(layer.attn(rows, rows, rows)[0][0])
            else:
                parts.append(layer.attn(rows)[0])
        heard = heard + layer.norm_attn(x + torch.cat(parts))
    mlp = torch.relu(heard @ layer.lin_in.weight.t() + layer.lin_in.bias)
    return layer.norm_out(heard + mlp @ layer.lin_out.weight.t() + layer.lin_out.bias)


@pytest.mark.parametrize("norm", ["batch", "layer", None])
@pytest.mark.parametrize("attn", [None, *DENSE])
def test_is_its_formula_in_each_graph(attn, norm):
    layer = make(attn, norm=norm)
    x = features(layer).requires_grad_()
    expected = by_hand(layer, x, BATCH)
    tolerance = 1e-12 if x.dtype == torch.double else 1e-5
    assert (layer(x, EDGES, BATCH) - expected).abs().max() < tolerance
    known = layer(x, EDGES, BATCH, num_graphs=3, max_nodes=4)
    assert (known - expected).abs().max() < tolerance
    one = torch.zeros_like(BATCH)
    assert (layer(x, EDGES) - by_hand(layer, x, one)).abs().max() < tolerance
    (got,) = torch.autograd.grad(known.square().sum(), x, retain_graph=True)
    (right,) = torch.autograd.grad(expected.square().sum(), x)
    assert (got - right).abs().max() < 100 * tolerance


def test_the_codebook_takes_all_nodes_as_they_are():
    layer = make("codebook")
    x = features(layer)
    heard = layer.norm_conv(x + layer.conv(x, EDGES)) + layer.norm_attn(x + layer.attn(x))
    mlp = layer.lin_out(layer.lin_in(heard).relu())
    assert torch.equal(layer(x, EDGES, BATCH), layer.norm_out(heard + mlp))
    codes = layer.attn.codebook.clone()
    layer.train()(x, EDGES)
    assert not torch.equal(layer.attn.codebook, codes)


@pytest.mark.parametrize("attn", [None, *ATTENTIONS])
def test_renumbering_nodes_renumbers_the_output(attn):
    layer = make(attn)
    x, order = features(layer), torch.tensor([2, 0, 1, 5, 4, 3, 6])
    out = layer(x, EDGES, BATCH)
    moved = layer(x[order], order.argsort()[EDGES], BATCH)
    assert (moved - out[order]).abs().max() < (1e-12 if x.dtype == torch.double else 1e-5)


@pytest.mark.parametrize("attn", [None, *ATTENTIONS])
def test_gradients_state_and_one_node(attn):
    layer = make(attn, dropout=0.1)
    layer.train()(features(layer), EDGES, BATCH).square().sum().backward()
    unused = {"attn.lambda"}  # none of ours
    for name, parameter in layer.named_parameters():
        assert name in unused or (parameter.grad is not None and parameter.grad.isfinite().all())
    x = features(layer)
    before = copy.deepcopy(layer.eval().state_dict())
    out = layer(x, EDGES)
    assert torch.equal(layer(x, EDGES), out)
    assert all(torch.equal(before[key], value) for key, value in layer.state_dict().items())
    twin = make(attn, dropout=0.1)
    twin.reset_parameters()
    twin.load_state_dict(layer.state_dict())
    assert torch.equal(twin.eval()(x, EDGES), out)
    assert layer(x[:1], EDGES[:, :0]).shape == (1, CHANNELS)


def test_reset_draws_every_weight_anew():
    for attn in ("multihead", "performer", "gin"):
        layer = make(attn)
        before = {name: p.clone() for name, p in layer.named_parameters() if p.dim() > 1}
        before = {name: p for name, p in before.items() if not name.endswith("scale")}
        layer.reset_parameters()
        assert not any(
            torch.equal(before[n], p) for n, p in layer.named_parameters() if n in before
        )


def test_edges_features_and_weights_go_to_the_convolution():
    layer = GPSLayer(CHANNELS, GATConv(CHANNELS, CHANNELS, edge_dim=3), None, norm=None)
    x, attr = torch.randn(7, CHANNELS), torch.randn(7, 3)
    heard = x + layer.conv(x, EDGES, edge_attr=attr)
    expected = heard + layer.lin_out(layer.lin_in(heard).relu())
    assert torch.allclose(layer(x, EDGES, edge_attr=attr), expected)
    weighted = make()
    weight = torch.rand(7, dtype=torch.double)
    out = weighted(features(weighted), EDGES, edge_weight=weight)
    assert not torch.allclose(out, weighted(features(weighted), EDGES))


@pytest.mark.parametrize("attn", ["gin", "codebook"])
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiles_as_one_graph(attn, backend, unchecked):
    torch._dynamo.reset()
    torch.manual_seed(0)
    layer = GPSLayer(CHANNELS, SAGEConv(CHANNELS, CHANNELS), ATTENTIONS[attn]()).eval()
    compiled = torch.compile(layer, fullgraph=True, backend=backend)
    x = torch.randn(7, CHANNELS)
    sizes = {"num_graphs": 3, "max_nodes": 3}
    assert torch.allclose(compiled(x, EDGES), layer(x, EDGES), atol=1e-5)
    out = compiled(x, EDGES, BATCH, **sizes)
    assert torch.allclose(out, layer(x, EDGES, BATCH, **sizes), atol=1e-5)


def test_is_finite_in_bfloat16():
    for attn in ("gin", "codebook"):
        layer = make(attn).float().train()
        with torch.autocast("cpu", torch.bfloat16):
            out = layer(torch.randn(7, CHANNELS), EDGES, BATCH)
        out.float().square().sum().backward()
        assert out.isfinite().all()
        assert all(p.grad.isfinite().all() for p in layer.parameters() if p.grad is not None)


def test_wrong_parts_are_refused(unchecked):
    conv = SAGEConv(CHANNELS, CHANNELS)
    with pytest.raises(ValueError, match="conv or attn must be given: got neither"):
        GPSLayer(CHANNELS, None, None)
    with pytest.raises(TypeError, match="attn must be a torch module: got str"):
        GPSLayer(CHANNELS, conv, "performer")
    with pytest.raises(ValueError, match="must have batch_first=True"):
        GPSLayer(CHANNELS, conv, nn.MultiheadAttention(CHANNELS, 2))
    with pytest.raises(ValueError, match="attn must give channels=8: got a CodebookAttention of 6"):
        GPSLayer(CHANNELS, conv, CodebookAttention(CHANNELS, head_channels=3, codebook_size=4))
    with pytest.raises(ValueError, match=r"conv must give \[7, 8\].*got \[7, 5\]"):
        GPSLayer(CHANNELS, SAGEConv(CHANNELS, 5), None)(torch.randn(7, CHANNELS), EDGES)
    with pytest.raises(ValueError, match="max_nodes must be at least 3, the largest graph: got 2"):
        layer = make("gin")
        layer(features(layer), EDGES, BATCH, num_graphs=3, max_nodes=2)
    with pytest.raises(ValueError, match="batch must be in ascending order"):
        layer(features(layer), EDGES, BATCH.flip(0))
    with pytest.raises(ValueError, match=r"batch must be \[7\], a graph a node: got \[6\]"):
        layer(features(layer), EDGES, BATCH[1:])
    for wrong in ({"norm": "graph"}, {"dropout": 1.0}, {"mlp_ratio": 0.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            GPSLayer(CHANNELS, conv, None, **wrong)
