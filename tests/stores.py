"""Random graphs to build token stores of, and every byte of a folder to compare them by."""

from pathlib import Path

import numpy as np
import torch

from graphattn.graph import CSRGraph


def made(num_nodes=50, channels=3, seed=0, edges=4):
    """A directed graph of so many edges a node, and features of its nodes."""
    generator = np.random.default_rng(seed)
    ends = generator.integers(num_nodes, size=(2, edges * num_nodes))
    graph = CSRGraph.from_edge_index(ends, num_nodes)
    return graph, torch.from_numpy(generator.standard_normal((num_nodes, channels))).float()


def contents(folder):
    """Every file below a folder, byte for byte."""
    folder = Path(folder)
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
