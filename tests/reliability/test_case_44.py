"""Case 44 of the reliability contract: influence where there is none, or nothing to divide by."""

import json
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.nn import GCN, GATConv, SGConv

from graphattn.diagnostics import (
    attention_distance,
    hop_ablation,
    influence,
    layer_energy,
    node_range,
    read_influence,
    resistance_correlation,
    structural_influence,
    structure_ratio,
    total_influence,
)

PATH = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])  # three nodes; further ones are isolated


def constant(x: Tensor, edge_index: Tensor) -> Tensor:
    """An output that no feature moves."""
    return 0 * x + 1


def detached(x: Tensor, edge_index: Tensor) -> Tensor:
    """An output without a gradient."""
    return torch.ones(len(x), 2)


def data(num_nodes: int = 6) -> Data:
    return Data(torch.ones(num_nodes, 4), PATH, y=torch.zeros(num_nodes, dtype=torch.long))


@pytest.mark.parametrize("distance", ["hops", "resistance"])
@pytest.mark.parametrize("semantics", ["full", "pyg"])
def test_case_44_a_disconnected_target_and_hops_beyond_the_diameter(semantics, distance):
    torch.manual_seed(0)
    options = {"semantics": semantics, "distance": distance, "seeds": range(6)}
    found = influence(SGConv(4, 2, K=2), data(), max_hops=50, **options)
    assert found.num_zero == 0
    assert np.isfinite(found.T).all()
    assert not found.T[:, 3:].any()  # no path is longer than two
    assert (found.T[3:, 0] > 0).all()  # an isolated node hears itself
    assert not found.T[3:, 1:].any()
    assert found.R_per_node[3:].tolist() == [0.0, 0.0, 0.0]
    assert math.isfinite(found.R)
    assert 0 < found.R < 2


@pytest.mark.parametrize("model", [constant, detached])
@pytest.mark.parametrize("semantics", ["full", "pyg"])
def test_case_44_a_gradient_of_zero_is_defined_flagged_and_never_nan(model, semantics, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = influence(model, data(), max_hops=3, semantics=semantics)
        assert (found.R, found.num_zero, found.counted.any()) == (0.0, 6, np.False_)
        assert found.R_per_node.tolist() == found.T[:, 0].tolist() == [0.0] * 6
        assert found.curve.tolist() == [0.0] * 4
        assert "R is not defined: none of 6 seeds" in str(found)
        assert node_range(found, normalized=False).tolist() == [0.0] * 6
        curve, breadth = total_influence(model, data(), 3)
        assert (curve.tolist(), breadth) == ([0.0] * 4, 0.0)
        for name in ("a.json", "a.npz", "a.csv"):
            found.save(tmp_path / name)
    read = json.loads((tmp_path / "a.json").read_text(), parse_constant=pytest.fail)
    assert (read["R"], read["num_zero"], read["R_per_node"]) == (0.0, 6, [0.0] * 6)
    for name in ("a.json", "a.npz"):
        again = read_influence(tmp_path / name)
        assert (again.R, again.num_zero) == (0.0, 6)


def test_case_44_seeds_without_influence_are_counted_and_left_out(tmp_path: Path):
    def some(x: Tensor, edge_index: Tensor) -> Tensor:
        return SGConv(4, 2, K=1)(x, edge_index) * (torch.arange(len(x)) % 2)[:, None]

    found = influence(some, data(), max_hops=3, seeds=range(6), engine="single")
    assert found.num_zero == 3
    assert found.counted.tolist() == [False, True] * 3
    assert pytest.approx(found.R_per_node[[1, 3, 5]].mean()) == found.R
    found.save(tmp_path / "a.json")
    assert read_influence(tmp_path / "a.json").counted.tolist() == [False, True] * 3


def test_case_44_influence_that_lies_beyond_the_last_hop_only_is_told():
    def other(x: Tensor, edge_index: Tensor) -> Tensor:
        return x.roll(3, 0)  # each node hears one that no edge leads to

    found = influence(other, data(), max_hops=2, seeds=range(6), engine="single")
    assert (found.R, found.num_zero, found.tail_share) == (0.0, 6, 1.0)


def test_case_44_a_jacobian_that_is_no_number_is_refused():
    model = GCN(4, 8, 2, 2)
    with torch.no_grad():
        model.convs[0].lin.weight[0, 0] = math.nan
    with pytest.raises(ValueError, match="the Jacobian must be finite: got NaN or infinity for"):
        influence(model, data(), max_hops=2, seeds=[0], engine="single")


def test_case_44_the_other_instruments_are_defined_too():
    lone = Data(torch.zeros(3, 4), torch.empty(2, 0, dtype=torch.long), y=torch.zeros(3))
    conv = SGConv(4, 2, K=2)
    energy = layer_energy(conv, lone)
    assert np.isfinite([energy.dirichlet, energy.mad, energy.mad_all]).all()
    found = influence(conv, lone, max_hops=9, seeds=[0, 1, 2])
    structure = structural_influence(lone, [0, 1, 2], num_layers=conv, max_hops=9)
    assert structure_ratio(found, structure)[0] == pytest.approx(1.0)
    assert resistance_correlation(constant, data(), [0, 5], max_hops=9).spearman == 0.0
    assert np.isfinite(hop_ablation(constant, lone, [0, 1], max_hops=9).accuracy).all()
    (layer,) = attention_distance(GATConv(4, 2, add_self_loops=False), lone, [0, 1], max_hops=9)
    assert not layer.distance.any()
    assert not layer.entropy.any()
