"""Attributes as tensors of a PyG ``Data``: which there are, and what a changed one does."""

import pytest
import torch
from torch_geometric.data import Batch

from graphattn.hypergraph import Incidence

CONTENT = {
    "nodes": [
        {"node": "a", "attrs": {"age": 3, "index": 1, "good": True, "odd": 1}},
        {"node": "b", "attrs": {"age": 4, "index": 2, "good": False, "odd": 0.5}},
    ],
    "edges": [
        {"edge": "x", "weight": 0.1, "attrs": {"at": 0.25}},
        {"edge": "y", "attrs": {"at": float("nan"), "text": "tea"}},
    ],
    "incidences": [
        {"node": "b", "edge": "y", "weight": 3},
        {"node": "a", "edge": "x", "attrs": {"since": 1936}},
        {"node": "b", "edge": "x"},
    ],
}


def test_what_is_a_tensor():
    made = Incidence.from_hif(CONTENT)
    data = made.to_data()
    found = {key: value for key, value in data.to_dict().items() if isinstance(value, torch.Tensor)}
    assert set(found) == {
        "edge_index",
        "node_attr_age",
        "node_attr_good",
        "hyperedge_weight",
        "hyperedge_attr_at",
        "incidence_weight",
    }
    assert data.node_attr_age.tolist() == [3, 4]
    assert data.node_attr_good.tolist() == [True, False]
    assert data.hyperedge_weight.tolist() == pytest.approx([0.1, 1.0])
    assert data.hyperedge_weight.dtype == torch.float32
    assert data.hyperedge_attr_at.dtype == torch.float64
    assert data.edge_index[1].tolist() == [0, 0, 1]
    assert data.incidence_weight.tolist() == [1.0, 1.0, 3.0]
    assert Incidence.from_data(data).attributes == made.attributes  # 0.1, not its float32


def test_a_changed_tensor_has_the_last_word():
    made = Incidence.from_hif(CONTENT)
    data = made.to_data()
    data.hyperedge_weight[1] = 2.0
    data.node_attr_age[0] = 9
    del data.incidence_weight
    again = Incidence.from_data(data).attributes
    assert [record["weight"] for record in again.hyperedges] == [0.1, 2.0]
    assert [record["age"] for record in again.nodes] == [9, 4]
    assert again.incidences == made.attributes.incidences
    data.hyperedge_weight = torch.ones(3)
    with pytest.raises(ValueError, match="hyperedge_weight must have one number for each of 2"):
        Incidence.from_data(data)


def test_attributes_of_another_size_are_refused():
    data = Incidence.from_hif(CONTENT).to_data()
    data.edge_index = data.edge_index[:, 1:]
    with pytest.raises(ValueError, match="one record for each of 2 incidences: got 3"):
        Incidence.from_data(data)


def test_batches_join_the_tensors():
    one = Incidence.from_hif(CONTENT).to_data()
    batch = Batch.from_data_list([one, one])
    assert batch.hyperedge_weight.shape == (4,)
    assert batch.node_attr_age.tolist() == [3, 4, 3, 4]
    for part in batch.to_data_list():  # repr: NaN is not NaN
        assert repr(Incidence.from_data(part).attributes) == repr(
            Incidence.from_data(one).attributes
        )
