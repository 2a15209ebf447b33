"""Attention over incidences: ours beside plain autograd and PyG's own parts, and memory of all.

CPU seconds forth and back, one thread, turn by turn in one process, of 3 million incidences with 4
heads of 20 channels; what each keeps for the backward pass is counted as tensors are saved. Whole
layers and the container follow. torch-scatter joins where it is installed.

`python benchmarks/hypergraph.py` takes some four minutes and 8 GB. With `large` behind it, it runs
ours alone on 30 million incidences and adds what that took.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from measure import RESULTS, Row, compare, show
from torch import Tensor
from torch_geometric.nn import HypergraphConv
from torch_geometric.utils import scatter, softmax

from graphattn.hypergraph import Incidence
from graphattn.nn import (
    AllSetTransformerConv,
    HypergraphAttentionConv,
    HypergraphTransformerConv,
)
from graphattn.ops.incidence import plan_incidences
from graphattn.ops.segment import segment_attention

try:
    import torch_scatter
except ImportError:
    torch_scatter = None

HEADS, SIZE = 4, 20
SIZES = {"small": 30_000, "moderate": 300_000, "products": 3_000_000, "large": 30_000_000}


def random_incidence(count: int) -> Incidence:
    """A sixth as many nodes as incidences, and a tenth as many hyperedges."""
    generator = torch.Generator().manual_seed(0)
    num_nodes, num_hyperedges = count // 6, count // 10
    node = torch.randint(num_nodes, (count,), generator=generator)
    edge = torch.randint(num_hyperedges, (count,), generator=generator)
    return Incidence.from_hyperedge_index(torch.stack([node, edge]), num_nodes, num_hyperedges)


def plain(q: Tensor, k: Tensor, v: Tensor, node: Tensor, edge: Tensor) -> Tensor:
    """What one writes first: gather, multiply, softmax by hand, index_add."""
    rows = edge.unsqueeze(1).expand(-1, HEADS)
    scores = (q.index_select(0, edge) * k.index_select(0, node)).sum(-1) * SIZE**-0.5
    top = torch.full_like(q[..., 0], -torch.inf).scatter_reduce(0, rows, scores.detach(), "amax")
    raised = (scores - top.index_select(0, edge)).exp()
    total = torch.zeros_like(q[..., 0]).index_add(0, edge, raised)
    weights = raised / total.index_select(0, edge)
    return torch.zeros_like(q).index_add(0, edge, weights.unsqueeze(-1) * v.index_select(0, node))


def pyg(q: Tensor, k: Tensor, v: Tensor, node: Tensor, edge: Tensor) -> Tensor:
    """The same with PyG's softmax and scatter, as its own attention layers do."""
    scores = (q.index_select(0, edge) * k.index_select(0, node)).sum(-1) * SIZE**-0.5
    weights = softmax(scores, edge, num_nodes=q.size(0)).unsqueeze(-1)
    return scatter(weights * v.index_select(0, node), edge, 0, dim_size=q.size(0), reduce="sum")


def by_torch_scatter(q: Tensor, k: Tensor, v: Tensor, node: Tensor, edge: Tensor) -> Tensor:
    """The same with torch-scatter's kernels."""
    scores = (q.index_select(0, edge) * k.index_select(0, node)).sum(-1) * SIZE**-0.5
    weights = torch_scatter.scatter_softmax(scores, edge, dim=0, dim_size=q.size(0)).unsqueeze(-1)
    values = weights * v.index_select(0, node)
    return torch_scatter.scatter_sum(values, edge, dim=0, dim_size=q.size(0))


def kept_bytes(run: Callable[[], Tensor]) -> tuple[int, Tensor]:
    """Bytes of all tensors saved for the backward pass, each storage once; and what came out."""
    found: dict[int, tuple[int, Any]] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        found[storage.data_ptr()] = (storage.nbytes(), storage)  # held, so that none is used again
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = run().detach()
    return sum(size for size, _ in found.values()), out


def make_inputs(made: Incidence) -> list[Tensor]:
    """Queries of hyperedges, keys and values of nodes."""
    generator = torch.Generator().manual_seed(1)
    counts = (made.num_hyperedges, made.num_nodes, made.num_nodes)
    shapes = [(count, HEADS, SIZE) for count in counts]
    return [torch.randn(shape, generator=generator).requires_grad_() for shape in shapes]


