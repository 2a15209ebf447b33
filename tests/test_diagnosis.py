"""What is measured of a run: the function that predicts, whatever form the model has."""

from pathlib import Path

import pytest
import torch
from torch import nn

from graphattn.config import DataOptions, RunConfig, StoreOptions
from graphattn.diagnosis import of_run
from graphattn.diagnostics.subject import Subject
from graphattn.experiment import run_experiment
from graphattn.prediction import load_run
from graphattn.training.options import FitOptions, TokenOptions


class TakesSparse(nn.Module):
    """A model of the user's own that takes the sparse adjacency."""

    wants_edge_index = False

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.lin = nn.Linear(in_channels, out_channels)

    def forward(self, x, adj):
        return adj @ self.lin(x)


def run(model, folder, **options):
    config = RunConfig(
        DataOptions("karate"),
        model=model,
        model_options=options,
        store=StoreOptions(pe="random_walk", pe_channels=4, num_own_hops=2),
        tokens=TokenOptions(num_samples=5),
        train=FitOptions(epochs=1),
        device="cpu",
        out=str(folder),
    )
    run_experiment(config)
    return load_run(Path(folder), device="cpu", trust=True)


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("gcn", {"num_layers": 3, "norm": "batch"}),
        ("sage", {}),
        ("gat", {"heads": 2}),
        ("gcn", {"residual": True}),
        ("sgformer", {}),
        ("mlp", {}),
        ("gcnii", {}),
        ("largegt", {"hidden_channels": 8, "codebook_size": 4, "global_channels": 4}),
        ("test_diagnosis.TakesSparse", {}),
    ],
)
def test_what_is_measured_gives_the_logits_that_predict(tmp_path, model, options):
    trained = run(model, tmp_path / "a", **options)
    diagnosed = of_run(trained, tmp_path / "a")
    nodes = torch.arange(34)
    subject = Subject(diagnosed.model.eval(), diagnosed.data)
    with torch.no_grad():
        measured = subject.whole(diagnosed.data.x, nodes if subject.takes_seeds else None)
    expected = trained.feed.predict(trained.model, nodes)
    torch.testing.assert_close(measured, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(diagnosed.predict(nodes), expected.argmax(1))
    assert diagnosed.about["model"] == model.rpartition(".")[2]


def test_follow_is_passed_to_the_codebook(tmp_path):
    trained = run("largegt", tmp_path / "a", hidden_channels=8, codebook_size=4, global_channels=4)
    held, follows = (of_run(trained, tmp_path / "a", follow=follow) for follow in (False, True))
    assert held.about["codebook"] == "as trained, held fixed"
    assert follows.about["codebook"] == "stands for the nodes of x"
    x = held.data.x.clone().requires_grad_()
    reached = []
    for diagnosed in (held, follows):
        out = diagnosed.model.eval()(x, held.data.edge_index, torch.tensor([0]))
        (grad,) = torch.autograd.grad(out.sum(), x)
        reached.append(int((grad.abs().sum(1) > 0).sum()))
    assert reached[1] == 34 >= reached[0]
