"""Features spread over the graph, hop after hop: what each token carries."""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.autograd import forward_ad

from graphattn.graph import CSRGraph
from graphattn.kernels.csr import looped_degrees
from graphattn.kernels.order import follow_order
from graphattn.kernels.propagate import row_table, scale_rows, spread
from graphattn.ops.threads import as_many_threads_as_torch

Norm = Literal["sym", "row"]

_ARRAYS = {
    torch.float16: np.float16,
    torch.bfloat16: np.uint16,  # its bits: NumPy has no such type
    torch.float32: np.float32,
    torch.float64: np.float64,
}


def propagate(
    graph: CSRGraph,
    x: Float[Tensor, "nodes channels"],
    num_hops: int,
    *,
    norm: Norm = "sym",
    order: Int64[npt.NDArray[Any], " nodes"] | None = None,
) -> Float[Tensor, "nodes hops channels"]:
    r"""Spreads features over the graph.

    With :math:`\tilde A` the matrix whose entry (i, j) is 1 iff j sends to i or i = j (a self-loop
    of the graph counts no second time), :math:`D_r` its row sums and :math:`D_c` its column sums:

    .. math::
        \hat A_\mathrm{sym} = D_c^{-1/2} \tilde A D_r^{-1/2}, \qquad
        \hat A_\mathrm{row} = D_r^{-1} \tilde A, \qquad
        \mathrm{out}_{:,k} = \hat A^k x

    Differentiable in ``x``, in either mode. Without a gradient, and on the CPU, a kernel without
    edge values runs. Half precision is summed in float32, and each hop rounded to nearest: half
    the memory, and nearly half the time, for an error of some 5e-4 (float16) or 4e-3 (bfloat16)
    of the largest number a hop.

    Source: section 3 of LargeGT, https://arxiv.org/abs/2312.11109.

    Args:
        graph: The graph.
        x: float16, bfloat16, float32 or float64; one row a node.
        num_hops: How many hops, 0 or more.
        norm: ``"sym"`` or ``"row"`` (the mean over a node and its senders).
        order: Nodes in an order in which neighbours are near (see
            :func:`~graphattn.ops.order.locality_order`), in which the kernel then works: the same
            bits, sooner. To renumber the graph once for many features, keep a
            :class:`PropagationSteps`.

    Returns:
        ``x`` and then each hop, ``hops = 1 + num_hops``, of the type and device of ``x``.

    Raises:
        ValueError: ``x`` has not one row a node, ``num_hops`` is negative, ``norm`` is unknown, or
            ``order`` does not hold each node once.
        TypeError: ``x`` is of another type.

    Example:
        >>> import torch
        >>> path = CSRGraph.from_edge_index(torch.tensor([[0, 1], [1, 0]]))
        >>> propagate(path, torch.tensor([[1.0], [3.0]]), 1, norm="row")[:, 1].flatten()
        tensor([2., 2.])
    """
    check_propagation(graph, tuple(x.shape), num_hops, norm)
    if x.dtype not in _ARRAYS:
        raise TypeError(
            f"x must be float16, bfloat16, float32 or float64: got {x.dtype}; convert it first."
        )
    if _is_followed(x) or x.device.type != "cpu":
        if order is not None:
            check_order(graph, order)
        return _propagate_plain(graph, x, num_hops, norm)
    steps = PropagationSteps(graph, norm, x.dtype, order=order)
    hops = np.empty((graph.num_nodes, 1 + num_hops, x.size(1)), _ARRAYS[x.dtype])
    out = torch.from_numpy(hops).view(x.dtype)  # huge pages, which torch's own memory has not
    out[:, 0] = x.detach()
    for hop in range(1, num_hops + 1):
        steps.next(hops[:, hop - 1], out=hops[:, hop])
    return out


class PropagationSteps:
    """Single steps of :func:`propagate` on arrays, for those who keep one hop at a time.

    Keeps the degrees, one table of the size of a hop and, with an order, the renumbered graph.

    Args:
        graph: The graph; its arrays may be memory-mapped.
        norm: As for :func:`propagate`.
        dtype: Of the hops: float16, float32 or float64, of NumPy or torch, or ``torch.bfloat16``,
            whose arrays hold its bits as uint16.
        order: As for :func:`propagate`.

    Raises:
        ValueError: ``order`` does not hold each node once.
        TypeError: ``dtype`` is another one.

    Example:
        >>> graph = CSRGraph.from_edge_index(np.array([[0, 1], [1, 0]]))
        >>> PropagationSteps(graph, "row", np.dtype("f4")).next(np.float32([[1], [3]])).tolist()
        [[2.0], [2.0]]
    """

    def __init__(
        self,
        graph: CSRGraph,
        norm: Norm,
        dtype: torch.dtype | npt.DTypeLike,
        *,
        order: Int64[npt.NDArray[Any], " nodes"] | None = None,
    ) -> None:
        self._dtype, sums = storage_types(dtype)
        self._before, self._after = (scale.astype(sums) for scale in scales(graph, norm))
        self._rowptr, self._col, self._order = graph.rowptr, graph.col, order
        if order is not None:
            check_order(graph, order)
            with as_many_threads_as_torch():
                self._rowptr, self._col = follow_order(graph.rowptr, graph.col, order)
        self._shape, self._table = (0, 0), row_table(0, 0, self._dtype)

    def next(
        self, hop: npt.NDArray[Any], *, out: npt.NDArray[Any] | None = None
    ) -> npt.NDArray[Any]:
        """Spreads one hop further.

        Args:
            hop: ``[N, C]``, of the type given at construction.
            out: Where to write, like ``hop`` and with contiguous rows; made if not given. It may
                be ``hop``.

        Returns:
            ``[N, C]``; ``out`` if that was given.
        """
        hop = hop if hop.strides[1] == hop.itemsize else np.ascontiguousarray(hop)
        out = np.empty(hop.shape, hop.dtype) if out is None else out
        if self._shape != hop.shape:
            self._shape = (hop.shape[0], hop.shape[1])
            self._table = row_table(*self._shape, self._dtype)
        with as_many_threads_as_torch():
            scale_rows(hop, self._before, self._table, self._order)
            return spread(
                self._rowptr, self._col, self._table, self._after, out=out, order=self._order
            )


