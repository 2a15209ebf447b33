"""Case 45 of the reliability contract: hyperedges without members, nodes without hyperedges, and
members and relations that there are not.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypergraph_sets import HYPEREDGES, NODES, make_data, write
from torch_geometric.data import HeteroData

from graphattn.datasets.metapath_hypergraph import MetaPathHypergraph
from graphattn.hypergraph import Incidence
from graphattn.models.hypergraph_transformer import HypergraphTransformer

MODELS = ["hypergraph_transformer", "allset_transformer", "edhnn", "hcha"]


@pytest.mark.parametrize("model", MODELS)
def test_case_45_an_empty_hyperedge_and_a_node_in_none(here, command, model):
    data = make_data()
    kept = (data.edge_index[0] != 7) & (data.edge_index[1] != 0)  # a first one is empty, too
    data.edge_index = data.edge_index[:, kept]
    write(data, here / "planted.npz")
    run = ["--data.name", "planted.npz", "--model.name", model, "--model.hidden_channels", "8"]
    command("train", *run, "--train.epochs", "3", "--out", "a")
    assert json.loads(Path("a/result.json").read_text())["test"]["mean"] >= 0
    command("predict", "a", "--nodes", "all", "--out", "p.npy")
    found = np.load("p.npy")
    assert found["node"].tolist() == list(range(NODES))
    assert all(np.isfinite(found[name]).all() for name in found.dtype.names)


@pytest.mark.parametrize(
    ("member", "said"),
    [
        (-1, ("negative", "-1")),
        (NODES, (f"node id {NODES} at incidence 3", f"num_nodes={NODES}")),
    ],
)
def test_case_45_an_unknown_member(here, command, member, said):
    data = make_data()
    data.edge_index[0, 3] = member
    write(data, here / "planted.npz")
    run = ["--data.name", "planted.npz", "--model.name", "edhnn", "--out", "a"]
    told = command("train", *run, code=2)
    assert "planted.npz" in told
    assert all(word in told for word in said), told
    assert not Path("a").exists()


def test_case_45_an_unknown_relation(here, command):
    data = make_data(typed=True)
    data.hyperedge_type[4] = -3
    write(data, here / "planted.npz")
    run = ["--data.name", "planted.npz", "--model.name", "edhnn", "--out", "a"]
    assert "hyperedge_type" in command("train", *run, code=2)
    model = HypergraphTransformer(4, 8, 3, num_types=2)
    types = torch.zeros(HYPEREDGES, dtype=torch.long)
    types[5] = 2  # a relation that training has not seen
    with pytest.raises(ValueError, match=r"hyperedge_type must be in \[0, 2\): got 2"):
        model(torch.zeros(NODES, 4), Incidence.from_data(make_data()), hyperedge_type=types)
    graph = HeteroData()
    graph["artist"].num_nodes = graph["term"].num_nodes = 2
    graph["artist", "has", "term"].edge_index = torch.tensor([[0, 1], [0, 1]])
    with pytest.raises(ValueError, match=r"'artist-song'.*no edge type joins artist and song"):
        MetaPathHypergraph(["artist-song"])(graph)
