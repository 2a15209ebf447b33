"""Distances along weighted edges: those of Dijkstra, the same whatever engine found the ball."""

import networkx as nx
import numpy as np
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.nn import GraphSAGE

from graphattn.diagnostics import influence


@pytest.fixture(scope="module")
def streets() -> tuple[Data, nx.DiGraph]:
    """A directed graph with edges in parallel; the shortest way is often a detour in hops."""
    generator = torch.Generator().manual_seed(0)
    edges = torch.randint(30, (2, 120), generator=generator)
    weight = torch.rand(120, generator=generator, dtype=torch.float64) ** 3 + 0.01
    graph = nx.DiGraph()
    graph.add_nodes_from(range(30))
    for (source, target), length in zip(edges.T.tolist(), weight.tolist(), strict=True):
        known = graph.get_edge_data(source, target, {"weight": np.inf})["weight"]
        graph.add_edge(source, target, weight=min(length, known))
    x = torch.randn(30, 4, generator=generator, dtype=torch.float64)
    return Data(x, edges, edge_weight=weight), graph


@pytest.mark.parametrize("engine", ["single", "union", "trimmed", "fused"])
def test_by_weight_beside_dijkstra(streets: tuple[Data, nx.DiGraph], engine: str) -> None:
    data, graph = streets
    torch.manual_seed(0)
    model = GraphSAGE(4, 8, 2, 3).double()
    found = influence(model, data, max_hops=29, seeds=range(30), distance="weight", engine=engine)
    whole = torch.autograd.functional.jacobian(lambda x: model(x, data.edge_index), data.x)
    size = whole.abs().sum((1, 3)).numpy()
    for seed in range(30):
        far = nx.single_source_dijkstra_path_length(graph.reverse(), seed)
        expected = sum(size[seed, node] * length for node, length in far.items())
        assert found.R_per_node[seed] == pytest.approx(expected / size[seed].sum(), rel=1e-10)
