"""The graph container: what its makers accept and refuse, and that nothing is lost on the way."""

import inspect
import logging

import networkx
import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data

from graphattn.edges import id_dtype
from graphattn.files import write_arrays
from graphattn.graph import CSRGraph


@st.composite
def edge_lists(draw):
    num_nodes = draw(st.integers(1, 12))
    node = st.integers(0, num_nodes - 1)
    pairs = draw(st.lists(st.tuples(node, node), max_size=40))
    return np.array(pairs, dtype=np.int64).reshape(-1, 2).T, num_nodes


def pairs_of(graph):
    return list(zip(*graph.edge_index().tolist(), strict=True))


@settings(deadline=None, max_examples=60)
@given(edge_lists())
def test_edges_there_and_back(edges):
    edge_index, num_nodes = edges
    given_pairs = [tuple(pair) for pair in edge_index.T.tolist()]
    graph = CSRGraph.from_edge_index(edge_index, num_nodes)
    assert sorted(pairs_of(graph)) == sorted(set(given_pairs))
    assert graph.num_nodes == num_nodes
    assert graph.num_edges == len(set(given_pairs))
    assert graph.num_duplicates == len(given_pairs) - len(set(given_pairs))
    assert graph.num_self_loops == sum(a == b for a, b in set(given_pairs))
    for node in range(num_nodes):
        row = graph.col[graph.rowptr[node] : graph.rowptr[node + 1]].tolist()
        assert row == sorted({a for a, b in given_pairs if b == node})
    again = CSRGraph.from_edge_index(graph.edge_index(), num_nodes)
    assert again.digest() == graph.digest()
    assert again.num_duplicates == 0


@settings(deadline=None, max_examples=60)
@given(edge_lists())
def test_reverse_and_undirected(edges):
    graph = CSRGraph.from_edge_index(*edges)
    pairs = set(pairs_of(graph))
    back = {(b, a) for a, b in pairs}
    assert set(pairs_of(graph.reverse())) == back
    assert graph.reverse().reverse().digest() == graph.digest()
    assert graph.is_undirected == (pairs == back)
    both = graph.to_undirected()
    assert both.is_undirected
    assert set(pairs_of(both)) == pairs | back
    assert both.to_undirected() is both
    assert both.reverse() is both
    assert graph.reverse() is graph.reverse()


@settings(deadline=None, max_examples=40)
@given(edge_lists())
def test_every_maker_makes_the_same_graph(edges):
    edge_index, num_nodes = edges
    graph = CSRGraph.from_edge_index(edge_index, num_nodes)
    ones = np.ones(edge_index.shape[1])
    matrix = scipy.sparse.coo_array((ones, (edge_index[0], edge_index[1])), (num_nodes, num_nodes))
    multi = networkx.MultiDiGraph()
    multi.add_nodes_from(range(num_nodes))
    multi.add_edges_from(edge_index.T.tolist())
    data = Data(edge_index=torch.from_numpy(edge_index), num_nodes=num_nodes)
    for other in (
        CSRGraph.from_scipy(matrix),
        CSRGraph.from_networkx(multi),
        CSRGraph.from_data(data),
    ):
        assert other.digest() == graph.digest()
        assert other.num_duplicates == graph.num_duplicates
    assert CSRGraph.from_scipy(matrix.tocsr()).digest() == graph.digest()


@settings(deadline=None, max_examples=40)
@given(edge_lists())
def test_self_loop_policies(edges):
    edge_index, num_nodes = edges
    kept = CSRGraph.from_edge_index(edge_index, num_nodes)
    dropped = CSRGraph.from_edge_index(edge_index, num_nodes, self_loops="drop")
    added = CSRGraph.from_edge_index(edge_index, num_nodes, self_loops="add")
    others = {(a, b) for a, b in pairs_of(kept) if a != b}
    assert set(pairs_of(dropped)) == others
    assert set(pairs_of(added)) == others | {(v, v) for v in range(num_nodes)}
    for graph in (dropped, added):
        assert graph.num_self_loops == kept.num_self_loops
        assert graph.num_duplicates == kept.num_duplicates


@settings(deadline=None, max_examples=20)
@given(edges=edge_lists(), mmap=st.booleans())
def test_saved_and_loaded(tmp_path_factory, edges, mmap):
    folder = tmp_path_factory.mktemp("a graph ü")
    graph = CSRGraph.from_edge_index(*edges)
    graph.save(folder / "new" / "er")
    again = CSRGraph.load(folder / "new" / "er", mmap=mmap)
    assert again.digest() == graph.digest()
    assert again.num_duplicates == graph.num_duplicates
    assert again.num_self_loops == graph.num_self_loops
    assert again.reverse().digest() == graph.reverse().digest()


def test_no_copy_is_kept_that_is_not_needed():
    both = CSRGraph.from_edge_index(torch.tensor([[0, 1], [1, 0]]))
    assert both.is_undirected
    assert both.reverse() is both
    assert not any(isinstance(part, CSRGraph) for part in vars(both).values())
    graph = CSRGraph.from_edge_index(torch.tensor([[0], [1]]))
    assert graph.reverse() is graph.reverse()
    assert not graph.reverse().is_undirected
    assert graph.reverse().reverse() is graph


