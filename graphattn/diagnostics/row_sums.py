"""Sums and means of PyG layers by whole rows, whose gradient takes torch a fraction of the time."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.aggr import MeanAggregation, SumAggregation


@contextmanager
def sums_by_rows(model: nn.Module | None) -> Iterator[None]:
    """Lets the layers of a model add messages with ``index_add_`` meanwhile, not ``scatter_add_``.

    The former reads one index a message, the latter one a number; they add in the same order.

    Args:
        model: Its layers that take a plain sum or mean are changed, and changed back.

    Example:
        >>> from torch_geometric.nn import SimpleConv
        >>> conv, x = SimpleConv(aggr="mean"), torch.rand(3, 2)
        >>> edges = torch.tensor([[0, 1], [2, 2]])
        >>> with sums_by_rows(conv):
        ...     out = conv(x, edges)
        >>> torch.equal(out, conv(x, edges))
        True
    """
    modules = list(model.modules()) if model is not None else []
    layers: list[Any] = [module for module in modules if isinstance(module, MessagePassing)]
    kept = [
        (layer, layer.aggr_module)
        for layer in layers
        if type(layer.aggr_module) in (SumAggregation, MeanAggregation)
    ]
    try:
        for layer, aggregation in kept:
            layer.aggr_module = _RowSums(aggregation)
        yield
    finally:
        for layer, aggregation in kept:
            layer.aggr_module = aggregation


class _RowSums(nn.Module):
    def __init__(self, aggregation: nn.Module) -> None:
        super().__init__()
        self._aggregation, self._is_mean = aggregation, type(aggregation) is MeanAggregation

    def forward(
        self,
        x: Tensor,
        index: Tensor | None = None,
        ptr: Tensor | None = None,
        dim_size: int | None = None,
        dim: int = -2,
    ) -> Tensor:
        if (
            index is None
            or ptr is not None
            or dim_size is None
            or x.dim() < 2
            or dim not in (0, -x.dim())  # heads may stand between
        ):
            out: Tensor = self._aggregation(x, index, ptr=ptr, dim_size=dim_size, dim=dim)
            return out
        total = x.new_zeros(dim_size, *x.shape[1:]).index_add_(0, index, x)
        if not self._is_mean:
            return total
        count = torch.bincount(index, minlength=dim_size).clamp_(min=1).to(x.dtype)
        return total / count.view(-1, *[1] * (x.dim() - 1))
