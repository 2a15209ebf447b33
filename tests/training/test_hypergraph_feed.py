"""Feeds of hypergraphs: whole and in batches, labels shown, losses of the model's own."""

from typing import NamedTuple

import pytest
import torch
from hypergraph_sets import NODES, make_data
from torch import Tensor, nn

from graphattn.models.edhnn import EDHNN
from graphattn.models.hypergraph_transformer import HypergraphTransformer
from graphattn.models.mlp import MLP
from graphattn.training.feeds import FullBatchFeed
from graphattn.training.fitting import fit
from graphattn.training.hypergraph_call import start_from_mean
from graphattn.training.hypergraph_feed import HypergraphFeed
from graphattn.training.label_inputs import LabelInputs
from graphattn.training.options import FitOptions, TokenOptions

ALL = TokenOptions(hyperedges=-1, members=-1, num_hops=2, batch_size=8, eval_batch_size=7)


class Split(NamedTuple):
    train: Tensor
    val: Tensor
    test: Tensor


def split_of(data):
    return Split(*(data[f"{part}_mask"].nonzero().view(-1) for part in ("train", "val", "test")))


def make_model(**options):
    torch.manual_seed(0)
    return HypergraphTransformer(3, 8, 3, heads=2, num_layers=2, **options)


@pytest.mark.parametrize("typed", [False, True])
def test_batches_at_full_fanout_predict_what_the_whole_predicts(typed):
    data = make_data(typed=typed)
    model = make_model(num_types=2 if typed else None).double()
    data.x = data.x.double()
    train = split_of(data).train
    nodes = torch.randperm(NODES)
    whole = FullBatchFeed(data, train)
    parts = HypergraphFeed(data, train, options=ALL)
    expected = whole.predict(model, nodes)
    torch.testing.assert_close(parts.predict(model, nodes), expected, rtol=0, atol=1e-6)
    twice = parts.predict(model, torch.tensor([4, 9, 4]))
    torch.testing.assert_close(twice[0], twice[2], rtol=0, atol=0)
    assert model.training


def test_a_pass_trains_on_every_seed_once_in_an_order_of_the_epoch():
    data = make_data()
    train = split_of(data).train
    feed = HypergraphFeed(data, train, options=ALL, seed=3)
    seen = [torch.cat([feed.seeds(batch) for batch in feed.train_batches(e)]) for e in (0, 1, 0)]
    assert feed.steps_per_epoch == 4
    assert all(sorted(ids.tolist()) == train.tolist() for ids in seen)
    assert torch.equal(seen[0], seen[2])
    assert not torch.equal(seen[0], seen[1])
    model, batch = make_model(), next(feed.train_batches(0))
    logits, y = feed.forward(model, batch)
    assert logits.shape == (8, 3)
    assert torch.equal(y, data.y[seen[0][:8]])
    assert feed.state_dict() == {}
    with pytest.raises(ValueError, match=r"has no state: got \['codes'\]"):
        feed.load_state_dict({"codes": torch.zeros(1)})


def test_labels_stand_beside_features_but_never_ones_own():
    data = make_data()
    split = split_of(data)
    shown = LabelInputs(data.y, split.train, 0.5, out_channels=3)
    torch.manual_seed(0)
    model = EDHNN(6, 8, 3).eval()
    feeds = [
        FullBatchFeed(data, split.train, label_inputs=shown),
        HypergraphFeed(data, split.train, options=ALL, label_inputs=shown),
    ]
    whole, parts = (feed.predict(model, torch.arange(NODES)) for feed in feeds)
    torch.testing.assert_close(whole, parts, rtol=0, atol=1e-5)
    batch = next(feeds[1].train_batches(0))
    assert batch.x.shape[1] == 6
    assert (batch.x[: batch.batch_size, 3:] == 0).all()
    assert feeds[1].steps_per_epoch == 2


