"""What models and samplers of the user's own give, checked where it arrives."""

import pytest
import torch
from torch import nn

from graphattn.graph import CSRGraph
from graphattn.names import raised_in
from graphattn.ops.neighborhood import Neighborhood, sample_neighborhood
from graphattn.sampling.store import TokenStore
from graphattn.training.feeds import FullBatchFeed, TokenFeed
from graphattn.training.fitting import fit
from graphattn.training.options import FitOptions, TokenOptions


class Wrong(nn.Module):
    """Gives what it is told to."""

    def __init__(self, answer):
        super().__init__()
        self.weight, self.answer = nn.Parameter(torch.ones(1)), answer

    def forward(self, *args, **kwargs):
        """Return the answer."""
        return self.answer(self.weight)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda w: w * torch.ones(60, 4), r"Wrong must return \[60, 3\] .*: got \[60, 4\]"),
        (lambda w: w * torch.ones(60, 2), r"Wrong must return \[60, 3\] .*: got \[60, 2\]"),
        (lambda w: w * torch.ones(61, 3), r"Wrong must return \[60, 3\] .*: got \[61, 3\]"),
        (lambda w: w * torch.ones(60), r"Wrong must return \[60, 3\] .*: got \[60\]"),
        (lambda w: (w, w), r"Wrong must return a float tensor \[60, 3\]: got tuple"),
        (lambda w: torch.ones(60, 3).long(), r"a float tensor \[60, 3\]: got torch.int64"),
    ],
)
def test_logits_of_another_shape_are_refused_at_once(data, split, answer, words):
    feed = FullBatchFeed(data, split.train)
    with pytest.raises((ValueError, TypeError), match=words):
        fit(Wrong(answer), feed, split, options=FitOptions(epochs=1))


def test_logits_of_token_models_too(make_largegt, split):
    _, feed = make_largegt()
    with pytest.raises(ValueError, match=r"Wrong must return \[16, 3\] .*: got \[5, 3\]"):
        fit(Wrong(lambda w: w * torch.ones(5, 3)), feed, split, options=FitOptions(epochs=1))


def test_a_bug_in_a_model_is_noted_as_its_own(data, split):
    feed = FullBatchFeed(data, split.train)
    with pytest.raises(AttributeError, match="no attribute 'lin'") as caught:
        fit(Wrong(lambda w: w.lin), feed, split, options=FitOptions(epochs=1))
    assert raised_in(caught.value).startswith("the model ")
    assert raised_in(caught.value).endswith("test_feed.Wrong")


def test_a_model_without_parameters_is_refused(data, split):
    feed = FullBatchFeed(data, split.train)
    with pytest.raises(ValueError, match=r"a model must have parameters to train: got none in tor"):
        fit(nn.Identity(), feed, split, options=FitOptions(epochs=1))
    frozen = nn.Linear(3, 3).requires_grad_(False)
    with pytest.raises(ValueError, match="a model must have parameters to train"):
        fit(frozen, feed, split, options=FitOptions(epochs=1))


def drawn(change):
    def sampler(graph, seeds, num_samples, **options):
        return change(sample_neighborhood(graph, seeds, num_samples, **options), seeds)

    return sampler


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda n, s: tuple(n), r"must return a Neighborhood \(ids, mask, hop\): got tuple"),
        (lambda n, s: n._replace(hop=None), r"must return hop as torch.int64 .*: got NoneType"),
        (
            lambda n, s: Neighborhood(*(part[:, :-1] for part in n)),
            r"must return ids as torch.int64 \[4, 3\] \(seeds, samples\): got torch.int64 \[4, 2\]",
        ),
        (
            lambda n, s: n._replace(mask=n.mask.long()),
            r"must return mask as torch.bool \[4, 3\] .*: got torch.int64 \[4, 3\]",
        ),
        (lambda n, s: n._replace(ids=n.ids + 60), r"ids in 0\.\.59 with the seeds in column 0"),
        (lambda n, s: n._replace(ids=n.ids.flip(1)), r"with the seeds in column 0"),
        (lambda n, s: n._replace(mask=n.mask & False), r"in column 0, not masked"),
    ],
)
@pytest.mark.parametrize("num_workers", [0, 1])
def test_what_a_sampler_draws_is_checked(data, change, words, num_workers):
    store = TokenStore.in_memory(CSRGraph.from_data(data), data.x)
    options = TokenOptions(num_samples=3, batch_size=4, num_workers=num_workers)
    feed = TokenFeed(store, data.y, torch.arange(8), options=options, sampler=drawn(change))
    with pytest.raises((ValueError, TypeError), match=words):
        next(feed.train_batches(0))


def test_a_right_sampler_is_taken_and_a_bug_in_one_is_noted(data):
    store = TokenStore.in_memory(CSRGraph.from_data(data), data.x)
    options = TokenOptions(num_samples=3, batch_size=4)
    ours, own, broken = (
        TokenFeed(store, data.y, torch.arange(8), options=options, sampler=sampler)
        for sampler in (
            sample_neighborhood,
            drawn(lambda n, s: n),
            drawn(lambda n, s: n.missing),
        )
    )
    first, second = (next(feed.train_batches(0)) for feed in (ours, own))
    assert torch.equal(first.ids, second.ids)
    with pytest.raises(AttributeError, match="missing") as caught:
        next(broken.train_batches(0))
    assert raised_in(caught.value).startswith("the sampler ")
