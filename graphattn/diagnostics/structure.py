"""Learned against structural influence: what the graph alone would pass on, hop by hop."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import coo_matrix, csr_matrix
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from graphattn.checks import check_least
from graphattn.diagnostics.balls import EdgeRows
from graphattn.diagnostics.result import InfluenceResult
from graphattn.diagnostics.subject import Subject, hops_read, undisturbed

_TOGETHER = 64  # seeds whose rows are multiplied at once

_Ids = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class StructuralInfluence:
    """What L steps of propagation alone pass on to each seed, by hop.

    Args:
        S: ``[seeds, hops + 1]``, summed over the nodes at each exact hop; no unit.
        seeds: ``[seeds]``, node ids.
        tail_mass: ``[seeds]``, summed over the nodes beyond the last hop.
        num_layers: The steps L.
    """

    S: _Floats
    seeds: _Ids
    tail_mass: _Floats
    num_layers: int

    @property
    def curve(self) -> _Floats:
        """Mean over seeds at each hop, ``[hops + 1]``."""
        return np.asarray(self.S.mean(0))


def structural_influence(
    data: Data,
    seeds: Sequence[int] | Tensor | _Ids,
    *,
    num_layers: int | nn.Module,
    max_hops: int,
    weighted: bool = False,
) -> StructuralInfluence:
    r"""Measures how much of each hop the propagation of a GCN lets through to some nodes.

    .. math:: S_{vh} = \sum_{d(u \to v) = h} (\hat A^L)_{vu}, \qquad
        \hat A = D^{-1/2} (A + I) D^{-1/2}

    The sensitivity of a GCN of L layers to the features of u is at most a constant times
    :math:`(\hat A^L)_{vu}`: where that is small, a graph squashes what is far. Edges are read in
    their direction, D counts those that arrive and one loop, as PyG's ``GCNConv`` does.
    Sources: Topping et al. 2022, https://arxiv.org/abs/2111.14522, lemma 1; Di Giovanni et al.
    2023, https://arxiv.org/abs/2302.02941, theorem 3.2.

    Args:
        data: Has ``x`` and ``edge_index``.
        seeds: The nodes to measure, those of the measurement it is held against.
        num_layers: The steps L; or a model, whose message passing layers are counted in one run.
        max_hops: The farthest hop told apart.
        weighted: Count edges by ``data.edge_weight`` instead of 1.

    Returns:
        What arrives at each seed from each hop, in float64.

    Raises:
        ValueError: A seed is no node, a number is negative, the weights are missing, or the model
            has no message passing layers of PyG.

    Example:
        >>> edges = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> data = Data(torch.ones(3, 2), edges)
        >>> structural_influence(data, [1], num_layers=1, max_hops=2).S.round(4).tolist()
        [[0.3333, 0.8165, 0.0]]
    """
    model = num_layers if isinstance(num_layers, nn.Module) else None
    subject = Subject(model or _nothing, data)
    steps = _counted(subject) if isinstance(num_layers, nn.Module) else num_layers
    check_least(0, num_layers=steps, max_hops=max_hops)
    nodes = np.asarray(seeds).reshape(-1)
    if not nodes.size or not 0 <= nodes.min() <= nodes.max() < subject.num_nodes:
        raise ValueError(f"seeds must be nodes, 0 to {subject.num_nodes - 1}, at least one.")
    nodes = nodes.astype(np.int64)
    matrix, rows = _normalized(data, subject, weighted), EdgeRows(data.edge_index, len(subject.x))
    table, tails = np.zeros((nodes.size, max_hops + 1)), np.zeros(nodes.size)
    place = np.zeros(subject.num_nodes)
    for start in range(0, nodes.size, _TOGETHER):
        some = nodes[start : start + _TOGETHER]
        units = np.ones(some.size), (np.arange(some.size), some)
        power = csr_matrix(units, shape=(some.size, subject.num_nodes))
        for _ in range(steps):
            power = power @ matrix
        for s, seed in enumerate(some.tolist()):
            reached = slice(power.indptr[s], power.indptr[s + 1])
            ids, values = power.indices[reached], power.data[reached]
            place[ids] = values
            ball = rows.ball(seed, max_hops, edge_hops=0)
            hop = np.repeat(np.arange(max_hops + 1), np.diff(ball.starts))
            table[start + s] = np.bincount(hop, place[ball.nodes], minlength=max_hops + 1)
            place[ball.nodes] = 0.0
            tails[start + s] = place[ids].sum()
            place[ids] = 0.0
    return StructuralInfluence(table, nodes, tails, steps)


def structure_ratio(found: InfluenceResult, structure: StructuralInfluence) -> _Floats:
    r"""Compares what a model learned to hear from each hop with what its graph lets through.

    .. math:: q_h = \frac{\bar T_h / \sum_k \bar T_k}{\bar S_h / \sum_k \bar S_k}

    The curves are means over seeds, the sums over hops include what lies beyond the last where it
    was measured. A linear GCN has 1 at every hop; above 1 the weights favour a hop, below 1 they
    forget it. Sources: those of :func:`structural_influence`.

    Args:
        found: The influence of a model.
        structure: That of its graph, on the same seeds, for as many hops.

    Returns:
        float64 ``[hops + 1]``: infinite at a hop that the model hears and the structure does not
        let through, NaN at one that neither does.

    Raises:
        ValueError: Seeds or hops differ.

    Example:
        >>> T, at = np.array([[3.0, 1.0]]), np.arange(1)
        >>> found = InfluenceResult(T, at, np.zeros(1), np.array([0.25]), {})
        >>> structure = StructuralInfluence(np.array([[0.5, 0.5]]), at, np.zeros(1), 1)
        >>> structure_ratio(found, structure).tolist()
        [1.5, 0.5]
    """
    if not np.array_equal(found.seeds, structure.seeds) or found.T.shape != structure.S.shape:
        raise ValueError(
            "both must be measured on the same seeds and hops: got "
            f"{list(found.T.shape)} and {list(structure.S.shape)} (seeds, hops + 1)."
        )
    learned = found.T.sum(0), float(np.nan_to_num(found.tail_mass).sum())
    beyond = 0.0 if np.isnan(found.tail_mass).any() else float(structure.tail_mass.sum())
    allowed = structure.S.sum(0), beyond
    shares = [curve / max(curve.sum() + tail, 1e-300) for curve, tail in (learned, allowed)]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(shares[0] / shares[1])


def _nothing(x: Tensor, edge_index: Tensor) -> Tensor:
    return x


def _counted(subject: Subject) -> int:
    with undisturbed(subject.model):
        found = hops_read(subject, lambda: subject.whole(subject.x))
    if not found:
        raise ValueError(
            "num_layers must be a number, or a model with message passing layers of PyG: got a "
            "model without."
        )
    return found


def _normalized(data: Data, subject: Subject, weighted: bool) -> csr_matrix:
    """PyG's normalisation as a matrix: row = target."""
    weight: Any = None
    if weighted:
        weight = data.get("edge_weight")
        if not isinstance(weight, Tensor) or weight.numel() != subject.edge_index.size(1):
            raise ValueError("weighted=True needs data.edge_weight, one an edge: it is missing.")
        weight = weight.detach().cpu().double().reshape(-1)
    normalize: Callable[..., Any] = gcn_norm
    edges, values = normalize(
        subject.edge_index.cpu(), weight, subject.num_nodes, dtype=torch.float64
    )
    source, target = edges.numpy()
    shape = subject.num_nodes, subject.num_nodes
    return coo_matrix((values.numpy(), (target, source)), shape=shape).tocsr()
