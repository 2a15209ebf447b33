"""Metrics of node classification and regression: a function of labels and logits each, by name.

Labels below zero mean "unlabelled" and are left out; where nothing is left the metric is NaN.
"""

import math
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from scipy.stats import rankdata
from sklearn.metrics import f1_score, roc_auc_score
from torch import Tensor

Metric = Callable[[Tensor, Tensor], float]


def accuracy(y: Int[Tensor, "nodes ..."], logits: Float[Tensor, "nodes classes"]) -> float:
    """Share of labelled nodes whose largest logit is their class.

    Args:
        y: Classes; below zero is unlabelled.
        logits: Scores of each class.

    Returns:
        A share in [0, 1], or NaN without a labelled node.

    Raises:
        ValueError: There are several labels a node.

    Example:
        >>> accuracy(torch.tensor([0, 1, -1]), torch.tensor([[2.0, 1.0], [2.0, 1.0], [0.0, 1.0]]))
        0.5
    """
    y, logits = _labelled(y, logits)
    if not len(y):
        return math.nan
    return float((logits.argmax(1) == y).sum()) / len(y)


def rocauc(y: Int[Tensor, "nodes ..."], logits: Float[Tensor, "nodes classes"]) -> float:
    """Area under the ROC curve; with more than two classes the mean of one class against the rest.

    Classes that no labelled node has, or that all have, are left out of the mean. Of several binary
    labels a node, the mean over these tasks, by the same rule.

    Args:
        y: Classes, or rows of binary labels; below zero is unlabelled.
        logits: Scores of each class. Of two, the softmax of the second is a monotone function of
            their difference, which ranks without rounding to 0 or 1; of more, the softmax ranks.

    Returns:
        An area in [0, 1], or NaN where fewer than two classes are present or a logit is not finite.

    Example:
        >>> rocauc(torch.tensor([0, 1, 1]), torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, 1.0]]))
        1.0
    """
    if y.dim() == 2:
        return _rocauc_of_tasks(y.cpu(), logits.detach().cpu())
    y, logits = _labelled(y, logits)
    if logits.shape[1] < 2:
        raise ValueError(f"rocauc needs a logit for each class: got {logits.shape[1]} logits.")
    scores = logits.double()
    if not bool(torch.isfinite(scores).all()):
        return math.nan
    if scores.shape[1] == 2:
        columns = {1: scores[:, 1] - scores[:, 0]}
    else:
        columns = dict(enumerate(scores.softmax(1).unbind(1)))
    areas = []
    for label, score in columns.items():
        positive = y == label
        if 0 < int(positive.sum()) < len(y):
            areas.append(float(roc_auc_score(positive.numpy(), score.numpy())))
    return sum(areas) / len(areas) if areas else math.nan


def _rocauc_of_tasks(y: Tensor, logits: Tensor) -> float:
    if not bool(torch.isfinite(logits).all()):
        return math.nan
    areas = []
    for label, score in zip(y.unbind(1), logits.double().unbind(1), strict=True):
        known = (label >= 0).nonzero().view(-1)
        positive = label.index_select(0, known) == 1
        if 0 < int(positive.sum()) < len(known):
            shown = score.index_select(0, known)
            areas.append(float(roc_auc_score(positive.numpy(), shown.numpy())))
    return sum(areas) / len(areas) if areas else math.nan


def macro_f1(y: Int[Tensor, "nodes ..."], logits: Float[Tensor, "nodes classes"]) -> float:
    """Mean over classes of the harmonic mean of precision and recall.

    Args:
        y: Classes; below zero is unlabelled.
        logits: Scores of each class.

    Returns:
        A score in [0, 1] over the classes present among labels or predictions, or NaN without a
        labelled node.

    Example:
        >>> macro_f1(torch.tensor([0, 1]), torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
        1.0
    """
    y, logits = _labelled(y, logits)
    if not len(y):
        return math.nan
    return float(f1_score(y.numpy(), logits.argmax(1).numpy(), average="macro", zero_division=0))


def spearman(y: Shaped[Tensor, "nodes ..."], scores: Float[Tensor, "nodes columns"]) -> float:
    """Spearman's rank correlation of numbers and predictions; equal ones share their mean rank.

    Args:
        y: Numbers; NaN is unlabelled.
        scores: What was predicted.

    Returns:
        A correlation in [-1, 1], or NaN where all labels, or all scores, are equal, or a score is
        not finite.

    Raises:
        ValueError: The labels are classes.

    Example:
        >>> spearman(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([[0.1], [0.3], [0.2]]))
        0.5
    """
    if not y.is_floating_point() or y.dim() != 1 or scores.shape[1] != 1:
        raise ValueError(
            f"spearman judges one number a node: got labels {y.dtype} and scores "
            f"{list(scores.shape)}."
        )
    keep = (~y.isnan()).nonzero().view(-1).cpu()
    shown = scores.detach().cpu().double().view(-1).index_select(0, keep)
    if not bool(torch.isfinite(shown).all()):
        return math.nan
    ranks = [rankdata(part.numpy()) for part in (y.cpu().double().index_select(0, keep), shown)]
    first, second = (torch.from_numpy(rank - (len(keep) + 1) / 2) for rank in ranks)
    size = float((first.square().sum() * second.square().sum()).sqrt())
    return float(first @ second) / size if size else math.nan


