import numpy as np
import pytest
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from graphattn.config import DataOptions
from graphattn.datasets.road import road, road_network
from graphattn.datasets.splits import splits
from graphattn.datasets.validation import check_data
from graphattn.task import load_task


@pytest.mark.parametrize(("size", "degree"), [(10, 2.4), (1003, 2.4), (5000, 2.8), (4097, 3.2)])
def test_a_network_is_connected_simple_and_of_the_degree_asked_for(size, degree):
    network = road_network(size, degree=degree, seed=3)
    low, high = network.edge_index
    assert (low < high).all()
    assert len(torch.unique(low * size + high)) == len(low)
    assert 2 * len(low) / size == pytest.approx(degree, rel=0.15 if size < 100 else 1e-3)
    matrix = coo_array((np.ones(len(low)), (low.numpy(), high.numpy())), shape=(size, size))
    assert connected_components(matrix, directed=False)[0] == 1
    counts = torch.bincount(network.edge_index.reshape(-1))
    assert counts.max() <= 8


def test_lengths_are_metres_and_no_shorter_than_the_straight_line():
    network = road_network(4000, spacing=100.0)
    ends = network.pos.double()[network.edge_index]
    straight = (ends[0] - ends[1]).norm(dim=1)
    assert (network.length >= 0.999 * straight).all()
    assert 60 < network.length.mean() < 160
    assert network.length.min() > 0


def test_few_roads_cross():
    network = road_network(900)
    pos = network.pos.double().numpy()
    a, b = pos[network.edge_index.numpy()]
    one, other = np.triu_indices(len(a), 1)
    ends = network.edge_index.numpy()
    shared = (ends[:, None, one] == ends[None, :, other]).any(axis=(0, 1))
    one, other = one[~shared], other[~shared]

    def side(p, q, r):
        (x, y), (u, v) = (q - p).T, (r - p).T
        return np.sign(x * v - y * u)

    crossing = (side(a[one], b[one], a[other]) != side(a[one], b[one], b[other])) & (
        side(a[other], b[other], a[one]) != side(a[other], b[other], b[one])
    )
    assert crossing.sum() < 0.01 * len(a)


def test_the_same_seed_gives_the_same_network_and_torchs_own_stays():
    before = torch.get_rng_state()
    first, second, other = road(500), road(500), road(500, seed=1)
    assert all(torch.equal(first[key], second[key]) for key in ("x", "y", "edge_index", "ecc16"))
    assert not torch.equal(first.edge_length, other.edge_length)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_data_set_has_city_networks_labels_and_split_and_trains():
    data = road(1500, num_classes=5, hops=4)
    check_data(data, num_classes=5)
    assert data.is_undirected()
    assert data.y.bincount().tolist() == [301, 301, 301, 301, 296]
    (split,) = splits(data)
    assert [len(split.train), len(split.val), len(split.test)] == [150, 150, 1200]
    order = np.random.RandomState(0).permutation(1500)
    assert np.array_equal(split.train, np.sort(order[:150]))
    assert torch.equal(data.x[:, :2], data.pos)
    assert "ecc4" in data
    assert len(data.meta["feature_names"]) == data.num_features
    assert float(data.x[:, 2].sum()) == data.num_edges
    task = load_task(DataOptions("road", options={"num_nodes": 300}))
    assert (task.graph.num_nodes, task.num_classes) == (300, 10)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"num_nodes": 9}, "num_nodes must be at least 10: got 9"),
        ({"num_nodes": 99, "degree": 4.0}, "degree must be from 2.4 to 3.2"),
        ({"num_nodes": 99, "spacing": 0.0}, "spacing is a distance in metres, above 0: got 0.0"),
    ],
)
def test_wrong_arguments_are_told(options, said):
    with pytest.raises(ValueError, match=said):
        road_network(**options)
