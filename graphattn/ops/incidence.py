"""Incidences sorted both ways for layers: from an index as given, or as a hypergraph has them."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from graphattn.hypergraph import Incidence
from graphattn.incidences import check_form, check_incidences
from graphattn.kernels.edge_attention import order_edges
from graphattn.kernels.incidence import order_incidences
from graphattn.ops.edge_plan import EdgePlan


class Segments(NamedTuple):
    """Incidences sorted both ways; a row of ``plan`` is a hyperedge, a column a node.

    ``place`` tells where the incidences of the caller are in that order; None: in their own.
    """

    plan: EdgePlan
    place: Int[Tensor, " incidences"] | None


def turned(plan: EdgePlan) -> EdgePlan:
    """The same incidences with rows and columns changed over.

    A function, because ``torch.compile`` does not trace a method of a tuple that is made inside.

    Example:
        >>> turned(plan_incidences(torch.tensor([[1], [0]]), 2).plan).row.tolist()
        [1]
    """
    return EdgePlan(plan.col, plan.row, plan.t_ptr, plan.t_perm, plan.ptr, plan.perm)


def plan_incidences(
    hyperedge_index: Tensor | Incidence,
    num_nodes: int,
    num_hyperedges: int | None = None,
    *,
    rows_of: str = "",
) -> Segments:
    """Sorts incidences both ways, and sets those that repeat one apart; on a GPU without a sync.

    Args:
        hyperedge_index: ``[2, I]``, nodes and hyperedges; or an :class:`Incidence`, which is
            sorted and checked already.
        num_nodes: Number of nodes: the rows of ``x``.
        num_hyperedges: Number of hyperedges; by default that of the :class:`Incidence`, or one
            more than the largest id.
        rows_of: The tensor whose rows ``num_hyperedges`` are, for messages.

    Returns:
        What :func:`segment_attention` takes.

    Raises:
        ValueError: The shape is wrong, an id is out of range (looked at on a CPU alone), or the
            :class:`Incidence` has other sizes.
        TypeError: The ids are no integers.

    Example:
        >>> plan_incidences(torch.tensor([[1, 1, 0], [0, 0, 0]]), 2).place.tolist()
        [1, 1, 0]
    """
    if isinstance(hyperedge_index, Incidence):
        return _of_incidence(hyperedge_index, num_nodes, num_hyperedges, rows_of)
    check_form(tuple(hyperedge_index.shape), hyperedge_index.dtype)
    if num_hyperedges is None:
        edges = hyperedge_index[1]
        num_hyperedges = int(edges.max()) + 1 if edges.numel() else 0
    node, edge, edge_ptr, node_perm, node_ptr, place = _sort(
        hyperedge_index, num_nodes, num_hyperedges, rows_of
    )
    slots = torch.arange(node.size(0), dtype=node.dtype, device=node.device)
    return Segments(EdgePlan(edge, node, edge_ptr, slots, node_ptr, node_perm), place)


def _of_incidence(
    given: Incidence, num_nodes: int, num_hyperedges: int | None, rows_of: str
) -> Segments:
    if given.num_nodes != num_nodes:
        raise ValueError(
            f"x must have one row for each of the {given.num_nodes} nodes of the Incidence: got "
            f"{num_nodes}."
        )
    if num_hyperedges is not None and num_hyperedges != given.num_hyperedges:
        raise ValueError(
            f"{rows_of or 'num_hyperedges'} must count the {given.num_hyperedges} hyperedges of "
            f"the Incidence: got {num_hyperedges}."
        )
    slots = torch.arange(given.node.size(0), dtype=given.node.dtype, device=given.node.device)
    ends = (given.edge, given.node, given.edge_ptr, slots, given.node_ptr, given.node_perm)
    return Segments(EdgePlan(*ends), None)


@torch.library.custom_op("graphattn::sort_incidences", mutates_args=())
def _sort(
    index: Tensor, num_nodes: int, num_hyperedges: int, rows_of: str
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    if index.device.type != "cpu":
        return _sorted_by_torch(index, num_nodes, num_hyperedges)
    checked, *_ = check_incidences(
        index, num_nodes, num_hyperedges, nodes_from="x", hyperedges_from=rows_of or None
    )
    narrow = torch.from_numpy(checked).to(_dtype(index, num_nodes, num_hyperedges)).numpy()
    perm, place, count = order_incidences(narrow[0], narrow[1], num_nodes, num_hyperedges)
    node, edge = narrow[0][perm], narrow[1][perm]
    edge_ptr, _ = order_edges(edge[:count], num_hyperedges)
    node_ptr, node_perm = order_edges(node[:count], num_nodes)
    found = [torch.from_numpy(array) for array in (node, edge, edge_ptr, node_perm, node_ptr)]
    repeats = torch.arange(count, node.size, dtype=found[3].dtype)
    found[3] = torch.cat([found[3], repeats])
    return (*found, torch.from_numpy(place))  # type: ignore[return-value]


@_sort.register_fake
def _(index: Tensor, num_nodes: int, num_hyperedges: int, rows_of: str) -> tuple[Tensor, ...]:
    dtype = _dtype(index, num_nodes, num_hyperedges)
    count = index.size(1)
    sizes = (count, count, num_hyperedges + 1, count, num_nodes + 1, count)
    return tuple(index.new_empty(size, dtype=dtype) for size in sizes)


def _dtype(index: Tensor, num_nodes: int, num_hyperedges: int) -> torch.dtype:
    small = max(index.size(1), num_nodes, num_hyperedges) < 2**31 - 1
    return torch.int32 if small else torch.int64


def _sorted_by_torch(index: Tensor, num_nodes: int, num_hyperedges: int) -> Any:
    """The same in PyTorch's operations, without reading a value; any device."""
    node, edge = index.long()
    count = node.size(0)
    keys, perm = torch.sort(edge * num_nodes + node, stable=True)
    repeats = torch.zeros(count, dtype=torch.bool, device=index.device)
    repeats[1:] = keys[1:] == keys[:-1]
    place = torch.empty_like(perm).scatter_(0, perm, (~repeats).cumsum(0) - 1)
    apart, order = torch.sort(repeats.to(torch.uint8), stable=True)
    perm = perm.index_select(0, order)
    node, edge = node.index_select(0, perm), edge.index_select(0, perm)
    node_perm = torch.argsort(node + apart * num_nodes, stable=True)
    once = 1 - apart.long()
    ptrs = []
    for ids, size in ((edge, num_hyperedges), (node, num_nodes)):
        counts = torch.zeros(size + 1, dtype=torch.long, device=index.device)
        ptrs.append(counts.index_add_(0, ids + 1, once).cumsum(0))
    dtype = _dtype(index, num_nodes, num_hyperedges)
    found = (node, edge, ptrs[0], node_perm, ptrs[1], place)
    return tuple(part.to(dtype) for part in found)