def storage_types(dtype: torch.dtype | npt.DTypeLike) -> tuple[np.dtype[Any], np.dtype[Any]]:
    """Tells in which type NumPy keeps numbers, and in which kernels sum them.

    Args:
        dtype: float16, float32 or float64, of NumPy or torch, or ``torch.bfloat16``.

    Returns:
        The type of arrays (uint16 of bfloat16) and of sums.

    Raises:
        TypeError: ``dtype`` is another one.

    Example:
        >>> storage_types(torch.bfloat16)
        (dtype('uint16'), dtype('float32'))
    """
    if isinstance(dtype, torch.dtype):
        known, array = dtype in _ARRAYS, np.dtype(_ARRAYS.get(dtype, np.float32))
    else:
        array = np.dtype(dtype)
        known = array in (np.float16, np.float32, np.float64)
    if not known:
        raise TypeError(f"dtype must be float16, torch.bfloat16, float32 or float64: got {dtype}.")
    return array, np.dtype(np.float64 if array == np.float64 else np.float32)


def check_propagation(graph: CSRGraph, shape: tuple[int, ...], num_hops: int, norm: str) -> None:
    """Refuses what :func:`propagate` cannot do.

    Args:
        graph: The graph.
        shape: Shape of the features.
        num_hops: Number of hops.
        norm: Name of the normalisation.

    Raises:
        ValueError: As for :func:`propagate`.

    Example:
        >>> check_propagation(CSRGraph.from_edge_index(np.array([[0], [1]])), (2, 1), 1, "row")
    """
    if len(shape) != 2 or shape[0] != graph.num_nodes:
        raise ValueError(
            f"x must have one row for each of the {graph.num_nodes} nodes of the graph, "
            f"[{graph.num_nodes}, channels]: got shape {list(shape)}."
        )
    if num_hops < 0:
        raise ValueError(f"num_hops must be 0 or more: got num_hops={num_hops}.")
    if norm not in ("sym", "row"):
        raise ValueError(f"norm must be 'sym' or 'row': got {norm!r}.")


def check_order(graph: CSRGraph, order: npt.NDArray[Any]) -> None:
    """Refuses what is no order of the nodes.

    Args:
        graph: The graph.
        order: Must hold each node once, int64.

    Raises:
        ValueError: It does not.

    Example:
        >>> check_order(CSRGraph.from_edge_index(np.array([[0], [1]])), np.array([1, 0]))
    """
    size = graph.num_nodes
    seen = np.zeros(size, np.bool_)
    if order.dtype == np.int64 and order.shape == (size,):
        seen[order[(order >= 0) & (order < size)]] = True
        if seen.all():
            return
    raise ValueError(
        f"order must hold each of the {size} nodes once, int64 [{size}]: "
        f"got {order.dtype} {list(order.shape)} with {int(seen.sum())} of them."
    )


def _is_followed(x: Tensor) -> bool:
    """Whether torch differentiates or maps what becomes of x: backward, forward, or torch.func."""
    return (
        (x.requires_grad and torch.is_grad_enabled())
        or torch._C._functorch.is_functorch_wrapped_tensor(x)
        or forward_ad.unpack_dual(x).tangent is not None  # type: ignore[no-untyped-call]
    )


def scales(graph: CSRGraph, norm: Norm) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """What senders are multiplied with, and what sums are.

    Args:
        graph: The graph.
        norm: As for :func:`propagate`.

    Returns:
        Two factors a node, ``[N]`` each.

    Example:
        >>> scales(CSRGraph.from_edge_index(np.array([[0], [1]])), "row")[1].tolist()
        [1.0, 0.5]
    """
    rows, columns = looped_degrees(graph.rowptr, graph.col)
    if norm == "row":
        return np.ones(graph.num_nodes), 1.0 / rows
    return 1.0 / np.sqrt(rows), 1.0 / np.sqrt(columns)


def _propagate_plain(graph: CSRGraph, x: Tensor, num_hops: int, norm: Norm) -> Tensor:
    sums = torch.float64 if x.dtype == torch.float64 else torch.float32
    before, after = (torch.from_numpy(s).to(x.device, sums)[:, None] for s in scales(graph, norm))
    sender, receiver = graph.edge_index().to(x.device)
    other = sender != receiver
    sender, receiver = sender[other], receiver[other]
    hops = [x]
    for _ in range(num_hops):
        scaled = (hops[-1] * before).to(x.dtype).to(sums)
        total = scaled.index_add(0, receiver, scaled.index_select(0, sender))
        hops.append((total * after).to(x.dtype))
    return torch.stack(hops, dim=1)
