"""Influence where it is hardest: a citation graph, the memory of 1,000 seeds, two threads.

`python benchmarks/influence_limits.py` takes some three minutes. The row of two threads is wall
time, so the machine has to be idle; arithmetic that touches no memory says what the cores allow.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from influence import CLASSES, FEATURES, HIDDEN, HOPS, LAYERS, MODELS, SIDES, road, theirs, timed
from measure import Row, show
from threads import spin_apart
from torch_geometric.data import Data
from torch_geometric.utils import barabasi_albert_graph

from graphattn.diagnostics.engines import Picks
from graphattn.diagnostics.fused import FusedEngine
from graphattn.diagnostics.subject import Subject

CITED, WORDS, TURNS, SEEDS = 2708, 1433, 3, 256
MEASURED, PEER_MEASURED = 1000, 40
ALONE = """
import re, sys
import numpy as np, torch
from torch_geometric.data import Data
from torch_geometric.nn import {name}
{import_line}
torch.set_num_threads(1)
torch.manual_seed(0)
kept = np.load(sys.argv[1])
data = Data(torch.from_numpy(kept["x"]), torch.from_numpy(kept["edge_index"]))
model = {name}({widths}).eval()
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
before = peak()
{call}
print(before, peak())
"""
OURS = (
    "from graphattn.diagnostics import influence",
    "influence(model, data, max_hops=%d, num_seeds=%d)",
)
PEER = ("from torch_geometric.utils import total_influence", "total_influence(model, data, %d, %d)")


def citations() -> Data:
    """A power-law graph of the size of Cora: each ball of 16 hops is the whole graph."""
    torch.manual_seed(0)
    edge_index = barabasi_albert_graph(CITED, 2)
    return Data((torch.rand(CITED, WORDS) < 0.0127).float(), edge_index)


def on_citations(name: str) -> tuple[list[Row], dict[str, Any]]:
    """The fused engine beside PyG on a graph that is one ball, CPU seconds a seed."""
    data = citations()
    torch.manual_seed(0)
    model = MODELS[name](WORDS, HIDDEN, LAYERS, CLASSES).eval()
    engine = FusedEngine(Subject(model, data))
    seeds = np.random.default_rng(0).permutation(CITED)
    taken: dict[str, list[float]] = {}
    for turn in range(TURNS):
        few = seeds[2 * turn : 2 * turn + 2]
        seconds, found = timed(lambda f=few: list(engine.measure(f, Picks.every(2, CLASSES))))
        taken.setdefault("fused, all channels", []).append(seconds / 2)
        for vectorize in (True, False):
            seconds, rows = timed(lambda f=few, v=vectorize: theirs(model, data, f.tolist(), v))
            taken.setdefault(f"PyG, vectorize={vectorize}", []).append(seconds / 2)
    error = max(
        abs(one.influence.sum() / row.sum() - 1) for one, row in zip(found, rows, strict=True)
    )
    medians = {way: statistics.median(values) for way, values in taken.items()}
    ours = medians["fused, all channels"]
    about = {f"{name}, citations: largest error of a seed's sum beside PyG": f"{error:.1e}"}
    job = f"{name}, {CITED} nodes, {WORDS} features, a seed"
    return [Row(job, way, s, s / ours) for way, s in medians.items()], about


def memory(data: Data) -> dict[str, Any]:
    """Peak MB of fresh processes, before the first seed and at the end: ours, PyG's, the ratio."""
    about: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "road.npz"
        np.savez(path, x=data.x.numpy(), edge_index=data.edge_index.numpy())
        for name in ("GCN", "GraphSAGE", "GAT"):
            peaks = []
            for (line, call), seeds in ((OURS, MEASURED), (PEER, PEER_MEASURED)):
                widths = f"{FEATURES}, {HIDDEN}, {LAYERS}, {CLASSES}"
                code = ALONE.format(
                    name=name, import_line=line, widths=widths, call=call % (HOPS, seeds)
                )
                run = [sys.executable, "-W", "ignore", "-c", code, str(path)]
                said = subprocess.run(run, capture_output=True, text=True, check=True).stdout
                peaks.append([int(number) // 1024 for number in said.split()])
            about[f"{name}, peak MB before and after: ours, PyG's; ratio"] = (
                *peaks,
                round(peaks[0][1] / peaks[1][1], 2),
            )
    return about


def on_two_threads(data: Data) -> tuple[list[Row], dict[str, Any]]:
    """The same seeds on one thread and on two, in turns: wall time, then that of all cores."""
    order = np.random.default_rng(1).permutation(data.num_nodes)[:SEEDS]
    picks, one = Picks.every(SEEDS, CLASSES), Picks.every(SEEDS, 1)
    jobs: dict[str, Any] = {"arithmetic alone": spin_apart}
    for name in ("GCN", "GAT"):
        torch.manual_seed(0)
        engine = FusedEngine(Subject(MODELS[name](FEATURES, HIDDEN, LAYERS, CLASSES).eval(), data))
        jobs[f"{name}, all channels"] = lambda e=engine: list(e.measure(order, picks))
        jobs[f"{name}, 1 channel"] = lambda e=engine: list(e.measure(order, one))
    rows: list[Row] = []
    about: dict[str, Any] = {}
    for job, run in jobs.items():
        wall: dict[int, list[float]] = {1: [], 2: []}
        spent: dict[int, list[float]] = {1: [], 2: []}
        for turn in range(TURNS + 3):
            for threads in (1, 2) if turn % 2 else (2, 1):
                torch.set_num_threads(threads)
                start = time.perf_counter()
                seconds, _ = timed(run)
                if turn:
                    wall[threads].append(time.perf_counter() - start)
                    spent[threads].append(seconds)
        best = {threads: min(values) for threads, values in wall.items()}
        for threads, seconds in best.items():
            rows.append(
                Row(f"{job}, wall, the least", f"threads: {threads}", seconds, seconds / best[2])
            )
        busy = {threads: min(values) for threads, values in spent.items()}
        about[f"{job}: CPU time of two threads over that of one"] = round(busy[2] / busy[1], 2)
    torch.set_num_threads(1)
    return rows, about


def main(size: str = "products") -> None:
    """Runs the three in turn, on one thread but for the last."""
    torch.set_num_threads(1)
    data, rows = road(SIDES[size]), []
    about: dict[str, Any] = {
        "nodes": data.num_nodes,
        "seeds, ours": MEASURED,
        "PyG's": PEER_MEASURED,
    }
    for name in ("GCN", "SAGE", "GAT"):
        table, facts = on_citations(name)
        rows += table
        about |= facts
        show("influence_limits", rows, about)
    about |= memory(data)
    show("influence_limits", rows, about)
    table, facts = on_two_threads(data)
    rows += table
    show("influence_limits", rows, about | facts)


if __name__ == "__main__":
    main()
