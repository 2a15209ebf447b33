"""Feeds: the graph as a layer would see it, batches that repeat, codes that are carried."""

import pytest
import torch
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import GATConv, SAGEConv

from graphattn.graph import CSRGraph
from graphattn.sampling.store import TokenStore
from graphattn.training import feeds
from graphattn.training.feed import Feed, evaluating
from graphattn.training.feeds import FullBatchFeed, TokenFeed
from graphattn.training.labels import classes, trainable
from graphattn.training.options import TokenOptions


def test_the_sparse_form_is_the_edge_list_of_pyg(data):
    edge_index = torch.tensor([[0, 1, 2, 2, 5], [1, 2, 0, 4, 5]])
    data = Data(x=data.x, y=data.y, edge_index=edge_index)
    feed = FullBatchFeed(data, torch.arange(9))
    conv = SAGEConv(3, 3).eval()
    assert torch.allclose(feed.predict(conv, torch.arange(60)), conv(data.x, edge_index))


def test_a_model_may_want_the_edge_list(data):
    class Attends(nn.Module):
        wants_edge_index = True

        def __init__(self) -> None:
            super().__init__()
            self.conv = GATConv(3, 3)

        def forward(self, x: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
            assert edges.shape[0] == 2
            return self.conv(x, edges)

    model = Attends()
    logits, y = FullBatchFeed(data, torch.arange(9)).forward(model, torch.arange(9))
    assert logits.shape == (9, 3)
    assert torch.equal(y, data.y[:9])
    expected = model(data.x, CSRGraph.from_data(data).edge_index())[:9]
    assert torch.allclose(logits, expected, atol=1e-6)


def test_both_are_feeds(make_line, make_largegt):
    assert isinstance(make_line()[1], Feed)
    assert isinstance(make_largegt()[1], Feed)


def test_full_batch_has_no_state(make_line):
    feed = make_line()[1]
    feed.load_state_dict(feed.state_dict())
    with pytest.raises(ValueError, match=r"no state: got \['codes'\]"):
        feed.load_state_dict({"codes": torch.ones(1)})


def test_token_batches_depend_on_the_epoch_and_on_nothing_else(make_largegt):
    feed, threaded = make_largegt()[1], make_largegt(num_workers=2)[1]
    assert feed.steps_per_epoch == 3
    first, again, other = (list(feed.train_batches(e)) for e in (1, 1, 2))
    elsewhere = list(threaded.train_batches(1))
    assert [len(batch.seeds) for batch in first] == [16, 16, 1]
    for one, two, three in zip(first, again, elsewhere, strict=True):
        for name in ("seeds", "rows", "ids", "mask", "hop"):
            assert torch.equal(getattr(one, name), getattr(two, name))
            assert torch.equal(getattr(one, name), getattr(three, name))
    assert not torch.equal(first[0].seeds, other[0].seeds)
    seeds = torch.cat([batch.seeds for batch in other])
    assert torch.equal(seeds.sort()[0], feed.train_nodes.sort()[0])


def test_prediction_repeats_and_moves_no_code(make_largegt):
    model, feed = make_largegt()
    nodes = torch.tensor([5, 0, 59, 7])
    first = feed.predict(model.train(), nodes)
    list(feed.train_batches(4))
    assert torch.equal(feed.predict(model, nodes), first)
    assert torch.equal(feed.predict(model, nodes[2:]), first[2:])
    assert torch.equal(feed.codes, torch.full((60,), -1, dtype=torch.int32))
    assert all(part.training for part in model.modules())
    assert feed.predict(model, nodes[:0]).shape == (0, 3)


def test_prediction_is_the_same_where_rows_are_projected_once(make_largegt, monkeypatch):
    model, feed = make_largegt(eval_batch_size=16)
    nodes = torch.randperm(60)
    projected = []
    project = model.project
    monkeypatch.setattr(model, "project", lambda rows: projected.append(len(rows)) or project(rows))
    once = feed.predict(model, nodes)
    assert projected == [60]
    monkeypatch.setattr(feeds, "_MOST_TABLES", 0)
    torch.testing.assert_close(feed.predict(model, nodes), once, rtol=0, atol=1e-6)
    assert len(projected) == 1 + 4


def test_codes_are_carried_for_the_training_nodes(make_largegt):
    model, feed = make_largegt()
    model.train()
    for batch in feed.train_batches(0):
        feed.forward(model, batch)
    seen = (feed.codes >= 0).nonzero().view(-1)
    assert torch.equal(seen, feed.train_nodes.sort()[0])
    other = make_largegt()[1]
    other.load_state_dict(feed.state_dict())
    assert torch.equal(other.codes, feed.codes)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({}, r"nodes and codes: got \[\]"),
        ({"nodes": torch.tensor([60]), "codes": torch.tensor([0])}, "60 nodes: got node 60"),
    ],
)
def test_codes_of_another_graph_are_refused(make_largegt, state, words):
    with pytest.raises(ValueError, match=words):
        make_largegt()[1].load_state_dict(state)