def test_a_model_that_sees_no_edges_is_called_with_features_alone():
    data = make_data(typed=True)
    feed = FullBatchFeed(data, split_of(data).train)
    model = MLP(3, 8, 3).eval()
    got = feed.predict(model, torch.arange(5))
    torch.testing.assert_close(got, model(data.x[:5]).detach(), rtol=0, atol=1e-6)


class Scores(NamedTuple):
    score: Tensor
    parts: Tensor


class OwnLoss(nn.Module):
    """Gives numbers, with a loss and a first bias of its own, from two inputs."""

    takes_text = True

    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(3, 1)
        self.losses: list[int] = []
        self.text: Tensor | None = None

    def init_bias(self, mean: float) -> None:
        nn.init.constant_(self.lin.bias, mean)

    def forward(self, x, x_text, hypergraph):
        self.text = x_text
        score = self.lin(x).view(-1) * (hypergraph.degree() >= 0)
        return Scores(score, x)

    def loss(self, output, y, index, power=2):
        self.losses.append(len(index))
        error = (output.score - y).abs()[index]
        return error.pow(power).mean(), {"error": error}


@pytest.mark.parametrize("sampled", [False, True])
def test_a_loss_of_the_models_own_and_a_second_input(sampled):
    data = make_data(numbers=True)
    data.x_text = torch.ones(NODES, 2)
    split = split_of(data)
    feed = FullBatchFeed(data, split.train)
    if sampled:
        feed = HypergraphFeed(data, split.train, options=ALL)
    model, labelled = OwnLoss(), len(split.train) - int(data.y[split.train].isnan().sum())
    mean = float(data.y[split.train].nanmean())
    assert feed.out_channels == 1
    feed.reset(model)
    assert float(model.lin.bias.detach()) == pytest.approx(mean)
    options = FitOptions(epochs=40, lr=0.05)
    result = fit(model, feed, split, options=options, metric="spearman")
    assert sum(model.losses) == 40 * labelled
    assert model.text.shape[1] == 2
    assert result.history[-1]["loss"] < 0.5 * result.history[0]["loss"]
    assert result.best_val > 0.5
    assert result.confusion == []


def test_numbers_are_learnt_by_squared_errors():
    data = make_data(numbers=True)
    split = split_of(data)
    torch.manual_seed(0)
    model = HypergraphTransformer(3, 8, 1, heads=2, dropout=0.0, input_dropout=0.0)
    feed = FullBatchFeed(data, split.train)
    start_from_mean(model, data.y, feed.train_nodes)
    logits, y = feed.forward(model, feed.train_nodes)
    expected = (logits.view(-1) - y).square().mean().item()
    result = fit(model, feed, split, options=FitOptions(epochs=30, lr=0.01), metric="spearman")
    assert result.history[0]["loss"] == pytest.approx(expected, rel=0.3)
    assert result.history[-1]["loss"] < 0.5 * result.history[0]["loss"]
    assert result.test > 0.5


@pytest.mark.parametrize(
    ("option", "words"),
    [({"class_weights": True}, "for numbers"), ({"label_smoothing": 0.1}, "is for classes")],
)
def test_options_of_classes_are_refused_for_numbers(option, words):
    data = make_data(numbers=True)
    split = split_of(data)
    feed = FullBatchFeed(data, split.train)
    with pytest.raises(ValueError, match=words):
        fit(OwnLoss(), feed, split, options=FitOptions(**option), metric="spearman")


def test_nothing_to_draw_and_wrong_counts():
    data = make_data()
    with pytest.raises(ValueError, match=r"needs options\.hyperedges and members: got none"):
        HypergraphFeed(data, split_of(data).train, options=TokenOptions())
    with pytest.raises(ValueError, match="must be given together: got 3 and None"):
        TokenOptions(hyperedges=3)
    with pytest.raises(ValueError, match=r"tokens\.members must be at least 1, or -1.*: got 0"):
        TokenOptions(hyperedges=3, members=0)
