"""The hypergraph container: what its makers accept and refuse, and that nothing is lost."""

import json
import pickle
from types import SimpleNamespace

import networkx
import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data.hypergraph_data import HyperGraphData

from graphattn.corrupt import CorruptFile
from graphattn.hypergraph import Incidence


@st.composite
def hypergraphs(draw):
    num_nodes, num_hyperedges = draw(st.integers(1, 9)), draw(st.integers(1, 7))
    pair = st.tuples(st.integers(0, num_nodes - 1), st.integers(0, num_hyperedges - 1))
    pairs = draw(st.lists(pair, max_size=40))
    return np.array(pairs, dtype=np.int64).reshape(-1, 2).T, num_nodes, num_hyperedges


def pairs_of(made):
    return [tuple(pair) for pair in made.hyperedge_index().T.tolist()]


def named_members(made):
    lists = zip(made.hyperedge_names, made.to_lists(), strict=True)
    return {name: {made.node_names[node] for node in members} for name, members in lists}


@settings(deadline=None, max_examples=60)
@given(hypergraphs())
def test_incidences_there_and_back(found):
    index, num_nodes, num_hyperedges = found
    made = Incidence.from_hyperedge_index(*found)
    expected = {tuple(pair) for pair in index.T.tolist()}
    assert pairs_of(made) == sorted(expected, key=lambda pair: pair[::-1])
    assert made.num_duplicates == index.shape[1] - len(expected)
    assert (made.num_nodes, made.num_hyperedges) == (num_nodes, num_hyperedges)
    by_node = made.hyperedge_index()[:, made.node_perm.long()].T.tolist()
    assert by_node == sorted(map(list, expected))
    assert made.degree().tolist() == [sum(v == u for v, _ in expected) for u in range(num_nodes)]
    assert made.size().tolist() == [sum(e == f for _, e in expected) for f in range(num_hyperedges)]
    again = Incidence.from_hyperedge_index(made.hyperedge_index(), num_nodes, num_hyperedges)
    assert again.digest() == made.digest()
    assert again.num_duplicates == 0


@settings(deadline=None, max_examples=40)
@given(hypergraphs())
def test_every_form_is_lossless(found):
    made = Incidence.from_hyperedge_index(*found)
    for other in (
        Incidence.from_data(made.to_data()),
        Incidence.from_matrix(made.to_dense()),
        Incidence.from_matrix(made.to_dense().numpy()),
        Incidence.from_matrix(made.to_dense().to_sparse()),
        Incidence.from_matrix(made.to_scipy()),
        Incidence.from_matrix(made.to_scipy().tocoo()),
        Incidence.from_lists(made.to_lists(), nodes=range(made.num_nodes)),
        Incidence.from_hif(json.loads(json.dumps(made.to_hif()))),
        pickle.loads(pickle.dumps(made)),
        made.to("cpu"),
        made.dual().dual(),
    ):
        assert other.digest() == made.digest()
        assert other.node_names is other.hyperedge_names is None
    assert {pair[::-1] for pair in pairs_of(made.dual())} == set(pairs_of(made))
    assert made.dual().digest() == Incidence.from_matrix(made.to_dense().t()).digest()
    edges = made.to_bipartite()["node", "in", "hyperedge"].edge_index
    assert torch.equal(edges, made.hyperedge_index())


@settings(deadline=None, max_examples=40)
@given(hypergraphs(), st.integers(0, 3), st.randoms())
def test_subgraph(found, min_size, random):
    made = Incidence.from_hyperedge_index(*found)
    nodes = random.sample(range(made.num_nodes), random.randint(0, made.num_nodes))
    part, kept = made.subgraph(torch.tensor(nodes, dtype=torch.long), min_size=min_size)
    inside = [{v for v in edge if v in nodes} for edge in made.to_lists()]
    assert kept.tolist() == [e for e, members in enumerate(inside) if len(members) >= min_size]
    for members, old in zip(part.to_lists(), kept.tolist(), strict=True):
        assert {nodes[v] for v in members} == inside[old]
    assert part.num_nodes == len(nodes)
    mask = torch.zeros(made.num_nodes, dtype=torch.bool)
    mask[nodes] = True
    again, _ = made.subgraph(mask, min_size=min_size)
    ascending, _ = made.subgraph(torch.tensor(sorted(nodes), dtype=torch.long), min_size=min_size)
    assert again.digest() == ascending.digest()


