"""One hop of propagation: ours in every type and order, beside SciPy, torch.sparse and the memory.

The limit is a random gather of as many rows of the same size, measured in the same turns. The peers
are given their normalised matrix for nothing, and no self-loops to add: one row a node less.

`python benchmarks/propagation.py` runs it on a graph of the size of ogbn-products (half an hour,
12 GB).
"""

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from graphs import community_graph, community_order
from measure import compare, show
from numba import njit
from scipy.sparse import csr_matrix
from tokens import DEGREE, PRODUCTS

from graphattn.graph import CSRGraph
from graphattn.kernels.prefetch import prefetch
from graphattn.kernels.propagate import row_table
from graphattn.ops.order import locality_order
from graphattn.ops.propagate import PropagationSteps, propagate

SIZES = {"small": 20_000, "moderate": 200_000, "products": PRODUCTS[0]}
CHANNELS = 100
GATHERED = 4_000_000  # rows of the limit, at most


@njit
def gather(x: npt.NDArray[Any], stride: int, channels: int, ids: npt.NDArray[np.int32]) -> Any:
    """Adds rows at random and does nothing else."""
    total = np.zeros(channels, x.dtype)
    line, last = 64 // x.itemsize, ids.size - 1
    for i in range(ids.size):
        soon = np.int64(ids[min(i + 8, last)]) * stride
        for c in range(0, channels, line):
            prefetch(x, soon + c)
        start = np.uint64(ids[i]) * np.uint64(stride)
        for c in range(np.uint64(channels)):
            total[c] += x[start + c]
    return total


def peers(graph: CSRGraph, x: npt.NDArray[np.float32], *, scipy: bool) -> dict[str, Callable]:
    """The same product, less the self-loops, by others."""
    scale = (1.0 / np.sqrt(np.diff(graph.rowptr) + 1.0)).astype(np.float32)
    value = np.repeat(scale, np.diff(graph.rowptr)) * scale[graph.col]
    rowptr, shape = graph.rowptr.astype(np.int32), (graph.num_nodes, graph.num_nodes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sparse = torch.sparse_csr_tensor(
            torch.from_numpy(rowptr),
            torch.from_numpy(graph.col.copy()),
            torch.from_numpy(value),
            size=shape,
        )
    features = torch.from_numpy(x)  # in huge pages, as NumPy asks for them
    usual = features.clone()
    ways: dict[str, Callable] = {
        "torch.sparse.mm, CSR int32": lambda: torch.sparse.mm(sparse, features),
        "torch.sparse.mm, features of torch's": lambda: torch.sparse.mm(sparse, usual),
    }
    ours = PropagationSteps(graph, "sym", np.float32).next(x)[:10_000]
    theirs = ways["torch.sparse.mm, CSR int32"]().numpy()[:10_000]
    assert np.allclose(ours, theirs + x[:10_000] * scale[:10_000, None] ** 2, atol=1e-4)
    if scipy:
        matrix = csr_matrix((value, graph.col, rowptr), shape=shape)
        ways["SciPy csr @ dense"] = lambda: matrix @ x
    return ways


def limits(num_nodes: int) -> dict[str, Callable]:
    """Gathers of float32 and float16 rows at random, and of float32 rows one after another."""
    generator = np.random.default_rng(0)
    ids = generator.integers(num_nodes, size=GATHERED).astype(np.int32)
    straight = (np.arange(GATHERED) % num_nodes).astype(np.int32)
    ways = {}
    for name, dtype in (("float32", np.float32), ("float16", np.uint16)):
        table = row_table(num_nodes, CHANNELS, dtype)
        table.fill(1)
        args = table.reshape(-1), table.shape[1], CHANNELS
        ways[f"limit: random rows, {name}"] = lambda args=args: gather(*args, ids)
        ways[f"limit: rows in turn, {name}"] = lambda args=args: gather(*args, straight)
    return ways


def main(size: str, *, repeats: int = 3) -> None:
    """Runs all sides on one thread."""
    torch.set_num_threads(1)
    nodes, large = SIZES[size], size == "products"
    edges = PRODUCTS[1] if large else int(nodes * DEGREE / 2)
    graph = community_graph(nodes, edges)
    about: dict[str, Any] = {"nodes": nodes, "edges": graph.num_edges, "threads": 1}
    x = np.random.default_rng(0).standard_normal((nodes, CHANNELS), dtype=np.float32)
    bits = torch.from_numpy(x).bfloat16().view(torch.uint16).numpy()
    types = {"float32": (np.float32, x), "float16": (np.float16, x.astype(np.float16))}
    orders: dict[str, Any] = {"communities (known)": community_order(nodes)}
    for method in ("labels",) if large else ("labels", "rcm", "degree"):
        locality_order(community_graph(1000, 10_000), method)  # compiles
        start = time.process_time()
        orders[method] = locality_order(graph, method)
        about[f"s for the order {method}"] = round(time.process_time() - start, 2)

    def step(name: str, order: Any = None) -> Callable[[], Any]:
        dtype, hop = types[name]
        steps = PropagationSteps(graph, "sym", dtype, order=order)
        return lambda: steps.next(hop)

    types["bfloat16"] = (torch.bfloat16, bits)
    ways = {f"graphattn {name}": step(name) for name in types}
    for label, order in orders.items():
        ways[f"graphattn float32, {label}"] = step("float32", order)
    ways["graphattn float16, labels"] = step("float16", orders["labels"])
    ways |= peers(graph, x, scipy=not large) | limits(nodes)
    rows = compare(f"one hop, {CHANNELS} channels", ways, repeats=repeats)
    seconds = {row.way: row.seconds for row in rows}
    summed = graph.num_edges + nodes
    for way in [way for way in seconds if way.startswith("graphattn")]:
        kind = "float32" if "float32" in way else "float16"
        limit = seconds[f"limit: random rows, {kind}"] / GATHERED * summed
        about[f"ns an edge, {way}"] = round(1e9 * seconds[way] / graph.num_edges, 1)
        about[f"% of the gather limit, {way}"] = round(100 * limit / seconds[way])
    for peer in [way for way in seconds if way.startswith("torch.sparse")]:
        about[f"ns an edge, {peer}"] = round(1e9 * seconds[peer] / graph.num_edges, 1)
    for kind, width in (("float32", 400), ("float16", 200)):
        for how in ("random rows", "rows in turn"):
            rate = GATHERED * width / seconds[f"limit: {how}, {kind}"] / 1e9
            about[f"GB/s, {how}, {kind}"] = round(rate, 2)
    if not large:
        rows += two_hops(graph, torch.from_numpy(x), repeats)
    show("propagation-products" if large else "propagation", rows, about)


def two_hops(graph: CSRGraph, x: torch.Tensor, repeats: int) -> list[Any]:
    """The whole call, degrees and all, beside a product with a matrix that is there already."""
    sparse = next(iter(peers(graph, x.numpy(), scipy=False).values()))
    half = x.half()
    ways = {
        "graphattn float32": lambda: propagate(graph, x, 2),
        "graphattn float16": lambda: propagate(graph, half, 2),
        "torch.sparse.mm, two products": lambda: torch.stack([x, sparse(), sparse()], dim=1),
    }
    return compare(f"x and two hops, {CHANNELS} channels", ways, repeats=repeats)


if __name__ == "__main__":
    main("products")
