"""One output channel a seed, and when to stop drawing seeds."""

import numpy as np
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.nn import GCN

from graphattn.diagnostics import InfluenceResult, influence


@pytest.fixture(scope="module")
def road() -> tuple[GCN, Data]:
    """A grid of 30 by 30 without some of its edges, and a GCN of six layers."""
    generator = torch.Generator().manual_seed(0)
    at = torch.arange(900).view(30, 30)
    pairs = [(at[:, :-1], at[:, 1:]), (at[:-1], at[1:])]
    edges = torch.stack([torch.cat([p[i].reshape(-1) for p in pairs]) for i in (0, 1)])
    edges = edges[:, torch.rand(edges.size(1), generator=generator) < 0.8]
    torch.manual_seed(0)
    model = GCN(9, 16, 6, 5)
    x = torch.randn(900, 9, generator=generator)
    return model, Data(x, torch.cat([edges, edges.flip(0)], dim=1))


@pytest.fixture(scope="module")
def exact(road: tuple[GCN, Data]) -> InfluenceResult:
    return influence(*road, max_hops=6, seeds=range(900))


@pytest.fixture(scope="module")
def drawn(road: tuple[GCN, Data]) -> InfluenceResult:
    return influence(*road, max_hops=6, seeds=range(900), channels=1)


def test_channels_add_up(road: tuple[GCN, Data], exact: InfluenceResult) -> None:
    model, data = road
    parts = sum(
        influence(lambda x, e, c=c: model(x, e)[:, c : c + 1], data, max_hops=6, seeds=range(8)).T
        for c in range(5)
    )
    np.testing.assert_allclose(parts, exact.T[:8], rtol=1e-5)


def test_one_channel_is_nearly_unbiased(exact: InfluenceResult, drawn: InfluenceResult) -> None:
    assert drawn.about["channels"] == 1
    assert abs(drawn.R - exact.R) < 0.01 * exact.R
    error = drawn.T.std(0) / 30  # of a mean over 900 seeds
    assert (np.abs(drawn.curve - exact.curve) < 4 * error + 1e-12).all()
    assert (drawn.T != exact.T).any()


def test_a_draw_depends_on_seed_and_node_only(
    road: tuple[GCN, Data], drawn: InfluenceResult
) -> None:
    again = influence(*road, max_hops=6, seeds=range(900), channels=1)
    np.testing.assert_array_equal(again.T, drawn.T)
    other = influence(*road, max_hops=6, seeds=range(900), channels=1, seed=1)
    assert (other.T != drawn.T).any()


@pytest.mark.parametrize("num_seeds", [64, 128])
def test_the_interval_covers_the_mean_of_all_nodes(
    exact: InfluenceResult, drawn: InfluenceResult, num_seeds: int
) -> None:
    generator = np.random.default_rng(0)
    for found in (exact, drawn):
        hits = 0
        for _ in range(1000):
            some = generator.integers(900, size=num_seeds)
            rows = found.T[some], some, found.tail_mass[some], found.R_per_node[some]
            low, high = InfluenceResult(*rows, {}).R_ci
            hits += low <= exact.R <= high
        assert 0.91 <= hits / 1000 <= 0.97


def test_it_stops_when_the_interval_is_narrow_enough(road: tuple[GCN, Data]) -> None:
    for tol in (0.05, 0.02, 1e-6):
        found = influence(*road, max_hops=6, tol=tol, seed=4)
        num_seeds = found.seeds.size
        assert num_seeds in (64, 128, 256, 512, 900)
        assert len(set(found.seeds.tolist())) == num_seeds
        half = found.R_ci[1] - found.R
        assert half <= tol * found.R or num_seeds == 900
    assert num_seeds == 900
    assert influence(*road, max_hops=6, num_seeds=10).seeds.size == 10


def test_more_channels_than_there_are_is_all(
    road: tuple[GCN, Data], exact: InfluenceResult
) -> None:
    found = influence(*road, max_hops=6, seeds=range(8), channels=5)
    np.testing.assert_array_equal(found.T, exact.T[:8])
