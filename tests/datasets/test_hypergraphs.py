"""Hypergraphs from files: the real ones to the last incidence, and files that are refused."""

import json

import numpy as np
import pytest
import torch

from graphattn.datasets.hypergraphs import (
    knowledge_graph,
    load_hypergraph,
    named_hypergraph,
    southern_women,
)
from graphattn.datasets.metapath_hypergraph import MetaPathHypergraph
from graphattn.datasets.npz import CorruptDataset
from graphattn.datasets.relation_signature import RelationSignatureHypergraph
from graphattn.hypergraph import Incidence

FACTS = {  # nodes, hyperedges, incidences, channels, splits
    "cora_cocite": (2708, 1579, 4786, 1433, 10),
    "cora_coauth": (2708, 1072, 4585, 1433, 10),
    "house_committees": (1290, 341, 11843, None, 10),
    "music10k_nie": (22985, 12150, 55042, 2000, 5),
}


@pytest.mark.parametrize("name", FACTS)
def test_real_hypergraphs(real_data, name):
    nodes, hyperedges, incidences, channels, splits = FACTS[name]
    data = named_hypergraph(name, real_data)
    assert (data.num_nodes, data.num_hyperedges) == (nodes, hyperedges)
    assert data.edge_index.shape == (2, incidences)
    assert data.train_mask.shape == (nodes, splits)
    assert (data.x is None) if channels is None else data.x.shape == (nodes, channels)
    made = Incidence.from_data(data)
    assert made.num_incidences == incidences
    assert made.num_duplicates == 0
    if "hyperedge_type" in data:
        assert data.hyperedge_type.shape == (hyperedges,)
        assert data.y_float.dtype == torch.float32
    else:
        assert data.y.dtype == torch.int64


def test_music10k_is_partitioned_as_in_the_release(real_data):
    stored = named_hypergraph("music10k_nie", real_data).partition_hyperedge_index
    data = RelationSignatureHypergraph()(knowledge_graph("music10k_nie", real_data))
    assert data.num_hyperedges == 7
    edge_of = torch.empty(22985, dtype=torch.long).scatter_(0, stored[0], stored[1])
    assert torch.equal(edge_of[data.edge_index[0]], data.edge_index[1])
    assert data.edge_index.size(1) == 22985
    sizes = data.edge_index[1].bincount()
    assert sizes.tolist() == [4408, 3, 1, 9999, 458, 8115, 1]
    assert data.hyperedge_type.tolist() == [1 if size == 1 else 0 for size in sizes]


@pytest.mark.parametrize("way", ["names", "reverse"])
def test_metapaths_of_music10k(real_data, way):
    graph = knowledge_graph("music10k_nie", real_data)
    paths = ["artist-term-artist", "artist-release-song", "artist-*"]
    if way == "reverse":  # the same paths by their steps, one backwards
        paths[0] = [("artist", "term", "term"), ("term", "~term", "artist")]
        paths[1] = [("artist", "release", "release"), ("release", "~part_of", "song")]
    data = MetaPathHypergraph(paths)(graph)
    assert data.num_hyperedges == 12986
    assert data.edge_index.size(1) == 58278
    assert data.hyperedge_type.bincount().tolist() == [458, 8116, 4412]
    degree = data.edge_index[0].bincount()
    assert (int(degree.min()), int(degree.max())) == (2, 172)
    assert round(float(degree.double().mean()), 2) == 2.54
    assert round(float(degree[:4412].double().mean()), 2) == 3.87
    near = {}
    for first, _, last in graph.edge_types:
        for source, target in graph[first, _, last].edge_index.t().tolist():
            u, v = source + data.node_offset[first], target + data.node_offset[last]
            near.setdefault((u, last), set()).add(v)
            near.setdefault((v, first), set()).add(u)
    ends = [("artist",), ("artist", "song"), ("song", "release", "term")]
    members = Incidence.from_data(data).to_lists()
    anchors, types = data.hyperedge_anchor.tolist(), data.hyperedge_type.tolist()
    for found, anchor, number in zip(members, anchors, types, strict=True):
        around = [near.get((anchor, kind), set()) for kind in ends[number]]
        assert set(found) == {anchor}.union(*around)
    assert data.x.shape == (22985, 2000)
    assert int(data.valid_mask.sum()) == 4412


