"""Training labels as inputs: given to others, never to the node that is judged."""

import pytest
import torch
from torch import nn

from graphattn.graph import CSRGraph
from graphattn.models.gnn import GNN
from graphattn.models.largegt import LargeGT
from graphattn.sampling.store import TokenStore
from graphattn.sampling.widened import WidenedStore
from graphattn.training import FitOptions, fit
from graphattn.training.feeds import FullBatchFeed, TokenFeed
from graphattn.training.label_inputs import LabelInputs
from graphattn.training.options import TokenOptions

SIZES = {"num_samples": 6, "batch_size": 8, "eval_batch_size": 16}


def whole_graph(data, train, y, share=0.5):
    torch.manual_seed(0)
    labels = LabelInputs(y, train, share, out_channels=3) if share else None
    model = GNN(6 if share else 3, 8, 3, dropout=0.0)
    feed_data = data.clone()
    feed_data.y = y
    return model, FullBatchFeed(feed_data, train, out_channels=3, label_inputs=labels)


def tokens(data, train, y, share=0.5, *, dtype="float32", eval_batch_size=16):
    torch.manual_seed(0)
    store = TokenStore.in_memory(CSRGraph.from_data(data), data.x, num_own_hops=2, dtype=dtype)
    labels = LabelInputs(y, train, share, out_channels=3) if share else None
    model = LargeGT(
        6 if share else 3, 8, 3, num_own_hops=2, codebook_size=8, dropout=0.0, attention_dropout=0.0
    )
    options = TokenOptions(**{**SIZES, "eval_batch_size": eval_batch_size})
    feed = TokenFeed(store, y, train, options=options, out_channels=3, label_inputs=labels)
    return model, feed


@pytest.fixture(params=[whole_graph, tokens])
def make(request, data, split):
    """Makes a model and its feed for given labels, of either kind."""
    return lambda y, **options: request.param(data, split.train, y, **options)


def first_logits(model, feed, epoch=0):
    model.train()
    batch = next(feed.train_batches(epoch))
    return feed.seeds(batch), feed.forward(model, batch)[0].detach()


