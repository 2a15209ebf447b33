"""Hyperedges of single nodes: the same as made by hand, in the same order."""

import pytest
import torch
from hypergraph_cases import SIZES, make

from graphattn.hypergraph import Incidence
from graphattn.ops.self_loops import types_with_self_loops, with_self_loops


@pytest.mark.parametrize("sizes", SIZES)
def test_equals_what_is_sorted_anew(sizes):
    made = make(*sizes)
    nodes = torch.arange(made.num_nodes)
    index = torch.cat(
        [made.hyperedge_index(), torch.stack([nodes, made.num_hyperedges + nodes])], dim=1
    )
    order = torch.randperm(index.size(1))
    count = made.num_hyperedges + made.num_nodes
    expected = Incidence.from_hyperedge_index(index[:, order], made.num_nodes, count)
    got = with_self_loops(made)
    for name in ("node", "edge", "edge_ptr", "node_perm", "node_ptr"):
        assert torch.equal(getattr(got, name), getattr(expected, name)), name
    assert got.digest() == expected.digest()


def test_types_of_their_own():
    made = Incidence.from_lists([[0, 1], [1, 2]])
    types = types_with_self_loops(torch.tensor([1, 0]), made, 2)
    assert types.tolist() == [1, 0, 2, 2, 2]
    assert with_self_loops(made).num_hyperedges == len(types)


def test_no_hyperedge_and_no_node():
    nothing = Incidence.from_hyperedge_index(torch.zeros(2, 0, dtype=torch.long), 3, 0)
    assert with_self_loops(nothing).to_lists() == [[0], [1], [2]]
    empty = Incidence.from_hyperedge_index(torch.zeros(2, 0, dtype=torch.long), 0, 2)
    assert with_self_loops(empty).to_lists() == [[], []]