def attention(made: Incidence, repeats: int) -> tuple[list[Row], dict[str, Any]]:
    """The kernel: time forth and back, and what is kept."""
    inputs, segments = make_inputs(made), plan_incidences(made, made.num_nodes)
    node, edge = made.node.long(), made.edge.long()
    weight = torch.randn(inputs[0].shape, generator=torch.Generator().manual_seed(2))
    forward: dict[str, Callable[[], Tensor]] = {
        "ours": lambda: segment_attention(*inputs, segments),
        "ours, blocks of 16,384": lambda: segment_attention(*inputs, segments, chunk_size=16384),
        "plain autograd": lambda: plain(*inputs, node, edge),
        "PyG softmax and scatter": lambda: pyg(*inputs, node, edge),
    }
    if torch_scatter is not None:
        forward["torch-scatter"] = lambda: by_torch_scatter(*inputs, node, edge)
    about: dict[str, Any] = {}
    expected = None
    for way, run in forward.items():
        kept, out = kept_bytes(run)
        about[f"{way}: MB kept for backward"] = kept // 10**6
        expected = out if expected is None else expected
        error = (out - expected).abs().max() / expected.abs().max()
        about[f"{way}: largest error beside ours"] = f"{error:.1e}"

    def both(run: Callable[[], Tensor]) -> Callable[[], Any]:
        return lambda: torch.autograd.grad((run() * weight).sum(), inputs)

    ways = {way: both(run) for way, run in forward.items()}
    return compare("attention, forth and back", ways, repeats=repeats), about


def layers(made: Incidence, repeats: int) -> list[Row]:
    """Whole layers of 80 channels, training, beside PyG's."""
    x = torch.randn(made.num_nodes, HEADS * SIZE).requires_grad_()
    attr = torch.randn(made.num_hyperedges, HEADS * SIZE)
    index, width = made.hyperedge_index(), HEADS * SIZE
    torch.manual_seed(0)
    peer = HypergraphConv(width, SIZE, use_attention=True, attention_mode="edge", heads=HEADS)
    bare = HypergraphConv(width, width)
    ours = HypergraphAttentionConv(width, SIZE, HEADS, edge_dim=width)
    transformer = HypergraphTransformerConv(width, SIZE, HEADS)
    allset = AllSetTransformerConv(width, SIZE, HEADS)
    count = made.num_hyperedges
    forward = {
        "HypergraphAttentionConv": lambda: ours(x, made, hyperedge_attr=attr),
        "PyG HypergraphConv, attention": lambda: peer(
            x, index, hyperedge_attr=attr, num_edges=count
        ),
        "PyG HypergraphConv, none": lambda: bare(x, index, num_edges=count),
        "HypergraphTransformerConv": lambda: transformer(x, made),
        "AllSetTransformerConv": lambda: allset(x, made),
    }
    ways = {way: lambda run=run: run().square().mean().backward() for way, run in forward.items()}
    return compare("a layer, forth and back", ways, repeats=repeats)


def large() -> None:
    """Ours alone on 30 million incidences; the figures join those that are there."""
    made = random_incidence(SIZES["large"])
    inputs = make_inputs(made)
    start = time.process_time()
    out = segment_attention(*inputs, made)
    torch.autograd.grad(out.sum(), inputs)
    path = RESULTS / "hypergraph.json"
    content = json.loads(path.read_text())
    content["about"]["30 million incidences: CPU s forth and back"] = round(
        time.process_time() - start, 1
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    content["about"]["30 million incidences: peak GB of the process"] = round(peak, 1)
    path.write_text(json.dumps(content, indent=1) + "\n")
    print(f"30 million incidences: peak {peak:.1f} GB")


def main(size: str = "products") -> None:
    """Runs all on one thread."""
    torch.set_num_threads(1)
    if size == "large":
        large()
        return
    random_incidence(1000)  # compiles
    start = time.process_time()
    made = random_incidence(SIZES[size])
    seconds = time.process_time() - start
    about: dict[str, Any] = {
        "incidences": made.num_incidences,
        "nodes": made.num_nodes,
        "hyperedges": made.num_hyperedges,
        "heads": HEADS,
        "channels a head": SIZE,
        "threads": 1,
        "torch-scatter": "not installed" if torch_scatter is None else torch_scatter.__version__,
        "Incidence drawn and made: CPU s": round(seconds, 2),
    }
    rows, facts = attention(made, repeats=2)
    about |= facts
    rows += layers(random_incidence(SIZES[size] // 10), repeats=2)
    about["peak MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    show("hypergraph", rows, about)


if __name__ == "__main__":
    main(*sys.argv[1:])
