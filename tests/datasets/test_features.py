"""Scaling and filling of features: the formula, and that the input stays as it was."""

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.transforms import NormalizeFeatures

from graphattn.datasets.features import Scale, fill_missing, normalize_rows, standardize

NAN, INF = float("nan"), float("inf")


def test_standardize_has_mean_zero_and_deviation_one():
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) * 100 + 7
    data = Data(x=x.clone())
    scaled = standardize(data).x
    assert scaled.mean(dim=0).abs().max() < 1e-6
    assert (scaled.std(dim=0, correction=0) - 1).abs().max() < 1e-6
    assert torch.equal(data.x, x)


def test_standardize_by_the_scale_of_others():
    x, others = torch.tensor([[1.0, 5.0], [4.0, 5.0]]), torch.tensor([[0.0, 5.0], [2.0, 5.0]])
    scaled = standardize(Data(x=x), Scale.of(others)).x
    assert scaled.tolist() == [[0.0, 0.0], [3.0, 0.0]]
    assert torch.equal(standardize(Data(x=x)).x, Scale.of(x).apply(x))


@pytest.mark.parametrize("value", [0.0, 0.1, 42.123456, -1e6])
def test_standardize_turns_a_constant_into_zero(value):
    assert standardize(Data(x=torch.full((1000, 1), value))).x.abs().max() < 1e-6


def test_standardize_keeps_small_differences_of_coordinates():
    x = torch.tensor([[42.10001], [42.10002], [42.10004]])
    assert standardize(Data(x=x)).x.unique().numel() == 3


def test_normalize_rows_is_what_pyg_does():
    x = torch.randint(0, 3, (20, 6), generator=torch.Generator().manual_seed(1)).float()
    x[3] = 0
    ours = normalize_rows(Data(x=x)).x
    assert torch.allclose(ours, NormalizeFeatures()(Data(x=x.clone())).x)


def test_normalize_rows_refuses_negative_features():
    with pytest.raises(ValueError, match="features >= 0, such as word counts: got -2"):
        normalize_rows(Data(x=torch.tensor([[1.0, -2.0]])))


@pytest.mark.parametrize(
    ("how", "expected"), [("zero", [[0, 1], [2, 0], [4, 3]]), ("mean", [[3, 1], [2, 2], [4, 3]])]
)
def test_fill_missing(how, expected):
    x = torch.tensor([[NAN, 1.0], [2.0, -INF], [4.0, 3.0]])
    assert fill_missing(Data(x=x), how).x.tolist() == expected


def test_fill_missing_without_any_finite_value():
    assert fill_missing(Data(x=torch.full((2, 1), NAN)), "mean").x.tolist() == [[0.0], [0.0]]


def test_drop_takes_edges_and_masks_along():
    data = Data(
        x=torch.tensor([[1.0], [NAN], [3.0]]),
        y=torch.tensor([0, 1, 2]),
        edge_index=torch.tensor([[0, 1, 2], [1, 2, 0]]),
        train_mask=torch.tensor([True, False, True]),
    )
    kept = fill_missing(data, "drop")
    assert kept.y.tolist() == [0, 2]
    assert kept.edge_index.tolist() == [[1], [0]]
    assert kept.train_mask.tolist() == [True, True]


def test_what_is_ill_shaped_is_told_before_nodes_are_dropped():
    x = torch.tensor([[float("nan")], [1.0]])
    with pytest.raises(ValueError, match=r"edge_index\[0,0\]=2, but ids run 0..1"):
        fill_missing(Data(x=x, edge_index=torch.tensor([[2], [0]])), "drop")
    with pytest.raises(TypeError, match=r"x must be a floating tensor \[nodes, channels\]"):
        fill_missing(Data(x=x.view(1, 2, 1)), "drop")


def test_unknown_filling():
    with pytest.raises(ValueError, match="how must be 'zero', 'mean' or 'drop': got 'median'"):
        fill_missing(Data(x=torch.ones(1, 1)), "median")