def test_rows_in_another_order_are_the_same_edges():
    star = CSRGraph(np.array([0, 2, 3, 4]), np.array([2, 1, 0, 0], dtype=np.int32))
    assert star.is_undirected
    assert star.reverse() is star.to_undirected() is star
    cycle = CSRGraph(np.array([0, 2, 3, 4]), np.array([2, 1, 2, 0], dtype=np.int32))
    assert not cycle.is_undirected
    assert set(pairs_of(cycle.reverse())) == {(b, a) for a, b in pairs_of(cycle)}


def test_counts_are_logged_once(caplog):
    with caplog.at_level(logging.INFO, logger="graphattn.graph"):
        CSRGraph.from_edge_index(torch.tensor([[0, 0, 1], [1, 1, 1]]))
        CSRGraph.from_edge_index(torch.tensor([[0], [1]]))
    assert [record.getMessage() for record in caplog.records] == [
        "2 nodes; merged 1 repeated edges; 1 self-loops ('keep')"
    ]


def test_arrays_cannot_be_written():
    graph = CSRGraph.from_edge_index(torch.tensor([[0], [1]]))
    with pytest.raises(ValueError, match="read-only"):
        graph.col[0] = 1
    with pytest.raises(AttributeError):
        graph.col = graph.rowptr


def test_given_arrays_stay_writable():
    rowptr, col = np.array([0, 0, 1]), np.array([0], dtype=np.int32)
    CSRGraph(rowptr, col)
    assert rowptr.flags.writeable
    edge_index = np.array([[1, 0], [0, 1]])
    CSRGraph.from_edge_index(edge_index)
    assert edge_index.tolist() == [[1, 0], [0, 1]]


def test_undirected_networkx_gives_both_directions_and_keeps_names_in_order():
    graph = networkx.Graph([("b", "a"), ("a", "a")])
    ours = CSRGraph.from_networkx(graph)
    assert set(pairs_of(ours)) == {(0, 1), (1, 0), (1, 1)}
    assert ours.is_undirected
    assert ours.num_duplicates == 0


def test_stored_zero_is_no_edge():
    matrix = scipy.sparse.coo_array((np.array([0.0, 2.0]), ([0, 1], [1, 2])), (3, 3))
    assert pairs_of(CSRGraph.from_scipy(matrix)) == [(1, 2)]


def test_whole_numbers_in_floats_pass_with_a_note(caplog):
    with caplog.at_level(logging.INFO, logger="graphattn.edges"):
        graph = CSRGraph.from_edge_index(torch.tensor([[0.0, 1.0], [1.0, 2.0]]))
    assert graph.num_edges == 2
    assert "whole numbers as float32" in caplog.text


def test_no_nodes():
    graph = CSRGraph.from_edge_index(torch.zeros(2, 0, dtype=torch.long))
    assert (graph.num_nodes, graph.num_edges) == (0, 0)
    assert graph.is_undirected
    assert graph.to_undirected().edge_index().shape == (2, 0)


def test_id_types_for_more_nodes_than_memory_holds():
    assert id_dtype(2**31 - 1) == np.int32
    assert id_dtype(2**31) == np.int64
    assert CSRGraph.from_edge_index(torch.tensor([[0], [1]])).rowptr.dtype == np.int64


FIVE = (
    "edge_index[0,0]=9, edge_index[0,1]=9, edge_index[0,2]=9, edge_index[0,3]=9, edge_index[0,4]=9"
)


@pytest.mark.parametrize(
    ("edge_index", "num_nodes", "message"),
    [
        ([[0] * 18, [0] * 17 + [5]], 5, "edge_index[1,17]=5 but ids run 0..4; 1 such edge."),
        (
            [[9] * 7, [0] * 7],
            3,
            f"{FIVE} but ids run 0..2; 7 such edges. Give ids below num_nodes=3",
        ),
        ([[0, -1], [-1, 0]], None, "edge_index[0,1]=-1, edge_index[1,0]=-1 but ids run from 0; 2"),
        ([[0.0, 1.7], [1.0, 0.0]], None, "edge_index[0,1]=1.7 but ids are whole numbers; 1"),
        ([[0.0, float("nan")], [1.0, 0.0]], None, "edge_index[0,1]=nan but ids are whole"),
        ([[0.0, float("inf")], [1.0, 0.0]], None, "edge_index[0,1]=inf but ids are whole"),
        (
            [[0, 1], [1, 2], [2, 0]],
            None,
            "got shape [3, 2]; it looks transposed: use edge_index.t()",
        ),
        ([0, 1, 2], None, "edge_index must be [2, edges]: got shape [3]"),
        ([[0], [0]], 0, "edge_index[0,0]=0, edge_index[1,0]=0 but there are no nodes"),
        ([[1234567], [0]], 5, "edge_index[0,0]=1234567 but ids run 0..4; 1 such edge."),
        ([[2345678.0], [0.0]], 5, "edge_index[0,0]=2345678 but ids run 0..4; 1 such edge."),
        ([[0], [0]], -3, "num_nodes must be from 0 to 3037000499: got -3"),
    ],
)
def test_offenders_are_named(edge_index, num_nodes, message):
    with pytest.raises(ValueError) as caught:
        CSRGraph.from_edge_index(torch.tensor(edge_index), num_nodes)
    assert message in str(caught.value)


