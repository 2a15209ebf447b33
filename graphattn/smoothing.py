"""A trained model judged once more after Correct & Smooth, as chosen on validation nodes."""

from typing import Any

import torch
from torch import Tensor, nn

from graphattn.datasets.splits import Split
from graphattn.hypergraph import Incidence
from graphattn.ops.correct_and_smooth import correct, smooth
from graphattn.task import Task
from graphattn.training.feed import Feed
from graphattn.training.labels import is_labelled
from graphattn.training.metrics import Metric, metric_by_name

_ALPHAS = (0.5, 0.8, 0.95)
_LEAST = 1e-12  # of a score, before its logarithm


def smoothed_figures(model: nn.Module, feed: Feed, task: Task, split: Split) -> dict[str, Any]:
    """Correct and smooth a model's predictions, and judge them.

    Both scalings and three alphas are tried for the correction, then three alphas for the
    smoothing, each against leaving that step out; what is best on the validation nodes is kept,
    the earlier of equals. Only labels of training nodes are spread. A directed graph is taken with
    the reverse of its edges.

    Args:
        model: Trained.
        feed: What feeds it.
        task: Graph, labels and metric.
        split: Nodes to spread from, to choose by and to judge.

    Returns:
        `val` and `test`, the metric; `scaling`, `correct_alpha` and `smooth_alpha` as chosen, None
        where a step is left out.

    Raises:
        ValueError: There are no validation nodes to choose by.

    Example:
        >>> from graphattn.building import build_feed, build_model
        >>> from graphattn.config import DataOptions, RunConfig
        >>> from graphattn.task import load_task
        >>> config = RunConfig(DataOptions("karate"), model="gcn")
        >>> task = load_task(config.data)
        >>> split, model = task.splits[0], build_model(config, task, seed=0)
        >>> feed = build_feed(config, task, split.train, seed=0, store=None)
        >>> sorted(smoothed_figures(model, feed, task, split))
        ['correct_alpha', 'scaling', 'smooth_alpha', 'test', 'val']
    """
    if not len(split.val):
        raise ValueError("correct_and_smooth chooses on validation nodes: got none.")
    graph = task.graph if task.graph.is_undirected else task.graph.to_undirected()
    nodes = torch.arange(graph.num_nodes)
    scores = feed.predict(model, nodes).float().softmax(1)
    train = split.train.index_select(0, is_labelled(task.y[split.train]).nonzero().view(-1))
    judge = _Judge(metric_by_name(task.metric), task.y, split.val)
    known = (task.y, train)
    best, found = judge(scores), scores
    chosen: dict[str, Any] = {"scaling": None, "correct_alpha": None, "smooth_alpha": None}
    for scaling in ("auto", "fixed"):
        for alpha in _ALPHAS:
            tried = correct(graph, scores, *known, alpha=alpha, scaling=scaling)
            if (value := judge(tried)) > best:
                best, found = value, tried
                chosen |= {"scaling": scaling, "correct_alpha": alpha}
    corrected = found
    for alpha in _ALPHAS:
        tried = smooth(graph, corrected, *known, alpha=alpha)
        if (value := judge(tried)) > best:
            best, found = value, tried
            chosen["smooth_alpha"] = alpha
    judge_test = _Judge(judge.metric, task.y, split.test)
    return {"val": best, "test": judge_test(found), **chosen}


class _Judge:
    """The metric of some nodes; scores count as probabilities."""

    def __init__(self, metric: Metric, y: Tensor, nodes: Tensor) -> None:
        self.metric, self._y, self._nodes = metric, y.index_select(0, nodes), nodes

    def __call__(self, scores: Tensor) -> float:
        logits = scores.index_select(0, self._nodes).double().clamp(min=_LEAST).log()
        return self.metric(self._y, logits)


def refuse_smoothing(task: Task) -> None:
    """Refuse what cannot be corrected and smoothed.

    Raises:
        ValueError: There are several labels a node, or it is a hypergraph.

    Example:
        >>> from graphattn.config import DataOptions
        >>> from graphattn.task import load_task
        >>> refuse_smoothing(load_task(DataOptions("karate")))
    """
    if isinstance(task.structure, Incidence):
        raise ValueError(
            f"train.correct_and_smooth needs a graph: {task.options.title} is a hypergraph; leave "
            "it out."
        )
    if task.y.dim() != 1:
        raise ValueError(
            f"train.correct_and_smooth needs one class a node: got {task.y.shape[1]} labels; "
            "leave it out."
        )
