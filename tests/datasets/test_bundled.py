"""The bundled data sets: their published sizes, their splits, and what they promise."""

import pytest
import torch

from graphattn.datasets.bundled import digits, karate
from graphattn.datasets.splits import splits


def test_digits_is_the_known_set():
    data = digits()
    assert data.x.shape == (1797, 64)
    assert (float(data.x.min()), float(data.x.max())) == (0.0, 1.0)
    assert data.y.bincount().tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert data.is_undirected()
    assert not data.has_self_loops()
    assert (data.name, data.metric) == ("digits", "accuracy")
    (split,) = splits(data)
    assert (len(split.train), len(split.val), len(split.test)) == (179, 180, 1438)


def test_digits_joins_nearest_neighbours():
    data = digits(num_neighbors=3)
    distance = torch.cdist(data.x[:5].double(), data.x.double())
    distance[torch.arange(5), torch.arange(5)] = torch.inf
    for node in range(5):
        near = distance[node].topk(3, largest=False).indices.tolist()
        senders = data.edge_index[0][data.edge_index[1] == node].tolist()
        assert set(near) <= set(senders)


def test_digits_split_depends_on_the_seed_alone():
    assert torch.equal(digits(seed=3).train_mask, digits(seed=3).train_mask)
    assert not torch.equal(digits(seed=3).train_mask, digits(seed=4).train_mask)
    assert int(digits(train_fraction=0.5).train_mask.sum()) == pytest.approx(899, abs=5)


@pytest.mark.parametrize("fraction", [0.0, 0.95, -1.0, float("nan")])
def test_digits_refuses_a_wrong_fraction(fraction):
    with pytest.raises(ValueError, match=r"train_fraction is a share .* got"):
        digits(train_fraction=fraction)


def test_digits_refuses_no_neighbours():
    with pytest.raises(ValueError, match=r"num_neighbors must lie in 1..1796: got num_neighbors=0"):
        digits(num_neighbors=0)


def test_karate_is_the_known_graph():
    data = karate()
    assert (data.num_nodes, data.num_edges) == (34, 156)
    assert data.is_undirected()
    assert data.y.bincount().tolist() == [17, 17]
    assert torch.equal(data.x, torch.eye(34))
    (split,) = splits(data)
    assert (len(split.train), len(split.val), len(split.test)) == (4, 6, 24)
    assert data.y[split.train].bincount().tolist() == [2, 2]
