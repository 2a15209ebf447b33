"""The fused engine for PyG's GCN, GraphSAGE, GAT: one forward, then a trimmed backward a seed."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor, nn
from torch_geometric import nn as pyg

from graphattn.diagnostics.engines import Picks, SeedInfluence
from graphattn.diagnostics.stacks import AttentionStack, ConvolutionStack, Stack
from graphattn.diagnostics.subject import Subject
from graphattn.graph import CSRGraph
from graphattn.kernels.influence import ROWS_AT_ONCE
from graphattn.ops.order import locality_order

_SEEDS = 1024  # measured before the first of them is given, in the order of their places
_NODES = 4_000_000  # of the balls that are kept meanwhile

_Ids = npt.NDArray[np.int64]


class FusedEngine:
    r"""All output channels of a seed side by side, backwards through the layers, hop by hop.

    With :math:`G_L = I` at the seed, layer l of a convolution passes back
    :math:`G_{l-1} = D_{l-1} \odot (A^\top G_l W_l + G_l V_l)` to the nodes one hop farther, where D
    holds the slopes of norm and ReLU of the one forward pass over the whole graph; for a layer of
    attention see :func:`~graphattn.kernels.influence_attention.spread_attention_back`. Seeds are
    shared among as many threads as torch is set to; the numbers are the same for any.

    Args:
        subject: What is measured; :func:`is_fusable` must hold.
        scale: What a feature counts.
        outside: What is said of the mass beyond the model's layers: 0, or NaN if not measured.
    """

    name = "fused"

    def __init__(
        self, subject: Subject, scale: Tensor | None = None, *, outside: float = 0.0
    ) -> None:
        self._outside = outside
        graph = CSRGraph.from_edge_index(subject.edge_index, subject.num_nodes)
        self._order = locality_order(graph, "rcm")
        self._place = np.empty_like(self._order)
        self._place[self._order] = np.arange(self._order.size)
        counts = subject.x.new_ones(subject.x.size(1)) if scale is None else scale
        kind = AttentionStack if type(subject.model) is pyg.GAT else ConvolutionStack
        self._stack: Stack = kind(subject, torch.from_numpy(self._place), counts)
        self._lent = threading.local()

    def measure(self, seeds: _Ids, picks: Picks) -> Iterator[SeedInfluence]:
        """Measures seeds; near ones one after another, for what they read is the same."""
        blas, start, threads = ThreadpoolController(), 0, torch.get_num_threads()
        size = threads
        with ThreadPoolExecutor(threads, "graphattn-seeds") as pool:
            while start < seeds.size:
                some = np.arange(start, min(start + size, seeds.size))
                some = some[np.argsort(self._place[seeds[some]], kind="stable")]
                parts = np.array_split(some, min(some.size, 8 * threads))
                with blas.limit(limits=1, user_api="blas"):
                    each = map if threads < 2 else pool.map
                    done = list(each(lambda part: self._some(seeds, picks, part.tolist()), parts))
                found = {s: one for part in done for s, one in part}
                yield from (found[s] for s in sorted(found))
                start += some.size
                largest = max(one.nodes.size for one in found.values())
                size = max(threads, min(_SEEDS, _NODES // largest))

    def _some(self, seeds: _Ids, picks: Picks, some: list[int]) -> list[tuple[int, SeedInfluence]]:
        return [(s, self._one(int(seeds[s]), picks.ids[s], picks.factors[s])) for s in some]

    def _one(self, seed: int, ids: _Ids, factors: npt.NDArray[np.float64]) -> SeedInfluence:
        stack, picks = self._stack, ids.size
        depth = stack.widths.size - 1
        found = stack.rows.ball(int(self._place[seed]), depth, edge_hops=depth - 1)
        grad = np.zeros((picks, int(stack.widths[-1])), stack.dtype)
        grad[np.arange(picks), ids] = factors
        least = 2 * max(ROWS_AT_ONCE, int(stack.widths[0]))
        influence = stack.backward(
            found, grad, self._memory(max(least, found.nodes.size * picks * stack.widest))
        )
        return SeedInfluence(self._order[found.nodes], found.starts, influence, self._outside)

    def _memory(self, needed: int) -> npt.NDArray[Any]:
        """Three buffers of this thread's own, overwritten by the next seed."""
        memory: npt.NDArray[Any] | None = getattr(self._lent, "memory", None)
        if memory is None or memory.shape[1] < needed:
            memory = np.empty((3, needed), self._stack.dtype)
            self._lent.memory = memory
        return memory


def is_fusable(subject: Subject) -> bool:
    """Tells whether a model is a GCN, GraphSAGE or GAT of PyG of the kind the fused engine knows.

    Weights in float32 or float64 on the CPU, ReLU or no activation, batch norm with running
    statistics or none, no jumping knowledge; GCN layers, SAGE layers that take the mean or sum, or
    GAT layers (not GATv2) without attributes of edges.
    """
    model: Any = subject.model
    if type(model) not in (pyg.GCN, pyg.GraphSAGE, pyg.GAT) or model.jk_mode is not None:
        return False
    if subject.x.device.type != "cpu" or subject.x.dtype not in (torch.float32, torch.float64):
        return False
    if not isinstance(model.act, nn.ReLU | nn.Identity | None):
        return False
    return all(map(_plain_norm, model.norms)) and all(_plain_layer(c, model) for c in model.convs)


def _plain_norm(norm: nn.Module) -> bool:
    module = norm.module if isinstance(norm, pyg.BatchNorm) else norm
    if isinstance(module, nn.BatchNorm1d):
        return module.running_var is not None
    return type(module) is nn.Identity


def _plain_layer(conv: Any, model: Any) -> bool:
    if conv.flow != "source_to_target" or getattr(conv, "_explain", False):
        return False
    if type(conv) is pyg.GCNConv:
        return _alike(conv, model, "improved", "add_self_loops", "normalize")
    if type(conv) is pyg.GATConv:
        same = _alike(conv, model, "heads", "add_self_loops", "negative_slope")
        return same and conv.lin is not None and conv.edge_dim is None and _sums(conv)
    return (
        type(conv) is pyg.SAGEConv
        and conv.aggr in ("mean", "sum", "add")
        and _alike(conv, model, "aggr")
        and not conv.normalize
        and not conv.project
    )


def _sums(conv: Any) -> bool:
    return conv.aggr in ("sum", "add")


def _alike(conv: Any, model: Any, *names: str) -> bool:
    """Tells whether a layer has the options of the first."""
    return all(getattr(conv, name) == getattr(model.convs[0], name) for name in names)
