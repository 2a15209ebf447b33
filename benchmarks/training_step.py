"""LargeGT's training step and inference: ours beside the paper's eager modules, weights shared.

The paper's side projects every token of every seed, materialises queries, keys, values and the
token-by-token matrix, and lets autograd keep all of it. Both sides compute the same logits.
"""

import math
from collections.abc import Callable

import torch
from graphs import community_graph
from measure import Row, compare, show
from tokens import PRODUCTS, peak
from torch import Tensor
from torch.nn import functional as F

from graphattn.models.largegt import LargeGT
from graphattn.ops.neighborhood import sample_neighborhood
from graphattn.sampling.bottom_k import BottomKSampler
from graphattn.sampling.loader import TokenBatch, TokenLoader
from graphattn.sampling.store import TokenStore

STEP = {"small": (2_000, 20_000), "moderate": (100_000, 2_500_000), "products": PRODUCTS}
INFERENCE = {
    "small": (2_000, 20_000),
    "moderate": (20_000, 500_000),
    "products": (200_000, 5_000_000),
}
SAMPLES, BATCH, HIDDEN, CHANNELS, CLASSES = 50, 256, 128, 100, 47
SIZE = {"num_samples": SAMPLES, "batch_size": BATCH}
PAPERS = "the paper's modules, eager"


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


def main(size: str) -> None:
    """Runs both sides on one thread."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    step_rows, about = compare_steps(make_store(*STEP[size]))
    store = make_store(*INFERENCE[size])
    rows = step_rows + compare_inference(store)
    name = "training_step" if size != "products" else "training_step-products"
    show(name, rows, {**about, "nodes of inference": store.num_nodes, "threads": 1})


def make_store(num_nodes: int, num_edges: int) -> TokenStore:
    """Random features on a graph with communities."""
    graph = community_graph(num_nodes, num_edges)
    return TokenStore.in_memory(graph, torch.randn(num_nodes, CHANNELS))


def make_models() -> tuple[LargeGT, LargeGT]:
    """The paper's local module, and the one with a token a node."""
    return tuple(
        LargeGT(CHANNELS, HIDDEN, CLASSES, scope="local", hops=hops)
        for hops in ("tokens", "channels")
    )


def compare_steps(store: TokenStore) -> tuple[list[Row], dict[str, object]]:
    """Forward and backward of one random batch, tokens drawn exactly and at once."""
    seeds = torch.randperm(store.num_nodes)[:BATCH]
    batch, shared = (
        next(iter(TokenLoader(store, seeds, sampler=sampler, **SIZE)))
        for sampler in (sample_neighborhood, BottomKSampler())
    )
    y = torch.randint(CLASSES, (BATCH,))
    model, narrow = make_models()

    def train(forward: Callable[[], Tensor]) -> Callable[[], None]:
        def step() -> None:
            model.zero_grad()
            narrow.zero_grad()
            F.cross_entropy(forward(), y).backward()

        return step

    def ours(of: LargeGT, tokens: TokenBatch) -> Callable[[], None]:
        return train(lambda: of(tokens.rows, tokens.ids, mask=tokens.mask))

    model.eval()
    with torch.no_grad():
        logits = model(batch.rows, batch.ids, mask=batch.mask)
        torch.testing.assert_close(logits, papers_logits(model, batch.rows, batch.ids, batch.mask))
    model.train()
    ways = {
        "graphattn": ours(model, batch),
        'graphattn, hops="channels"': ours(narrow, batch),
        "graphattn, one offset": ours(model, shared),
        'graphattn, "channels", one offset': ours(narrow, shared),
        PAPERS: train(lambda: papers_logits(model, batch.rows, batch.ids, batch.mask)),
    }
    rows = compare(f"training step, K={SAMPLES}, hidden {HIDDEN}, {BATCH} seeds", ways)
    return rows, {
        "nodes": store.num_nodes,
        "edges": store.graph.num_edges,
        "distinct rows": batch.rows.size(0),
        "distinct rows, one offset": shared.rows.size(0),
        "peak MB": {way: round(peak(run), 1) for way, run in ways.items()},
    }


def compare_inference(store: TokenStore) -> list[Row]:
    """Logits of all nodes; the paper's side is timed on some batches and scaled up."""
    model, narrow = (of.eval() for of in make_models())
    parts = 8
    some = torch.randperm(store.num_nodes)[: parts * BATCH]
    loader = TokenLoader(store, some, sampler=sample_neighborhood, **SIZE)

    @torch.no_grad()
    def papers() -> None:
        for batch in loader:
            papers_logits(model, batch.rows, batch.ids, batch.mask)

    share = parts * BATCH / store.num_nodes
    peer = compare("", {PAPERS: papers}, repeats=3)[0].seconds / share
    job = f"inference on all {store.num_nodes:,} nodes"
    rows = compare(
        job,
        {
            "graphattn": lambda: model.inference(store, **SIZE),
            'graphattn, hops="channels"': lambda: narrow.inference(store, **SIZE),
        },
        repeats=1,
    )
    scaled = f"{PAPERS} ({parts} batches, scaled)"
    return [*rows, Row(job, scaled, peer, peer / rows[0].seconds)]


if __name__ == "__main__":
    main("moderate")
