"""`graphattn warmup`: compile every kernel once, so that no first call waits for it."""

import importlib
import pkgutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numba.core.dispatcher import Dispatcher
from torch.nn import functional as F
from torch_geometric.data import Data
from torch_geometric.nn import GAT, GCN, GraphSAGE
from tqdm import tqdm

from graphattn import kernels
from graphattn.arguments import Arguments
from graphattn.datasets.ogb import open_ogb
from graphattn.datasets.twin import write_twin
from graphattn.diagnostics import influence
from graphattn.graph import CSRGraph
from graphattn.models.largegt import LargeGT
from graphattn.nn.edhnn_conv import EDHNNConv
from graphattn.nn.gin_attention_conv import GINAttentionConv
from graphattn.nn.hypergraph_transformer_conv import HypergraphTransformerConv
from graphattn.ops.joined import joined_tokens
from graphattn.ops.neighborhood import sample_neighborhood
from graphattn.ops.order import locality_order
from graphattn.ops.positions import positions
from graphattn.ops.propagate import propagate
from graphattn.sampling.bottom_k import BottomKSampler
from graphattn.sampling.fanout import sample_fanout
from graphattn.sampling.loader import TokenLoader
from graphattn.sampling.neighbor_loader import NeighborLoader
from graphattn.sampling.random_walk import random_walk
from graphattn.sampling.store import TokenStore
from graphattn.sampling.walk_neighborhood import walk_neighborhood

_NODES, _CHANNELS = 200, 4
_MANY = 1001  # nodes whose complete graph has more edges than are renumbered without threads
_FEW = 3  # seeds for which no thread is woken; all nodes wake some


def main(argv: Sequence[str]) -> int:
    """Run `graphattn warmup`: compile every kernel once, so that no first call waits for it.

    Example:
        >>> main(["--x"])
        Traceback (most recent call last):
        ...
        ValueError: there is no argument --x.
    """
    Arguments(
        prog="graphattn warmup",
        description="Compile every kernel and keep the result for later processes.",
    ).parse_args(list(argv))
    if kernels.CACHE is None:
        raise OSError(
            "no folder for compiled kernels can be written, so none would be kept: "
            "export NUMBA_CACHE_DIR=/path/you/may/write first."
        )
    started = time.perf_counter()
    warm_up(progress=True)
    print(f"kernels are ready after {time.perf_counter() - started:.1f} s, in {kernels.CACHE}")
    return 0


def warm_up(parts: Sequence[str] | None = None, *, progress: bool = False) -> None:
    """Compile kernels, or load those compiled before, by calling on small graphs what needs them.

    Kernels are compiled for what they are called with elsewhere: ids of nodes in int32, models in
    float32, propagation in all its types. int64 ids, of graphs with more than 2**31 - 1 nodes,
    models in float64, and what reads or makes a data set are left to their first call. Where there
    are several cores, kernels are compiled with and without threads.

    Args:
        parts: Names of `PARTS`; by default all.
        progress: Show a bar, if there is a terminal.

    Raises:
        ValueError: A part is unknown.

    Example:
        >>> warm_up(["walks"])
    """
    names = list(PARTS if parts is None else parts)
    if unknown := [name for name in names if name not in PARTS]:
        raise ValueError(f"parts must be among {', '.join(PARTS)}: got {', '.join(unknown)}.")
    graph = _graph()
    with _several_threads(), tqdm(names, disable=None if progress else True) as bar:
        for name in bar:
            bar.set_description(f"compiling {name}")
            PARTS[name](graph)


def cold_kernels() -> list[str]:
    """Name the kernels that this process has neither compiled nor loaded, nor those that call them.

    Example:
        >>> warm_up(["walks"])
        >>> "walk._walk_some" in cold_kernels()
        False
    """
    found: dict[Any, str] = {}
    for about in pkgutil.iter_modules(kernels.__path__):
        module = importlib.import_module(f"{kernels.__name__}.{about.name}")
        for name, value in vars(module).items():
            if isinstance(value, Dispatcher) and value.__module__ == module.__name__:
                found[value] = f"{about.name}.{name}"
    warm = [kernel for kernel in found if kernel.signatures]
    reached = set(warm)
    while warm:  # what is loaded from the cache brings no signatures of what it calls
        function = warm.pop().py_func
        names = function.__code__.co_names
        called = [function.__globals__.get(name) for name in names]
        new = [kernel for kernel in called if kernel in found and kernel not in reached]
        reached.update(new)
        warm += new
    return [name for kernel, name in found.items() if kernel not in reached]


