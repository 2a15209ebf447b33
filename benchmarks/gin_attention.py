"""GIN-attention, forward and backward: dense beside matrices of tokens by tokens, sparse beside
PyG's TransformerConv, and a GPS layer with a codebook on growing graphs.

CPU seconds of the process, one thread, turn by turn, the least of all turns: other programs only
ever add. Memory is what autograd keeps: distinct storages, parameters left out.

`python benchmarks/gin_attention.py` takes some ten minutes and 6 GB.
"""

import gc
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from measure import Row, show
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.nn import TransformerConv

from graphattn.nn import CodebookAttention, GINAttention, GINAttentionConv
from graphattn.nn.gps_layer import GPSLayer

HEADS, SIZE, EDGE_CHANNELS = 8, 32, 16
TOKENS = {"small": [256], "moderate": [256, 1024, 2048], "products": [256, 512, 1024, 2048, 4096]}
GRAPH = {"small": (2_000, 20_000), "moderate": (100_000, 1_000_000)}
GRAPH["products"] = GRAPH["moderate"]
NODES = {"small": [1_000, 2_000], "moderate": [10_000, 30_000, 100_000]}
NODES["products"] = NODES["moderate"]
PEER, PUBLISHED = "T x T matrix a head", "T x T, steps as published"
TURNS = 4


def by_matrices(
    layer: GINAttention, x: Tensor, is_causal: bool, as_published: bool = False
) -> Tensor:
    """The same layer, line for line, a head after another.

    As published: the mask is added, softmax runs in float32 whatever comes in, dropout follows,
    and the future is cut out of the attention once more.
    """
    size, out = layer.head_dim, []
    future = torch.ones(x.size(1), x.size(1), dtype=torch.bool).triu(1) if is_causal else None
    hidden_keys = None if future is None else torch.zeros(future.shape).masked_fill(future, -1e30)
    q_all, k_all = layer.lin_query(x), layer.lin_key(x)
    for head in range(layer.heads):
        part = slice(head * size, (head + 1) * size)
        q, k, v = q_all[..., part], k_all[..., part], x[..., part]
        scores = layer.log_sharpness[head].exp() * (q @ k.transpose(1, 2)) / math.sqrt(size)
        if future is not None and as_published:
            scores = scores + hidden_keys
        elif future is not None:
            scores = scores.masked_fill(future, -math.inf)
        softmax = layer.options.normalize == "softmax"
        attention = scores.softmax(dim=-1, dtype=torch.float32) if softmax else scores.sigmoid()
        if as_published:
            attention = F.dropout(attention, 0.0).tril()
        z = layer.self_weight[head] * v + attention @ v
        hidden = z @ layer.mlp.weight_in[head] + layer.mlp.bias_in[head]
        hidden = hidden * torch.rsqrt(hidden.square().mean(dim=-1, keepdim=True) + 1e-6)
        hidden = F.silu(hidden * layer.mlp.scale[head])
        out.append(hidden @ layer.mlp.weight_out[head] + layer.mlp.bias_out[head])
    return torch.cat(out, dim=-1)


