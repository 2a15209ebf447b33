"""A small graph with three planted classes, and runs of a model on it."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch_geometric.data import Data

from graphattn.graph import CSRGraph
from graphattn.models.largegt import LargeGT
from graphattn.sampling.store import TokenStore
from graphattn.training.feeds import FullBatchFeed, TokenFeed
from graphattn.training.options import TokenOptions


def _data() -> Data:
    """60 nodes of 3 classes; three of four edges join equal classes."""
    generator = torch.Generator().manual_seed(3)
    y = torch.arange(60) % 3
    x = nn.functional.one_hot(y, 3).float() + 0.8 * torch.randn(60, 3, generator=generator)
    source = torch.randint(60, (240,), generator=generator)
    near = (source + 3 * torch.randint(1, 10, (240,), generator=generator)) % 60
    far = torch.randint(60, (240,), generator=generator)
    target = torch.where(torch.rand(240, generator=generator) < 0.75, near, far)
    edges = torch.stack([source, target])
    return Data(x=x, y=y, edge_index=torch.cat([edges, edges.flip(0)], dim=1))


def _split() -> SimpleNamespace:
    """33 training nodes (a last batch of one at batch size 16), 12 validation, 15 test."""
    order = torch.randperm(60, generator=torch.Generator().manual_seed(4))
    return SimpleNamespace(train=order[:33], val=order[33:45], test=order[45:])


@pytest.fixture
def data() -> Data:
    """A graph with three planted classes."""
    return _data()


@pytest.fixture
def split() -> SimpleNamespace:
    """Its training, validation and test nodes."""
    return _split()


@pytest.fixture(scope="session")
def split_of_all() -> SimpleNamespace:
    """The same split, for fixtures that outlive a test; not to be changed."""
    return _split()


class Line(nn.Module):
    """The least model of the full-batch form: dropout, then one linear layer."""

    def __init__(self, in_channels: int = 3, out_channels: int = 3) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)
        self.linear = nn.Linear(in_channels, out_channels)

    def forward(self, x: torch.Tensor, adjacency: torch.Tensor) -> torch.Tensor:
        """Logits; the graph is looked at, lightly."""
        return self.linear(self.dropout(x + 0.1 * (adjacency @ x)))


@pytest.fixture
def line() -> type[Line]:
    """The class of the least model."""
    return Line


@pytest.fixture
def make_line(data: Data, split: Any) -> Callable[[], tuple[Line, FullBatchFeed]]:
    """Make the same untrained line, and a feed for it, as often as asked."""

    def make() -> tuple[Line, FullBatchFeed]:
        return _seeded(Line), FullBatchFeed(data, split.train)

    return make


@pytest.fixture(scope="session")
def make_largegt() -> Callable[..., tuple[LargeGT, TokenFeed]]:
    """Make the same untrained LargeGT, and a feed for it, as often as asked."""

    def make(**options: Any) -> tuple[LargeGT, TokenFeed]:
        data, split = _data(), _split()
        store = TokenStore.in_memory(CSRGraph.from_data(data), data.x)
        chosen = {"num_samples": 4, "batch_size": 16, "eval_batch_size": 8, **options}
        feed = TokenFeed(store, data.y, split.train, options=TokenOptions(**chosen))
        model = _seeded(lambda: LargeGT(3, 8, 3, scope="full", codebook_size=8, global_channels=4))
        return model, feed

    return make


def _seeded(make: Callable[[], Any]) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make()
