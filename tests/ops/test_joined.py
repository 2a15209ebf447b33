"""joined_tokens: every pair against a set of edges, on real draws with empty columns."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphattn.graph import CSRGraph
from graphattn.ops.joined import joined_tokens
from graphattn.ops.neighborhood import Neighborhood, sample_neighborhood


@settings(max_examples=30, deadline=None)
@given(
    edges=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=30),
    num_samples=st.integers(1, 9),
    direction=st.sampled_from(["in", "out", "both"]),
)
def test_is_true_exactly_where_an_edge_goes(edges, num_samples, direction):
    edge_index = torch.tensor(edges, dtype=torch.long).view(-1, 2).t()
    graph = CSRGraph.from_edge_index(edge_index, num_nodes=8)
    tokens = sample_neighborhood(graph, torch.arange(8), num_samples, direction=direction)
    found = joined_tokens(graph, tokens)
    known = set(edges)
    assert found.shape == (8, num_samples, num_samples)
    for b in range(8):
        for i in range(num_samples):
            for j in range(num_samples):
                exist = bool(tokens.mask[b, i] and tokens.mask[b, j])
                pair = (int(tokens.ids[b, j]), int(tokens.ids[b, i]))
                assert bool(found[b, i, j]) == (exist and pair in known)


def test_an_id_that_is_no_node():
    graph = CSRGraph.from_edge_index(torch.tensor([[0], [1]]))
    one = torch.full((1, 1), 2)
    with pytest.raises(IndexError, match="ids run from 0 to 1: got some from 2 to 2"):
        joined_tokens(graph, Neighborhood(one, one > 0, one))
