"""SGFormer around PyG's: the same numbers, with edges and with the sparse matrix."""

import copy

import pytest
import torch
import torch_geometric.nn as pyg

from graphattn.models.sgformer import SGFormer
from graphattn.ops.adjacency import to_sparse_adjacency

EDGES = torch.tensor([[0, 1, 2, 3, 0, 5, 5], [1, 2, 3, 0, 2, 1, 5]])  # directed, one self-loop


def make(**options):
    torch.manual_seed(0)
    return SGFormer(4, 8, 3, heads=2, attention_layers=2, **options)


def features():
    return torch.randn(7, 4, generator=torch.Generator().manual_seed(0))


def test_is_what_pyg_computes():
    model = make().eval()
    reference = pyg.models.SGFormer(4, 8, 3, trans_num_heads=2).eval()
    reference.load_state_dict(model.net.state_dict())
    x = features()
    expected = reference(x, EDGES, torch.zeros(7, dtype=torch.long))
    assert (model(x, EDGES) - expected).abs().max() < 1e-6
    assert (model(x, EDGES).exp().sum(dim=1) - 1).abs().max() < 1e-6


def test_sparse_equals_edges_forth_and_back():
    x, model, adj = features(), make().eval(), to_sparse_adjacency(EDGES, 7)
    by_edges = model(x, EDGES)
    assert (model(x, adj) - by_edges).abs().max() < 1e-5
    assert torch.equal(model(x, EDGES), by_edges)


def test_renumbering_repeating_and_reloading():
    x, model = features(), make().eval()
    before = copy.deepcopy(model.state_dict())
    out = model(x, EDGES)
    order = torch.tensor([3, 0, 6, 2, 5, 1, 4])
    assert (model(x[order], order.argsort()[EDGES]) - out[order]).abs().max() < 1e-5
    assert torch.equal(model(x, EDGES), out)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    twin = make()
    twin.reset_parameters()
    twin.load_state_dict(model.state_dict())
    assert torch.equal(twin.eval()(x, EDGES), out)
    assert model(x[:1], EDGES[:, :0]).shape == (1, 3)


def test_every_parameter_gets_a_gradient():
    model = make(dropout=0.0)
    model(features(), EDGES)[:, 0].sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"heads": 3}, "heads must divide hidden_channels: got heads=3, hidden_channels=8"),
        ({"graph_weight": 1.5}, r"graph_weight is a share in \[0, 1\]: got 1.5"),
    ],
)
def test_wrong_options(options, words):
    with pytest.raises(ValueError, match=words):
        SGFormer(4, 8, 3, **options)
