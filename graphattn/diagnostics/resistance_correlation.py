"""Whether influence falls with effective resistance: their rank correlation over sampled pairs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch_geometric.data import Data

from graphattn.checks import check_choice, check_least
from graphattn.diagnostics.engines import Picks
from graphattn.diagnostics.resistance import effective_resistance
from graphattn.diagnostics.selection import ENGINES, Measurement, choose
from graphattn.diagnostics.subject import Subject, undisturbed

_TOL = 1e-6  # residual of a solve

_Ids = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ResistanceCorrelation:
    """Influence and effective resistance of sampled pairs of nodes.

    Args:
        spearman: Rank correlation of log influence and resistance, -1 to 1, over the pairs with
            influence; 0 where ``is_defined`` is false.
        is_defined: Whether there are two such pairs at least, not all alike in either.
        pairs: ``[2, pairs]``, each seed and a node that it hears from.
        influence: ``[pairs]``, of the second node on the first.
        resistance: ``[pairs]``, in units of one edge's.
        num_zero: Pairs without influence, left out of the correlation.
    """

    spearman: float
    is_defined: bool
    pairs: _Ids
    influence: _Floats
    resistance: _Floats
    num_zero: int


def resistance_correlation(
    model_or_forward: Callable[..., Tensor],
    data: Data,
    seeds: Sequence[int] | Tensor | _Ids,
    *,
    max_hops: int,
    pairs_per_seed: int = 8,
    semantics: Literal["full", "pyg"] = "full",
    seed: int = 0,
    engine: str = "auto",
) -> ResistanceCorrelation:
    r"""Correlates influence with effective resistance over pairs sampled around some nodes.

    .. math:: \operatorname{Spearman}\big(\log I(v, u),\ R_{vu}\big), \qquad
        R_{vu} = (e_v - e_u)^\top L^+ (e_v - e_u)

    The pairs of a seed are drawn evenly, without replacement, from the nodes within ``max_hops``
    but itself. Resistance is that of the whole graph, each edge a resistor of 1 in both directions.
    Where it explains influence, the correlation is near -1, and what a model does not hear is
    behind the bottlenecks of its graph. Ranks do not change with the logarithm.
    Sources: Black et al. 2023, https://arxiv.org/abs/2302.06835; Di Giovanni et al. 2023,
    https://arxiv.org/abs/2302.02941.

    Args:
        model_or_forward: As for :func:`~graphattn.diagnostics.influence`.
        data: Has ``x`` and ``edge_index``.
        seeds: The nodes whose output is looked at.
        max_hops: How far the other node may be, against the edges.
        pairs_per_seed: How many nodes are drawn for each seed.
        semantics: As for influence.
        seed: Of the draws; that for a node depends on it and the node only.
        engine: As for influence.

    Returns:
        The pairs, both numbers of each, and their rank correlation.

    Raises:
        ValueError: An option is unknown or out of range, or a seed is no node.
        TypeError: ``data.x`` is not of a float type.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import SGConv
        >>> at = torch.arange(9)
        >>> edges = torch.cat([torch.stack([at, at + 1]), torch.stack([at + 1, at])], dim=1)
        >>> data = Data(torch.randn(10, 4), edges)
        >>> found = resistance_correlation(SGConv(4, 2, K=5), data, [5], max_hops=4)
        >>> found.spearman < -0.9, found.resistance.round(6).max()
        (True, np.float64(4.0))
    """
    check_choice(("full", "pyg"), semantics=semantics)
    check_choice(("auto", *ENGINES), engine=engine)
    check_least(1, max_hops=max_hops, pairs_per_seed=pairs_per_seed)
    subject = Subject(model_or_forward, data)
    nodes = np.asarray(seeds).reshape(-1)
    if not nodes.size or not 0 <= nodes.min() <= nodes.max() < subject.num_nodes:
        raise ValueError(f"seeds must be nodes, 0 to {subject.num_nodes - 1}, at least one.")
    nodes = nodes.astype(np.int64)
    pairs, sizes = [np.empty((2, 0), np.int64)], [np.empty(0)]
    with undisturbed(subject.model):
        run = Measurement(subject, max_hops, semantics, None, nodes)
        measured = choose(run, engine).measure(nodes, Picks.every(nodes.size, run.channels))
        for node, found in zip(nodes.tolist(), measured, strict=True):
            ball = run.rows.ball(node, max_hops, edge_hops=0).nodes[1:]
            draw = np.random.default_rng([seed, node])
            some = draw.choice(ball, min(pairs_per_seed, ball.size), replace=False)
            of = dict(zip(found.nodes.tolist(), found.influence.tolist(), strict=True))
            pairs.append(np.stack([np.full(some.size, node), some]))
            sizes.append(np.array([of.get(other, 0.0) for other in some.tolist()]))
    pair, size = np.concatenate(pairs, axis=1), np.concatenate(sizes)
    # The error of a resistance is the square of the residual's, over the least eigenvalue.
    options = {"num_nodes": subject.num_nodes, "tol": _TOL}
    resistance = effective_resistance(data.edge_index, pair, **options)  # type: ignore[arg-type]
    kept = size > 0
    logs, ohms = np.log(size[kept]), resistance[kept].round(6)  # rounding makes no ranks
    is_defined = bool(kept.sum() > 1 and np.ptp(logs) > 0 and np.ptp(ohms) > 0)
    from scipy.stats import spearmanr  # 40 MB, which influence alone does without

    rank = float(spearmanr(logs, ohms).statistic) if is_defined else 0.0
    return ResistanceCorrelation(rank, is_defined, pair, size, resistance, int((~kept).sum()))
