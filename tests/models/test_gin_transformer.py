"""GINTransformer: nodes and graphs, every scope, and that its defaults count."""

import copy

import pytest
import torch

from graphattn.models.gin_transformer import GINTransformer

EDGES = torch.tensor([[0, 1, 2, 3, 4, 5, 1], [1, 2, 0, 4, 5, 3, 0]])
BATCH = torch.tensor([0, 0, 0, 1, 1, 1, 2])
SCOPES = ["local", "dense", "codebook"]


def make(**options) -> GINTransformer:
    torch.manual_seed(0)
    options = {"num_layers": 2, "heads": 2, "codebook_size": 5, **options}
    return GINTransformer(4, 8, 3, **options).double().eval()


def features() -> torch.Tensor:
    return torch.randn(7, 4, generator=torch.Generator().manual_seed(1), dtype=torch.double)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("pool", ["none", "sum", "mean", "max"])
def test_logits_of_nodes_and_of_graphs(scope, pool):
    model = make(scope=scope, pool=pool)
    out = model(features(), EDGES, BATCH)
    assert out.shape == ((7, 3) if pool == "none" else (3, 3))
    order = torch.tensor([2, 0, 1, 5, 4, 3, 6])
    moved = model(features()[order], order.argsort()[EDGES], BATCH)
    assert (moved - (out[order] if pool == "none" else out)).abs().max() < 1e-12


@pytest.mark.parametrize("scope", ["local", "dense"])
def test_a_batch_of_graphs_is_each_graph_alone(scope):
    model = make(scope=scope, pool="sum")
    out = model(features(), EDGES, BATCH)
    for graph in range(3):
        nodes = (graph == BATCH).nonzero().squeeze(1)
        inside = (BATCH[EDGES[0]] == graph).nonzero().squeeze(1)
        alone = model(features()[nodes], EDGES[:, inside] - nodes[0])
        assert (alone - out[graph]).abs().max() < 1e-12


@pytest.mark.parametrize("scope", SCOPES)
def test_gradients_state_and_one_node(scope):
    model = make(scope=scope, edge_dim=2, dropout=0.1)
    attr = torch.randn(7, 2, dtype=torch.double)
    model.train()(features(), EDGES, BATCH, edge_attr=attr).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    before = copy.deepcopy(model.eval().state_dict())
    out = model(features(), EDGES, edge_attr=attr)
    assert torch.equal(model(features(), EDGES, edge_attr=attr), out)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    twin = make(scope=scope, edge_dim=2)
    twin.reset_parameters()
    twin.load_state_dict(before)
    assert torch.equal(twin.eval()(features(), EDGES, edge_attr=attr), out)
    assert model(features()[:1], EDGES[:, :0], edge_attr=attr[:0]).shape == (1, 3)


def test_the_defaults_tell_two_neighbours_from_three_and_softmax_does_not():
    stars = [torch.stack([torch.arange(1, n + 1), torch.zeros(n).long()]) for n in (2, 3)]
    for options, least, most in (
        ({}, 1e-2, torch.inf),
        ({"normalize": "softmax", "update_norm": "rms"}, 0.0, 1e-12),
    ):
        model = make(norm="none", **options)
        two, three = (model(torch.ones(s.size(1) + 1, 4).double(), s)[0] for s in stars)
        assert least <= (two - three).abs().max() <= most


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"heads": 3}, "heads must divide hidden_channels: got heads=3, hidden_channels=8"),
        ({"scope": "global"}, "scope must be one of local, dense, codebook: got 'global'"),
        ({"pool": "first"}, "pool must be one of none, sum, mean, max: got 'first'"),
        ({"num_layers": 0}, "num_layers"),
    ],
)
def test_wrong_options(options, words, unchecked):
    with pytest.raises(ValueError, match=words):
        make(**options)
