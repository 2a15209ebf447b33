"""Figures of node importance beside scikit-learn's and SciPy's."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.metrics import mean_squared_error, median_absolute_error, ndcg_score

from graphattn.training.node_importance import node_importance_metrics


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("k", [1, 10, 200])
def test_figures_are_those_of_other_libraries(seed, k):
    generator = np.random.default_rng(seed)
    y = generator.random(101)
    guess = y + generator.normal(size=101)
    found = node_importance_metrics(torch.from_numpy(y), torch.from_numpy(guess), k)
    assert found["spearman"] == pytest.approx(spearmanr(y, guess).statistic, abs=1e-9)
    ndcg = ndcg_score(y[None], guess[None], k=k, ignore_ties=True)
    assert found[f"ndcg@{k}"] == pytest.approx(ndcg, abs=1e-9)
    most = min(k, 101)
    top, guessed = set(np.argsort(-y)[:most]), set(np.argsort(-guess)[:most])
    assert found[f"overlap@{k}"] == len(top & guessed) / most
    assert found["rmse"] == pytest.approx(mean_squared_error(y, guess) ** 0.5, abs=1e-9)
    assert found["median_ae"] == pytest.approx(median_absolute_error(y, guess), abs=1e-9)


def test_ties_share_their_rank():
    y, guess = torch.tensor([1.0, 2.0, 2.0, 4.0]), torch.tensor([0.5, 0.5, 0.7, 0.7])
    expected = spearmanr(y.numpy(), guess.numpy()).statistic
    assert node_importance_metrics(y, guess)["spearman"] == pytest.approx(expected, abs=1e-9)


def test_only_labelled_nodes_of_the_index_count():
    y = torch.tensor([1.0, math.nan, 3.0, 2.0, 100.0])
    guess = torch.tensor([1.0, 9.0, 3.0, 2.0, 0.0])
    found = node_importance_metrics(y, guess, k=2, index=torch.tensor([3, 1, 0, 2]))
    assert found == {"spearman": 1, "ndcg@2": 1, "overlap@2": 1, "rmse": 0, "median_ae": 0}
    none = node_importance_metrics(y, guess, index=torch.tensor([1]))
    assert all(math.isnan(figure) for figure in none.values())


def test_errors():
    with pytest.raises(ValueError, match=r"k must be at least 1.*got k=0"):
        node_importance_metrics(torch.zeros(2), torch.zeros(2), k=0)