def members_by_type(data):
    members = Incidence.from_data(data).to_lists()
    pairs = zip(data.hyperedge_type.tolist(), map(tuple, members), strict=True)
    return sorted(pairs)


def test_fb15k237_by_its_relations_is_the_stored_hypergraph(real_data):
    graph = knowledge_graph("fb15k237_nie", real_data)
    paths = [[kind] for kind in graph.edge_types]
    assert len(paths) == 237
    anchors = [0] * 237 + [1] * 237
    made = MetaPathHypergraph(paths * 2, anchor=anchors, min_size=3)(graph)
    stored = named_hypergraph("fb15k237_nie", real_data)
    assert made.num_hyperedges == stored.num_hyperedges == 66353
    assert members_by_type(made) == members_by_type(stored)


def test_southern_women():
    data = southern_women()
    made = Incidence.from_data(data)
    assert (made.num_nodes, made.num_hyperedges, made.num_incidences) == (18, 14, 89)
    assert made.size().tolist() == [3, 3, 6, 4, 8, 8, 10, 14, 12, 5, 4, 6, 3, 3]
    assert data.node_names[0] == "Evelyn Jefferson"
    assert made.degree()[0] == 8
    assert (data.train_mask ^ data.val_mask ^ data.test_mask).all()


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_files_that_are_refused(tmp_path):
    index = np.array([[0, 1, 2], [0, 0, 1]])
    with pytest.raises(FileNotFoundError, match="There is no file"):
        load_hypergraph(tmp_path / "none.npz")
    with pytest.raises(ValueError, match=r"a\.npz: hyperedge_index is needed"):
        load_hypergraph(save(tmp_path / "a.npz", edge_index=index))
    with pytest.raises(ValueError, match=r"b\.npz: node id 2 at incidence 2 but num_nodes=2"):
        load_hypergraph(save(tmp_path / "b.npz", hyperedge_index=index, y=[0, 1]))
    wrong = {"hyperedge_index": index, "hyperedge_type": [0]}
    with pytest.raises(ValueError, match=r"c\.npz: hyperedge id 1 at incidence 2 but num_hyper"):
        load_hypergraph(save(tmp_path / "c.npz", **wrong))
    with pytest.raises(ValueError, match="y must have one number a row for 3 nodes"):
        wrong = {"hyperedge_index": index, "y": [0, 1], "train_mask": np.ones(3, bool)}
        load_hypergraph(save(tmp_path / "d.npz", **wrong, x=np.eye(3)))
    (tmp_path / "e.npz").write_bytes(b"PK")
    with pytest.raises(CorruptDataset, match=r"is not a \.npz file of plain arrays"):
        load_hypergraph(tmp_path / "e.npz")
    with pytest.raises(ValueError, match="There is no data set 'trio'"):
        named_hypergraph("trio", tmp_path)
    with pytest.raises(ValueError, match=r"triples are needed, .* no \['edge_type'\]"):
        knowledge_graph("a", tmp_path)


def test_sizes_come_from_what_a_file_says(tmp_path):
    meta = json.dumps({"name": "mine", "num_nodes": 5, "metric": "acc"})
    arrays = {"hyperedge_index": [[0, 2], [0, 0]], "hyperedge_type": [0, 1, 1], "meta": meta}
    data = load_hypergraph(save(tmp_path / "f.npz", **arrays))
    assert (data.num_nodes, data.num_hyperedges) == (5, 3)
    assert (data.name, data.metric) == ("mine", "accuracy")
