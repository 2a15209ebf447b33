"""Features spread over the graph, hop after hop: what each token carries."""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import forward_ad

from graphattn.graph import CSRGraph
from graphattn.kernels.csr import looped_degrees
from graphattn.kernels.propagate import spread
from graphattn.ops.threads import as_many_threads_as_torch

Norm = Literal["sym", "row"]


def propagate(
    graph: CSRGraph,
    x: Float[Tensor, "nodes channels"],
    num_hops: int,
    *,
    norm: Norm = "sym",
) -> Float[Tensor, "nodes hops channels"]:
    r"""Spreads features over the graph.

    With :math:`\tilde A` the matrix whose entry (i, j) is 1 iff j sends to i or i = j (a self-loop
    of the graph counts no second time), :math:`D_r` its row sums and :math:`D_c` its column sums:

    .. math::
        \hat A_\mathrm{sym} = D_c^{-1/2} \tilde A D_r^{-1/2}, \qquad
        \hat A_\mathrm{row} = D_r^{-1} \tilde A, \qquad
        \mathrm{out}_{:,k} = \hat A^k x

    Differentiable in ``x``, in either mode. Without a gradient, and on the CPU, a kernel without
    edge values runs.

    Source: section 3 of LargeGT, https://arxiv.org/abs/2312.11109.

    Args:
        graph: The graph.
        x: float32 or float64; one row a node.
        num_hops: How many hops, 0 or more.
        norm: ``"sym"`` or ``"row"`` (the mean over a node and its senders).

    Returns:
        ``x`` and then each hop, ``hops = 1 + num_hops``, of the type and device of ``x``.

    Raises:
        ValueError: ``x`` has not one row a node, ``num_hops`` is negative, or ``norm`` is unknown.
        TypeError: ``x`` is neither float32 nor float64.

    Example:
        >>> import torch
        >>> path = CSRGraph.from_edge_index(torch.tensor([[0, 1], [1, 0]]))
        >>> propagate(path, torch.tensor([[1.0], [3.0]]), 1, norm="row")[:, 1].flatten()
        tensor([2., 2.])
    """
    check_propagation(graph, tuple(x.shape), num_hops, norm)
    if x.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"x must be float32 or float64: got {x.dtype}; convert it first.")
    if _is_followed(x) or x.device.type != "cpu":
        return _propagate_plain(graph, x, num_hops, norm)
    steps = PropagationSteps(graph, norm, x.detach().numpy().dtype)
    hops = np.empty((graph.num_nodes, 1 + num_hops, x.size(1)), x.detach().numpy().dtype)
    hops[:, 0] = x.detach().numpy()
    for hop in range(1, num_hops + 1):
        hops[:, hop] = steps.next(np.ascontiguousarray(hops[:, hop - 1]))
    return torch.from_numpy(hops)


class PropagationSteps:
    """Single steps of :func:`propagate` on arrays, for those who keep one hop at a time.

    Args:
        graph: The graph.
        norm: As for :func:`propagate`.
        dtype: float32 or float64.

    Example:
        >>> graph = CSRGraph.from_edge_index(np.array([[0, 1], [1, 0]]))
        >>> PropagationSteps(graph, "row", np.dtype("f4")).next(np.float32([[1], [3]])).tolist()
        [[2.0], [2.0]]
    """

    def __init__(self, graph: CSRGraph, norm: Norm, dtype: npt.DTypeLike) -> None:
        self._graph = graph
        before, after = _scales(graph, norm)
        self._before = before.astype(dtype)
        self._after = after.astype(dtype)

    def next(self, hop: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Spreads one hop further.

        Args:
            hop: ``[N, C]``, of the type given at construction.

        Returns:
            ``[N, C]``.
        """
        graph = self._graph
        with as_many_threads_as_torch():
            return spread(graph.rowptr, graph.col, hop * self._before[:, None], self._after)


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


def _is_followed(x: Tensor) -> bool:
    """Whether torch differentiates or maps what becomes of x: backward, forward, or torch.func."""
    return (
        (x.requires_grad and torch.is_grad_enabled())
        or torch._C._functorch.is_functorch_wrapped_tensor(x)
        or forward_ad.unpack_dual(x).tangent is not None  # type: ignore[no-untyped-call]
    )


def _scales(graph: CSRGraph, norm: Norm) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """What senders are multiplied with, and what sums are."""
    rows, columns = looped_degrees(graph.rowptr, graph.col)
    if norm == "row":
        return np.ones(graph.num_nodes), 1.0 / rows
    return 1.0 / np.sqrt(rows), 1.0 / np.sqrt(columns)


def _propagate_plain(graph: CSRGraph, x: Tensor, num_hops: int, norm: Norm) -> Tensor:
    before, after = (torch.from_numpy(s).to(x).unsqueeze(1) for s in _scales(graph, norm))
    sender, receiver = graph.edge_index().to(x.device)
    other = sender != receiver
    sender, receiver = sender[other], receiver[other]
    hops = [x]
    for _ in range(num_hops):
        scaled = hops[-1] * before
        total = scaled.index_add(0, receiver, scaled.index_select(0, sender))
        hops.append(total * after)
    return torch.stack(hops, dim=1)