def test_ids_must_be_numbers():
    with pytest.raises(TypeError, match="must hold integer ids: got bool"):
        CSRGraph.from_edge_index(torch.zeros(2, 3, dtype=torch.bool))


def test_unknown_policy_is_named():
    make = inspect.unwrap(CSRGraph.from_edge_index.__func__)  # past the check of annotations
    with pytest.raises(ValueError, match="'keep', 'drop' or 'add': got 'some'"):
        make(CSRGraph, torch.tensor([[0], [1]]), self_loops="some")


def test_data_must_agree():
    edge_index = torch.tensor([[0], [1]])
    data = Data(x=torch.zeros(3, 2), y=torch.zeros(4), edge_index=edge_index)
    with pytest.raises(ValueError, match="must agree: got 3 num_nodes, 3 rows of x, 4 rows of y"):
        CSRGraph.from_data(data)
    with pytest.raises(ValueError, match=r"must have edge_index \[2, edges\]: got none"):
        CSRGraph.from_data(Data(x=torch.zeros(3, 2)))


def test_matrices_must_be_square_sparse_and_whole():
    with pytest.raises(ValueError, match=r"square: got shape \[2, 3\]"):
        CSRGraph.from_scipy(scipy.sparse.coo_array((2, 3)))
    with pytest.raises(TypeError, match="SciPy sparse matrix: got ndarray"):
        CSRGraph.from_scipy(np.eye(3))
    with pytest.raises(ValueError, match="got 1 NaN entries"):
        CSRGraph.from_scipy(scipy.sparse.coo_array(([np.nan], ([0], [1])), (2, 2)))
    with pytest.raises(TypeError, match="networkx graph: got int"):
        CSRGraph.from_networkx(3)


@pytest.mark.parametrize(
    ("rowptr", "col", "words"),
    [
        (np.array([0, 1], dtype=np.int32), np.array([0], dtype=np.int32), "rowptr must be int64"),
        (np.array([1, 1]), np.array([0], dtype=np.int32), "begin with 0"),
        (np.array([0, 2]), np.array([0], dtype=np.int32), "col must be int32 of the 2 edges"),
        (np.array([0, 1]), np.array([0]), "col must be int32 .* got int64"),
        (np.array([0, 1, 2]), np.array([0, 900_000_000], dtype=np.int32), "from 0 to 900000000"),
        (np.array([0, 1, 2]), np.array([0, -1], dtype=np.int32), "from 0 to 1: got ids from -1"),
        (np.array([0, 2, 1]), np.array([0], dtype=np.int32), r"rowptr\[1\]=2, rowptr\[2\]=1"),
    ],
)
def test_arrays_that_do_not_fit(rowptr, col, words):
    with pytest.raises(ValueError, match=words):
        CSRGraph(rowptr, col)


@pytest.mark.parametrize("mmap", [True, False])
def test_damaged_files_are_named(tmp_path, mmap):
    graph = CSRGraph.from_edge_index(torch.tensor([[0, 1, 2], [1, 2, 0]]))
    graph.save(tmp_path)
    saved = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(saved) == {"rowptr.npy", "col.npy", "graph.json"}

    def broken(name, content, words):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=words):
            CSRGraph.load(tmp_path, mmap=mmap)
        (tmp_path / name).write_bytes(saved[name])

    flipped = bytearray(saved["col.npy"])
    flipped[-4] ^= 1
    broken("col.npy", bytes(flipped), "damaged: their hash")
    broken("col.npy", saved["col.npy"][:-3], "col.npy cannot be read as an array")
    broken("rowptr.npy", b"", "rowptr.npy cannot be read as an array")
    broken("graph.json", b"{", "graph.json cannot be read as JSON")
    broken("graph.json", b"[]", "graph.json must hold one JSON object: got list")
    broken("graph.json", b"{}", "graph.json must be of format 1: got None")
    counts = saved["graph.json"].replace(b'"num_duplicates": 0', b'"num_duplicates": "0"')
    broken("graph.json", counts, "must count with integers")
    CSRGraph.load(tmp_path, mmap=mmap)


def test_graph_that_names_nodes_it_has_not(tmp_path):
    arrays = {"rowptr": np.array([0, 1, 2]), "col": np.array([1, 7], dtype=np.int32)}
    write_arrays(tmp_path, "graph", arrays, {"num_duplicates": 0, "num_self_loops": 0})
    with pytest.raises(ValueError, match="is damaged: col must hold ids from 0 to 1: got"):
        CSRGraph.load(tmp_path)
