"""Tokens for all nodes of a graph: ours beside the paper's algorithm (A A, one draw a node)."""

import random
from typing import Any

import numpy as np
import torch
from measure import compare, show
from scipy.sparse import csr_matrix

from graphattn.graph import CSRGraph
from graphattn.ops.neighborhood import sample_neighborhood

SIZES = {"small": 2_000, "moderate": 20_000}
NUM_SAMPLES = 50


def power_law_graph(num_nodes: int, *, mean_degree: float = 20.0, seed: int = 0) -> CSRGraph:
    """A random graph whose expected degrees follow a log-normal law (Chung-Lu), seeded."""
    generator = np.random.default_rng(seed)
    weight = generator.lognormal(sigma=1.0, size=num_nodes)
    ends = generator.choice(
        num_nodes, size=(2, int(num_nodes * mean_degree / 2)), p=weight / weight.sum()
    )
    graph = CSRGraph.from_edge_index(ends, num_nodes, self_loops="drop")
    return graph.to_undirected()


def papers_tokens(graph: CSRGraph) -> list[list[int]]:
    """What the paper describes: the pattern of A A, and a draw in Python for each node."""
    ones = np.ones(graph.num_edges, np.int64)
    a = csr_matrix((ones, graph.col, graph.rowptr), shape=(graph.num_nodes, graph.num_nodes))
    two = a @ a
    draw = random.Random(0)
    table = []
    for node in range(graph.num_nodes):
        pool: list[Any] = [*a.indices[a.indptr[node] : a.indptr[node + 1]]]
        pool += [*two.indices[two.indptr[node] : two.indptr[node + 1]]]
        if len(pool) >= NUM_SAMPLES - 1:
            pool = draw.sample(pool, NUM_SAMPLES - 1)
        table.append([node, *map(int, pool)])
    return table


def main(size: str) -> None:
    """Runs both sides on one thread."""
    torch.set_num_threads(1)
    graph = power_law_graph(SIZES[size])
    nodes = torch.arange(graph.num_nodes)
    rows = compare(
        f"tokens for all nodes, K={NUM_SAMPLES}",
        {
            "graphattn": lambda: sample_neighborhood(graph, nodes, NUM_SAMPLES),
            "the paper's algorithm": lambda: papers_tokens(graph),
        },
        repeats=3,
    )
    show("tokens", rows, {"nodes": graph.num_nodes, "edges": graph.num_edges, "threads": 1})