@settings(deadline=None, max_examples=40)
@given(hypergraphs())
def test_cliques(found):
    made = Incidence.from_hyperedge_index(*found)
    edge_index, shared = made.clique(max_size=9)
    expected = {}
    for members in made.to_lists():
        for v in members:
            for u in members:
                if u != v:
                    expected[u, v] = expected.get((u, v), 0) + 1
    assert list(map(tuple, edge_index.T.tolist())) == sorted(expected, key=lambda p: p[::-1])
    assert shared.tolist() == [expected[tuple(pair)] for pair in edge_index.T.tolist()]


def test_a_large_hyperedge_becomes_no_clique():
    made = Incidence.from_lists([[0, 1, 2], [0]])
    with pytest.raises(ValueError, match="hyperedge of 3 nodes exceeds max_size=2"):
        made.clique(max_size=2)


def test_names_go_along():
    made = Incidence.from_lists({"tea": ["ann", "bob"], "dance": [], "ball": ["bob"]}, ["zoe"])
    assert made.node_names == ("zoe", "ann", "bob")
    assert made.to_lists() == [[1, 2], [], [2]]
    assert made.dual().node_names == ("tea", "dance", "ball")
    part, _ = made.subgraph(torch.tensor([2, 0]))
    assert part.node_names == ("bob", "zoe")
    assert part.hyperedge_names == ("tea", "ball")
    back = Incidence.from_hif(made.to_hif())
    assert (back.node_names, back.hyperedge_names) == (made.node_names, made.hyperedge_names)
    assert back.digest() == made.digest()
    assert Incidence.from_lists([[5, 2], [], [0]]).num_nodes == 6
    assert Incidence.from_lists({"b": [1], "a": []}).hyperedge_names == ("b", "a")
    with pytest.raises(TypeError, match=r"HIF names are strings or integers: got \(1, 2\)"):
        Incidence.from_lists([[(1, 2)]]).to_hif()


def test_hif_files(tmp_path):
    women, events = networkx.bipartite.sets(networkx.davis_southern_women_graph())
    graph = networkx.davis_southern_women_graph()
    events = sorted(node for node in events | women if graph.nodes[node]["bipartite"] == 1)
    made = Incidence.from_lists({event: sorted(graph[event]) for event in events})
    assert (made.num_nodes, made.num_hyperedges, made.num_incidences) == (18, 14, 89)
    path = tmp_path / "women.json"
    path.write_text(json.dumps(made.to_hif()))
    again = Incidence.from_hif(path)
    assert again.digest() == made.digest()
    assert again.hyperedge_names == tuple(events)


