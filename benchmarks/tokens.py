"""Tokens for all nodes of a graph: ours beside the paper's algorithm (A A, one draw a node).

`python benchmarks/tokens.py` runs the comparison on 50,000 nodes and then, alone, ours on a graph
of the size of ogbn-products, where A A would take hundreds of GB (five minutes, 3 GB).
"""

import ctypes
import random
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from graphs import community_graph
from measure import compare, show
from scipy.sparse import csr_matrix

from graphattn.graph import CSRGraph
from graphattn.kernels.sample import draw_neighborhood
from graphattn.ops.neighborhood import Neighborhood, sample_neighborhood
from graphattn.sampling.bottom_k import BottomKSampler
from graphattn.sampling.walk_neighborhood import walk_neighborhood

SIZES = {"small": 2_000, "moderate": 20_000}
DEGREE = 50.5  # of ogbn-products, on average
NUM_SAMPLES = 50
PRODUCTS = (2_449_029, 61_859_140)  # nodes and undirected edges


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


def enumerated(graph: CSRGraph, nodes: torch.Tensor) -> Any:
    """The exact draw with every pool enumerated, as on directed graphs."""
    return draw_neighborhood(graph.rowptr, graph.col, nodes.numpy(), NUM_SAMPLES, 2, True, 0, 0)


def ways(graph: CSRGraph, nodes: torch.Tensor) -> dict[str, Callable[[], Neighborhood]]:
    """Our samplers; the one that is compared with comes first."""
    shared, alone = BottomKSampler(), BottomKSampler(share=1)
    return {
        "exact": lambda: sample_neighborhood(graph, nodes, NUM_SAMPLES),
        "exact, all pools enumerated": lambda: enumerated(graph, nodes),
        "bottom-k, one offset": lambda: shared(graph, nodes, NUM_SAMPLES),
        "bottom-k, an offset a seed": lambda: alone(graph, nodes, NUM_SAMPLES),
        "walks (biased)": lambda: walk_neighborhood(graph, nodes, NUM_SAMPLES),
    }


def peak(run: Callable[[], Any]) -> float:
    """How many MB the process grows at most while something runs (Linux)."""

    def megabytes(name: str) -> float:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1e3

    ctypes.CDLL(None).malloc_trim(0)  # or what was freed before would be used again, unseen
    Path("/proc/self/clear_refs").write_text("5")  # the highest mark starts again from here
    before = megabytes("VmRSS")
    kept = run()
    grown = megabytes("VmHWM") - before
    del kept
    return grown


def main(size: str) -> None:
    """Runs both sides on one thread."""
    beside_the_paper("tokens", SIZES[size], repeats=3)


def beside_the_paper(name: str, num_nodes: int, repeats: int) -> None:
    """Compares all ways on a graph of some size, in time and in memory."""
    torch.set_num_threads(1)
    graph = community_graph(num_nodes, int(num_nodes * DEGREE / 2))
    sides: dict[str, Callable[[], Any]] = {**ways(graph, torch.arange(num_nodes))}
    sides["the paper's algorithm"] = lambda: papers_tokens(graph)
    rows = compare(f"tokens for all nodes, K={NUM_SAMPLES}", sides, repeats=repeats)
    grown = {f"MB {way}": round(peak(run)) for way, run in sides.items()}
    about = {"nodes": graph.num_nodes, "edges": graph.num_edges, "threads": 1, **grown}
    show(name, rows, about)


def anonymous(run: Callable[[], Any]) -> float:
    """How many MB that are no mapped file the process grows at most while something runs (Linux).

    A thread looks every millisecond: kernels leave Python to others.
    """

    def megabytes() -> float:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1e3

    ctypes.CDLL(None).malloc_trim(0)
    before, most, done = megabytes(), [0.0], threading.Event()

    def look() -> None:
        while not done.wait(0.001):
            most.append(megabytes())

    watcher = threading.Thread(target=look)
    watcher.start()
    kept = run()
    most.append(megabytes())
    done.set()
    watcher.join()
    del kept
    return max(most) - before


def beyond_the_graph(graph: CSRGraph, seeds: torch.Tensor) -> dict[str, int]:
    """Memory of drawing from a graph that is mapped, as stores map it, beyond what is drawn."""
    table = seeds.numel() * NUM_SAMPLES * (8 + 1 + 1) / 1e6
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        graph.save(folder)
        for name, sampler in (("exact", sample_neighborhood), ("bottom-k", BottomKSampler())):
            sampler(CSRGraph.load(folder), seeds[:1], 2)  # whether it is undirected, for the exact
            grown = anonymous(partial(sampler, CSRGraph.load(folder), seeds, NUM_SAMPLES))
            found[f"MB beyond the mapped graph and the table, {name}"] = round(grown - table)
    size = (graph.rowptr.nbytes + graph.col.nbytes) / 1e6
    return {"MB of the graph": round(size), **found}


def products(num_seeds: int = 300_000) -> None:
    """Runs ours on a graph of the size of ogbn-products, for a sample of the nodes."""
    torch.set_num_threads(1)
    graph, made = timed(lambda: community_graph(*PRODUCTS))
    degree = graph.degree()
    generator = np.random.default_rng(0)
    seeds = torch.from_numpy(generator.choice(graph.num_nodes, num_seeds, replace=False))
    paths = sum(
        degree[graph.col[graph.rowptr[node] : graph.rowptr[node + 1]]].sum()
        for node in seeds.tolist()
    )
    for run in ways(graph, seeds[:100]).values():
        run()  # compiles
    fresh = CSRGraph(graph.rowptr, graph.col)
    about: dict[str, Any] = {"nodes": graph.num_nodes, "edges": graph.num_edges, "threads": 1}
    about |= {"seeds": num_seeds, "paths a seed": round(paths / num_seeds)}
    about["s to make the graph"] = round(made, 1)
    one = seeds[:1]
    _, about["s to see that it is undirected"] = timed(lambda: sample_neighborhood(fresh, one, 2))
    grown = peak(lambda: BottomKSampler()(fresh, one, 2, epoch=1))
    about["MB of the ranked graph"] = round(grown)
    _, about["s to change the ranks"] = timed(lambda: BottomKSampler()(fresh, one, 2, epoch=11))
    sides = ways(fresh, seeds)
    rows = compare(f"tokens for {num_seeds} nodes, K={NUM_SAMPLES}", sides, repeats=3)
    batch = ways(fresh, seeds[:1024])
    rows += compare(f"tokens for 1024 nodes, K={NUM_SAMPLES}", batch, repeats=9)
    for row in rows[: len(sides)]:
        about[f"ns a token, {row.way}"] = round(1e9 * row.seconds / num_seeds / NUM_SAMPLES)
        about[f"us a 100 paths, {row.way}"] = round(1e8 * row.seconds / paths, 3)
    for way, run in sides.items():
        about[f"MB {way}"] = round(peak(run))
    about |= beyond_the_graph(graph, seeds)
    show("tokens-products", rows, about)


def timed(run: Callable[[], Any]) -> tuple[Any, float]:
    """What something returns, and its CPU seconds."""
    start = time.process_time()
    result = run()
    return result, round(time.process_time() - start, 3)


if __name__ == "__main__":
    beside_the_paper("tokens-50k", 50_000, repeats=1)
    products()
