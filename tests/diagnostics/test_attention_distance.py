"""Attention by hop: uniform and made-up weights, PyG's layers beside their own, and LargeGT."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GAT, GCN, FAConv, GATConv, GATv2Conv, TransformerConv

from graphattn.diagnostics import attention_distance
from graphattn.models.largegt import LargeGT
from graphattn.nn import LocalAttention
from graphattn.ops.attention import seed_weights, token_attention


def drawn(num_nodes: int = 20) -> Data:
    """A sparse directed graph with loops and repeated edges; the last two nodes are isolated."""
    generator = torch.Generator().manual_seed(0)
    edges = torch.randint(num_nodes - 2, (2, 3 * num_nodes), generator=generator)
    return Data(torch.randn(num_nodes, 6, generator=generator, dtype=torch.float64), edges)


def ring(num_nodes: int = 30) -> Data:
    at = torch.arange(num_nodes)
    forth = torch.stack([at, (at + 1) % num_nodes])
    x = torch.randn(num_nodes, 5, generator=torch.Generator().manual_seed(0))
    return Data(x.double(), torch.cat([forth, forth.flip(0)], dim=1))


class Given(nn.Module):
    """A layer that returns the weights it was made with, along edges of its own."""

    def __init__(self, edges: Tensor, weights: Tensor, flow: str = "source_to_target") -> None:
        super().__init__()
        self.edges, self.weights, self.flow = edges, weights, flow

    def forward(self, x: Tensor, edge_index: Tensor, return_attention_weights=None):
        return (x, (self.edges, self.weights)) if return_attention_weights else x


def test_equal_weights_of_a_gat_on_a_star() -> None:
    star = torch.stack([torch.arange(1, 8), torch.zeros(7, dtype=torch.long)])
    data = Data(torch.ones(8, 6).double(), star)
    first, second = attention_distance(GAT(6, 8, 2, 3, heads=2).double(), data, [0, 3], max_hops=2)
    assert (first.name, second.name) == ("convs.0", "convs.1")
    np.testing.assert_allclose(first.distance, [[7 / 8] * 2, [0.0] * 2])
    np.testing.assert_allclose(first.entropy, [[math.log(8)] * 2, [0.0] * 2], atol=1e-15)
    np.testing.assert_allclose(first.by_hop[0], [[1 / 8, 7 / 8, 0]] * 2)
    assert not first.beyond.any()


@pytest.mark.parametrize("flow", ["source_to_target", "target_to_source"])
def test_weights_along_edges_of_a_layers_own(flow: str) -> None:
    """On a ring of ten, node 0 attends to itself, 1, 8 and 5; node 2 to nothing."""
    edges = torch.tensor([[0, 1, 8, 5, 0], [0, 0, 0, 0, 7]])
    weights = torch.tensor([[0.4, 1.0], [0.3, 0.0], [0.2, 0.0], [0.1, 0.0], [1.0, 1.0]])
    layer = Given(edges if flow == "source_to_target" else edges.flip(0), weights, flow)
    (found,) = attention_distance(layer, ring(10), [0, 2], max_hops=3)
    np.testing.assert_allclose(found.by_hop[0], [[0.4, 0.3, 0.2, 0], [1, 0, 0, 0]], rtol=1e-6)
    np.testing.assert_allclose(found.beyond, [[0.1, 0.0], [0.0, 0.0]], rtol=1e-6)
    np.testing.assert_allclose(found.distance, [[0.7 / 0.9, 0.0], [0.0, 0.0]], rtol=1e-6)
    expected = -sum(a * math.log(a) for a in (0.4, 0.3, 0.2, 0.1))
    np.testing.assert_allclose(found.entropy, [[expected, 0.0], [0.0, 0.0]], rtol=1e-6)
    assert not found.by_hop[1].any()


@pytest.mark.parametrize("kind", [GATConv, GATv2Conv, TransformerConv])
def test_layers_of_pyg_beside_the_weights_they_return(kind: type) -> None:
    torch.manual_seed(0)
    data, layer = drawn(), kind(6, 4, heads=3, dropout=0.5).double().train()
    (found,) = attention_distance(layer, data, range(20), max_hops=1)
    assert layer.training
    edges, weights = layer.eval()(data.x, data.edge_index, return_attention_weights=True)[1]
    self_share, entropy = np.zeros((20, 3)), np.zeros((20, 3))
    for (source, target), a in zip(edges.T.tolist(), weights.detach().numpy(), strict=True):
        self_share[target] += a * (source == target)
        entropy[target] -= a * np.log(a)
    np.testing.assert_allclose(found.by_hop[:, :, 0], self_share, atol=1e-12)
    np.testing.assert_allclose(found.entropy, entropy, atol=1e-12)
    sums = found.by_hop.sum(2) + found.beyond
    alone = kind is TransformerConv  # it adds no loops: the isolated nodes attend to nothing
    np.testing.assert_allclose(sums[:18].sum(1) > 0, np.isin(range(18), edges[1]))
    np.testing.assert_allclose(sums[18:], 0.0 if alone else 1.0)


def test_outputs_are_as_without_and_negative_weights_count_by_size() -> None:
    data = drawn()
    seen = []

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = FAConv(6, dropout=0.0).double()

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            seen.append(self.conv(self.conv(x, x, edge_index), x, edge_index))
            return seen[-1]

    model = Two()
    found = attention_distance(model, data, range(20), max_hops=2)
    assert [one.name for one in found] == ["conv", "conv#2"]
    model(data.x, data.edge_index)
    torch.testing.assert_close(seen[0], seen[1])
    for one in found:
        assert (one.by_hop >= 0).all()
        np.testing.assert_allclose((one.by_hop.sum(2) + one.beyond)[:, 0], 1.0)


@pytest.mark.parametrize("options", [{}, {"num_own_hops": 2}, {"hops": "channels"}])
def test_largegt_reads_tokens_by_hop_and_a_codebook_beyond(options: dict) -> None:
    torch.manual_seed(0)
    model = LargeGT(5, 8, 3, num_layers=2, global_channels=4, codebook_size=6, **options).double()

    def some(x: Tensor, edge_index: Tensor, seeds: Tensor) -> Tensor:
        return model.node_forward(x, edge_index, seeds, num_samples=5)

    def every(x: Tensor, edge_index: Tensor) -> Tensor:
        return model.node_forward(x, edge_index, num_samples=5, batch_size=7)

    data, asked = ring(), [4, 0, 17]
    found = attention_distance(model, data, asked, max_hops=2, forward=some)
    assert [one.name for one in found] == ["attention.0", "attention.1", "readout", "codebook"]
    whole = attention_distance(model, data, asked, max_hops=2, forward=every)
    for one, other in zip(found, whole, strict=True):
        np.testing.assert_allclose(one.by_hop, other.by_hop, atol=1e-12)
        np.testing.assert_allclose(one.by_hop.sum(2) + one.beyond, 1.0)
    *local, codebook = found
    assert not any(one.beyond.any() for one in local)
    np.testing.assert_allclose(codebook.beyond, 1.0)
    assert not codebook.by_hop.any()
    assert (codebook.entropy <= math.log(6) + 1e-12).all()
    near = attention_distance(model, data, asked, max_hops=1, forward=some)
    np.testing.assert_allclose(near[0].beyond, found[0].by_hop[:, :, 2], atol=1e-12)
    assert "classify" not in vars(model)


def test_uniform_attention_of_largegt() -> None:
    """With weights of zero every token counts the same: 3 of the seed, 6 a hop on a ring."""
    torch.manual_seed(0)
    model = LargeGT(5, 8, 3, scope="local", heads=2).double()
    with torch.no_grad():
        model.neighborhood.attention.lin_qkv[0].weight.zero_()
        model.neighborhood.attention.lin_qkv[0].bias.zero_()
        model.neighborhood.attention.lin_score.weight.zero_()

    def forward(x: Tensor, edge_index: Tensor, seeds: Tensor) -> Tensor:
        return model.node_forward(x, edge_index, seeds, num_samples=5)

    attention, readout = attention_distance(model, ring(), [3], max_hops=2, forward=forward)
    np.testing.assert_allclose(attention.by_hop[0], [[3 / 15, 6 / 15, 6 / 15]] * 2)
    np.testing.assert_allclose(attention.distance, 1.2)
    np.testing.assert_allclose(attention.entropy, math.log(15))
    np.testing.assert_allclose(readout.by_hop[0], [[2 / 14, 6 / 14, 6 / 14]])


def test_the_weights_are_those_that_attention_sums_values_by() -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 4, 6, 8).double()
    mask = torch.rand(4, 6) < 0.6
    mask[:, 0] = True
    weights = seed_weights(q, k, 2, mask=mask)
    summed = torch.einsum("sht,sthc->shc", weights, v.unflatten(-1, (2, 4))).flatten(1)
    torch.testing.assert_close(summed, token_attention(q, k, v, 2, mask=mask)[:, 0])

    layer = LocalAttention(8, heads=2, num_layers=2).double().eval()
    tokens: list[Tensor] = []
    layer.norm_out.register_forward_hook(lambda module, args, out: tokens.append(out))
    x, index = torch.randn(9, 8).double(), torch.randint(9, (4, 6))
    out = layer(x, index, mask=mask)
    *_, read = layer.weights(layer.project(x), index, mask=mask)
    assert not read[~mask[:, None]].any()
    torch.testing.assert_close(out, tokens[0][:, 0] + (read @ tokens[0])[:, 0])


def test_the_weights_of_a_codebook_are_those_it_sums_values_by() -> None:
    torch.manual_seed(0)
    layer = LargeGT(5, 8, 3, scope="global", codebook_size=6, global_channels=4).double().eval()
    codebook = layer.codebook
    codebook.cluster_size.copy_(torch.arange(6.0))  # the first stands for nobody
    h = torch.randn(9, 8).double()
    weights = codebook.weights(h)
    assert weights.shape == (9, 2, 5)
    values = codebook.lin_value(codebook.keys[1:, :4]).unflatten(-1, (2, -1))
    torch.testing.assert_close(
        torch.einsum("nhj,jhc->nhc", weights, values).flatten(1), codebook(h)
    )


def test_refused() -> None:
    data = ring()
    with pytest.raises(ValueError, match="none was called"):
        attention_distance(GCN(5, 4, 1, 2).double(), data, [0], max_hops=1)
    with pytest.raises(ValueError, match="seeds must be nodes, 0 to 29"):
        attention_distance(GAT(5, 4, 1, 2).double(), data, [30], max_hops=1)
    with pytest.raises(ValueError, match="max_hops must be at least 0"):
        attention_distance(GAT(5, 4, 1, 2).double(), data, [0], max_hops=-1)
    with pytest.raises(ValueError, match="forward must be given for a model on tokens"):
        attention_distance(LargeGT(5, 8, 3, scope="local"), data, [0], max_hops=1)
    elsewhere = Given(torch.tensor([[40], [0]]), torch.ones(1, 1))
    with pytest.raises(ValueError, match="attend to the 30 nodes of the graph: '' attends to 40"):
        attention_distance(elsewhere, data, [0], max_hops=1)
