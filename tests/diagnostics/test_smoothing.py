"""Dirichlet energy and MAD on cases known by hand, beside loops, and of layers."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GCN, GATConv, GCNConv, SimpleConv

from graphattn.diagnostics import layer_energy


def both_ways(pairs: list[tuple[int, int]]) -> Tensor:
    edges = torch.tensor(pairs).T
    return torch.cat([edges, edges.flip(0)], dim=1)


class Pass(nn.Module):
    """Gives its input to one named layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Identity()

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.layer(x)


def energy_of(x: list[list[float]], edges: Tensor) -> tuple[float, float, float]:
    data = Data(torch.tensor(x, dtype=torch.float64), edges)
    found = layer_energy(Pass(), data, layers=["layer"])
    assert found.names == ("x", "layer")
    for values in (found.dirichlet, found.mad, found.mad_all):
        assert values[0] == values[1]
    return float(found.dirichlet[1]), float(found.mad[1]), float(found.mad_all[1])


def test_equal_nodes_have_none() -> None:
    found = energy_of([[3.0, 4.0]] * 4, both_ways([(0, 1), (1, 2), (2, 3)]))
    assert found == pytest.approx((0.0, 0.0, 0.0), abs=1e-15)


def test_a_ramp_on_a_path_and_orthogonal_nodes() -> None:
    energy, mad, mad_all = energy_of(
        [[1.0], [2.0], [3.0], [4.0]], both_ways([(0, 1), (1, 2), (2, 3)])
    )
    assert energy == 6 / 4  # three edges, each twice, over four nodes
    assert (mad, mad_all) == pytest.approx((0.0, 0.0), abs=1e-15)  # one direction all the same
    ring = both_ways([(0, 1), (1, 2), (2, 0)])
    assert energy_of(np.eye(3).tolist(), ring) == pytest.approx((4.0, 1.0, 1.0))
    assert energy_of([[1.0], [-1.0]], both_ways([(0, 1)])) == pytest.approx((4.0, 2.0, 2.0))


def test_zero_vectors_isolated_nodes_loops_and_direction() -> None:
    edges = torch.tensor([[0, 1, 2, 2], [1, 2, 2, 0]])  # 3 is isolated, 2 has a loop
    energy, mad, mad_all = energy_of([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [0.0, 2.0]], edges)
    assert energy == 2 / 4
    assert mad == pytest.approx((0 + 1 + 1) / 3)
    assert mad_all == pytest.approx(5 / 6)
    none = torch.empty(2, 0, dtype=torch.long)
    assert energy_of([[1.0], [2.0]], none) == pytest.approx((0.0, 0.0, 0.0))
    assert energy_of([[1.0]], none) == (0.0, 0.0, 0.0)


def by_loops(h: Tensor, edges: Tensor) -> tuple[float, float, float]:
    n = len(h)
    energy = sum(float((h[u] - h[v]).square().sum()) for u, v in edges.T.tolist()) / n

    def apart(u: int, v: int) -> float:
        return 1 - float(h[u] @ h[v]) / math.sqrt(float(h[u] @ h[u]) * float(h[v] @ h[v]))

    rows = [[apart(u, v) for u, w in edges.T.tolist() if w == v != u] for v in range(n)]
    mad = float(np.mean([np.mean(row) for row in rows if row]))
    return energy, mad, float(np.mean([apart(u, v) for u in range(n) for v in range(n) if u != v]))


def test_every_layer_of_a_model_beside_loops() -> None:
    torch.manual_seed(0)
    edges = torch.randint(20, (2, 50))
    data = Data(torch.randn(20, 5), edges)
    model = GCN(5, 7, 3, 4, dropout=0.5, norm="batch_norm").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = layer_energy(model, data)
    assert found.names == ("x", "convs.0", "convs.1", "convs.2")
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert model.training
    model.eval()
    outputs = [data.x, model.convs[0](data.x, edges)]
    for place, h in enumerate(outputs):
        expected = by_loops(h.detach().double(), edges)
        got = found.dirichlet[place], found.mad[place], found.mad_all[place]
        assert got == pytest.approx(expected, rel=1e-6)


def test_propagation_smooths_and_a_layer_used_twice_is_told_apart() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = SimpleConv(aggr="mean", combine_root="self_loop")

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return self.conv(self.conv(x, edge_index), edge_index)

    ring = both_ways([(i, (i + 1) % 10) for i in range(10)])
    found = layer_energy(Twice(), Data(torch.eye(10, dtype=torch.float64), ring))
    assert found.names == ("x", "conv", "conv#2")
    assert (np.diff(found.dirichlet) < 0).all()
    assert (np.diff(found.mad) < 0).all()


def test_layers_that_return_several_things_or_fewer_rows() -> None:
    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = GATConv(3, 2), nn.Linear(2, 2)

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            out, _ = self.conv(x, edge_index, return_attention_weights=True)
            return self.head(out.mean(0, keepdim=True)).expand(len(x), -1)

    data = Data(torch.randn(4, 3), both_ways([(0, 1), (1, 2)]))
    assert layer_energy(Pooled(), data).names == ("x", "conv")
    with pytest.raises(ValueError, match=r"a row for each of 4 nodes: got \[1, 2\] from 'head'"):
        layer_energy(Pooled(), data, layers=["head"])
    with pytest.raises(ValueError, match="modules of the model: got 'tail'"):
        layer_energy(Pooled(), data, layers=["tail"])
    with pytest.raises(ValueError, match="must have message passing layers of PyG: got none"):
        layer_energy(Pass(), data)
    model = GCNConv(3, 2)
    wrapped = layer_energy(model, data, forward=lambda x, e: model(x, e).relu())
    assert wrapped.names == ("x", "")