METRICS: dict[str, Metric] = {"accuracy": accuracy, "rocauc": rocauc, "macro_f1": macro_f1}
OF_NUMBERS: dict[str, Metric] = {"spearman": spearman}


def metric_by_name(name: str) -> Metric:
    """Return one of ours by its name, or OGB's own for an `ogbn-` dataset.

    Raises:
        ValueError: No metric has that name; the nearest one is named.

    Example:
        >>> metric_by_name("accuracy") is accuracy
        True
    """
    if name in METRICS or name in OF_NUMBERS:
        return METRICS[name] if name in METRICS else OF_NUMBERS[name]
    if name.startswith("ogbn-"):
        return ogb_metric(name)
    near = get_close_matches(name, [*METRICS, *OF_NUMBERS], n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    known = ", ".join([*METRICS, *OF_NUMBERS])
    raise ValueError(f"metric must be one of {known} or an ogbn- dataset: got {name!r}.{hint}")


def ogb_metric(name: str) -> Metric:
    """Return the metric of OGB's own `Evaluator` for a dataset, in this module's form.

    ogb is imported here because it costs seconds and, by its dependency `outdated`, would ask the
    network for news; that part is kept out.

    Args:
        name: "ogbn-arxiv", "ogbn-products" or another of OGB's node data sets; of ogbn-proteins the
            mean of the area under the ROC curve over its 112 tasks.

    Raises:
        ValueError: OGB has no such dataset.

    Example:
        >>> metric = ogb_metric("ogbn-arxiv")
        >>> metric(torch.tensor([1]), torch.tensor([[0.0, 1.0]]))
        1.0
    """
    before = sys.modules.get("outdated")
    sys.modules["outdated"] = None  # type: ignore[assignment]
    try:
        from ogb.nodeproppred import Evaluator
    finally:
        del sys.modules["outdated"]
        if before is not None:
            sys.modules["outdated"] = before
    try:
        evaluator = Evaluator(name)
    except ValueError as error:
        raise ValueError(f"OGB has no metric for {name!r}: {error}") from error
    kind = evaluator.eval_metric

    def evaluate(y: Tensor, logits: Tensor) -> float:
        if y.dim() == 2:
            return _evaluate_tasks(evaluator, y.cpu(), logits.detach().cpu())
        y, logits = _labelled(y, logits)
        if not len(y):
            return math.nan
        given = {"y_true": y.view(-1, 1), "y_pred": logits.argmax(1, keepdim=True)}
        return float(evaluator.eval(given)[kind])

    evaluate.__name__ = name
    return evaluate


def _evaluate_tasks(evaluator: Any, y: Tensor, logits: Tensor) -> float:
    """Let OGB judge several labels a node; what it has no figure for is NaN."""
    known = [bool((label == 0).any() and (label == 1).any()) for label in y.unbind(1)]
    if not any(known) or not bool(torch.isfinite(logits).all()):
        return math.nan
    true = torch.where(y < 0, math.nan, y.double())
    given = {"y_true": true.numpy(), "y_pred": logits.double().numpy()}
    return float(evaluator.eval(given)[evaluator.eval_metric])


def confusion_matrix(
    y: Int[Tensor, " nodes"], logits: Float[Tensor, "nodes classes"]
) -> Int[Tensor, "true predicted"]:
    """Count the labelled nodes of each true class (row) by their predicted class (column).

    Example:
        >>> confusion_matrix(torch.tensor([0, 1]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])).tolist()
        [[1, 0], [1, 0]]
    """
    y, logits = _labelled(y, logits)
    classes = logits.shape[1]
    pairs = y * classes + logits.argmax(1)
    return torch.bincount(pairs, minlength=classes * classes).view(classes, classes)


def mean_std(values: Sequence[float]) -> tuple[float, float]:
    """Mean and unbiased standard deviation (divided by n - 1), as OGB's leaderboards ask.

    Args:
        values: One figure a run.

    Returns:
        The two; the deviation of a single run is NaN, and both are NaN if a run has none.

    Example:
        >>> mean_std([1.0, 3.0])
        (2.0, 1.4142135623730951)
    """
    if not values:
        return math.nan, math.nan
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return mean, math.nan
    return mean, math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1))


def _labelled(y: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    if y.dim() != 1:
        raise ValueError(
            "this metric judges one label a node: "
            f"got {y.shape[1]}; rocauc, or ogbn-proteins, judges several."
        )
    if y.is_floating_point():
        raise ValueError("this metric judges classes: got numbers; spearman judges them.")
    keep = (y >= 0).nonzero().view(-1).cpu()
    return y.cpu().long().index_select(0, keep), logits.detach().cpu().index_select(0, keep)
