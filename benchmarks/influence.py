"""Influence of 16 hops on a road-like graph: ours beside PyG's total_influence, both of its ways.

CPU seconds a seed, one thread, turn by turn in one process. What ours spends before the first seed
(the forward pass, the probe, the pilot) is in a row of its own. GIN and GATv2 stand for the layered
models that no kernel knows. `influence_limits.py` has a citation graph, memory and two threads.

`python benchmarks/influence.py` takes some four minutes.
"""

import resource
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from measure import Row, show
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import GAT, GCN, GIN, GraphSAGE
from torch_geometric.utils.influence import jacobian_l1_agg_per_hop

from graphattn.diagnostics import influence
from graphattn.diagnostics.channels import draw_channels
from graphattn.diagnostics.engines import Engine
from graphattn.diagnostics.selection import Measurement, choose
from graphattn.diagnostics.subject import Subject

HOPS, LAYERS, HIDDEN, FEATURES, CLASSES = 16, 16, 64, 37, 10
MODELS: dict[str, Callable[..., nn.Module]] = {
    "GCN": GCN,
    "SAGE": GraphSAGE,
    "GAT": GAT,
    "GATv2": partial(GAT, v2=True),
    "GIN": GIN,
}
TURNS, PEER_SEEDS, OUR_SEEDS = 3, 2, 64
SIDES = {"small": 100, "moderate": 345, "products": 345}


def road(side: int) -> Data:
    """A grid with a fifth of its edges gone and some shortcuts between near crossings."""
    generator = np.random.default_rng(0)
    at = np.arange(side * side).reshape(side, side)
    kinds = [(at[:, :-1], at[:, 1:], 0.8), (at[:-1], at[1:], 0.8), (at[:-1, :-1], at[1:, 1:], 0.05)]
    edges = []
    for start, end, share in kinds:
        keep = generator.random(start.shape) < share
        edges.append(np.stack([start[keep], end[keep]]))
    forth = torch.from_numpy(np.concatenate(edges, axis=1))
    x = torch.from_numpy(generator.standard_normal((side * side, FEATURES), dtype=np.float32))
    return Data(x, torch.cat([forth, forth.flip(0)], dim=1))


def theirs(model: nn.Module, data: Data, seeds: list[int], vectorize: bool) -> np.ndarray:
    """PyG's rows for some seeds."""
    rows = [jacobian_l1_agg_per_hop(model, data, HOPS, seed, "cpu", vectorize) for seed in seeds]
    return torch.stack(rows).double().numpy()


def timed(run: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of the process, and what came of it."""
    start = time.process_time()
    found = run()
    return time.process_time() - start, found


def one_model(name: str, data: Data) -> tuple[list[Row], dict[str, Any]]:
    """All ways to measure one model, in turns."""
    torch.manual_seed(0)
    model = MODELS[name](FEATURES, HIDDEN, LAYERS, CLASSES).eval()
    order = np.random.default_rng(1).permutation(data.num_nodes).astype(np.int64)
    subject = Subject(model, data)
    engines: dict[str, Engine] = {}
    about: dict[str, Any] = {}
    for asked in ("auto", "trimmed"):
        run = Measurement(subject, HOPS, "full", None, order)
        seconds, engine = timed(lambda run=run, asked=asked: choose(run, asked))
        if engine.name not in engines:
            about[f"{name}, {engine.name}: s before the first seed"] = round(seconds, 2)
            engines[engine.name] = engine
    taken: dict[str, list[float]] = {}
    for turn in range(TURNS):
        mine = order[turn * OUR_SEEDS : (turn + 1) * OUR_SEEDS]
        for label, engine in engines.items():
            for channels in ("all", 1):
                few = mine if label == "fused" else mine[:32]
                picks = draw_channels(run, engine, channels, order[:16], 0)(few)
                seconds, _ = timed(lambda e=engine, f=few, p=picks: list(e.measure(f, p)))
                way = f"{label}, {'all channels' if channels == 'all' else '1 channel'}"
                taken.setdefault(way, []).append(seconds / few.size)
        peers = mine[:PEER_SEEDS].tolist()
        for vectorize in (True, False):
            seconds, rows = timed(lambda p=peers, v=vectorize: theirs(model, data, p, v))
            taken.setdefault(f"PyG, vectorize={vectorize}", []).append(seconds / PEER_SEEDS)
    same = influence(model, data, max_hops=HOPS, seeds=peers, semantics="pyg")
    error = float(np.abs(same.T - rows).max() / rows.max())
    about[f"{name}: largest error of semantics='pyg' beside PyG"] = f"{error:.1e}"
    medians = {way: float(np.median(values)) for way, values in taken.items()}
    reference = next(iter(medians.values()))
    for way, s in medians.items():
        vec, loop = (medians[f"PyG, vectorize={v}"] / s for v in (True, False))
        print(
            f"{name:5} {way:26} {1e3 * s:8.2f} ms, {vec:6.1f} x vec, {loop:6.1f} x loop", flush=True
        )
        if not way.startswith("PyG"):
            about[f"{name}, {way}: times PyG's two ways"] = (round(vec, 1), round(loop, 1))
    return [Row(f"{name}, a seed", way, s, s / reference) for way, s in medians.items()], about


def to_one_percent(data: Data) -> dict[str, Any]:
    """The whole call until R is known to 1 %, with one channel and with all."""
    torch.manual_seed(0)
    model = GCN(FEATURES, HIDDEN, LAYERS, CLASSES).eval()
    about: dict[str, Any] = {}
    for channels in ("all", 1):
        seconds, found = timed(
            lambda channels=channels: influence(model, data, max_hops=HOPS, channels=channels)
        )
        about[f"GCN, R to 1 %, channels={channels!r}: CPU s, seeds, R"] = (
            round(seconds, 2),
            int(found.seeds.size),
            round(found.R, 4),
        )
    return about


def main(size: str = "products") -> None:
    """Runs all models on one thread."""
    torch.set_num_threads(1)
    data = road(SIDES[size])
    about: dict[str, Any] = {
        "nodes": data.num_nodes,
        "edges": data.num_edges,
        "threads": 1,
        "hops": HOPS,
        "layers": LAYERS,
        "hidden": HIDDEN,
    }
    influence(GCN(FEATURES, 8, 2, 2), road(10), max_hops=2, seeds=[0, 1])  # compiles
    rows: list[Row] = []
    for name in MODELS:
        table, facts = one_model(name, data)
        rows += table
        about |= facts
    about |= to_one_percent(data)
    about["peak MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    show("influence", rows, about)


if __name__ == "__main__":
    main()
