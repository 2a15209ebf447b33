"""Attention of each seed's tokens, rows of one table, read at the seed: in chunks that stay in the
cache, so that no tensor of all tokens of a batch exists, forwards or backwards.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from graphattn.kernels.readout import (
    DropoutKey,
    ReadoutWeights,
    read_tokens,
    read_tokens_backward,
)
from graphattn.kernels.scatter import add_rows
from graphattn.ops.threads import as_many_threads_as_torch

_CHUNK = 1 << 19  # numbers in one tensor of a chunk: 2 MB in float32, a few of which fit a cache


class RowTables(NamedTuple):
    """What the tokens of a row bring: queries, keys and values side by side, and residuals."""

    qkv: Float[Tensor, "rows three_hidden"]
    residual: Float[Tensor, "rows hidden"]


class BlockWeights(NamedTuple):
    """Weights of a block: output projection, layer norm, score of the readout."""

    out: Float[Tensor, "hidden hidden"]
    out_bias: Float[Tensor, " hidden"]
    scale: Float[Tensor, " hidden"]
    shift: Float[Tensor, " hidden"]
    score: Float[Tensor, " hidden"]


def attend_rows(
    tables: RowTables,
    index: Int[Tensor, "seeds tokens"],
    weights: BlockWeights,
    *,
    heads: int,
    mask: Bool[Tensor, "seeds tokens"] | None = None,
    types: Int[Tensor, "seeds tokens"] | None = None,
    shifts: Float[Tensor, "types three_hidden"] | None = None,
    dropout: float = 0.0,
) -> Float[Tensor, "seeds hidden"]:
    r"""Lets the tokens of each seed attend to each other, and reads the result at the seed.

    .. math::
        G &= W_o\,\mathrm{MHA}(q, k, v) + b_o, \qquad
        T = \mathrm{LN}(\mathrm{drop}(r + \mathrm{drop}(G))) \\
        \mathrm{out} &= T_0 + \sum_{i \ge 1} \mathrm{softmax}_i(w^\top T_i)\, T_i

    For tensors on the CPU. The backward pass computes each chunk again from the tables; it has no
    second derivative.

    Source: the local module of LargeGT, section 3 of https://arxiv.org/abs/2312.11109.

    Args:
        tables: What depends on a row alone.
        index: For each seed the rows it attends to; column 0 is the seed itself.
        weights: Weights of the block.
        heads: Number of heads; divides ``hidden``.
        mask: ``True`` where a token exists; column 0 must.
        types: The kind of each token; given with ``shifts``.
        shifts: Added to the keys, values and residuals of tokens of each kind, side by side.
        dropout: Share that is dropped, in steps of 1/65536; its masks depend on one number drawn
            from PyTorch's default generator.

    Returns:
        One vector a seed.

    Example:
        >>> tables = RowTables(torch.randn(10, 24), torch.randn(10, 8))
        >>> weights = BlockWeights(torch.eye(8), *torch.ones(4, 8))
        >>> attend_rows(tables, torch.tensor([[0, 3], [1, 2]]), weights, heads=2).shape
        torch.Size([2, 8])
    """
    threshold = round(dropout * 65536)
    key = int(torch.randint(1 << 62, (1,))) if threshold else 0
    mask = torch.ones_like(index, dtype=torch.bool) if mask is None else mask
    options = _Options(index, mask, types, heads, DropoutKey(threshold, key, 0))
    out: Tensor = _AttendRows.apply(options, shifts, *tables, *weights)  # type: ignore[no-untyped-call]
    return out


class _Options(NamedTuple):
    """What has no gradient."""

    tokens: Tensor
    mask: Tensor
    types: Tensor | None
    heads: int
    dropout: DropoutKey


class _Chunk:
    """The tokens of a few seeds: gathered, and attended to, forwards and backwards."""

    def __init__(
        self, options: _Options, shifts: Tensor | None, tables: RowTables, start: int, stop: int
    ) -> None:
        self.seeds, self.mask = slice(start, stop), options.mask[start:stop]
        self.rows, self.dropout = options.tokens[start:stop].flatten(), options.dropout
        self.dropout = options.dropout._replace(first_seed=start)
        self.shape = (*self.mask.shape, -1)
        hidden = tables.residual.size(1)
        self.size = hidden // options.heads
        self.heads = range(0, hidden, self.size)  # where the channels of each head start
        qkv = tables.qkv.index_select(0, self.rows)
        self.residual = tables.residual.index_select(0, self.rows)
        self.types = None
        if shifts is not None and options.types is not None:
            self.types = options.types[start:stop].flatten()
            added = shifts.index_select(0, self.types)
            qkv[:, hidden:] += added[:, : 2 * hidden]
            self.residual += added[:, 2 * hidden :]
        qkv[:, :hidden] *= 1.0 / math.sqrt(self.size)
        self.q, self.k, self.v = qkv.view(self.shape).chunk(3, dim=2)

    def attend(self, head: int) -> Tensor:
        """Returns how much each token attends to each, for the head that starts there."""
        part = slice(head, head + self.size)
        scores = torch.bmm(self.q[..., part], self.k[..., part].transpose(1, 2))
        if not bool(self.mask.all()):
            scores.masked_fill_(~self.mask.unsqueeze(1), -math.inf)
        return torch.softmax(scores, dim=-1)

    def gather(self, attention: Tensor, head: int) -> Tensor:
        """Returns what each token gathers, flat."""
        return torch.bmm(attention, self.v[..., head : head + self.size]).flatten(0, 1)

    def attend_backward(
        self, grad: Tensor, attention: Tensor, head: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the gradients of queries, keys and values of a head; uses ``attention`` up."""
        part = slice(head, head + self.size)
        grad = grad.view(self.shape)
        grad_v = torch.bmm(attention.transpose(1, 2), grad)
        scores = torch.bmm(grad, self.v[..., part].transpose(1, 2))
        scores *= attention
        scores -= attention.mul_(scores.sum(dim=-1, keepdim=True))
        grad_q = torch.bmm(scores, self.k[..., part]).mul_(1.0 / math.sqrt(self.size))
        grad_k = torch.bmm(scores.transpose(1, 2), self.q[..., part])
        return grad_q, grad_k, grad_v


