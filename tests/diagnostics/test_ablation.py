"""Accuracy without the features beyond a hop: models whose reach is known, and global ones."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GCN, GraphNorm, SimpleConv

from graphattn.diagnostics import hop_ablation


def ring(num_nodes: int = 60) -> Data:
    """A directed ring whose nodes are of six kinds; a label is the kind two steps back."""
    at = torch.arange(num_nodes)
    kind = torch.randint(6, (num_nodes,), generator=torch.Generator().manual_seed(0))
    x = torch.eye(6, dtype=torch.float64)[kind]
    return Data(x, torch.stack([at, (at + 1) % num_nodes]), y=kind.roll(2))


class Shift(nn.Module):
    def __init__(self, steps: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(SimpleConv() for _ in range(steps))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        for conv in self.convs:
            x = conv(x, edge_index)
        return x


class Normed(Shift):
    """The same classes, but every output depends on every node."""

    def __init__(self, steps: int) -> None:
        super().__init__(steps)
        self.norm = GraphNorm(6).double()

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return super().forward(x, edge_index) + 1e-3 * self.norm(x)


@pytest.mark.parametrize("replace", ["shuffle", "zero", "mean"])
@pytest.mark.parametrize(("kind", "engine"), [(Shift, "union"), (Normed, "whole")])
def test_a_model_that_reads_two_steps_back(kind: type, engine: str, replace: str) -> None:
    data = ring()
    found = hop_ablation(kind(2), data, range(60), max_hops=4, replace=replace)
    assert found.engine == engine
    assert found.intact == 1.0
    np.testing.assert_array_equal(found.accuracy[2:], 1.0)
    assert (found.accuracy[:2] < 0.5).all()
    np.testing.assert_array_equal(found.accuracy, found.agreement)  # as all are right


def test_balls_and_the_whole_graph_agree_on_a_network() -> None:
    torch.manual_seed(0)
    edges = torch.randint(58, (2, 80))
    x = torch.randn(60, 6)
    model = GCN(6, 16, 3, 4, dropout=0.5).train()
    data = Data(x, torch.cat([edges, edges.flip(0)], dim=1), y=torch.randint(-1, 4, (60,)))
    balls = hop_ablation(model, data, range(60), max_hops=4)

    def some(x: Tensor, edge_index: Tensor, seeds: Tensor) -> Tensor:
        return model.eval()(x, edge_index)[seeds]

    assert model.training
    whole = hop_ablation(some, data, range(60), max_hops=4)
    assert (balls.engine, whole.engine) == ("union", "whole")
    np.testing.assert_array_equal(balls.accuracy, whole.accuracy)
    np.testing.assert_array_equal(balls.agreement, whole.agreement)
    assert balls.accuracy[3] == balls.intact == whole.intact
    assert balls.agreement[3] == balls.agreement[4] == 1.0
    assert balls.num_labelled == int((data.y >= 0).sum())


def test_by_hand() -> None:
    """Each node of 0 -> 1 -> 2 says the class of its sender, or nothing but zeros."""
    data = Data(torch.eye(3), torch.tensor([[0, 1], [1, 2]]), y=torch.tensor([0, 0, 1]))
    found = hop_ablation(SimpleConv(), data, [0, 1, 2], max_hops=1, replace="zero")
    assert found.intact == 1.0
    assert found.accuracy.tolist() == [2 / 3, 1.0]  # argmax of zeros is 0
    assert found.agreement.tolist() == [2 / 3, 1.0]


def test_a_function_that_reads_farther_than_asked_is_run_on_the_whole_graph() -> None:
    data, shift = ring(), Shift(5)
    data.y = data.x.argmax(1).roll(5)

    def hidden(x: Tensor, edge_index: Tensor) -> Tensor:
        return shift(x, edge_index)  # no layers to be counted

    found = hop_ablation(hidden, data, range(60), max_hops=2)
    assert (found.engine, found.intact) == ("whole", 1.0)
    assert (found.accuracy < 0.5).all()


def test_balls_that_are_the_whole_graph_do_not_hide_a_norm_over_all_nodes() -> None:
    generator = torch.Generator().manual_seed(0)
    clique = torch.cartesian_prod(torch.arange(12), torch.arange(12)).T
    x = torch.randn(12, 6, generator=generator, dtype=torch.float64)
    data = Data(x, clique, y=torch.randint(6, (12,), generator=generator))
    assert hop_ablation(Normed(1), data, range(12), max_hops=1).engine == "whole"
    assert hop_ablation(Shift(1), data, range(12), max_hops=1).engine == "union"


def test_attention_of_all_to_all_and_isolated_nodes() -> None:
    def mean(x: Tensor, edge_index: Tensor) -> Tensor:
        return x.mean(0).expand_as(x)

    data = Data(torch.eye(4), torch.empty(2, 0, dtype=torch.long), y=torch.tensor([0, -1, -1, -1]))
    data.x[:, 0] += 0.5
    found = hop_ablation(mean, data, [0, 3], max_hops=3, replace="zero")
    assert (found.engine, found.num_labelled) == ("whole", 1)
    assert found.accuracy.tolist() == [1.0] * 4
    assert found.agreement.tolist() == [0.5] * 4  # node 3 alone says 3
    unlabelled = hop_ablation(mean, data, [1], max_hops=0)
    assert unlabelled.accuracy.tolist() == [0.0]
    assert unlabelled.num_labelled == 0


def test_refused() -> None:
    data = ring()
    for options, said in (
        ({"replace": "drop"}, "replace must be one of shuffle, zero, mean: got 'drop'"),
        ({"max_hops": -1}, "max_hops must be at least 0"),
        ({"seeds": [60]}, "seeds must be nodes, 0 to 59: got 60"),
        ({"seeds": [0.5]}, "seeds must be node ids"),
    ):
        with pytest.raises(ValueError, match=said):
            hop_ablation(Shift(1), data, **{"seeds": [0], "max_hops": 1, **options})
    for y in (None, torch.zeros(60, 2), torch.zeros(3)):
        data.y = y
        with pytest.raises(ValueError, match="must be a class for each of 60 nodes"):
            hop_ablation(Shift(1), data, [0], max_hops=1)
