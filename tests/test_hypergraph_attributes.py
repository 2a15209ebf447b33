"""Weights and attributes of hypergraphs: there and back through every format, and changed."""

import copy
import json
import pickle
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data.hypergraph_data import HyperGraphData

from graphattn.hypergraph import Incidence
from graphattn.hypergraph_attributes import HypergraphAttributes

SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-2, 2) | st.text(max_size=3)
NAMES = st.text(min_size=1, max_size=3).filter(lambda name: name not in ("weight", "direction"))
RECORDS = st.dictionaries(NAMES, SCALARS, max_size=2)


@st.composite
def contents(draw, of_incidences=True):
    """What a HIF file may hold."""

    def entry(**names):
        item, attrs = dict(names), draw(RECORDS)
        if draw(st.booleans()):
            item["weight"] = attrs["weight"] = draw(st.integers(1, 9) | st.floats(0.1, 9))
        return item | ({"attrs": attrs} if attrs else {})

    nodes = draw(st.lists(st.integers(0, 9) | st.text(max_size=2), unique=True, max_size=5))
    edges = draw(st.lists(st.text(max_size=3), unique=True, max_size=4))
    pairs = [(node, edge) for edge in edges for node in nodes if draw(st.booleans())]
    draw(st.randoms()).shuffle(pairs)
    many = [entry(node=n, edge=e) if of_incidences else {"node": n, "edge": e} for n, e in pairs]
    return {
        "network-type": "undirected",
        "metadata": draw(st.dictionaries(NAMES, SCALARS, max_size=2)),
        "nodes": [entry(node=name) for name in nodes],
        "edges": [entry(edge=name) for name in edges],
        "incidences": many,
    }


def by_pair(content):
    """The content with its incidences in one order."""
    number = {item["node"]: i for i, item in enumerate(content["nodes"])}
    place = {item["edge"]: i for i, item in enumerate(content["edges"])}
    key = lambda item: (place[item["edge"]], number[item["node"]])  # noqa: E731
    return content | {"incidences": sorted(content["incidences"], key=key)}


@settings(deadline=None, max_examples=80)
@given(contents())
def test_hif_and_pyg_keep_all(content):
    made = Incidence.from_hif(content)
    assert made.to_hif() == by_pair(content)
    for other in (
        Incidence.from_hif(json.loads(json.dumps(made.to_hif()))),
        Incidence.from_data(made.to_data()),
        Incidence.from_data(copy.copy(made.to_data()).to("cpu")),
        pickle.loads(pickle.dumps(made)),
        made.dual().dual(),
        made.subgraph(torch.arange(made.num_nodes), min_size=0)[0],
    ):
        assert other.digest() == made.digest()
        assert other.to_hif() == made.to_hif()
    turned = made.dual().to_hif()
    assert [item.get("attrs") for item in turned["nodes"]] == [
        item.get("attrs") for item in made.to_hif()["edges"]
    ]


@settings(deadline=None, max_examples=40)
@given(contents(of_incidences=False))
def test_xgi_keeps_all_but_attributes_of_incidences(content):
    pytest.importorskip("xgi", reason="XGI is not installed: pip install xgi")
    made = Incidence.from_hif(content)
    again = Incidence.from_xgi(made.to_xgi())
    assert again.digest() == made.digest()
    assert again.to_hif() == made.to_hif()


def test_xgis_own_files_are_read_with_their_attributes():
    xgi = pytest.importorskip("xgi", reason="XGI is not installed: pip install xgi")
    theirs = xgi.Hypergraph(name="mails")
    theirs.add_node("ann", age=3)
    theirs.add_edge(["ann", "bob"], idx="e", weight=2.5, kind="note")
    made = Incidence.from_hif(xgi.to_hif_dict(theirs))
    assert made.attributes == Incidence.from_xgi(theirs).attributes
    assert made.attributes.hyperedges == ({"weight": 2.5, "kind": "note"},)
    back = xgi.from_hif_dict(made.to_hif())
    assert dict(back.edges["e"]) == {"weight": 2.5, "kind": "note"}
    assert dict(back.nodes["ann"]) == {"age": 3}


