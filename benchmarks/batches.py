"""Batches of tokens: gathering them, and whether a thread hides their making behind training.

The peer is the collate of the paper: ids by a meshgrid into a stored table, three tables of hops,
gathered apart and joined into fresh memory.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from graphs import community_graph
from measure import Row, compare, show
from tokens import PRODUCTS
from torch.nn import functional as F

from graphattn.kernels.distinct import distinct
from graphattn.models.largegt import LargeGT
from graphattn.ops.neighborhood import Neighborhood, sample_neighborhood
from graphattn.sampling.bottom_k import BottomKSampler
from graphattn.sampling.buffers import Buffers
from graphattn.sampling.loader import TokenBatch, TokenLoader
from graphattn.sampling.store import TokenStore
from graphattn.sampling.table import Table

SIZES = {"small": (5_000, 50_000), "moderate": (100_000, 2_500_000), "products": PRODUCTS}
BATCH, SAMPLES, HOPS, CHANNELS, CLASSES = 1024, 50, 3, 100, 47
STEPS, STEP_BATCH, HIDDEN = 12, 256, 128


def main(size: str) -> None:
    """Runs both comparisons on one thread."""
    torch.set_num_threads(1)
    graph = community_graph(*SIZES[size])
    name = "batches" if size != "products" else "batches-products"
    rows, about = gathering(graph)
    show(name, rows + hiding(graph), {"nodes": graph.num_nodes, "threads": 1} | about)


def gathering(graph: Any) -> tuple[list[Row], dict[str, Any]]:
    """One batch of 1,024 seeds: drawn beforehand, gathered by each side."""
    generator = np.random.default_rng(0)
    half = generator.standard_normal((graph.num_nodes, HOPS, CHANNELS), np.float32)
    whole, half = Table([torch.from_numpy(half)]), Table([torch.from_numpy(half.astype("f2"))])
    hops = [whole.whole()[:, hop].clone() for hop in range(HOPS)]
    seeds = torch.from_numpy(generator.choice(graph.num_nodes, BATCH, replace=False))
    apart = sample_neighborhood(graph, seeds, SAMPLES).ids
    shared = BottomKSampler()(graph, seeds, SAMPLES).ids
    stored = torch.zeros(graph.num_nodes, SAMPLES, dtype=torch.int64)
    stored[seeds] = apart
    buffers = Buffers(most=2)

    def papers() -> torch.Tensor:
        mesh = torch.meshgrid(seeds, torch.arange(SAMPLES), indexing="ij")
        ids = stored[mesh]
        return torch.cat([hop[ids] for hop in hops], dim=1)

    def expanded() -> torch.Tensor:
        return whole.gather(apart.reshape(-1), buffers)

    def rows_of(table: Table, ids: torch.Tensor) -> Callable[[], torch.Tensor]:
        def run() -> torch.Tensor:
            nodes, _ = distinct(ids.numpy(), graph.num_nodes)
            return table.gather(torch.from_numpy(nodes), buffers)

        return run

    assert torch.equal(
        expanded().view(BATCH, SAMPLES, HOPS, CHANNELS).transpose(1, 2).flatten(1, 2), papers()
    )
    rows = compare(
        f"a batch [{BATCH}, {HOPS} x {SAMPLES}, {CHANNELS}]",
        {
            "every token, float32": expanded,
            "distinct nodes, float32": rows_of(whole, apart),
            "distinct nodes, float16": rows_of(half, apart),
            "distinct, float32, one offset": rows_of(whole, shared),
            "distinct, float16, one offset": rows_of(half, shared),
            "the paper's collate": papers,
        },
        repeats=15,
    )
    papers_seconds = rows[-1].seconds
    total = BATCH * SAMPLES
    about = {
        f"times the paper's, {row.way}": round(papers_seconds / row.seconds, 1) for row in rows[:-1]
    }
    about["distinct share, apart"] = round(len(apart.unique()) / total, 3)
    about["distinct share, one offset"] = round(len(shared.unique()) / total, 3)
    bytes_moved = 4 * total * HOPS * CHANNELS
    about["GB/s, every token"] = round(bytes_moved / rows[0].seconds / 1e9, 2)
    out, kept = torch.empty(total, HOPS * CHANNELS), whole.whole().flatten(1)
    anywhere = torch.from_numpy(generator.integers(graph.num_nodes, size=total))
    limits = compare(
        "limits",
        {
            "random rows": lambda: torch.index_select(kept, 0, anywhere, out=out),
            "in order": lambda: out.copy_(kept[:total] if len(kept) >= total else out),
        },
        repeats=15,
    )
    for limit in limits:
        about[f"GB/s, {limit.way}"] = round(bytes_moved / limit.seconds / 1e9, 2)
    return rows, about


def hiding(graph: Any) -> list[Row]:
    """Wall time of training steps on batches made beforehand, in line, and by one thread."""
    x = torch.randn(graph.num_nodes, CHANNELS, generator=torch.Generator().manual_seed(0))
    store = TokenStore.in_memory(graph, x, dtype="float16")
    seeds = torch.randperm(graph.num_nodes, generator=torch.Generator().manual_seed(1))
    seeds = seeds[: STEPS * STEP_BATCH]
    y = torch.randint(CLASSES, (graph.num_nodes,), generator=torch.Generator().manual_seed(2))
    model = LargeGT(CHANNELS, HIDDEN, CLASSES, scope="local", hops="channels")
    optimizer = torch.optim.Adam(model.parameters())

    def step(batch: TokenBatch) -> None:
        optimizer.zero_grad()
        logits = model(batch.rows.float(), batch.ids, mask=batch.mask, hop=batch.hop)
        F.cross_entropy(logits, y[batch.seeds]).backward()
        optimizer.step()

    def loader(sampler: Callable[..., Neighborhood], num_workers: int) -> TokenLoader:
        return TokenLoader(
            store,
            seeds,
            num_samples=SAMPLES,
            batch_size=STEP_BATCH,
            pool="set",
            sampler=sampler,
            num_workers=num_workers,
        )

    rows: list[Row] = []
    for name, sampler in (("one offset", BottomKSampler()), ("exact", sample_neighborhood)):
        made = list(loader(sampler, 0))
        ways = {
            "made beforehand": made,
            "one thread ahead": loader(sampler, 1),
            "in line": loader(sampler, 0),
        }
        taken: dict[str, list[float]] = {way: [] for way in ways}
        for turn in range(6):
            for way, batches in ways.items():
                start = time.perf_counter()
                for batch in batches:
                    step(batch)
                if turn:
                    taken[way].append(time.perf_counter() - start)
        alone = min(taken["made beforehand"])
        job = f"{STEPS} steps, wall, {name}"
        rows += [
            Row(job, way, min(seconds), min(seconds) / alone) for way, seconds in taken.items()
        ]
    return rows


if __name__ == "__main__":
    main("moderate")
