"""How well predicted importances rank nodes: the figures that node importance is judged by."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from graphattn.training.metrics import spearman


def node_importance_metrics(
    y_true: Float[Tensor, " nodes"],
    y_pred: Float[Tensor, " nodes"],
    k: int = 100,
    index: Int[Tensor, " some"] | None = None,
) -> dict[str, float]:
    r"""Judges predictions by rank and by size.

    NDCG has a linear gain on the labels as they are, :math:`\mathrm{DCG} = \sum_{i<k} y_{(i)} /
    \log_2(i + 2)`, divided by that of the labels in their own order. Overlap is the share of the
    k largest labels that are among the k largest predictions.

    Source: GENI, https://arxiv.org/abs/1905.08865, section 5.

    Args:
        y_true: Labels; NaN is unlabelled and left out.
        y_pred: Predictions.
        k: How far down NDCG and overlap look; all nodes where there are fewer.
        index: The nodes judged; by default all.

    Returns:
        "spearman", "ndcg@k" and "overlap@k" with k as a number, "rmse" and "median_ae"; NaN where
        no node is labelled.

    Raises:
        ValueError: k is below 1, or sizes differ.

    Example:
        >>> y, guess = torch.tensor([3.0, 1.0, 2.0]), torch.tensor([3.0, 2.0, 1.0])
        >>> found = node_importance_metrics(y, guess)
        >>> round(found["spearman"], 3), found["overlap@100"]
        (0.5, 1.0)
    """
    if k < 1 or y_true.shape != y_pred.shape:
        raise ValueError(
            f"k must be at least 1 and labels and predictions as many: got k={k}, "
            f"{list(y_true.shape)} and {list(y_pred.shape)}."
        )
    if index is not None:
        y_true, y_pred = y_true.index_select(0, index), y_pred.index_select(0, index)
    known = (~y_true.isnan()).nonzero().view(-1)
    y, guess = (part.index_select(0, known).double() for part in (y_true, y_pred.detach()))
    names = ("spearman", f"ndcg@{k}", f"overlap@{k}", "rmse", "median_ae")
    if not len(y):
        return dict.fromkeys(names, math.nan)
    most = min(k, len(y))
    by_label = y.sort(descending=True, stable=True).indices[:most]
    by_guess = guess.sort(descending=True, stable=True).indices[:most]
    discount = 1 / torch.log2(torch.arange(most, device=y.device).double() + 2)
    ideal = float((y.index_select(0, by_label) * discount).sum())
    gained = float((y.index_select(0, by_guess) * discount).sum())
    both = int(torch.isin(by_guess, by_label).sum())
    error = (guess - y).abs()
    figures = (
        spearman(y, guess.view(-1, 1)),
        gained / ideal if ideal else math.nan,
        both / most,
        float(error.square().mean().sqrt()),
        float(error.quantile(0.5)),
    )
    return dict(zip(names, figures, strict=True))