@contextmanager
def _several_threads() -> Iterator[None]:
    """Has torch, and so the kernels, use two threads at least."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(2, before))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _graph() -> CSRGraph:
    """A ring with chords, directed."""
    nodes = np.arange(_NODES)
    targets = np.concatenate([(nodes + step) % _NODES for step in (1, 7, 30)])
    return CSRGraph.from_edge_index(np.stack([np.tile(nodes, 3), targets]), _NODES)


def _features(graph: CSRGraph) -> None:
    order = locality_order(graph)
    for kind in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        x = torch.ones(graph.num_nodes, _CHANNELS, dtype=kind)
        propagate(graph, x, 1)
        propagate(graph, x, 1, order=order)


def _positions(graph: CSRGraph) -> None:
    positions(graph, "random_walk", 2)


def _tokens(graph: CSRGraph) -> None:
    for seeds in _few_and_all(graph):
        joined_tokens(graph, sample_neighborhood(graph, seeds, 5))


def _bottom_k(graph: CSRGraph) -> None:
    for seeds in _few_and_all(graph):
        BottomKSampler()(graph, seeds, 5)
    one, other = np.divmod(np.arange(_MANY * (_MANY - 1)), _MANY - 1)
    other += other >= one
    complete = CSRGraph(np.arange(_MANY + 1) * (_MANY - 1), other.astype(np.int32))
    BottomKSampler()(complete, torch.arange(1), 5)


def _walks(graph: CSRGraph) -> None:
    for start in _few_and_all(graph):
        walk_neighborhood(graph, start, 5)
        random_walk(graph, start, 3, p=0.5)


def _few_and_all(graph: CSRGraph) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.arange(_FEW), torch.arange(graph.num_nodes)


def _subgraphs(graph: CSRGraph) -> None:
    seeds = torch.arange(_FEW)
    for kind in (torch.int64, torch.float64):
        sample_fanout(graph, seeds, [2, -1], node_time=torch.arange(graph.num_nodes).to(kind))
        data = Data(
            edge_index=graph.edge_index(),
            time=torch.arange(graph.num_edges).to(kind),
            num_nodes=graph.num_nodes,
        )
        limit = torch.full((_FEW,), 99).to(kind)
        next(iter(NeighborLoader(data, [2, -1], seeds, time_attr="time", input_time=limit)))
    sample_fanout(graph, seeds, [2, -1])
    for subgraph_type in ("directional", "induced"):
        next(iter(NeighborLoader(data, [2, 20], seeds, subgraph_type=subgraph_type)))


def _training(graph: CSRGraph) -> None:
    """Batches, a training step and inference, for few tokens and for many."""
    graph.to_undirected()  # asks whether it is directed, as is asked of every data set
    x = torch.ones(graph.num_nodes, _CHANNELS)
    store = TokenStore.in_memory(graph, x)
    options: dict[str, Any] = {"num_samples": 20, "batch_size": graph.num_nodes}
    options |= {"sampler": BottomKSampler(), "pool": "set"}
    for scope in ("local", "full"):
        model = LargeGT(_CHANNELS, 8, 2, scope=scope, codebook_size=8)
        for seeds in _few_and_all(graph):
            for batch in TokenLoader(store, seeds, **options):
                logits = model(batch.rows, batch.ids, mask=batch.mask)
                torch.autograd.backward(F.cross_entropy(logits, batch.seeds % 2))
        model.inference(store, **options)


def _edge_attention(graph: CSRGraph) -> None:
    x = torch.ones(graph.num_nodes, _CHANNELS)
    for copies in (1, 10):  # few edges, and enough to wake threads
        edge_index = torch.as_tensor(graph.edge_index()).repeat(1, copies)
        for aggregators in (("sum",), ("sum", "mean", "var", "max", "min")):  # fused, step by step
            conv = GINAttentionConv(_CHANNELS, _CHANNELS, aggregators=aggregators)
            torch.autograd.backward(conv(x, edge_index).sum())


def _hypergraphs(_: CSRGraph) -> None:
    x = torch.ones(_NODES, _CHANNELS)
    for num_pairs in (_NODES, 50 * _NODES):  # some repeat
        pairs = torch.randint(_NODES, (2, num_pairs))
        for layer in (EDHNNConv(_CHANNELS, _CHANNELS), HypergraphTransformerConv(_CHANNELS, 2)):
            torch.autograd.backward(layer(x, pairs).sum())


def _influence(graph: CSRGraph) -> None:
    data = Data(torch.randn(graph.num_nodes, _CHANNELS), graph.edge_index())
    for model in (GCN(_CHANNELS, 8, 2, 3), GraphSAGE(_CHANNELS, 8, 2, 3), GAT(_CHANNELS, 8, 2, 3)):
        influence(model, data, max_hops=3, seeds=range(_FEW))


def _raw_files(_: CSRGraph) -> None:
    """What reads OGB's raw files, and writes made ones."""
    with tempfile.TemporaryDirectory() as folder:
        write_twin("ogbn-arxiv", folder, scale=0.002, progress=False)
        open_ogb("ogbn-arxiv", folder, cache=folder, progress=False)


PARTS: dict[str, Callable[[CSRGraph], None]] = {
    "features": _features,
    "positions": _positions,
    "tokens": _tokens,
    "bottom-k": _bottom_k,
    "walks": _walks,
    "subgraphs": _subgraphs,
    "training": _training,
    "edge attention": _edge_attention,
    "hypergraphs": _hypergraphs,
    "influence": _influence,
    "raw files": _raw_files,
}
