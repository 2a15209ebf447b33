"""One step of propagation against a loop, for all types of numbers and both types of ids."""

import numpy as np
import pytest
import torch

from graphattn.graph import CSRGraph
from graphattn.kernels.propagate import row_table, scale_rows, spread

N = 30
TOLERANCE = {
    "f4": 1e-5,
    "f8": 1e-13,
    "f2": 2e-2,
    "u2": 1.6e-1,
}  # half a last place of sums below 32


def numbers(array, dtype):
    """Rounds to a type; uint16 are the bits of bfloat16."""
    if dtype == "u2":
        return torch.from_numpy(array).bfloat16().view(torch.uint16).numpy()
    return array.astype(dtype)


def values(array):
    if array.dtype == np.uint16:
        return torch.from_numpy(array).view(torch.bfloat16).double().numpy()
    return array.astype(np.float64)


def case(dtype, channels=19):
    """A directed graph with loops, an isolated node and rows of many lengths; numbers; scales."""
    generator = np.random.default_rng(0)
    edges = generator.integers(1, N, size=(2, 200))
    edges = np.concatenate([edges, np.stack([np.arange(1, N), np.full(N - 1, 3)])], axis=1)
    graph = CSRGraph.from_edge_index(edges, N)
    assert graph.num_self_loops > 1
    x = numbers(generator.standard_normal((N, channels)), dtype)
    scale = generator.uniform(0.5, 1, N).astype("f8" if dtype == "f8" else "f4")
    a = np.eye(N)
    a[edges[1], edges[0]] = 1
    return graph, x, scale, scale[:, None].astype("f8") * (a @ values(x))


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("ids", [np.int32, np.int64])
def test_sums_rows(dtype, ids):
    graph, x, scale, expected = case(dtype)
    out = spread(graph.rowptr, graph.col.astype(ids), x, scale)
    assert out.dtype == dtype
    assert np.abs(values(out) - expected).max() <= TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", ["f4", "f2"])
def test_padded_tables_strided_results_and_blocks_of_rows_change_nothing(dtype):
    graph, x, scale, _ = case(dtype)
    expected = spread(graph.rowptr, graph.col, x, scale)
    table = np.full((N, 32), np.nan, dtype)
    scale_rows(x, np.ones(N, "f4"), table)
    hops = np.zeros((N, 3, 19), dtype)
    for first in range(0, N, 7):
        rowptr = graph.rowptr[first : first + 8]
        spread(rowptr, graph.col, table, scale, out=hops[:, 1], first=first)
    assert np.array_equal(hops[:, 1], expected)
    assert not hops[:, [0, 2]].any()


def test_rows_in_another_order():
    graph, x, scale, _ = case("f4")
    order = np.random.default_rng(1).permutation(N)
    place = np.argsort(order)
    table, ones = np.empty_like(x), np.ones(N, "f4")
    scale_rows(x, ones, table, order)
    assert np.array_equal(table, x[order])
    rows = [place[graph.col[graph.rowptr[i] : graph.rowptr[i + 1]]] for i in order]
    rowptr = np.concatenate([[0], np.cumsum([row.size for row in rows])])
    out = np.empty_like(x)
    spread(rowptr, np.concatenate(rows).astype(np.int32), table, scale, out=out, order=order)
    assert np.array_equal(out, spread(graph.rowptr, graph.col, x, scale))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_same_bits_for_any_number_of_blocks(threads, monkeypatch):
    graph, x, scale, _ = case("f2")
    expected = spread(graph.rowptr, graph.col, x, scale)
    monkeypatch.setattr("graphattn.kernels.propagate.get_num_threads", lambda: threads)
    assert np.array_equal(spread(graph.rowptr, graph.col, x, scale), expected)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("channels", [0, 1, 17, 50, 100, 128])
def test_tables_start_at_a_cache_line(dtype, channels):
    table = row_table(N, channels, dtype)
    assert table.ctypes.data % 64 == 0 or not channels
    assert channels <= table.shape[1] <= 1.3 * channels
    assert table.flags.c_contiguous


def test_no_channels():
    graph, x, scale, _ = case("f4", channels=0)
    assert spread(graph.rowptr, graph.col, x, scale).shape == (N, 0)


def test_rows_that_are_not_contiguous_are_refused():
    by_column = np.ones((3, 2), order="F")
    with pytest.raises(ValueError, match=r"rows must be contiguous: got .* strides \(8, 24\)"):
        scale_rows(by_column, np.ones(3), np.empty((3, 2)))
