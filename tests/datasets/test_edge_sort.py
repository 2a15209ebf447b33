"""The sort in buckets gives what the sort in memory gives; arrays written in blocks are whole."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphattn.datasets.edge_sort import EdgeSorter
from graphattn.graph import CSRGraph


@settings(deadline=None)
@given(
    st.integers(1, 9).flatmap(
        lambda n: st.tuples(
            st.just(n),
            st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=40),
        )
    ),
    st.sampled_from([8, 64, 1 << 20]),
)
def test_equals_the_graph_made_in_memory(tmp_path_factory, drawn, bucket_bytes):
    num_nodes, pairs = drawn
    edges = np.array(pairs, np.int64).reshape(-1, 2).T
    folder = tmp_path_factory.mktemp("sort")
    sorter = EdgeSorter(folder / "b", num_nodes, edges.shape[1], bucket_bytes=bucket_bytes)
    for start in range(0, edges.shape[1], 7):
        sorter.add(edges[0, start : start + 7].copy(), edges[1, start : start + 7].copy())
    counts = sorter.finish(folder / "graph")
    graph, wanted = CSRGraph.load(folder / "graph"), CSRGraph.from_edge_index(edges, num_nodes)
    assert graph.digest() == wanted.digest()
    assert counts["num_edges"] == wanted.num_edges
    assert graph.num_duplicates == wanted.num_duplicates
    assert graph.num_self_loops == wanted.num_self_loops
    assert not (folder / "b").exists()


def test_refuses_more_nodes_than_keys_can_name(tmp_path):
    with pytest.raises(ValueError, match="num_nodes must be from 1 to 3037000499"):
        EdgeSorter(tmp_path / "b", 2**40, 1)
