"""Correct & Smooth: predictions of any model, mended by spreading known errors and known labels."""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor

from graphattn.checks import check_choice, check_least
from graphattn.graph import CSRGraph
from graphattn.kernels.csr import looped_degrees
from graphattn.kernels.propagate import row_table, scale_rows, spread
from graphattn.ops.threads import as_many_threads_as_torch

Scaling = Literal["auto", "fixed"]
_LARGEST_SCALE = 1000.0  # of an error that has all but died out: such are added as they are


def correct(
    graph: CSRGraph,
    probabilities: Float[Tensor, "nodes classes"],
    y: Int[Tensor, " nodes"],
    labelled: Int[Tensor, " labelled"],
    *,
    alpha: float = 0.8,
    num_hops: int = 50,
    scaling: Scaling = "auto",
    scale: float = 1.0,
) -> Float[Tensor, "nodes classes"]:
    r"""Spreads the errors at labelled nodes and takes them off everywhere.

    With :math:`S = D^{-1/2} A D^{-1/2}` (self-loops of the graph left out) and
    :math:`E^{(0)}_v = \mathrm{onehot}(y_v) - Z_v` at labelled nodes, zero elsewhere:

    .. math:: E^{(t+1)} = (1 - \alpha) E^{(0)} + \alpha S E^{(t)} , \qquad Z' = Z + s \odot E

    ``"auto"``: entries of E are cut to [-1, 1], and :math:`s_v = \sigma / \|E_v\|_1`, where sigma
    is the mean of :math:`\|E^{(0)}_v\|_1` over labelled nodes; 1 where that is above 1000.
    ``"fixed"``: E is put back to :math:`E^{(0)}` at labelled nodes after each step, and s is
    ``scale``. Source: Huang et al. 2021, https://arxiv.org/abs/2010.13993, section 2.2, and the
    authors' code.

    Args:
        graph: Undirected.
        probabilities: Of each class at each node; float32 or float64, which is summed in.
        y: Classes, read at labelled nodes only.
        labelled: Nodes whose labels may be used: those trained on.
        alpha: Share that neighbours have in each step, in [0, 1].
        num_hops: Steps.
        scaling: How large what is added shall be.
        scale: For ``"fixed"``.

    Returns:
        Corrected scores; they need not sum to one.

    Raises:
        ValueError: The graph is directed, sizes disagree, or an option is out of its range.

    Example:
        >>> path = CSRGraph.from_edge_index(torch.tensor([[0, 1], [1, 0]]))
        >>> z = torch.tensor([[0.6, 0.4], [0.6, 0.4]])
        >>> correct(path, z, torch.tensor([1, 1]), torch.tensor([0]), num_hops=1).argmax(1)
        tensor([1, 1])
    """
    check_choice(("auto", "fixed"), scaling=scaling)
    diffusion = _Diffusion(graph, probabilities, y, labelled, alpha, num_hops)
    error = torch.zeros_like(probabilities)
    known = diffusion.labels() - probabilities.index_select(0, labelled)
    error[labelled] = known
    if scaling == "fixed":
        return probabilities + scale * diffusion.run(error, fixed=True)
    spread_out = diffusion.run(error, low=-1.0)
    sigma = known.abs().sum(1).mean() if len(labelled) else torch.tensor(0.0)
    factor = sigma / spread_out.abs().sum(1, keepdim=True)
    factor = torch.where(factor <= _LARGEST_SCALE, factor, 1.0)
    return probabilities + factor * spread_out


