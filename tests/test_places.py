"""Coordinates in a plane and lengths of edges, as data sets give them."""

import pytest
import torch
from torch_geometric.data import Data

from graphattn.config import DataOptions
from graphattn.places import coordinates, data_with_places, lengths


def test_longitude_and_latitude_become_metres_where_they_are():
    meta = {"feature_names": ["lon", "lat", "street_count"]}
    x = torch.tensor([[-8.60, 41.10, 3.0], [-8.60, 41.20, 4.0], [-8.50, 41.10, 3.0]])
    pos, unit = coordinates(Data(x=x, meta=meta))
    assert unit == "metres"
    north, east = (pos[1] - pos[0]).norm(), (pos[2] - pos[0]).norm()
    assert north == pytest.approx(11_132, rel=1e-3)
    assert east == pytest.approx(8_389, rel=2e-3)  # 0.1 degrees times cos 41.1
    given = Data(x=x, pos=torch.zeros(3, 2))
    assert coordinates(given)[1] == "units of pos"
    assert coordinates(Data(x=x, name="city-networks-paris"))[1] == "metres"
    assert coordinates(Data(x=x)) is None
    assert coordinates(Data(x=x, pos=torch.zeros(3, 3))) is None


def test_lengths_follow_the_edges_asked_for():
    edges = torch.tensor([[0, 1, 1, 0], [1, 2, 2, 2]])
    data = Data(edge_index=edges, edge_length=torch.tensor([5.0, 7.0, 6.0, 1.0]), num_nodes=3)
    asked = torch.tensor([[2, 0, 1, 2], [1, 1, 2, 0]])
    found, unit = lengths(data, asked)
    assert (found.tolist(), unit) == ([6.0, 5.0, 6.0, 1.0], "metres")
    directed = torch.tensor([[0, 1], [1, 0]])
    both = Data(edge_index=directed, edge_weight=torch.tensor([4.0, 9.0]), num_nodes=2)
    assert lengths(both, directed)[0].tolist() == [4.0, 9.0]  # its own before its reverse's


def test_lengths_that_lack_are_named():
    data = Data(edge_index=torch.tensor([[0], [1]]), num_nodes=3)
    with pytest.raises(ValueError, match="edge_length or edge_weight: got neither"):
        lengths(data, data.edge_index)
    data.edge_length = torch.ones(1)
    with pytest.raises(ValueError, match="a length for each edge: the data lack some"):
        lengths(data, torch.tensor([[1], [2]]))
    empty = torch.zeros(2, 0, dtype=torch.long)
    assert (
        lengths(Data(edge_index=empty, edge_length=torch.ones(0), num_nodes=2), empty)[0].size(0)
        == 0
    )


def test_data_without_places_are_not_read_again():
    assert data_with_places(DataOptions("ogbn-products")) is None
    assert data_with_places(DataOptions("karate")).num_nodes == 34