def test_a_hif_file_of_mails_with_nodes_in_none(tmp_path):
    """Of the size of XGI's email-Enron, which is not bundled: 5 of 148 people are in no mail."""
    rng = np.random.default_rng(0)
    mails = {str(e): rng.choice(143, rng.integers(1, 5), replace=False) for e in range(10_885)}
    people = [f"p{number}" for number in range(148)]
    content = {
        "network-type": "undirected",
        "metadata": {"name": "mails"},
        "incidences": [
            {"edge": mail, "node": people[one]} for mail, who in mails.items() for one in who
        ],
        "nodes": [{"node": name, "attrs": {"name": name}} for name in people],
        "edges": [{"edge": mail} for mail in mails],
    }
    path = tmp_path / "mails.json"
    path.write_text(json.dumps(content))
    made = Incidence.from_hif(path)
    again = Incidence.from_hif(made.to_hif())
    assert (made.num_nodes, made.num_hyperedges) == (148, 10_885)
    assert int((made.degree() == 0).sum()) >= 5
    assert again.digest() == made.digest()
    assert again.to_hif() == made.to_hif()
    assert made.to_hif()["nodes"] == content["nodes"]
    for found in (made, again):
        named = dict(zip(found.hyperedge_names, found.to_lists(), strict=True))
        for mail, who in mails.items():
            assert {found.node_names[one] for one in named[mail]} == {people[one] for one in who}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "must be a JSON file"),
        ("[1]", "must be HIF with a list 'incidences': got none"),
        ('{"incidences": [{"node": 1}]}', "must name edges by a string or an integer"),
        ('{"incidences": [], "nodes": [{"node": [1]}]}', "must name nodes by a string"),
        ('{"incidences": [{"node": true, "edge": 1}]}', "must name nodes by a string"),
        ('{"incidences": [], "nodes": 5}', "must have a list 'nodes': got int"),
        (
            '{"incidences": [], "nodes": [{"node": 1}, {"node": 1, "weight": 2}]}',
            "must list node 1 once: got it twice, unlike",
        ),
        ('{"incidences": [], "network-type": "odd"}', "network-type of undirected, asc, directed"),
        ('{"incidences": [], "edges": [{"edge": 1, "attrs": 3}]}', "must have attrs by name"),
        (
            '{"incidences": [], "edges": [{"edge": 1, "weight": 2, "attrs": {"weight": 3}}]}',
            "must have one weight an entry: got 2, and 3 among its attrs",
        ),
    ],
)
def test_damaged_hif_is_refused(tmp_path, content, said):
    path = tmp_path / "odd.json"
    path.write_text(content)
    with pytest.raises(CorruptFile, match=said):
        Incidence.from_hif(path)
    with pytest.raises(FileNotFoundError):
        Incidence.from_hif(tmp_path / "none.json")


def test_xgi_there_and_back():
    xgi = pytest.importorskip("xgi", reason="XGI is not installed: pip install xgi")
    made = Incidence.from_lists({"a": [0, 1], "b": [], "c": [1, "x"]}, ["z", 0, 1, "x"])
    theirs = made.to_xgi()
    assert theirs.num_nodes == 4
    assert dict(theirs.edges.members(dtype=dict))["c"] == {1, "x"}
    again = Incidence.from_xgi(theirs)
    assert again.digest() == made.digest()
    assert again.node_names == made.node_names
    assert again.hyperedge_names == made.hyperedge_names
    through_hif = Incidence.from_hif(xgi.to_hif_dict(theirs))  # lists isolated nodes only
    assert named_members(through_hif) == named_members(made)
    assert set(through_hif.node_names) == set(made.node_names)
    from_ours = Incidence.from_xgi(xgi.from_hif_dict(made.to_hif()))
    assert named_members(from_ours) == named_members(made)
    assert set(from_ours.node_names) == set(made.node_names)


def test_hypernetx_there_and_back():
    reason = "HyperNetX is not installed or cannot be imported: pip install hypernetx"
    pytest.importorskip("hypernetx", reason=reason, exc_type=ImportError)
    made = Incidence.from_lists({"a": ["u", "v"], "b": ["v", "w"]})
    again = Incidence.from_hypernetx(made.to_hypernetx())
    assert again.to_dense().sum() == 4
    assert set(again.node_names) == {"u", "v", "w"}


def test_what_hypernetx_offers_is_read():
    theirs = SimpleNamespace(
        nodes=["u", "v", "w"], edges=["a", "b"], incidence_dict={"a": ["u", "v"], "b": ["v"]}
    )
    made = Incidence.from_hypernetx(theirs)
    assert made.node_names == ("u", "v", "w")
    assert made.to_lists() == [[0, 1], [1]]
    with pytest.raises(ValueError, match="got 1 isolated nodes and 0 empty hyperedges"):
        made.to_hypernetx()


