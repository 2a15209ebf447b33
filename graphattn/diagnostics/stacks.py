"""What the fused engine needs to pass gradients back, kept from one forward pass of a stack."""

import math
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csr_matrix
from torch import Tensor, nn
from torch_geometric import nn as pyg
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.utils import add_self_loops, degree, remove_self_loops, softmax

from graphattn.diagnostics.balls import Ball, EdgeRows
from graphattn.diagnostics.subject import Subject
from graphattn.kernels.influence import backward
from graphattn.kernels.influence_attention import attention_backward
from graphattn.kernels.launch import read_only

_ROWS = 1 << 13  # of a layer that are computed at once

_Array = npt.NDArray[Any]


class Stack(Protocol):
    """Layers whose gradient a kernel passes back.

    Attributes:
        rows: The edges along which layers add.
        widths: int64 ``[layers + 1]``, channels before each layer, and of the output.
        widest: The most channels that a layer passes back.
        dtype: Of all it computes.
    """

    rows: EdgeRows
    widths: _Array
    widest: int
    dtype: np.dtype[Any]

    def backward(self, found: Ball, grad: _Array, memory: _Array) -> npt.NDArray[np.float64]:
        """Passes ``grad``, ``[picks, channels]``, back from a seed, and adds up by node."""
        ...


class ConvolutionStack:
    r"""Layers :math:`D_l(A X W_l^\top + X V_l^\top + b_l)`: PyG's GCN and GraphSAGE.

    Args:
        subject: What is measured.
        place: ``[nodes]``, the number of each node in the order of the computation.
        scale: ``[channels]``, what a feature counts.
    """

    def __init__(self, subject: Subject, place: Tensor, scale: Tensor) -> None:
        model: Any = subject.model
        edge_index, weight = _normalized(model, subject)
        self.rows = edges = EdgeRows(place[edge_index], subject.num_nodes)
        self._weight = read_only(weight.detach().numpy()[edges.number])
        del edge_index, weight
        self.dtype = self._weight.dtype
        size = subject.num_nodes, subject.num_nodes
        matrix = csr_matrix((self._weight, edges.col, edges.rowptr), shape=size)
        weights = [_weights(conv) for conv in model.convs]
        gates = Gates(model, self.dtype, size[0], [part.size(0) for part, _, _ in weights[:-1]])
        with torch.no_grad():
            x = subject.x.index_select(0, place.argsort())
            most = max([neighbor.size(0) for neighbor, _, _ in weights[:-1]], default=0)
            sent, heard = x.new_empty(2, x.size(0) * most)  # of all nodes, layer after layer
            for (neighbor, own, bias), norm in zip(weights[:-1], model.norms, strict=False):
                shape = x.size(0), neighbor.size(0)
                if own is not None and x.size(1) != shape[1]:
                    x = x.clone()  # its rows stand elsewhere than those that are written
                table = torch.mm(x, neighbor.T, out=sent[: math.prod(shape)].view(shape))
                out = heard[: math.prod(shape)].view(shape)
                for start in range(0, x.size(0), _ROWS):
                    rows = slice(start, start + _ROWS)
                    value = torch.from_numpy(matrix[rows] @ table.numpy())
                    value = value if own is None else value.addmm_(x[rows], own.T)
                    value = value if bias is None else value.add_(bias)
                    out[rows] = gates.through(norm, value, is_first=start == 0)
                x = out
        wide = [weights[0][0].size(1), *(neighbor.size(0) for neighbor, _, _ in weights)]
        self.widths, self.widest = read_only(np.array(wide, np.int64)), max(wide[1:])
        self._layers = (
            self.widths,
            joined([neighbor.numpy() for neighbor, _, _ in weights], self.dtype),
            joined([own.numpy() for _, own, _ in weights if own is not None], self.dtype),
            *gates.kept(),
            read_only(scale.to(subject.x.dtype).numpy()),
        )

    def backward(self, found: Ball, grad: _Array, memory: _Array) -> npt.NDArray[np.float64]:
        """Passes ``grad``, ``[picks, channels]``, back from a seed, and adds up by node."""
        edges = found.row_starts, found.sources, found.positions, self._weight
        return backward(found.starts, *edges, found.nodes, *self._layers, grad, memory)


