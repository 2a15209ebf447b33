"""One step of propagation against a loop, for both types of numbers and both types of ids."""

import numpy as np
import pytest

from graphattn.graph import CSRGraph
from graphattn.kernels.propagate import spread


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("ids", [np.int32, np.int64])
def test_sums_rows(dtype, ids):
    generator = np.random.default_rng(0)
    edges = generator.integers(30, size=(2, 200))
    graph = CSRGraph.from_edge_index(edges, 30)
    x = generator.standard_normal((30, 4)).astype(dtype)
    scale = generator.standard_normal(30).astype(dtype)
    expected = [
        scale[i] * (x[i] + sum(x[j] for j in range(30) if j != i and [j, i] in edges.T.tolist()))
        for i in range(30)
    ]
    out = spread(graph.rowptr, graph.col.astype(ids), x, scale)
    assert out.dtype == dtype
    assert np.allclose(out, expected, atol=1e-5 if dtype == np.float32 else 1e-13)
