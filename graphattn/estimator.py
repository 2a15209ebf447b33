"""A node classifier in the manner of scikit-learn, over the same code as the command line."""

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.data import Data

from graphattn.building import build_feed, takes_tokens
from graphattn.config import RunConfig
from graphattn.datasets.splits import Split
from graphattn.experiment import Fitted, run_one
from graphattn.store_building import build_store
from graphattn.task import Task, task_of
from graphattn.training.feed import Feed, autocast, device_of
from graphattn.training.metrics import metric_by_name
from graphattn.training.options import FitOptions


class NodeClassifier:
    """Fits a model to the labelled nodes of a graph and predicts the classes of any.

    Args:
        model: A short name (largegt, mlp, gcn, sage, gat, gcnii, sgformer, polynormer), or the
            import path of a model of your own.
        hidden_channels: Width of the model.
        num_samples: Tokens a seed, itself included (token models).
        epochs: Passes over the training nodes, at most.
        lr: Learning rate.
        seed: Of weights, batches, tokens and dropout; the same seed gives the same classifier.
        model_options: Further keyword arguments of the model.
        config: Everything else, in the sections and by the keys of a run's YAML file, such as
            `{"train": {"patience": 20}, "tokens": {"num_own_hops": 8}}`.

    Attributes:
        fitted_: Figures, model and feed of the fit.
        task_: The data it was fitted to, as the model sees them.

    Example:
        >>> from graphattn.datasets.bundled import karate
        >>> data = karate()
        >>> classifier = NodeClassifier("gcn", hidden_channels=8, epochs=20, lr=0.05)
        >>> classifier.fit(data).predict(data).shape
        torch.Size([34])
    """

    def __init__(
        self,
        model: str = "largegt",
        *,
        hidden_channels: int = 64,
        num_samples: int = 20,
        epochs: int = FitOptions.epochs,
        lr: float = FitOptions.lr,
        seed: int = 0,
        model_options: Mapping[str, Any] | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        self.model = model
        self.hidden_channels = hidden_channels
        self.num_samples = num_samples
        self.epochs = epochs
        self.lr = lr
        self.seed = seed
        self.model_options = model_options
        self.config = config

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the arguments of the constructor by name; `deep` is scikit-learn's and ignored."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **params: Any) -> "NodeClassifier":
        """Change arguments of the constructor; takes effect at the next `fit`.

        Raises:
            ValueError: There is no such argument.
        """
        known = self.get_params()
        for name, value in params.items():
            if name not in known:
                raise ValueError(f"params must be among {', '.join(known)}: got {name!r}.")
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        """Show the arguments of the constructor."""
        given = ", ".join(f"{name}={value!r}" for name, value in self.get_params().items())
        return f"{type(self).__name__}({given})"

    def fit(self, data: Data, split: Split | None = None) -> "NodeClassifier":
        """Fit to labelled nodes.

        Args:
            data: `x`, `y` (-1 for unlabelled), `edge_index`; and `train_mask`, `val_mask`,
                `test_mask` unless `split` is given. Without either, all labelled nodes are
                trained on.
            split: Nodes to train on, to choose by, and to test on.

        Returns:
            Itself.

        Raises:
            ValueError: The data or an option is wrong.
            graphattn.training.errors.NonFiniteLoss: The training diverged.
        """
        run = self._run_config()
        masked = split is None and data.get("train_mask") is not None
        task = task_of(data, run.data, need_splits=masked)
        if not masked:
            labelled = (task.y >= 0).nonzero().view(-1)
            chosen = split or Split(labelled, labelled[:0], labelled[:0])
            task = replace(task, splits=[chosen])
        store = build_store(run, task) if takes_tokens(run.model) else None
        self.task_: Task = task
        self.fitted_: Fitted = run_one(run, task, split=0, seed=self.seed, store=store, out=None)
        return self

    def predict(
        self, data: Data, nodes: Int[Tensor, " nodes"] | None = None
    ) -> Int[Tensor, " nodes"]:
        """Return the most probable class of nodes.

        Args:
            data: The graph fitted to, or another with the same features; it needs no labels.
            nodes: Which nodes; by default all.

        Raises:
            ValueError: It was not fitted, or the features have another size.
        """
        return self._logits(data, nodes).argmax(dim=1)

    def predict_proba(
        self, data: Data, nodes: Int[Tensor, " nodes"] | None = None
    ) -> Float[Tensor, "nodes classes"]:
        """Return the probability of each class of nodes; arguments as of `predict`."""
        return self._logits(data, nodes).softmax(dim=1)

    def score(self, data: Data, nodes: Int[Tensor, " nodes"] | None = None) -> float:
        """Return the metric of the data set the classifier was fitted to (accuracy by default).

        Args:
            data: With labels.
            nodes: Which nodes; by default those of `test_mask` (its first column), without one
                all that have a label.

        Returns:
            The metric, NaN without a labelled node.
        """
        if nodes is None and isinstance(mask := data.get("test_mask"), Tensor):
            nodes = mask.view(len(mask), -1)[:, 0].nonzero().view(-1)
        if nodes is None:
            nodes = torch.arange(int(data.num_nodes or 0))
        logits = self._logits(data, nodes)
        return metric_by_name(self.task_.metric)(data.y.view(-1).index_select(0, nodes), logits)

    def _run_config(self) -> RunConfig:
        sections = {key: dict(value) for key, value in (self.config or {}).items()}
        for name, key in (("tokens", "num_samples"), ("train", "epochs"), ("train", "lr")):
            if key in sections.setdefault(name, {}):
                raise ValueError(
                    f"{key} is an argument of its own: got it in config too; "
                    f"write NodeClassifier({key}={sections[name][key]!r})."
                )
            sections[name][key] = getattr(self, key)
        if sections.get("data", {}).get("nan") == "drop":
            raise ValueError(
                "data.nan must be error, zero or mean here, where a class is due for every node: "
                "got 'drop'."
            )
        sections["data"] = {"name": "data", **sections.get("data", {})}
        options = {"hidden_channels": self.hidden_channels, **(self.model_options or {})}
        sections["model"] = {"name": self.model, **options}
        run = RunConfig.from_mapping({**sections, "seeds": str(self.seed)})
        if run.labels.correct_and_smooth:
            raise ValueError(
                "train.correct_and_smooth must be false here, where single nodes are predicted: "
                "got true; graphattn.ops.correct_and_smooth mends predictions."
            )
        return run

    def _logits(self, data: Data, nodes: Tensor | None) -> Tensor:
        if not hasattr(self, "fitted_"):
            raise ValueError("predict needs a fitted classifier: call fit(data) first.")
        if data.get("y") is None:
            data = data.clone()
            data.y = torch.zeros(int(data.num_nodes or 0), dtype=torch.long)
        task = task_of(data, self.task_.options, need_splits=False, scale=self.task_.scale)
        if task.x.size(1) != self.task_.x.size(1):
            raise ValueError(
                f"data must have the {self.task_.x.size(1)} features it was fitted to: "
                f"got {task.x.size(1)}."
            )
        nodes = torch.arange(task.num_nodes) if nodes is None else nodes
        feed, model = self._feed(task), self.fitted_.model
        with autocast(device_of(model), self._run_config().train):
            return feed.predict(model, nodes)

    def _feed(self, task: Task) -> Feed:
        if _seen(task) == _seen(self.task_) and torch.equal(task.x, self.task_.x):
            return self.fitted_.feed
        run = self._run_config()
        if run.labels.label_inputs:
            raise ValueError(
                "train.label_inputs must be 0 to predict on a graph other than that fitted to, "
                f"whose labels are the inputs: got {run.labels.label_inputs}."
            )
        unlabelled = replace(task, y=torch.zeros_like(task.y), num_classes=self.task_.num_classes)
        store = build_store(run, task, write=False) if takes_tokens(run.model) else None
        return build_feed(run, unlabelled, torch.zeros(1).long(), seed=self.seed, store=store)


def _seen(task: Task) -> tuple[object, ...]:
    """What a model sees of the nodes' relations, and how many features there are."""
    types = None if task.hyperedge_type is None else task.hyperedge_type.tolist()
    return task.structure.digest(), task.x.shape, types