class _AttendRows(torch.autograd.Function):
    """Keeps the tables and the index for the backward pass, and no token."""

    @staticmethod
    def forward(ctx: Any, options: _Options, shifts: Tensor | None, *parts: Tensor) -> Tensor:
        ctx.options = options
        ctx.save_for_backward(shifts, *parts)
        tables, weights = RowTables(*parts[:2]), BlockWeights(*parts[2:])
        readout = _readout_weights(weights)
        out = torch.empty(options.tokens.size(0), tables.residual.size(1), dtype=tables.qkv.dtype)
        with as_many_threads_as_torch():
            for chunk in _chunks(options, shifts, tables):
                gathered = weights.out_bias
                for head in chunk.heads:
                    y = chunk.gather(chunk.attend(head), head)
                    projection = weights.out[:, head : head + chunk.size].t()
                    gathered = torch.addmm(gathered, y, projection)
                read_tokens(
                    gathered.view(chunk.shape).numpy(),
                    chunk.residual.view(chunk.shape).numpy(),
                    chunk.mask.numpy(),
                    readout,
                    chunk.dropout,
                    out[chunk.seeds].numpy(),
                )
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        shifts, *parts = ctx.saved_tensors
        tables, weights = RowTables(*parts[:2]), BlockWeights(*parts[2:])
        totals = _Gradients(shifts, tables, weights)
        with as_many_threads_as_torch():
            for chunk in _chunks(ctx.options, shifts, tables):
                totals.add(chunk, grad_out[chunk.seeds].contiguous())
        return (None, *totals.result())


class _Gradients:
    """Sums of the gradients of all chunks."""

    def __init__(self, shifts: Tensor | None, tables: RowTables, weights: BlockWeights) -> None:
        self._weights = weights
        self._readout = _readout_weights(weights)
        self.shifts = None if shifts is None else torch.zeros_like(shifts)
        self.tables = RowTables(*(torch.zeros_like(table) for table in tables))
        self.out, self.out_bias = (torch.zeros_like(weight) for weight in weights[:2])
        self.readout = np.zeros((3, weights.scale.numel()), self._readout.scale.dtype)

    def add(self, chunk: _Chunk, grad_out: Tensor) -> None:
        """Goes back through one chunk."""
        weights, hidden = self._weights, self._weights.scale.numel()
        attention = [chunk.attend(head) for head in chunk.heads]
        attended = [chunk.gather(a, head) for a, head in zip(attention, chunk.heads, strict=True)]
        grad = weights.out_bias
        for head, y in zip(chunk.heads, attended, strict=True):
            grad = torch.addmm(grad, y, weights.out[:, head : head + chunk.size].t())
        self.readout += read_tokens_backward(  # writes over grad and chunk.residual
            grad_out.numpy(),
            grad.view(chunk.shape).numpy(),
            chunk.residual.view(chunk.shape).numpy(),
            chunk.mask.numpy(),
            self._readout,
            chunk.dropout,
        )
        self.out_bias += grad.sum(dim=0)
        self._scatter(self.tables.residual, 0, chunk.rows, chunk.residual)
        if self.shifts is not None and chunk.types is not None:
            self._scatter(self.shifts, 2 * hidden, chunk.types, chunk.residual)
        for head, y, a in zip(chunk.heads, attended, attention, strict=True):
            part = slice(head, head + chunk.size)
            self.out[:, part].addmm_(grad.t(), y)
            towards = grad @ weights.out[:, part]
            for i, of_token in enumerate(chunk.attend_backward(towards, a, head)):
                flat, column = of_token.flatten(0, 1), i * hidden + head
                self._scatter(self.tables.qkv, column, chunk.rows, flat)
                if i and self.shifts is not None and chunk.types is not None:
                    self._scatter(self.shifts, column - hidden, chunk.types, flat)

    def result(self) -> tuple[Tensor | None, ...]:
        """Returns them in the order of the inputs."""
        return (self.shifts, *self.tables, self.out, self.out_bias, *torch.from_numpy(self.readout))

    @staticmethod
    def _scatter(total: Tensor, column: int, rows: Tensor, parts: Tensor) -> None:
        add_rows(total.numpy(), column, rows.numpy(), parts.numpy())


def _readout_weights(weights: BlockWeights) -> ReadoutWeights:
    return ReadoutWeights(*(w.detach().contiguous().numpy() for w in weights[2:]))


def _chunks(options: _Options, shifts: Tensor | None, tables: RowTables) -> Iterator[_Chunk]:
    num_seeds, num_tokens = options.tokens.shape
    size = max(1, _CHUNK // (num_tokens * tables.residual.size(1)))
    for start in range(0, num_seeds, size):
        yield _Chunk(options, shifts, tables, start, min(start + size, num_seeds))
