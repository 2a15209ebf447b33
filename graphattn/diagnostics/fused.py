"""The fused engine for PyG's GCN and GraphSAGE: one forward, then a trimmed backward a seed."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csr_matrix
from torch import Tensor, nn
from torch_geometric import nn as pyg
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.utils import degree

from graphattn.diagnostics.balls import EdgeRows
from graphattn.diagnostics.engines import Picks, SeedInfluence
from graphattn.diagnostics.subject import Subject
from graphattn.graph import CSRGraph
from graphattn.kernels.influence import backward
from graphattn.kernels.launch import read_only
from graphattn.ops.order import locality_order

_Ids = npt.NDArray[np.int64]


class FusedEngine:
    r"""All output channels of a seed side by side, backwards through the layers, hop by hop.

    With :math:`G_L = I` at the seed, layer l passes back
    :math:`G_{l-1} = D_{l-1} \odot (A^\top G_l W_l + G_l V_l)` to the nodes one hop farther, where D
    holds the slopes of norm and ReLU of the one forward pass over the whole graph.

    Args:
        subject: What is measured; :func:`is_fusable` must hold.
        scale: What a feature counts.
        outside: What is said of the mass beyond the model's layers: 0, or NaN if not measured.
    """

    name = "fused"

    def __init__(
        self, subject: Subject, scale: Tensor | None = None, *, outside: float = 0.0
    ) -> None:
        model: Any = subject.model
        self._scale = None if scale is None else scale.numpy()
        self._outside = outside
        self._order = locality_order(_graph(subject), "rcm")
        self._place = np.empty_like(self._order)
        self._place[self._order] = np.arange(self._order.size)
        edge_index, weight = _normalized(model, subject)
        self._rows = rows = EdgeRows(torch.from_numpy(self._place)[edge_index], subject.num_nodes)
        self._weight = read_only(weight.detach().numpy()[rows.number])
        size = subject.num_nodes, subject.num_nodes
        matrix = csr_matrix((self._weight, rows.col, rows.rowptr), shape=size)
        weights = [_weights(conv) for conv in model.convs]
        gates = []
        with torch.no_grad():
            x = subject.x.index_select(0, torch.from_numpy(self._order))
            for (neighbor, own, bias), norm in zip(weights[:-1], model.norms, strict=False):
                value = torch.from_numpy(matrix @ (x @ neighbor.T).numpy())
                value = value if own is None else value.addmm_(x, own.T)
                x, *gated = _gated(model, norm, value if bias is None else value.add_(bias))
                gates.append(gated)
        wide = [weights[0][0].size(1), *(neighbor.size(0) for neighbor, _, _ in weights)]
        self._widths = read_only(np.array(wide, np.int64))
        dtype = self._weight.dtype
        self._neighbor = _joined([neighbor.numpy() for neighbor, _, _ in weights], dtype)
        self._own = _joined([own.numpy() for _, own, _ in weights if own is not None], dtype)
        self._bits = _joined([bits for bits, _ in gates], np.uint8)
        self._slopes = _joined([slope for _, slope in gates], dtype)
        self._memory = np.empty((3, 0), dtype)

    def measure(self, seeds: _Ids, picks: Picks) -> Iterator[SeedInfluence]:
        """Measures seeds in their order."""
        for s, seed in enumerate(seeds.tolist()):
            yield self._one(seed, picks.ids[s], picks.factors[s])

    def _one(self, seed: int, ids: _Ids, factors: npt.NDArray[np.float64]) -> SeedInfluence:
        depth, picks = self._widths.size - 1, ids.size
        found = self._rows.ball(int(self._place[seed]), depth, edge_hops=depth - 1)
        grad = np.zeros((picks, self._widths[-1]), self._weight.dtype)
        grad[np.arange(picks), ids] = factors
        needed = found.nodes.size * picks * int(self._widths.max())
        if self._memory.shape[1] < needed:
            self._memory = np.empty((3, needed), self._weight.dtype)
        edges = found.row_starts, found.sources, found.positions, self._weight
        layers = self._widths, self._neighbor, self._own, self._bits, self._slopes
        end = backward(found.starts, *edges, found.nodes, *layers, grad, self._memory)
        size = np.abs(end, out=end)
        size = size.sum(2) if self._scale is None else size @ self._scale
        influence = size.sum(1, dtype=np.float64)
        return SeedInfluence(self._order[found.nodes], found.starts, influence, self._outside)


def is_fusable(subject: Subject) -> bool:
    """Tells whether a model is a GCN or GraphSAGE of PyG of the kind the fused engine knows.

    Weights in float32 or float64 on the CPU, ReLU or no activation, batch norm with running
    statistics or none, no jumping knowledge; GCN layers, or SAGE layers that take the mean or sum.
    """
    model: Any = subject.model
    if type(model) not in (pyg.GCN, pyg.GraphSAGE) or model.jk_mode is not None:
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
        names = ("improved", "add_self_loops", "normalize")
        return all(getattr(conv, name) == getattr(model.convs[0], name) for name in names)
    return (
        type(conv) is pyg.SAGEConv
        and conv.aggr in ("mean", "sum", "add")
        and conv.aggr == model.convs[0].aggr
        and not conv.normalize
        and not conv.project
    )


def _normalized(model: Any, subject: Subject) -> tuple[Tensor, Tensor]:
    """The edges along which layers add, and the weight of each."""
    conv, edge_index, x = model.convs[0], subject.edge_index, subject.x
    weight = subject.edge_inputs.get("edge_weight")
    if isinstance(conv, pyg.GCNConv) and conv.normalize:
        options = conv.improved, conv.add_self_loops, conv.flow, x.dtype
        edge_index, weight = gcn_norm(edge_index, weight, subject.num_nodes, *options)
    elif isinstance(conv, pyg.SAGEConv) and conv.aggr == "mean":
        weight = 1.0 / degree(edge_index[1], subject.num_nodes, x.dtype)[edge_index[1]]
    if weight is None:
        weight = torch.ones(edge_index.size(1))
    return edge_index, weight.to(x.dtype)


def _joined(arrays: list[npt.NDArray[Any]], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """All numbers one after another."""
    return read_only(np.concatenate([np.empty(0, dtype), *(a.reshape(-1) for a in arrays)]))


def _graph(subject: Subject) -> CSRGraph:
    return CSRGraph.from_edge_index(subject.edge_index, subject.num_nodes)


def _weights(conv: Any) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """What multiplies the neighbours and the node itself, and the bias."""
    if isinstance(conv, pyg.GCNConv):
        return conv.lin.weight.detach(), None, conv.bias
    own = conv.lin_r.weight.detach() if conv.root_weight else None
    return conv.lin_l.weight.detach(), own, conv.lin_l.bias


def _gated(model: Any, norm: nn.Module, x: Tensor) -> tuple[Tensor, Any, Any]:
    """Norm and activation: their value, which units are open, and the slope of the norm."""
    is_relu = isinstance(model.act, nn.ReLU)
    before = norm(x) if not model.act_first else x
    is_open = before > 0 if is_relu else torch.ones_like(before, dtype=torch.bool)
    value = before.relu() if is_relu else before
    value = norm(value) if model.act_first else value
    module: Any = norm.module if isinstance(norm, pyg.BatchNorm) else norm
    slope = x.new_ones(x.size(1))
    if isinstance(module, nn.BatchNorm1d):
        variance: Any = module.running_var
        slope = (variance + module.eps).rsqrt().to(x.dtype)
        slope = slope if module.weight is None else slope * module.weight
    bits = np.packbits(is_open.numpy(), axis=1, bitorder="little")
    return value, bits, slope.detach().numpy().copy()