def kept_megabytes(run: Callable[[], Tensor], modules: list[nn.Module]) -> float:
    """What autograd keeps between forward and backward, in 1e6 bytes."""
    own = {p.untyped_storage().data_ptr() for module in modules for p in module.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = run()
    size = sum(t.untyped_storage().nbytes() for key, t in kept.items() if key not in own)
    kept.clear()
    del out
    gc.collect()
    return size / 1e6


def race(
    job: str, ways: Mapping[str, Callable[[], Tensor]], modules: list[nn.Module], turns: int = TURNS
) -> Iterator[tuple[Row, float, float]]:
    """Forward and backward of each way in turns, ours first.

    Yields:
        A row a way, the megabytes it keeps, and how many times those of ours they are.
    """
    least = dict.fromkeys(ways, math.inf)
    for turn in range(turns + 1):
        for way, run in ways.items():
            start = time.process_time()
            run().sum().backward()
            if turn:
                least[way] = min(least[way], time.process_time() - start)
            gc.collect()
    kept = {way: kept_megabytes(run, modules) for way, run in ways.items()}
    ours = next(iter(ways))
    for way, seconds in least.items():
        row = Row(job, way, seconds, seconds / least[ours])
        yield row, kept[way], kept[way] / kept[ours]


def dense(lengths: list[int]) -> Iterator[tuple[Row, float, float]]:
    """Tokens of one sequence, all seen or those before only."""
    for normalize in ("softmax", "sigmoid"):
        layer = GINAttention(HEADS * SIZE, HEADS, normalize=normalize)
        for tokens in lengths:
            x = torch.randn(1, tokens, HEADS * SIZE, requires_grad=True)
            for causal in (False, True):
                ways = {
                    "graphattn": lambda x=x, c=causal, f=layer: f(x, is_causal=c),
                    PEER: lambda x=x, c=causal, f=layer: by_matrices(f, x, c),
                }
                if causal and normalize == "softmax":
                    ways[PUBLISHED] = lambda x=x, f=layer: by_matrices(f, x, True, True)
                ours, *theirs = (run() for run in ways.values())
                for other in theirs:
                    torch.testing.assert_close(ours, other, rtol=1e-4, atol=1e-4)
                job = f"dense, {normalize}, T={tokens}{', causal' if causal else ''}"
                turns = 2 if tokens > 2048 else 2 * TURNS
                yield from race(job, ways, [layer], turns)


def sparse(num_nodes: int, num_edges: int) -> Iterator[tuple[Row, float, float]]:
    """Edges between random nodes; as wide as PyG's layer with its four heads concatenated."""
    edge_index = torch.randint(num_nodes, (2, num_edges))
    width, heads = 4 * SIZE, 4
    x = torch.randn(num_nodes, width, requires_grad=True)
    features = torch.randn(num_edges, EDGE_CHANNELS)
    for edge_dim, attr in ((None, None), (EDGE_CHANNELS, features)):
        peer = TransformerConv(width, SIZE, heads, edge_dim=edge_dim)
        layers = {
            f"graphattn, {normalize}": GINAttentionConv(
                width, width, heads, edge_dim=edge_dim, value="linear", normalize=normalize
            )
            for normalize in ("softmax", "sigmoid")
        }
        layers["graphattn, softmax, own values"] = GINAttentionConv(
            width, width, heads, edge_dim=edge_dim
        )
        layers["PyG TransformerConv"] = peer
        ways = {name: lambda f=f, a=attr: f(x, edge_index, a) for name, f in layers.items()}
        job = f"{num_edges:,} edges{', with features' if edge_dim else ''}"
        yield from race(job, ways, list(layers.values()), 2)


def global_layer(sizes: list[int]) -> Iterator[tuple[Row, float, float]]:
    """A GPS layer of GIN-attention on edges beside a codebook; ratios are to the smallest graph."""
    first: tuple[float, float] | None = None
    for num_nodes in sizes:
        edge_index = torch.randint(num_nodes, (2, 5 * num_nodes))
        x = torch.randn(num_nodes, 64, requires_grad=True)
        attention = CodebookAttention(64, head_channels=16, heads=4, codebook_size=256)
        layer = GPSLayer(64, GINAttentionConv(64, 64, 4), attention)
        job = f"GPSLayer with codebook, N={num_nodes:,}"
        ways = {"graphattn": lambda f=layer, x=x, e=edge_index: f(x, e)}
        for row, kept, _ in race(job, ways, [layer], 2):
            first = first or (row.seconds, kept)
            yield Row(job, row.way, row.seconds, row.seconds / first[0]), kept, kept / first[1]


def main(size: str = "moderate") -> None:
    """Runs all three on one thread."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows: list[Row] = []
    about: dict[str, Any] = {"heads": HEADS, "head_dim": SIZE, "threads": 1}
    before = os.getloadavg()[0]
    memory: dict[str, list[float]] = {}
    parts = (sparse(*GRAPH[size]), dense(TOKENS[size]), global_layer(NODES[size]))
    for part in parts:
        for row, kept, ratio in part:
            print(
                f"{row.job:36} {row.way:30} {1e3 * row.seconds:9.1f} ms {row.ratio:6.2f} x"
                f" {kept:9.1f} MB {ratio:6.2f} x",
                flush=True,
            )
            rows.append(row)
            memory[f"{row.job}: {row.way}"] = [round(kept, 2), round(ratio, 2)]
    about["load of the machine, before and after"] = [before, os.getloadavg()[0]]
    about["kept MB, times ours"] = memory
    show("gin_attention", rows, about)


if __name__ == "__main__":
    main()
