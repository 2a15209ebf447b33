"""Subgraphs of [15, 10] neighbours around 1024 seeds: ours beside whatever peer is installed.

`python benchmarks/fanout.py` runs it on a graph of the size of ogbn-products (two minutes, 4 GB).
"""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from graphs import community_graph
from measure import compare, show
from tokens import PRODUCTS, SIZES, power_law_graph

from graphattn.graph import CSRGraph
from graphattn.sampling.fanout import sample_fanout

NUM_NEIGHBORS = [15, 10]
BATCH = 1024


def plain_torch(
    rowptr: torch.Tensor, col: torch.Tensor, seeds: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """The same draw in whole-tensor operations: a random key an edge, the smallest keys kept."""
    n_id, frontier, places, edges = seeds, seeds, [], []
    start = 0
    for fanout in NUM_NEIGHBORS:
        degree = rowptr[frontier + 1] - rowptr[frontier]
        place = torch.repeat_interleave(torch.arange(frontier.numel()), degree)
        first = torch.cumsum(degree, 0) - degree
        edge = rowptr[frontier][place] + torch.arange(place.numel()) - first[place]
        order = torch.argsort(place + torch.rand(place.numel(), dtype=torch.float64))
        edge = edge[order][torch.arange(place.numel()) - first[place] < fanout]
        places.append(start + place[torch.arange(place.numel()) - first[place] < fanout])
        edges.append(edge)
        found = torch.unique(col[edge])
        frontier = found[~torch.isin(found, n_id)]
        start = n_id.numel()
        n_id = torch.cat([n_id, frontier])
    known, order = n_id.sort()
    sources = order[torch.searchsorted(known, col[torch.cat(edges)])]
    return n_id, torch.stack([sources, torch.cat(places)]), torch.cat(edges)


def peers(
    graph: CSRGraph, rowptr: torch.Tensor, col: torch.Tensor
) -> dict[str, Callable[[torch.Tensor], Any]]:
    """A function of the seeds for each peer that is installed; says which are not."""
    ways: dict[str, Callable[[torch.Tensor], Any]] = {}
    if find_spec("pyg_lib"):
        import pyg_lib

        ways["pyg_lib"] = lambda seeds: pyg_lib.sampler.neighbor_sample(
            rowptr, col, seeds, NUM_NEIGHBORS, csc=True
        )
    if find_spec("torch_sparse"):
        import torch_sparse  # noqa: F401, it registers the operator

        ways["torch_sparse"] = lambda seeds: torch.ops.torch_sparse.neighbor_sample(
            rowptr, col, seeds, NUM_NEIGHBORS, False, True
        )
    if find_spec("dgl"):
        import dgl

        whole = dgl.graph(("csc", (rowptr, col, [])), num_nodes=graph.num_nodes)
        sampler = dgl.dataloading.NeighborSampler(NUM_NEIGHBORS[::-1])
        ways["dgl"] = lambda seeds: sampler.sample_blocks(whole, seeds)
    missing = [name for name in ("pyg_lib", "torch_sparse", "dgl") if name not in ways]
    if missing:
        print(f"\nnot installed, so not measured: {', '.join(missing)}")
    return ways


def main(size: str) -> None:
    """Runs all sides on one thread, on the same ten batches of seeds."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    is_large = size == "products"
    graph = community_graph(*PRODUCTS) if is_large else power_law_graph(10 * SIZES[size])
    rowptr, col = torch.tensor(graph.rowptr), torch.tensor(graph.col).long()  # what peers take
    generator = np.random.default_rng(0)
    batches = [
        torch.from_numpy(generator.choice(graph.num_nodes, BATCH, replace=False)) for _ in range(10)
    ]
    ways: dict[str, Callable[[torch.Tensor], Any]] = {
        "graphattn": lambda seeds: sample_fanout(graph, seeds, NUM_NEIGHBORS),
        "whole-tensor torch": lambda seeds: plain_torch(rowptr, col, seeds),
    }
    for way in ways.values():
        check(rowptr, col, batches[0], *way(batches[0])[:3])
    ways |= peers(graph, rowptr, col)
    rows = compare(
        f"10 batches of {BATCH} seeds, {NUM_NEIGHBORS} neighbours",
        {name: lambda way=way: [way(seeds) for seeds in batches] for name, way in ways.items()},
        repeats=9,
    )
    about = {"nodes": graph.num_nodes, "edges": graph.num_edges, "threads": 1}
    drawn = sum(ways["graphattn"](seeds).e_id.numel() for seeds in batches)
    about["edges a batch"] = round(drawn / len(batches))
    about["ns an edge"] = round(1e9 * rows[0].seconds / drawn)
    show("fanout-products" if is_large else "fanout", rows, about)


def check(
    rowptr: torch.Tensor,
    col: torch.Tensor,
    seeds: torch.Tensor,
    n_id: torch.Tensor,
    edge_index: torch.Tensor,
    edges: torch.Tensor,
) -> None:
    """Edges drawn are real, and as many into each seed as there should be."""
    source, target = n_id[edge_index]
    assert torch.equal(source, col[edges])
    assert ((rowptr[target] <= edges) & (edges < rowptr[target + 1])).all()
    expected = (rowptr[seeds + 1] - rowptr[seeds]).clamp(max=NUM_NEIGHBORS[0])
    assert torch.equal(torch.bincount(edge_index[1], minlength=BATCH)[:BATCH], expected)


if __name__ == "__main__":
    main("products")
