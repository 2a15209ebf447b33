"""A small hypergraph with planted classes, for runs of the harness."""

from pathlib import Path

import numpy as np
import torch
from torch_geometric.data.hypergraph_data import HyperGraphData

NODES, HYPEREDGES, CLASSES = 60, 45, 3


def make_data(*, typed=False, numbers=False):
    """60 nodes of 3 classes; a hyperedge has 4 nodes of one class and 1 of another."""
    rng = np.random.default_rng(5)
    y = np.arange(NODES) % CLASSES
    pairs = []
    for edge in range(HYPEREDGES - 1):  # the last hyperedge is empty
        own = np.flatnonzero(y[:-1] == edge % CLASSES)
        others = np.flatnonzero(y[:-1] != edge % CLASSES)
        members = [*rng.choice(own, 4, replace=False), rng.choice(others)]
        pairs += [(node, edge) for node in members]
    x = np.eye(CLASSES)[y] + rng.normal(0, 0.5, (NODES, CLASSES))
    data = HyperGraphData(
        edge_index=torch.from_numpy(np.array(pairs).T.astype(np.int64)),
        x=torch.from_numpy(x).float(),
        y=torch.from_numpy(y),
        num_nodes=NODES,
        num_hyperedges=HYPEREDGES,
        name="planted",
        metric="accuracy",
    )
    if typed:
        data.hyperedge_type = torch.arange(HYPEREDGES) % 2
    if numbers:
        data.y = torch.from_numpy(y + rng.normal(0, 0.1, NODES)).float()
        data.y[3] = torch.nan
    order = rng.permutation(NODES)
    for part, ids in zip(("train", "val", "test"), np.split(order, [30, 45]), strict=True):
        mask = torch.zeros(NODES, dtype=torch.bool)
        mask[torch.from_numpy(ids)] = True
        data[f"{part}_mask"] = mask
    return data


def write(data: HyperGraphData, path: Path) -> Path:
    """Write it as a uniform file; numbers as `y_float`, where `valid_mask` holds."""
    arrays = {key: data[key].numpy() for key in ("train_mask", "val_mask", "test_mask")}
    if data.get("x") is not None:
        arrays["x"] = data.x.numpy()
    if data.y.is_floating_point():
        arrays["valid_mask"] = data.y.isfinite().numpy()
        arrays["y_float"] = data.y.nan_to_num(0.0).numpy()
    else:
        arrays["y"] = data.y.numpy()
    types = data.get("hyperedge_type")
    arrays["hyperedge_type"] = np.zeros(HYPEREDGES, np.int16) if types is None else types.numpy()
    np.savez(path, hyperedge_index=data.edge_index.numpy(), **arrays)
    return path
