"""Two hops of propagation: ours beside SciPy and torch.sparse with a precomputed matrix."""

import warnings

import numpy as np
import torch
from measure import compare, show
from scipy.sparse import csr_matrix
from tokens import SIZES, power_law_graph

from graphattn.ops.propagate import propagate

CHANNELS = 100


def main(size: str) -> None:
    """Runs all sides on one thread; the peers are given their normalised matrix for nothing."""
    torch.set_num_threads(1)
    graph = power_law_graph(5 * SIZES[size])
    x = torch.randn(graph.num_nodes, CHANNELS, generator=torch.Generator().manual_seed(0))
    loops = np.arange(graph.num_nodes)
    row = np.concatenate([np.repeat(loops, np.diff(graph.rowptr)), loops])
    col = np.concatenate([graph.col, loops])
    scale = 1.0 / np.sqrt(np.diff(graph.rowptr) + 1.0)
    value = (scale[row] * scale[col]).astype(np.float32)
    shape = (graph.num_nodes, graph.num_nodes)
    matrix = csr_matrix((value, (row, col)), shape=shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sparse = torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr.astype(np.int32)),
            torch.from_numpy(matrix.indices.astype(np.int32)),
            torch.from_numpy(matrix.data),
            size=shape,
        )
    features = x.numpy()

    def of_scipy() -> np.ndarray:
        once = matrix @ features
        return np.stack([features, once, matrix @ once], axis=1)

    def of_torch() -> torch.Tensor:
        once = sparse @ x
        return torch.stack([x, once, sparse @ once], dim=1)

    ours = propagate(graph, x, 2)
    assert np.allclose(ours.numpy(), of_scipy(), atol=1e-4)
    rows = compare(
        f"two hops, {CHANNELS} channels, float32",
        {
            "graphattn": lambda: propagate(graph, x, 2),
            "SciPy csr @ dense": of_scipy,
            "torch.sparse csr @ dense": of_torch,
        },
    )
    show("propagation", rows, {"nodes": graph.num_nodes, "edges": graph.num_edges, "threads": 1})
