"""Structural influence beside the dense power of the matrix, and its ratio to what is learned."""

import numpy as np
import pytest
import torch
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import GCN, MLP, SGConv

from graphattn.diagnostics import influence, structural_influence, structure_ratio


def drawn(num_nodes: int = 40, *, directed: bool = False) -> Data:
    """A sparse graph with loops, repeated edges and two isolated nodes at the end."""
    generator = torch.Generator().manual_seed(0)
    edges = torch.randint(num_nodes - 2, (2, num_nodes), generator=generator)
    edges = edges if directed else torch.cat([edges, edges.flip(0)], dim=1)
    x = torch.randn(num_nodes, 6, generator=generator, dtype=torch.float64)
    return Data(x, edges)


def dense_power(data: Data, steps: int) -> np.ndarray:
    """Row = target; a loop of 1 at every node, repeated edges as often as they are there."""
    n = len(data.x)
    a = np.zeros((n, n))
    for source, target in data.edge_index.T.tolist():
        a[target, source] += source != target
    a += np.eye(n)
    scale = a.sum(1) ** -0.5
    return np.linalg.matrix_power(scale[:, None] * a * scale, steps)


def hops_of(data: Data) -> np.ndarray:
    """Hops against the edges, row = target, 99 where there is no path."""
    n = len(data.x)
    a = np.eye(n, dtype=bool)
    a[data.edge_index[1], data.edge_index[0]] = True
    reach = np.eye(n, dtype=bool)
    hop = np.where(reach, 0, 99)
    for step in range(1, n):
        reach = reach @ a
        hop[reach & (hop == 99)] = step
    return hop


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("steps", [0, 1, 3, 6])
def test_rows_of_the_power_of_the_matrix_by_hop(directed: bool, steps: int) -> None:
    data = drawn(directed=directed)
    power, hop = dense_power(data, steps), hops_of(data)
    found = structural_influence(data, range(40), num_layers=steps, max_hops=4)
    for h in range(5):
        np.testing.assert_allclose(found.S[:, h], (power * (hop == h)).sum(1), atol=1e-13)
    np.testing.assert_allclose(found.tail_mass, (power * (hop > 4)).sum(1), atol=1e-13)
    assert found.num_layers == steps
    some = structural_influence(data, [39, 3, 3], num_layers=steps, max_hops=4)
    np.testing.assert_allclose(some.S, found.S[[39, 3, 3]], atol=1e-15)


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("max_hops", [2, 5])
def test_a_linear_gcn_is_its_structure(directed: bool, max_hops: int) -> None:
    torch.manual_seed(0)
    data = drawn(directed=directed)
    model = GCN(6, 8, 4, 3, act=None, bias=False).double()
    found = influence(model, data, max_hops=max_hops, seeds=range(40))
    structure = structural_influence(data, range(40), num_layers=model, max_hops=max_hops)
    assert structure.num_layers == 4
    ratio = structure_ratio(found, structure)
    reached = structure.curve > 0
    np.testing.assert_allclose(ratio[reached], 1.0, rtol=1e-10)
    assert np.isnan(ratio[~reached]).all()
    balls = influence(model, data, max_hops=max_hops, seeds=range(40), semantics="pyg")
    assert np.isfinite(structure_ratio(balls, structure)[reached]).all()


def test_weights_of_edges_count_if_asked_for() -> None:
    data = drawn()
    data.edge_weight = torch.rand(data.num_edges, dtype=torch.float64)
    model = SGConv(6, 3, K=2, bias=False).double()
    found = influence(model, data, max_hops=3, seeds=range(40))
    structure = structural_influence(data, range(40), num_layers=model, max_hops=3, weighted=True)
    assert structure.num_layers == 2  # SGConv propagates twice in one call
    np.testing.assert_allclose(structure_ratio(found, structure)[:3], 1.0, rtol=1e-10)
    plain = structural_influence(data, range(40), num_layers=2, max_hops=3)
    assert not np.allclose(plain.S, structure.S)


def test_what_the_structure_does_not_let_through_is_infinite_and_forgetting_is_below_one() -> None:
    data = drawn()
    linear = SGConv(6, 3, K=3, bias=False).double()

    def jumping(x, edge_index):
        return linear(x, edge_index) + 100 * x[:, :3]

    found = influence(jumping, data, max_hops=3, seeds=range(38))
    once = structural_influence(data, range(38), num_layers=1, max_hops=3)
    assert np.isinf(structure_ratio(found, once)[2:]).all()
    ratio = structure_ratio(found, structural_influence(data, range(38), num_layers=3, max_hops=3))
    assert ratio[0] > 1 > ratio[1:].max()


def test_refused() -> None:
    data = drawn()
    with pytest.raises(ValueError, match="num_layers must be at least 0: got num_layers=-1"):
        structural_influence(data, [0], num_layers=-1, max_hops=2)
    with pytest.raises(ValueError, match="seeds must be nodes, 0 to 39"):
        structural_influence(data, [40], num_layers=1, max_hops=2)
    with pytest.raises(ValueError, match=r"needs data\.edge_weight"):
        structural_influence(data, [0], num_layers=1, max_hops=2, weighted=True)

    class Blind(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mlp = MLP([6, 4, 2]).double()

        def forward(self, x, edge_index):
            return self.mlp(x)

    with pytest.raises(ValueError, match="message passing layers of PyG: got a model without"):
        structural_influence(data, [0], num_layers=Blind(), max_hops=2)
    found = influence(Blind(), data, max_hops=2, seeds=[0, 1])
    other = structural_influence(data, [0, 2], num_layers=1, max_hops=2)
    with pytest.raises(ValueError, match="on the same seeds and hops"):
        structure_ratio(found, other)
