"""NodeClassifier: scikit-learn's manners, the command line's results."""

import pytest
import torch
from sklearn.base import clone
from torch_geometric.data import Data

from graphattn.config import DataOptions, RunConfig
from graphattn.datasets.bundled import karate
from graphattn.datasets.splits import Split
from graphattn.estimator import NodeClassifier
from graphattn.experiment import run_experiment
from graphattn.training.options import FitOptions, TokenOptions

SMALL = {"codebook_size": 16}


def largegt(**options):
    return NodeClassifier(
        hidden_channels=8, num_samples=5, epochs=3, model_options=SMALL, **options
    )


def test_fit_predict_score():
    data = karate()
    classifier = largegt()
    assert classifier.fit(data) is classifier
    classes, shares = classifier.predict(data), classifier.predict_proba(data)
    assert classes.shape == (34,)
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(34))
    assert torch.equal(classes, shares.argmax(dim=1))
    some = torch.tensor([3, 1])
    torch.testing.assert_close(classifier.predict_proba(data, some), shares[some])
    right = (classes == data.y)[data.test_mask].float().mean()
    assert classifier.score(data) == pytest.approx(float(right))
    assert classifier.score(data) == pytest.approx(classifier.fitted_.result.test)


def test_it_is_the_same_code_as_a_run():
    run = RunConfig(
        DataOptions("karate"),
        model_options={"hidden_channels": 8, **SMALL},
        tokens=TokenOptions(num_samples=5),
        train=FitOptions(epochs=3),
        seeds="4",
    )
    record = run_experiment(run, write=False).fits[0]
    result = largegt(seed=4).fit(karate()).fitted_.result
    assert (record.val, record.test) == (result.best_val, result.test)
    assert [e["loss"] for e in record.history] == [e["loss"] for e in result.history]


def test_same_seed_same_classifier_and_no_global_state():
    data = karate()
    first = largegt(seed=1).fit(data).predict_proba(data)
    torch.manual_seed(123)
    state = torch.get_rng_state()
    assert torch.equal(largegt(seed=1).fit(data).predict_proba(data), first)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(largegt(seed=2).fit(data).predict_proba(data), first)


def test_params_clone_and_repr():
    classifier = NodeClassifier("gcn", epochs=7)
    assert clone(classifier).get_params() == classifier.get_params()
    assert classifier.set_params(lr=0.5).lr == 0.5
    assert "epochs=7" in repr(classifier)
    with pytest.raises(ValueError, match=r"params must be among model, .*: got 'depth'"):
        classifier.set_params(depth=3)


def test_a_split_or_none():
    data = karate()
    whole = Data(x=data.x, y=data.y, edge_index=data.edge_index)
    everywhere = NodeClassifier("gcn", epochs=2).fit(whole)
    assert everywhere.fitted_.result.num_train == 34
    split = Split.from_indices([0, 33], [1], [2], num_nodes=34)
    chosen = NodeClassifier("gcn", epochs=2).fit(whole, split)
    assert chosen.fitted_.result.num_train == 2
    assert 0 <= chosen.score(whole) <= 1


@pytest.mark.parametrize("model", ["gcn", "largegt"])
def test_another_graph_without_labels(model):
    data = karate()
    options = SMALL if model == "largegt" else None
    classifier = NodeClassifier(model, epochs=2, hidden_channels=8, model_options=options)
    classifier.fit(data)
    other = Data(x=data.x[:20], edge_index=torch.tensor([[0, 1], [1, 2]]))
    assert classifier.predict(other).shape == (20,)
    wrong = Data(x=data.x[:, :3], edge_index=data.edge_index)
    with pytest.raises(ValueError, match="34 features it was fitted to: got 3"):
        classifier.predict(wrong)


def test_what_is_refused():
    data = karate()
    with pytest.raises(ValueError, match="call fit"):
        NodeClassifier().predict(data)
    with pytest.raises(ValueError, match=r"unknown key train[.]epoch"):
        NodeClassifier(config={"train": {"epoch": 3}}).fit(data)
    with pytest.raises(ValueError, match=r"write NodeClassifier\(epochs=3\)"):
        NodeClassifier(config={"train": {"epochs": 3}}).fit(data)
    with pytest.raises(ValueError, match=r"unknown key model[.]depth"):
        NodeClassifier(model_options={"depth": 3}).fit(data)
    with pytest.raises(ValueError, match="Did you mean 'gcn'"):
        NodeClassifier("gnc").fit(data)
    with pytest.raises(ValueError, match="no edge_index"):
        NodeClassifier().fit(Data(x=data.x, y=data.y))


def test_another_graph_is_scaled_as_the_first_one_was():
    data = karate()
    data.x = torch.randn(34, 3, generator=torch.Generator().manual_seed(0)) * 50 + 7
    options = {"data": {"features": "standardize"}}
    classifier = NodeClassifier("mlp", epochs=2, hidden_channels=8, config=options).fit(data)
    some = torch.arange(5)
    few = Data(x=data.x[:5], edge_index=torch.tensor([[0], [1]]))
    alone = classifier.predict_proba(few)
    torch.testing.assert_close(alone, classifier.predict_proba(data, some))


def test_missing_features_are_filled_as_asked():
    data = karate()
    data.x = data.x.clone()
    data.x[3] = float("nan")
    with pytest.raises(ValueError, match=r"NaN|finite"):
        NodeClassifier("mlp", epochs=1).fit(data)
    filled = NodeClassifier("mlp", epochs=1, config={"data": {"nan": "zero"}}).fit(data)
    assert filled.predict_proba(data).isfinite().all()
    with pytest.raises(ValueError, match=r"data.nan must be error, zero or mean here"):
        NodeClassifier("mlp", config={"data": {"nan": "drop"}}).fit(data)


def test_features_that_require_grad():
    data = karate()
    data.x = data.x.clone().requires_grad_()
    assert NodeClassifier("mlp", epochs=1).fit(data).predict(data).shape == (34,)


def test_prediction_runs_in_the_precision_of_training():
    options = {"train": {"autocast": "bfloat16"}}
    data = karate()
    classifier = NodeClassifier("mlp", epochs=1, hidden_channels=8, config=options).fit(data)
    judged = classifier.fitted_.result.test_logits.softmax(dim=1)
    nodes = data.test_mask.view(34, -1)[:, 0].nonzero().view(-1)
    assert torch.equal(classifier.predict_proba(data, nodes), judged)


def test_label_inputs_work_on_the_graph_fitted_to_alone():
    club = karate()
    given = {"train": {"label_inputs": 0.5}}
    fitted = NodeClassifier("gcn", hidden_channels=8, epochs=2, config=given).fit(club)
    assert fitted.predict(club).shape == (34,)
    other = club.clone()
    other.x = 2 * other.x
    with pytest.raises(ValueError, match=r"train\.label_inputs must be 0 .* got 0\.5"):
        fitted.predict(other)


def test_correct_and_smooth_is_for_runs():
    smoothed = {"train": {"correct_and_smooth": True}}
    with pytest.raises(ValueError, match=r"train\.correct_and_smooth must be false here"):
        NodeClassifier("gcn", config=smoothed).fit(karate())
