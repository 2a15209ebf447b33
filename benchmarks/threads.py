"""Two threads beside one: tokens by each sampler, fan-out subgraphs and a hop of propagation.

Wall time, so the machine has to be idle: a loop that touches no memory is run on one and on two
threads in the same turns, and what it gains is what the cores allow.

`python benchmarks/threads.py` runs it on a graph of the size of ogbn-products (ten minutes, 6 GB).
"""

import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
from graphs import community_graph
from measure import Row, show
from tokens import DEGREE, PRODUCTS

from graphattn.ops.neighborhood import sample_neighborhood
from graphattn.ops.propagate import PropagationSteps
from graphattn.sampling.bottom_k import BottomKSampler
from graphattn.sampling.walk_neighborhood import walk_neighborhood

SIZES = {"small": 20_000, "moderate": 200_000, "products": PRODUCTS[0]}
SEEDS, SAMPLES, CHANNELS, TURNS = 100_000, 50, 100, 5
COUNT = 100_000_000


@numba.njit(nogil=True)
def spin(count: int) -> int:
    """Arithmetic in registers."""
    state = np.uint64(88172645463325252)
    for _ in range(count):
        state ^= state << np.uint64(13)
        state ^= state >> np.uint64(7)
        state ^= state << np.uint64(17)
    return state


def spin_apart() -> None:
    """The same amount of arithmetic on as many threads as torch has now."""
    workers = torch.get_num_threads()
    threads = [threading.Thread(target=spin, args=(COUNT // workers,)) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main(size: str) -> None:
    """Runs every job on one thread and on two, in turns."""
    nodes = SIZES[size]
    edges = PRODUCTS[1] if size == "products" else int(nodes * DEGREE / 2)
    graph = community_graph(nodes, edges)
    generator = np.random.default_rng(0)
    seeds = torch.from_numpy(generator.choice(nodes, min(SEEDS, nodes), replace=False))
    shared, alone = BottomKSampler(), BottomKSampler(share=1)
    x = generator.standard_normal((nodes, CHANNELS), dtype=np.float32)
    steps = PropagationSteps(graph, "sym", np.float32)
    jobs: dict[str, Callable[[], Any]] = {
        "arithmetic alone": spin_apart,
        "tokens, exact": lambda: sample_neighborhood(graph, seeds, SAMPLES),
        "tokens, bottom-k, one offset": lambda: shared(graph, seeds, SAMPLES),
        "tokens, bottom-k, an offset a seed": lambda: alone(graph, seeds, SAMPLES),
        "tokens, walks": lambda: walk_neighborhood(graph, seeds, SAMPLES),
        "a hop, float32": lambda: steps.next(x),
    }
    rows: list[Row] = []
    for job, run in jobs.items():
        taken: dict[int, list[float]] = {2: [], 1: []}
        for turn in range(TURNS + 1):
            for threads, seconds in taken.items():
                torch.set_num_threads(threads)
                start = time.perf_counter()
                run()
                if turn:
                    seconds.append(time.perf_counter() - start)
        two = statistics.median(taken[2])
        for threads, seconds in taken.items():
            one = statistics.median(seconds)
            rows.append(Row(f"{job}, wall", f"threads: {threads}", one, one / two))
    name = "threads-products" if size == "products" else "threads"
    show(name, rows, {"nodes": nodes, "edges": graph.num_edges, "seeds": seeds.numel()})


if __name__ == "__main__":
    main("products")
