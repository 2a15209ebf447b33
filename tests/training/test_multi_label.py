"""Several binary labels a node: the loss, what is unlabelled, training and resuming."""

import math

import pytest
import torch
from torch.nn import functional as F

from graphattn.graph import CSRGraph
from graphattn.models.gnn import GNN
from graphattn.models.largegt import LargeGT
from graphattn.sampling.store import TokenStore
from graphattn.training import FitOptions, TokenOptions, fit
from graphattn.training.feeds import FullBatchFeed, TokenFeed
from graphattn.training.labels import is_labelled, trainable
from graphattn.training.objective import mean_loss


@pytest.fixture
def many(data):
    """The planted graph with two tasks: which class it is, with some entries unlabelled."""
    data.y = F.one_hot(data.y, 3)[:, :2].clone()
    data.y[::7, 0] = -1
    data.y[::14, 1] = -1
    return data


def test_each_known_label_counts_once():
    logits = torch.tensor([[0.3, -2.0], [1.0, 0.5]], dtype=torch.float64, requires_grad=True)
    y = torch.tensor([[1, -1], [0, 1]])
    known = [(0.3, 1), (1.0, 0), (0.5, 1)]
    by_hand = [-math.log(1 / (1 + math.exp(-z if label else z))) for z, label in known]
    mean, weight = mean_loss(logits, y)
    assert weight == 3
    assert mean.item() == pytest.approx(sum(by_hand) / 3, abs=1e-12)
    mean.backward()
    assert logits.grad[0, 1] == 0
    smoothed, _ = mean_loss(logits, y, label_smoothing=0.2)
    other, _ = mean_loss(logits, torch.where(y < 0, -1, 1 - y))
    assert smoothed.item() == pytest.approx(0.9 * mean.item() + 0.1 * other.item(), abs=1e-12)


def test_a_batch_without_a_label_weighs_nothing():
    logits = torch.ones(2, 3, requires_grad=True)
    mean, weight = mean_loss(logits, torch.full((2, 3), -1))
    mean.backward()
    assert (mean.item(), weight, logits.grad.abs().sum()) == (0.0, 0.0, 0.0)


def test_a_node_is_trained_on_if_it_has_any_label(many):
    nodes = torch.arange(60)
    labelled = trainable(nodes, many.y)
    assert torch.equal(labelled, nodes[is_labelled(many.y)])
    assert len(labelled) == 60 - 5


def test_both_kinds_of_models_learn_and_resume(many, split, tmp_path):
    store = TokenStore.in_memory(CSRGraph.from_data(many), many.x)
    options = TokenOptions(num_samples=6, batch_size=8)

    def make(kind):
        torch.manual_seed(0)
        if kind == "tokens":
            return LargeGT(3, 16, 2, codebook_size=8), TokenFeed(
                store, many.y, split.train, options=options
            )
        return GNN(3, 16, 2), FullBatchFeed(many, split.train)

    for kind, epochs in (("tokens", 15), ("whole", 60)):
        fitting = FitOptions(epochs=epochs, lr=0.02, save_seconds=0.0)
        model, feed = make(kind)
        straight = fit(model, feed, split, options=fitting, metric="rocauc")
        assert straight.test > 0.7
        assert straight.confusion == []
        assert straight.test_logits.shape == (15, 2)
        for part in (FitOptions(**{**vars(fitting), "epochs": epochs}), fitting):
            model, feed = make(kind)
            out = tmp_path / kind
            again = fit(model, feed, split, options=part, metric="rocauc", out=out, resume=True)
        assert torch.equal(straight.test_logits, again.test_logits)
        assert math.isfinite(again.history[0]["val_loss"])


def test_what_one_label_a_node_needs_is_refused(many, split):
    feed = FullBatchFeed(many, split.train)
    with pytest.raises(ValueError, match="class_weights must be False for several labels"):
        fit(GNN(3, 4, 2), feed, split, options=FitOptions(class_weights=True), metric="rocauc")
    with pytest.raises(ValueError, match="one label a node: got 2"):
        fit(GNN(3, 4, 2), feed, split, options=FitOptions(epochs=1), metric="accuracy")