def test_each_epoch_draws_its_own_share(data, split):
    labels = LabelInputs(data.y, split.train, 0.4, seed=1)
    first, again, other = (labels.trained(epoch) for epoch in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len(first) == labels.num_trained == 33 - 13
    shown = labels.hiding(first)(torch.arange(60))
    given = shown.sum(1).nonzero().view(-1)
    assert torch.equal(given, split.train[~torch.isin(split.train, first)].sort()[0])
    assert torch.equal(shown[given].argmax(1), data.y[given])


def test_no_seed_of_an_epoch_sees_its_label_or_that_of_another_seed(make, data, split):
    labels = LabelInputs(data.y, split.train, 0.5, out_channels=3)
    judged = labels.trained(0)
    changed = data.y.clone()
    changed[judged] = (changed[judged] + 1) % 3
    seeds, logits = first_logits(*make(data.y))
    seeds_of_changed, logits_of_changed = first_logits(*make(changed))
    assert torch.equal(seeds, seeds_of_changed)
    assert torch.isin(seeds, judged).all()
    assert torch.equal(logits, logits_of_changed)


def test_what_is_given_is_seen(make, data, split):
    judged = LabelInputs(data.y, split.train, 0.5, out_channels=3).trained(0)
    given = split.train[~torch.isin(split.train, judged)]
    changed = data.y.clone()
    changed[given] = (changed[given] + 1) % 3
    assert not torch.equal(first_logits(*make(data.y))[1], first_logits(*make(changed))[1])


def test_labels_of_validation_and_test_nodes_are_never_shown(make, data, split):
    others = torch.cat([split.val, split.test])
    changed = data.y.clone()
    changed[others] = (changed[others] + 1) % 3
    nodes = torch.arange(60)
    for epoch in (0, 3):
        logits = [first_logits(*make(y), epoch)[1] for y in (data.y, changed)]
        assert torch.equal(*logits)
    predicted = [feed.predict(model, nodes) for model, feed in (make(data.y), make(changed))]
    assert torch.equal(*predicted)


def test_in_prediction_all_labels_are_given_but_to_no_node_its_own(make, data, split):
    nodes = torch.arange(60)
    model, feed = make(data.y)
    before = feed.predict(model, nodes)
    seen = torch.zeros(60, dtype=torch.bool)
    for node in split.train[:8].tolist():
        changed = data.y.clone()
        changed[node] = (changed[node] + 1) % 3
        model, feed = make(changed)
        after = feed.predict(model, nodes)
        assert torch.equal(before[node], after[node])
        seen |= (before != after).any(1)
    assert seen[split.val].any()
    assert seen[split.train].any()


def test_predictions_do_not_depend_on_what_else_is_asked(make, data):
    model, feed = make(data.y)
    every = feed.predict(model, torch.arange(60))
    some = torch.tensor([41, 3, 17])
    assert torch.allclose(feed.predict(model, some), every[some], atol=1e-6)
    assert feed.predict(model, some[:0]).shape == (0, 3)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_projecting_once_gives_the_same_as_batch_by_batch(data, split, dtype, monkeypatch):
    model, feed = tokens(data, split.train, data.y, dtype=dtype)
    once = feed.predict(model, torch.arange(60))
    monkeypatch.setattr("graphattn.training.feeds._MOST_TABLES", 0)
    assert torch.allclose(once, feed.predict(model, torch.arange(60)), atol=1e-5)


def test_labels_stand_beside_the_node_itself_and_are_not_propagated(data):
    store = TokenStore.in_memory(CSRGraph.from_data(data), data.x, num_own_hops=2)
    wide = WidenedStore(store, lambda nodes: torch.ones(len(nodes), 3), 3)
    nodes = torch.tensor([4, 9])
    rows = wide.gather(nodes)
    assert torch.equal(rows[:, :, :3], store.gather(nodes))
    assert (rows[:, 0, 3:] == 1).all()
    assert not rows[:, 1:, 3:].any()
    assert not wide.gather_own(nodes)[:, :, 3:].any()
    assert (wide.in_channels, wide.to("cpu").in_channels) == (6, 6)


def test_without_label_inputs_nothing_changes(data, split):
    for kind in (whole_graph, tokens):
        model, feed = kind(data, split.train, data.y, share=0.0)
        seeds, logits = first_logits(model, feed)
        assert logits.shape == (len(seeds), 3)
    assert feed.steps_per_epoch == 5


def test_an_epoch_is_trained_and_resumed(data, split, tmp_path):
    options = FitOptions(epochs=3, seed=0, save_seconds=0.0)
    model, feed = tokens(data, split.train, data.y)
    assert feed.steps_per_epoch == 3
    straight = fit(model, feed, split, options=options)
    model, feed = tokens(data, split.train, data.y)
    stopped = {"armed": True}
    forward = feed.forward

    def fails_once(*args):
        if feed_at(feed) == 4 and stopped.pop("armed", False):
            raise KeyboardInterrupt
        feed.calls = feed_at(feed) + 1
        return forward(*args)

    def feed_at(feed):
        return getattr(feed, "calls", 0)

    feed.forward = fails_once
    with pytest.raises(KeyboardInterrupt):
        fit(model, feed, split, options=options, out=tmp_path)
    model, feed = tokens(data, split.train, data.y)
    resumed = fit(model, feed, split, options=options, out=tmp_path, resume=True)
    assert torch.equal(straight.test_logits, resumed.test_logits)


def test_labels_of_neighbours_help_where_features_do_not(data, split):
    data.x = torch.zeros(60, 3)
    options = FitOptions(epochs=60, lr=0.05)
    found = {}
    for share in (0.0, 0.5):
        model, feed = whole_graph(data, split.train, data.y, share=share)
        found[share] = fit(model, feed, split, options=options).test
    assert found[0.5] > found[0.0] + 0.2


def test_binary_labels_are_plus_and_minus_one():
    y = torch.tensor([[0, 1], [1, -1], [1, 0]])
    shown = LabelInputs(y, torch.tensor([0, 1]), 0.5).hiding(torch.tensor([0]))
    assert shown(torch.arange(3)).tolist() == [[0, 0], [1, 0], [0, 0]]


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0.0, r"in \(0, 1\) to be used: got 0.0"),
        (1.0, "got 1.0"),
        (0.01, "label to give and one to train on: got 0.01 of 33"),
        (0.999, "got 0.999 of 33"),
    ],
)
def test_a_share_that_gives_or_trains_nothing_is_refused(data, split, share, said):
    with pytest.raises(ValueError, match=said):
        LabelInputs(data.y, split.train, share)


def test_a_model_of_the_wrong_width_is_told(data, split):
    feed = whole_graph(data, split.train, data.y)[1]

    class Narrow(nn.Module):
        def __init__(self):
            super().__init__()
            self.lin = nn.Linear(3, 3)

        def forward(self, x, adj):
            return self.lin(x)

    with pytest.raises(RuntimeError, match="60x6"):
        feed.predict(Narrow(), torch.arange(2))