def test_xgis_other_networks():
    xgi = pytest.importorskip("xgi", reason="XGI is not installed: pip install xgi")
    faces = xgi.SimplicialComplex([["a", "b"]])
    made = Incidence.from_xgi(faces)
    assert made.attributes.network_type == "asc"
    assert made.to_hif()["network-type"] == xgi.to_hif_dict(faces)["network-type"]
    arrows = xgi.DiHypergraph([(["a", "b"], ["c"])])
    with pytest.raises(TypeError, match=r"must be undirected, .* got an xgi\.DiHypergraph"):
        Incidence.from_xgi(arrows)
    through_hif = Incidence.from_hif(xgi.to_hif_dict(arrows))
    directions = sorted(record["direction"] for record in through_hif.attributes.incidences)
    assert directions == ["head", "tail", "tail"]
    again = xgi.from_hif_dict(through_hif.to_hif())
    assert again.edges.dimembers() == arrows.edges.dimembers()
    named = Incidence.from_hif({"metadata": {"incoming_data": 3}, "incidences": []})
    assert Incidence.from_xgi(named.to_xgi()).attributes == named.attributes


def test_what_would_be_lost_is_refused():
    listed = [{"node": "a", "edge": "e", "weight": 2}]
    made = Incidence.from_hif({"incidences": listed})
    with pytest.raises(ValueError, match="XGI keeps no attributes of incidences"):
        made.to_xgi()
    with pytest.raises(ValueError, match="got none, network-type asc; leave them out"):
        Incidence.from_hif({"network-type": "asc", "incidences": []}).to_xgi()
    assert replace(made, attributes=None).to_hif()["incidences"] == [{"node": "a", "edge": "e"}]
    directed = Incidence.from_hif(
        {"network-type": "directed", "incidences": [{**listed[0], "direction": "head"}]}
    )
    assert directed.to_hif()["incidences"][0]["direction"] == "head"
    assert directed.to_hif()["network-type"] == "directed"
    twice = [{"node": "a", "edge": "e", "direction": part} for part in ("head", "tail")]
    with pytest.raises(ValueError, match=r"the same attributes each time: got .*head.*tail"):
        Incidence.from_hif({"network-type": "directed", "incidences": twice})
    same = Incidence.from_hif({"incidences": listed * 2})
    assert same.num_duplicates == 1
    assert same.attributes.incidences == ({"weight": 2},)


def test_attributes_go_with_what_is_kept():
    content = {
        "nodes": [{"node": name, "attrs": {"of": name}} for name in "abc"],
        "edges": [{"edge": name, "weight": i + 1.0} for i, name in enumerate("xyz")],
        "incidences": [
            {"node": n, "edge": e, "attrs": {"in": n + e}}
            for n, e in ("ax", "bx", "by", "cz", "az")
        ],
    }
    made = Incidence.from_hif(content)
    part, kept = made.subgraph(torch.tensor([2, 0]))
    assert kept.tolist() == [0, 2]
    assert part.attributes.nodes == ({"of": "c"}, {"of": "a"})
    assert [record["weight"] for record in part.attributes.hyperedges] == [1.0, 3.0]
    assert [record["in"] for record in part.attributes.incidences] == ["ax", "cz", "az"]
    dual = made.dual()
    named = [
        dual.hyperedge_names[e] + dual.node_names[n]
        for n, e in zip(dual.node.tolist(), dual.edge.tolist(), strict=True)
    ]
    assert [record["in"] for record in dual.attributes.incidences] == named


def test_weights_as_tensors_and_as_attributes():
    listed = [{"node": 0, "edge": 0}, {"node": 1, "edge": 1}]
    made = Incidence.from_hif(
        {"edges": [{"edge": 0, "weight": 2}, {"edge": 1}], "incidences": listed}
    )
    data = made.to_data()
    assert data.hyperedge_weight.tolist() == [2.0, 1.0]
    index = torch.tensor([[0, 1], [0, 1]])
    own = HyperGraphData(edge_index=index, hyperedge_weight=torch.tensor([0.5, 4.0]))
    assert Incidence.from_data(own).attributes.weights().tolist() == [0.5, 4.0]
    odd = HypergraphAttributes(hyperedges=({"weight": "heavy"},))
    with pytest.raises(ValueError, match="weights of hyperedges must be numbers: got 'heavy'"):
        odd.weights()
    with pytest.raises(ValueError, match="nodes must have attributes to have weights: got none"):
        odd.weights("nodes")
    assert Incidence.from_lists([[0, 1]]).attributes is None
