"""LargeGT's training step and inference: ours beside the paper's eager modules, weights shared.

The paper's side projects every token of every seed, materialises queries, keys, values and the
token-by-token matrix, and lets autograd keep all of it. Both sides compute the same logits.
"""

import math
import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from measure import compare, show
from tokens import power_law_graph
from torch import Tensor
from torch.nn import functional as F

from graphattn.models.largegt import LargeGT
from graphattn.sampling.loader import TokenLoader
from graphattn.sampling.store import TokenStore

NODES = {"small": 2_000, "moderate": 20_000, "products": 200_000}
SAMPLES, BATCH, HIDDEN, CHANNELS, CLASSES = 50, 256, 128, 100, 47


def papers_logits(model: LargeGT, rows: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
    """The local module as the paper writes it, on tokens gathered beforehand."""
    encoder, layer = model.neighborhood, model.neighborhood.attention
    drop = layer.dropout if model.training else 0.0
    tokens = rows[ids].flatten(1, 2)  # [seeds, 3 K, channels]
    exists = mask.repeat_interleave(rows.size(1), dim=1)
    embedded = layer.lin_in(encoder.lin_rows(tokens))
    q, k, v = (
        part.unflatten(-1, (layer.heads, -1)).transpose(1, 2)
        for part in layer.lin_qkv[0](layer.norms[0](embedded)).chunk(3, dim=-1)
    )
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.size(-1))
    scores = scores.masked_fill(~exists[:, None, None, :], float("-inf")).softmax(dim=-1)
    gathered = layer.lin_out[0]((scores @ v).transpose(1, 2).flatten(2))
    mixed = F.dropout(layer.lin_residual(embedded) + F.dropout(gathered, drop), drop)
    mixed = layer.norm_out(mixed)
    seed, others = mixed[:, :1], mixed[:, 1:]
    score = layer.lin_score(others).masked_fill(~exists[:, 1:, None], float("-inf"))
    local = seed.squeeze(1) + (score.softmax(dim=1) * others).sum(dim=1)
    logits: Tensor = model.head(local)
    return logits


def peak_memory(run: Callable[[], object]) -> float:
    """Megabytes that a call adds to what the process holds, at its highest."""
    run()
    Path("/proc/self/clear_refs").write_text("5")
    before = _resident("VmRSS")
    run()
    return (_resident("VmHWM") - before) / 1e3


def _resident(line: str) -> int:
    for text in Path("/proc/self/status").read_text().splitlines():
        if text.startswith(line):
            return int(text.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main(size: str) -> None:
    """Runs both sides on one thread."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    graph = power_law_graph(NODES[size])
    x = torch.randn(graph.num_nodes, CHANNELS)
    store = TokenStore.in_memory(graph, x)
    seeds = torch.randperm(graph.num_nodes)[:BATCH]
    batch = next(iter(TokenLoader(store, seeds, num_samples=SAMPLES, batch_size=BATCH)))
    y = torch.randint(CLASSES, (BATCH,))
    model = LargeGT(CHANNELS, HIDDEN, CLASSES, scope="local")
    narrow = LargeGT(CHANNELS, HIDDEN, CLASSES, scope="local", hops="channels")

    def train(forward: Callable[[], Tensor]) -> Callable[[], None]:
        def step() -> None:
            model.zero_grad()
            narrow.zero_grad()
            F.cross_entropy(forward(), y).backward()

        return step

    model.eval()
    with torch.no_grad():
        ours = model(batch.rows, batch.ids, mask=batch.mask)
        torch.testing.assert_close(ours, papers_logits(model, batch.rows, batch.ids, batch.mask))
    model.train()
    ways = {
        "graphattn": train(lambda: model(batch.rows, batch.ids, mask=batch.mask)),
        'graphattn, hops="channels"': train(lambda: narrow(batch.rows, batch.ids, mask=batch.mask)),
        "the paper's modules, eager": train(
            lambda: papers_logits(model, batch.rows, batch.ids, batch.mask)
        ),
    }
    job = f"training step, K={SAMPLES}, hidden {HIDDEN}, {BATCH} seeds"
    rows = compare(job, ways)
    memory = {way: round(peak_memory(run), 1) for way, run in ways.items()}
    rows += compare_inference(store, model.eval(), narrow.eval())
    show(
        "training_step",
        rows,
        {
            "nodes": graph.num_nodes,
            "edges": graph.num_edges,
            "distinct rows": batch.rows.size(0),
            "threads": 1,
            "peak MB": memory,
        },
    )


def compare_inference(store: TokenStore, model: LargeGT, narrow: LargeGT) -> list:
    """Logits of all nodes; the paper's side is timed on some batches and scaled up."""
    parts = 8
    loader = TokenLoader(
        store,
        torch.randperm(store.num_nodes)[: parts * BATCH],
        num_samples=SAMPLES,
        batch_size=BATCH,
    )
    share = parts * BATCH / store.num_nodes

    @torch.no_grad()
    def papers() -> None:
        for batch in loader:
            papers_logits(model, batch.rows, batch.ids, batch.mask)

    job = f"inference on all {store.num_nodes:,} nodes"
    rows = compare(
        job,
        {
            "graphattn": lambda: model.inference(store, num_samples=SAMPLES, batch_size=BATCH),
            'graphattn, hops="channels"': lambda: narrow.inference(
                store, num_samples=SAMPLES, batch_size=BATCH
            ),
        },
        repeats=1,
    )
    peer = compare(job, {f"the paper's modules, eager ({parts} batches, scaled)": papers})[0]
    seconds = peer.seconds / share
    return [*rows, replace(peer, seconds=seconds, ratio=seconds / rows[0].seconds)]
