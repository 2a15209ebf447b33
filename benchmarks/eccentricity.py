"""16-hop eccentricity beside the authors' way: networkx in an induced subgraph, one node at a time.

Theirs is timed on a sample of nodes and extrapolated, for a whole run takes hours; ours is timed on
all nodes. On the sample the two must agree bit for bit.
"""

import argparse
import time
from typing import Any

import networkx as nx
import numpy as np
import torch
from measure import Row, show
from torch_geometric.utils import k_hop_subgraph

from graphattn.datasets.city_recipe import merge_directions
from graphattn.datasets.eccentricity import khop_eccentricity
from graphattn.datasets.road import road_network

SIZES = {"small": [20_000], "moderate": [115_000], "products": [115_000, 570_000]}
_HOPS, _SAMPLE = 16, 40


def main(size: str) -> None:
    """Times both on one thread."""
    torch.set_num_threads(1)
    khop_eccentricity(torch.tensor([[0], [1]]), None, 1)  # compiles
    rows: list[Row] = []
    about: dict[str, Any] = {"hops": _HOPS, "sample": _SAMPLE, "theirs": "extrapolated to all"}
    for num_nodes in SIZES[size]:
        network = road_network(num_nodes, degree=2.8)
        edges, attr = merge_directions(
            network.edge_index, network.length[:, None], num_nodes=num_nodes
        )
        start = time.process_time()
        ours = khop_eccentricity(edges, attr[:, 0], _HOPS)
        seconds = time.process_time() - start
        sample = np.random.default_rng(0).choice(num_nodes, _SAMPLE, replace=False)
        start = time.process_time()
        theirs = [_in_subgraph(edges, attr[:, 0], int(node)) for node in sample]
        extrapolated = (time.process_time() - start) / _SAMPLE * num_nodes
        if ours[sample].tolist() != theirs:
            raise SystemExit(f"the two differ on {num_nodes} nodes.")
        job = f"16-hop eccentricity, {num_nodes:,} nodes"
        rows.append(Row(job, "ours", seconds, 1.0))
        rows.append(Row(job, "networkx in a subgraph", extrapolated, extrapolated / seconds))
        about[f"edges of {num_nodes:,}"] = edges.size(1)
    show("eccentricity", rows, about)


def _in_subgraph(edges: torch.Tensor, length: torch.Tensor, node: int) -> float:
    ball, inside, _, mask = k_hop_subgraph(node, _HOPS, edges)
    weights = length[mask].double().tolist()
    graph = nx.Graph()
    graph.add_nodes_from(ball.tolist())
    graph.add_weighted_edges_from(
        (source, target, weight)
        for (source, target), weight in zip(inside.t().tolist(), weights, strict=True)
    )
    return float(nx.eccentricity(graph, v=node, weight="weight"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="moderate")
    main(parser.parse_args().size)