def test_counts_of_data_come_from_what_it_has():
    index = torch.tensor([[0, 1, 1], [0, 0, 1]])
    data = HyperGraphData(x=torch.ones(4, 2), edge_index=index, hyperedge_type=torch.zeros(3))
    made = Incidence.from_data(data)
    assert (made.num_nodes, made.num_hyperedges) == (4, 3)
    bare = Incidence.from_data(HyperGraphData(edge_index=index))
    assert (bare.num_nodes, bare.num_hyperedges) == (2, 2)
    data.num_nodes = 5
    with pytest.raises(ValueError, match="sizes of data must agree: got 5 num_nodes, 4 rows of x"):
        Incidence.from_data(data)
    with pytest.raises(ValueError, match="data must have edge_index"):
        Incidence.from_data(HyperGraphData(x=torch.ones(2, 2)))


@pytest.mark.parametrize(
    ("index", "counts", "said"),
    [
        ([[0, 1], [1, 2], [0, 0]], (), r"\(node, hyperedge\); got \[3, 2\]: transpose it"),
        ([0, 1], (), r"got \[2\]: give nodes in row 0 and hyperedges in row 1"),
        ([[0, -1], [0, 0]], (), "node id -1 at incidence 1: negative id"),
        ([[0, 1], [-3, 0]], (), "hyperedge id -3 at incidence 0: negative id"),
        ([[0, 9], [0, 0]], (5,), "node id 9 at incidence 1 but num_nodes=5; give ids below 5"),
        ([[0], [4]], (1, 2), "hyperedge id 4 at incidence 0 but num_hyperedges=2"),
        ([[], []], (-1,), "num_nodes must be a count from 0: got -1"),
    ],
)
def test_errors_by_their_words(index, counts, said):
    with pytest.raises(ValueError, match=said):
        Incidence.from_hyperedge_index(torch.tensor(index, dtype=torch.long), *counts)


def test_odd_inputs_are_refused():
    with pytest.raises(TypeError, match=r"got float32: use \.long\(\)"):
        Incidence.from_hyperedge_index(torch.zeros(2, 3))
    with pytest.raises(TypeError, match=r"must be an xgi\.Hypergraph: got list"):
        Incidence.from_xgi([[0, 1]])
    with pytest.raises(TypeError, match=r"must be a hypernetx\.Hypergraph: got dict"):
        Incidence.from_hypernetx({})
    with pytest.raises(ValueError, match="got 1 NaN entries"):
        Incidence.from_matrix(np.array([[1.0, np.nan]]))
    with pytest.raises(ValueError, match="got 1 NaN entries"):
        Incidence.from_matrix(scipy.sparse.coo_array(np.array([[1.0, np.nan]])))
    with pytest.raises(ValueError, match=r"got shape \[3\]"):
        Incidence.from_matrix(np.ones(3))
    made = Incidence.from_lists([[0, 1]])
    with pytest.raises(ValueError, match="ids must be distinct"):
        made.subgraph(torch.tensor([1, 1]))
    with pytest.raises(ValueError, match="a choice must hold ids from 0 to 1: got 0 to 2"):
        made.subgraph(torch.tensor([0, 2]))
    with pytest.raises(ValueError, match="a mask must have 2 entries: got 3"):
        made.subgraph(torch.ones(3, dtype=torch.bool))


def test_tensors_that_do_not_fit_are_refused():
    made = Incidence.from_lists([[0, 1]])
    tensors = [made.node, made.edge, made.edge_ptr, made.node_perm, made.node_ptr]
    wrong = {
        0: (made.node + 1, "node must hold ids from 0 to 1: got 1 to 2"),
        1: (made.edge.long(), "must have one type and length"),
        2: (made.edge_ptr[:-1], "edge_ptr must rise from 0 to 2, the incidences: got "),
        3: (made.node_perm - 1, "node_perm must hold ids from 0 to 1: got -1 to 0"),
    }
    for place, (tensor, said) in wrong.items():
        with pytest.raises(ValueError, match=said):
            Incidence(*tensors[:place], tensor, *tensors[place + 1 :])


def test_nothing_at_all_is_a_hypergraph():
    made = Incidence.from_hyperedge_index(torch.zeros(2, 0, dtype=torch.long))
    assert (made.num_nodes, made.num_hyperedges, made.num_incidences) == (0, 0, 0)
    assert made.to_lists() == []
    assert made.clique(max_size=2)[0].shape == (2, 0)
    assert made.dual().digest() == made.digest()
