"""HyperNetX: what it keeps comes back, through the package and through one with its interface."""

import sys
from types import SimpleNamespace

import pytest
from hypothesis import given, settings

from graphattn.hypergraph import Incidence
from tests.test_hypergraph_attributes import contents

pandas = pytest.importorskip("pandas", reason="pandas is not installed: pip install pandas")


class View:
    """Some names, and a table of what they have, as HyperNetX shows them."""

    default_weight = 1

    def __init__(self, names, table):
        self._names, self.user_defined_properties = names, table

    def __iter__(self):
        return iter(self._names)


class StandIn:
    """A ``hypernetx.Hypergraph`` as far as graphattn needs it: what is in no pair is gone."""

    def __init__(self, setsystem, *, edge_properties, node_properties, name, **columns):
        assert set(columns.values()) == {"misc_properties"}
        pairs = list(zip(setsystem["edges"], setsystem["nodes"], strict=True))
        self.incidence_dict = {}
        for edge, node in pairs:
            self.incidence_dict.setdefault(edge, []).append(node)
        self.nodes = View({node for _, node in pairs}, node_properties.set_index("uid"))
        self.edges = View(list(self.incidence_dict), edge_properties.set_index("uid"))
        self.incidences = View(pairs, setsystem.set_index(["edges", "nodes"]))
        self.name = name


def through_stand_in(made):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "hypernetx", SimpleNamespace(Hypergraph=StandIn))
        return made.to_hypernetx()


def without_lone_ones(content):
    made = Incidence.from_hif(content)
    return made.subgraph(made.degree() > 0)[0]


@settings(deadline=None, max_examples=30)
@given(contents())
def test_all_goes_there_and_back(content):
    made = without_lone_ones(content)
    again = Incidence.from_hypernetx(through_stand_in(made))
    assert again.digest() == made.digest()
    assert again.attributes == made.attributes
    assert again.to_hif() == made.to_hif()


@settings(deadline=None, max_examples=30)
@given(contents())
def test_a_chain_of_formats(content):
    made = without_lone_ones(content)
    again = Incidence.from_hypernetx(through_stand_in(made))
    again = Incidence.from_data(again.to_data())
    again = Incidence.from_hif(again.dual().dual().to_hif())
    again = Incidence.from_hypernetx(through_stand_in(again))
    assert again.digest() == made.digest()
    assert again.to_hif() == made.to_hif()


def test_the_package_itself():
    reason = "HyperNetX is not installed or cannot be imported: pip install hypernetx"
    hypernetx = pytest.importorskip("hypernetx", reason=reason, exc_type=ImportError)
    made = Incidence.from_hif(
        {
            "metadata": {"name": "made", "year": 1936},
            "nodes": [{"node": "b", "weight": 1}, {"node": 3, "attrs": {"age": 4, "x": None}}],
            "edges": [{"edge": 7, "weight": 2}, {"edge": "e", "attrs": {"on": [1, 2]}}],
            "incidences": [{"edge": 7, "node": "b", "weight": 0.5}, {"edge": "e", "node": 3}],
        }
    )
    theirs = made.to_hypernetx()
    assert theirs.name == "made"
    assert theirs.edges[7].weight == 2
    assert theirs.nodes[3].age == 4
    again = Incidence.from_hypernetx(theirs)
    assert again.to_hif() == made.to_hif()
    plain = Incidence.from_hypernetx(hypernetx.Hypergraph([[1, 2], [2, 5]]))
    assert plain.attributes is None
    assert plain.node_names == (1, 2, 5)


def test_properties_in_columns_of_their_own():
    """As HyperNetX has them of a table: weights are floats, and gaps are NaN."""
    of_nodes = pandas.DataFrame(
        {"weight": [1.0, 2.5], "misc_properties": [{}, {}], "age": [3.0, float("nan")]},
        index=["u", "v"],
    )
    of_edges = pandas.DataFrame(
        {"weight": [1], "misc_properties": [{"kind": "tea", "_level": 0}]}, index=["a"]
    )
    of_pairs = of_edges.iloc[:0]
    theirs = SimpleNamespace(
        nodes=View(["v", "u"], of_nodes),
        edges=View(["a"], of_edges),
        incidences=View([], of_pairs),
        incidence_dict={"a": ["v", "u"]},
        name="by hand",
    )
    made = Incidence.from_hypernetx(theirs)
    assert made.node_names == ("u", "v")
    assert made.attributes.nodes == ({"age": 3.0}, {"weight": 2.5})
    assert made.attributes.hyperedges == ({"kind": "tea"},)
    assert made.attributes.incidences is None
    assert made.attributes.metadata == {"name": "by hand"}


def test_a_weight_changed_there_has_the_last_word():
    made = Incidence.from_hif(
        {"edges": [{"edge": "e", "weight": 2}], "incidences": [{"edge": "e", "node": "a"}]}
    )
    theirs = through_stand_in(made)
    assert theirs.edges.user_defined_properties["weight"].tolist() == [2]
    theirs.edges.user_defined_properties["weight"] = 7
    assert Incidence.from_hypernetx(theirs).attributes.hyperedges == ({"weight": 7},)
