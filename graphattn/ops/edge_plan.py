"""Edges in the order of each of their ends, sorted once for all that is computed along them."""

from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from graphattn.kernels.edge_attention import order_edges


class EdgePlan(NamedTuple):
    """Edges as given, and their order by each end; row is the target, col the source."""

    row: Int[Tensor, " edges"]
    col: Int[Tensor, " edges"]
    ptr: Int[Tensor, " rows_and_one"]
    perm: Int[Tensor, " edges"]
    t_ptr: Int[Tensor, " cols_and_one"]
    t_perm: Int[Tensor, " edges"]

    def reversed(self) -> "EdgePlan":
        """The same edges with the ends changed over."""
        return EdgePlan(self.col, self.row, self.t_ptr, self.t_perm, self.ptr, self.perm)


def plan_edges(
    row: Int[Tensor, " edges"], col: Int[Tensor, " edges"], num_rows: int, num_cols: int
) -> EdgePlan:
    """Sorts edges by each of their ends; the edges themselves stay where they are.

    Args:
        row: The target of each edge, 0 to ``num_rows - 1``.
        col: The source of each edge, 0 to ``num_cols - 1``.
        num_rows: Number of targets.
        num_cols: Number of sources.

    Raises:
        ValueError: On a CPU, an edge ends at no node.

    Returns:
        What the functions below take.

    Example:
        >>> plan_edges(torch.tensor([1, 0]), torch.tensor([0, 0]), 2, 1).ptr.tolist()
        [0, 1, 2]
    """
    largest = max(row.size(0), num_rows, num_cols)
    dtype = torch.int32 if largest < 2**31 - 1 else torch.int64
    row, col = row.to(dtype).contiguous(), col.to(dtype).contiguous()
    return EdgePlan(row, col, *_order(row, num_rows), *_order(col, num_cols))


@torch.library.custom_op("graphattn::order_edges", mutates_args=())
def _order(index: Tensor, num_rows: int) -> tuple[Tensor, Tensor]:
    if index.device.type == "cpu":
        # Checked, because a wrong id would read foreign memory.
        if index.numel() and not 0 <= int(index.min()) <= int(index.max()) < num_rows:
            raise ValueError(
                f"Edges must join nodes 0..{num_rows - 1}: got ids from {int(index.min())} to "
                f"{int(index.max())}; right would be one row of x for each id."
            )
        ordered = order_edges(index.numpy(), num_rows)
        return torch.from_numpy(ordered[0]), torch.from_numpy(ordered[1])
    ptr = torch.zeros(num_rows + 1, dtype=index.dtype, device=index.device)
    ptr[1:] = torch.bincount(index, minlength=num_rows).cumsum(0)
    return ptr, torch.argsort(index, stable=True).to(index.dtype)


@_order.register_fake
def _(index: Tensor, num_rows: int) -> tuple[Tensor, Tensor]:
    return index.new_empty(num_rows + 1), torch.empty_like(index)
