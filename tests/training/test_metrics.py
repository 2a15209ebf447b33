"""Metrics against hand-made figures and scikit-learn, and where they have no answer."""

import math
import sys

import pytest
import torch
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from graphattn.training.metrics import (
    METRICS,
    accuracy,
    confusion_matrix,
    macro_f1,
    mean_std,
    metric_by_name,
    ogb_metric,
    rocauc,
    spearman,
)


@pytest.fixture
def scores() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.arange(90) % 3, torch.randn(90, 3, generator=generator)


def test_unlabelled_nodes_are_left_out(scores):
    y, logits = scores
    more = torch.cat([y, torch.full((5,), -1)]), torch.cat([logits, torch.randn(5, 3)])
    for metric in METRICS.values():
        assert metric(*more) == metric(y, logits)


@pytest.mark.parametrize("metric", METRICS.values())
def test_nothing_to_judge_is_nan(metric):
    assert math.isnan(metric(torch.empty(0, dtype=torch.long), torch.empty(0, 3)))
    assert math.isnan(metric(torch.tensor([-1, -1]), torch.randn(2, 3)))


def test_rocauc_of_many_classes_is_one_against_the_rest(scores):
    y, logits = scores
    expected = roc_auc_score(y, logits.double().softmax(1), multi_class="ovr", average="macro")
    assert rocauc(y, logits) == pytest.approx(expected, abs=1e-12)


def test_rocauc_of_two_classes_ranks_what_softmax_would_round():
    y = torch.tensor([0, 0, 1, 1])
    logits = torch.tensor([[0.0, 100.0], [0.0, 101.0], [0.0, 102.0], [0.0, 103.0]])
    assert rocauc(y, logits) == 1.0
    assert rocauc(1 - y, logits) == 0.0


def test_rocauc_without_two_classes_or_finite_scores_is_nan():
    assert math.isnan(rocauc(torch.tensor([1, 1]), torch.randn(2, 2)))
    assert math.isnan(rocauc(torch.tensor([0, 1]), torch.tensor([[0.0, math.nan], [0.0, 1.0]])))
    with pytest.raises(ValueError, match="a logit for each class: got 1"):
        rocauc(torch.tensor([0, 1]), torch.randn(2, 1))


def test_macro_f1_by_hand():
    y = torch.tensor([0, 0, 1, 1])
    logits = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    assert macro_f1(y, logits) == pytest.approx((2 / 3 + 0.8) / 2)


def test_spearman_is_that_of_scipy_with_ties_and_without_what_is_unlabelled():
    generator = torch.Generator().manual_seed(2)
    y = torch.randint(5, (80,), generator=generator).float()
    scores = torch.randint(9, (80, 1), generator=generator).float() + y[:, None]
    expected = spearmanr(y.numpy(), scores[:, 0].numpy()).statistic
    assert spearman(y, scores) == pytest.approx(expected, abs=1e-12)
    more = torch.cat([y, torch.tensor([math.nan])]), torch.cat([scores, torch.tensor([[99.0]])])
    assert spearman(*more) == spearman(y, scores)
    assert metric_by_name("spearman") is spearman


@pytest.mark.parametrize(
    ("y", "scores"),
    [([], []), ([math.nan], [1.0]), ([1.0, 1.0], [1.0, 2.0]), ([1.0, 2.0], [1.0, math.inf])],
)
def test_spearman_of_nothing_to_rank_is_nan(y, scores):
    assert math.isnan(spearman(torch.tensor(y), torch.tensor(scores).view(-1, 1)))


def test_classes_and_numbers_are_told_apart(unchecked):
    with pytest.raises(ValueError, match=r"judges one number a node: got labels torch\.int64"):
        spearman(torch.tensor([0, 1]), torch.zeros(2, 1))
    with pytest.raises(ValueError, match="judges classes: got numbers; spearman judges them"):
        accuracy(torch.tensor([0.0, 1.0]), torch.zeros(2, 1))


def test_bfloat16_logits_are_taken(scores):
    y, logits = scores
    for metric in METRICS.values():
        assert 0 <= metric(y, logits.bfloat16()) <= 1


def test_names():
    assert metric_by_name("macro_f1") is macro_f1
    with pytest.raises(ValueError, match=r"got 'acuracy'. Did you mean 'accuracy'"):
        metric_by_name("acuracy")


def test_ogb_judges_as_we_do_and_starts_nothing(scores):
    y, logits = scores
    before = sys.modules.get("outdated")
    metric = metric_by_name("ogbn-arxiv")
    assert sys.modules.get("outdated") is before
    assert metric(y, logits) == accuracy(y, logits)
    assert math.isnan(metric(torch.tensor([-1]), torch.randn(1, 3)))


def test_several_labels_are_judged_as_ogb_does_task_by_task():
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(2, (30, 112), generator=generator)
    logits = torch.randn(30, 112, generator=generator)
    y[:, 3] = 1  # a task without a negative is left out
    y[4:9, 5] = -1
    ours = ogb_metric("ogbn-proteins")(y, logits)
    assert ours == pytest.approx(rocauc(y, logits), abs=1e-12)
    areas = []
    for task in range(112):
        ranks = [
            (float(a > b) + float(a == b) / 2)
            for a in logits[y[:, task] == 1, task]
            for b in logits[y[:, task] == 0, task]
        ]
        areas += [sum(ranks) / len(ranks)] if ranks else []
    assert ours == pytest.approx(sum(areas) / len(areas), abs=1e-9)
    assert math.isnan(ogb_metric("ogbn-proteins")(torch.ones_like(y), logits))
    assert math.isnan(rocauc(y[:0], logits[:0]))
    assert math.isnan(ogb_metric("ogbn-proteins")(y, logits / 0))
    with pytest.raises(ValueError, match="one label a node: got 112"):
        accuracy(y, logits)


def test_ogb_refuses_what_has_no_name():
    with pytest.raises(ValueError, match="no metric for 'ogbn-nothing'"):
        ogb_metric("ogbn-nothing")


def test_confusion_matrix_counts_every_labelled_node(scores):
    y, logits = scores
    matrix = confusion_matrix(torch.cat([y, torch.tensor([-1])]), torch.cat([logits, logits[:1]]))
    assert matrix.sum() == 90
    assert matrix.sum(1).tolist() == [30, 30, 30]
    assert float(matrix.trace()) / 90 == accuracy(y, logits)


def test_mean_and_unbiased_deviation():
    values = [0.7, 0.9, 0.8]
    expected = torch.tensor(values, dtype=torch.float64)
    assert mean_std(values) == pytest.approx((expected.mean().item(), expected.std().item()))
    assert math.isnan(mean_std([0.5])[1])
    assert all(map(math.isnan, mean_std([])))
    assert math.isnan(mean_std([0.5, math.nan])[0])