def smooth(
    graph: CSRGraph,
    scores: Float[Tensor, "nodes classes"],
    y: Int[Tensor, " nodes"],
    labelled: Int[Tensor, " labelled"],
    *,
    alpha: float = 0.8,
    num_hops: int = 50,
) -> Float[Tensor, "nodes classes"]:
    r"""Spreads scores over edges, with known labels in place of those of labelled nodes.

    With S as for :func:`correct`, :math:`G^{(0)}_v = \mathrm{onehot}(y_v)` at labelled nodes and
    the scores elsewhere, entries cut to [0, 1] in each step:

    .. math:: G^{(t+1)} = (1 - \alpha) G^{(0)} + \alpha S G^{(t)}

    Source: Huang et al. 2021, https://arxiv.org/abs/2010.13993, section 2.3.

    Args:
        graph: As for :func:`correct`, like the other arguments.
        scores: Probabilities, or what :func:`correct` made of them.
        y: Classes.
        labelled: Nodes whose labels may be used.
        alpha: Share that neighbours have in each step.
        num_hops: Steps.

    Returns:
        Scores, the largest of a row its class.

    Raises:
        ValueError: As :func:`correct`.

    Example:
        >>> path = CSRGraph.from_edge_index(torch.tensor([[0, 1], [1, 0]]))
        >>> z = torch.tensor([[0.5, 0.5], [0.5, 0.5]])
        >>> smooth(path, z, torch.tensor([1, 0]), torch.tensor([0]), num_hops=1).argmax(1)
        tensor([1, 1])
    """
    diffusion = _Diffusion(graph, scores, y, labelled, alpha, num_hops)
    start = scores.clone()
    start[labelled] = diffusion.labels()
    return diffusion.run(start, low=0.0)


class _Diffusion:
    """Steps of (1 - alpha) start + alpha S now, without edge values."""

    def __init__(
        self, graph: CSRGraph, like: Tensor, y: Tensor, labelled: Tensor, alpha: float, hops: int
    ) -> None:
        check_least(0, num_hops=hops)
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha must lie in [0, 1]: got {alpha}.")
        if like.dtype not in (torch.float32, torch.float64) or len(like) != graph.num_nodes:
            raise ValueError(
                f"probabilities must be float32 or float64, one row for each of the "
                f"{graph.num_nodes} nodes: got {like.dtype} {list(like.shape)}."
            )
        if not graph.is_undirected:
            raise ValueError("graph must be undirected: got a directed one; use to_undirected().")
        if len(labelled) and not 0 <= int(labelled.min()) <= int(labelled.max()) < len(y):
            raise ValueError(
                f"labelled must be nodes 0..{len(y) - 1}: "
                f"got {int(labelled.min())}..{int(labelled.max())}."
            )
        known = y.index_select(0, labelled)
        if len(known) and not 0 <= int(known.min()) <= int(known.max()) < like.size(1):
            raise ValueError(
                f"labels of labelled nodes must lie in 0..{like.size(1) - 1}: "
                f"got {int(known.min())}..{int(known.max())}."
            )
        self._graph, self._alpha, self._hops = graph, alpha, hops
        self._labelled, self._known, self._classes = labelled, known.long(), like.size(1)
        # What is summed counts each node once besides its neighbours: that is taken off again.
        degree = looped_degrees(graph.rowptr, graph.col)[0] - 1
        root = np.divide(1.0, np.sqrt(degree), out=np.zeros(len(degree)), where=degree > 0)
        self._root: npt.NDArray[Any] = root.astype(like.numpy().dtype)
        self._dtype = like.dtype

    def labels(self) -> Tensor:
        one_hot = torch.zeros(len(self._known), self._classes, dtype=self._dtype)
        return one_hot.scatter_(1, self._known.view(-1, 1), 1.0)

    def run(self, start: Tensor, *, low: float | None = None, fixed: bool = False) -> Tensor:
        now = start.clone(memory_format=torch.contiguous_format)  # kernels read whole rows
        itself = torch.from_numpy(self._root).square().view(-1, 1)
        table = row_table(len(start), self._classes, self._root.dtype)
        out = torch.empty_like(now)
        for _ in range(self._hops):
            with as_many_threads_as_torch():
                scale_rows(now.numpy(), self._root, table)
                spread(self._graph.rowptr, self._graph.col, table, self._root, out=out.numpy())
            out -= itself * now
            out *= self._alpha
            out += (1 - self._alpha) * start
            if low is not None:
                out.clamp_(low, 1.0)
            if fixed:
                out[self._labelled] = start.index_select(0, self._labelled)
            now, out = out, now
        return now