def test_torch_keeps_its_threads(make_largegt):
    threads = torch.get_num_threads()
    try:
        model, feed = make_largegt()
        torch.set_num_threads(1)
        for batch in feed.train_batches(0):
            assert torch.get_num_threads() == 1
            feed.forward(model, batch)
        feed.predict(model, torch.arange(20))
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)


def test_labels_that_are_no_classes(data):
    with pytest.raises(ValueError, match=r"integers with -1 .* got torch.float32 of shape \(3,\)"):
        classes(torch.tensor([0.0, 1.0, 2.0]))
    with pytest.raises(ValueError, match=r"of shape \(2, 3\)"):
        classes(torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"must be binary, 0 or 1, .* got 2"):
        classes(torch.full((2, 3), 2))
    with pytest.raises(ValueError, match="must hold 4 labels a node: got 3"):
        classes(torch.zeros(2, 3, dtype=torch.long), 4)
    y, count = classes(torch.tensor([[0, -3], [1, 1]]))
    assert (y.tolist(), count) == ([[0, -1], [1, 1]], 2)
    with pytest.raises(ValueError, match=r"must lie in 0..1: got 20 labels up to 2"):
        FullBatchFeed(data, torch.arange(3), out_channels=2)
    y, count = classes(torch.tensor([-7, 0]))
    assert (y.tolist(), count) == ([-1, 0], 1)


def test_training_nodes_without_a_label(caplog):
    y = torch.tensor([0, -1, 1])
    assert trainable(torch.tensor([0, 1, 2]), y).tolist() == [0, 2]
    assert trainable(torch.tensor([2, 0, 2]), y).tolist() == [0, 2]
    assert "1 training nodes have no label" in caplog.text
    with pytest.raises(ValueError, match="got 1 nodes, none with a label"):
        trainable(torch.tensor([1]), y)
    with pytest.raises(ValueError, match=r"must lie in 0..2: got 0..3"):
        trainable(torch.tensor([0, 3]), y)


def test_what_does_not_fit_is_named(data, split):
    with pytest.raises(ValueError, match=r"x and y as tensors: got keys \['edge_index'\]"):
        FullBatchFeed(Data(edge_index=data.edge_index), split.train)
    store = TokenStore.in_memory(CSRGraph.from_data(data), data.x)
    with pytest.raises(ValueError, match="got 59 labels for 60 nodes"):
        TokenFeed(store, data.y[:59], split.train, options=TokenOptions())


def test_evaluation_mode_gives_each_part_its_own_back():
    model = nn.Sequential(nn.Dropout(), nn.Dropout())
    model[0].eval()
    with pytest.raises(KeyError), evaluating(model):
        assert not model.training
        raise KeyError
    assert (model.training, model[0].training, model[1].training) == (True, False, True)