class AttentionStack:
    """Layers of :class:`~torch_geometric.nn.GATConv`: PyG's GAT.

    Keeps the attention of each edge and head, and the values attended to, of all layers.

    Args:
        subject: What is measured.
        place: ``[nodes]``, the number of each node in the order of the computation.
        scale: ``[channels]``, what a feature counts.
    """

    def __init__(self, subject: Subject, place: Tensor, scale: Tensor) -> None:
        model: Any = subject.model
        num_nodes, convs, edge_index = subject.num_nodes, list(model.convs), subject.edge_index
        if convs[0].add_self_loops:
            edge_index = remove_self_loops(edge_index)[0]
            edge_index = add_self_loops(edge_index, num_nodes=num_nodes)[0]
        self.rows = rows = EdgeRows(place[edge_index], num_nodes)
        source, target = edge_index[:, torch.from_numpy(rows.number)]
        source, target = place[source], place[target]
        x = subject.x.index_select(0, place.argsort())
        self.dtype = x.numpy().dtype
        heads, slope = convs[0].heads, float(convs[0].negative_slope)
        inner = [conv.heads * conv.out_channels for conv in convs]
        gates = Gates(model, self.dtype, num_nodes, [_out_channels(conv) for conv in convs[:-1]])
        values = x.new_empty(num_nodes * sum(inner))
        attentions = x.new_empty(len(convs), edge_index.size(1), heads)
        places = torch.split(values, [num_nodes * width for width in inner])
        with torch.no_grad():
            layers = zip(convs, model.norms, places, attentions, strict=True)
            for conv, norm, place_of, attention in layers:
                value = torch.mm(x, conv.lin.weight.T, out=place_of.view(num_nodes, -1))
                value = value.view(num_nodes, heads, -1)
                logit = (value * conv.att_src).sum(2)[source] + (value * conv.att_dst).sum(2)[
                    target
                ]
                weight = softmax(nn.functional.leaky_relu(logit, slope), target, None, num_nodes)
                torch.where(logit < 0, -weight, weight, out=attention)
                if conv is not convs[-1]:
                    x = gates.through(norm, self._attended(conv, x, value, weight))
        wide = [convs[0].lin.weight.size(1), *(_out_channels(conv) for conv in convs)]
        self.widths, self.widest = read_only(np.array(wide, np.int64)), max(wide[1:] + inner)
        vectors = [
            [getattr(conv, name).detach().view(-1) for conv in convs]
            for name in ("att_src", "att_dst")
        ]
        matrices = joined([conv.lin.weight.detach().numpy() for conv in convs], self.dtype)
        own = [conv.res.weight.detach().numpy() for conv in convs if conv.res is not None]
        self._before = read_only(attentions.numpy()), slope
        self._layers = (
            self.widths,
            read_only(np.array(inner, np.int64)),
            read_only(values.numpy()),
            read_only(torch.stack([torch.cat(part) for part in vectors]).numpy()),
            matrices,
            joined(own, self.dtype),
            *gates.kept(),
            read_only(scale.to(x.dtype).numpy()),
        )

    def backward(self, found: Ball, grad: _Array, memory: _Array) -> npt.NDArray[np.float64]:
        """Passes ``grad``, ``[picks, channels]``, back from a seed, and adds up by node."""
        edges = found.row_starts, found.sources, found.positions, found.nodes
        return attention_backward(found.starts, *edges, *self._before, *self._layers, grad, memory)

    def _attended(self, conv: Any, x: Tensor, value: Tensor, weight: Tensor) -> Tensor:
        """What a layer gives: the heads side by side or their mean, the residual and the bias."""
        rows, size = self.rows, (x.size(0), x.size(0))
        each = [
            csr_matrix((weight[:, head].numpy(), rows.col, rows.rowptr), shape=size)
            @ value[:, head].numpy()
            for head in range(value.size(1))
        ]
        out = torch.from_numpy(np.concatenate(each, 1) if conv.concat else sum(each) / len(each))
        out = out if conv.res is None else out + conv.res(x)
        return out if conv.bias is None else out + conv.bias


class Gates:
    """Norm and activation behind each layer but the last: their values, and their slopes, kept.

    Args:
        model: A stack of PyG.
        dtype: Of its numbers.
        num_nodes: Rows of each layer.
        widths: Channels of each layer but the last.
    """

    def __init__(self, model: Any, dtype: npt.DTypeLike, num_nodes: int, widths: list[int]) -> None:
        self._is_relu, self._act_first = isinstance(model.act, nn.ReLU), model.act_first
        self._dtype = dtype
        self._bits = np.empty(num_nodes * sum(-(-width // 8) for width in widths), np.uint8)
        self._filled = 0
        self._slopes: list[_Array] = []

    def through(self, norm: nn.Module, x: Tensor, *, is_first: bool = True) -> Tensor:
        """Applies them behind one layer, to all rows or to some after others."""
        before = norm(x) if not self._act_first else x
        is_open = before > 0 if self._is_relu else torch.ones_like(before, dtype=torch.bool)
        value = before.relu() if self._is_relu else before
        bits = np.packbits(is_open.numpy(), axis=1, bitorder="little")
        self._bits[self._filled : self._filled + bits.size] = bits.reshape(-1)
        self._filled += bits.size
        if is_first:
            self._slopes.append(_slope(norm, x).detach().numpy().copy())
        return norm(value) if self._act_first else value

    def kept(self) -> tuple[_Array, _Array]:
        """Which units are open, and the slopes of the norms, layer after layer."""
        return read_only(self._bits), joined(self._slopes, self._dtype)


def _slope(norm: nn.Module, x: Tensor) -> Tensor:
    """What a norm multiplies each channel by."""
    module: Any = norm.module if isinstance(norm, pyg.BatchNorm) else norm
    slope = x.new_ones(x.size(1))
    if isinstance(module, nn.BatchNorm1d):
        variance: Any = module.running_var
        slope = (variance + module.eps).rsqrt().to(x.dtype)
        slope = slope if module.weight is None else slope * module.weight
    return slope


def joined(arrays: list[_Array], dtype: npt.DTypeLike) -> _Array:
    """Lists all numbers one after another, in a type, so that kernels compile once.

    Example:
        >>> joined([np.ones((1, 2)), np.zeros(1)], np.float32).tolist()
        [1.0, 1.0, 0.0]
    """
    if len(arrays) == 1:
        return read_only(arrays[0].reshape(-1).astype(dtype, copy=False))
    return read_only(np.concatenate([np.empty(0, dtype), *(a.reshape(-1) for a in arrays)]))


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


def _weights(conv: Any) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """What multiplies the neighbours and the node itself, and the bias."""
    if isinstance(conv, pyg.GCNConv):
        return conv.lin.weight.detach(), None, conv.bias
    own = conv.lin_r.weight.detach() if conv.root_weight else None
    return conv.lin_l.weight.detach(), own, conv.lin_l.bias


def _out_channels(conv: Any) -> int:
    return int(conv.out_channels * (conv.heads if conv.concat else 1))
