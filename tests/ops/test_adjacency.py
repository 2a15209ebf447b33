"""The sparse adjacency against edges, and the memo of its normalisation."""

import copy
import pickle

import pytest
import torch
from torch_geometric.nn import GCNConv

from graphattn.ops.adjacency import GCNNormalization, to_sparse_adjacency

# Directed, with a self-loop at 1 and an isolated node 4.
EDGES = torch.tensor([[0, 1, 1, 2, 3, 0], [1, 1, 2, 3, 0, 2]])


def test_row_i_lists_who_sends_to_i():
    dense = torch.zeros(5, 5)
    dense[EDGES[1], EDGES[0]] = 1
    assert torch.equal(to_sparse_adjacency(EDGES, 5).to_dense(), dense)


def test_duplicates_count_once_and_no_edges_work():
    twice = torch.cat([EDGES, EDGES], dim=1)
    assert torch.equal(
        to_sparse_adjacency(twice, 5).to_dense(), to_sparse_adjacency(EDGES, 5).to_dense()
    )
    assert to_sparse_adjacency(EDGES[:, :0], 5).to_dense().abs().sum() == 0


@pytest.mark.parametrize(
    ("edges", "words"),
    [(EDGES.t(), r"got \[6, 2\]; .* edge_index.t()"), (EDGES + 1, "got ids from 1 to 4")],
)
def test_wrong_edges(edges, words):
    with pytest.raises(ValueError, match=words):
        to_sparse_adjacency(edges, 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_normalisation_is_that_of_gcn_on_edges_also_with_self_loops(dtype):
    x = torch.randn(5, 3, dtype=dtype, generator=torch.Generator().manual_seed(0))
    conv = GCNConv(3, 3, bias=False).to(dtype)
    conv.lin.weight.data = torch.eye(3, dtype=dtype)
    expected = conv(x, EDGES)
    normalize = GCNNormalization()
    matrix, none = normalize(to_sparse_adjacency(EDGES, 5), x)
    assert none is None
    assert matrix.dtype == dtype
    assert torch.allclose(matrix @ x, expected)
    edges, weight = normalize(EDGES, x)
    out = torch.zeros(5, 3, dtype=dtype).index_add(0, edges[1], weight[:, None] * x[edges[0]])
    assert torch.allclose(out, expected)


def test_memo_is_kept_and_noticed_to_be_stale():
    normalize, x = GCNNormalization(), torch.ones(5, 2)
    adj = to_sparse_adjacency(EDGES, 5)
    first = normalize(adj, x)
    assert normalize(adj, x)[0] is first[0]
    edges = EDGES.clone()
    before = normalize(edges, x)[1].clone()
    edges[1, 0] = 4
    assert not torch.equal(normalize(edges, x)[1], before)
    assert normalize(adj, x.double())[0].dtype == torch.float64


def test_memo_is_not_copied_or_saved():
    normalize = GCNNormalization()
    normalize(EDGES, torch.ones(5, 2))
    for twin in (copy.deepcopy(normalize), pickle.loads(pickle.dumps(normalize))):
        assert twin._value is None
