"""How far the nodes of a ball are from its seed: hops, weight, straight line or resistance."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra
from torch import Tensor
from torch_geometric.data import Data

from graphattn.diagnostics.balls import Ball, EdgeRows
from graphattn.diagnostics.engines import SeedInfluence
from graphattn.diagnostics.resistance import ball_resistance
from graphattn.diagnostics.subject import Subject

_MOST = 6_000  # nodes of a ball whose resistances are computed, by one dense inverse

_Floats = npt.NDArray[np.float64]


def distances(
    kind: str, data: Data, subject: Subject, rows: EdgeRows, max_hops: int
) -> Callable[[SeedInfluence], _Floats]:
    """Makes the function that measures the nodes of a ball.

    By weight, a path runs along the edges inside the ball of ``max_hops`` hops, against their
    direction. By resistance, each edge inside that ball is a resistor of 1, in both directions and
    once however often it is there; what lies outside the ball conducts nothing, so it is at least
    the resistance in the whole graph, and equal to it where the ball is the seed's component.

    Args:
        kind: ``"hops"``, ``"weight"``, ``"euclid"`` or ``"resistance"``.
        data: Has ``edge_weight`` or ``pos``, where they are asked for.
        subject: What is measured.
        rows: Its edges by target.
        max_hops: Radius of the balls.

    Returns:
        From a ball to float64, one number a node.

    Raises:
        ValueError: The data lack what is asked for; or, when called, a ball is too large for its
            resistances.
    """
    if kind == "hops":
        return lambda found: _hops(found).astype(np.float64)
    if kind == "resistance":
        return lambda found: _resistance(found, rows.ball(int(found.nodes[0]), max_hops))
    if kind == "euclid":
        pos = data.pos
        if not isinstance(pos, Tensor) or pos.size(0) != subject.num_nodes:
            raise ValueError("distance='euclid' needs data.pos, a row a node: it is missing.")
        table = pos.detach().cpu().double().numpy().reshape(subject.num_nodes, -1)
        return lambda found: np.linalg.norm(table[found.nodes] - table[found.nodes[0]], axis=1)
    weight = data.get("edge_weight")
    if not isinstance(weight, Tensor) or weight.numel() != subject.edge_index.size(1):
        raise ValueError("distance='weight' needs data.edge_weight, one an edge: it is missing.")
    if not bool((weight >= 0).all()):
        raise ValueError("distance='weight' needs weights of at least 0: got negative ones or NaN.")
    lengths = weight.detach().cpu().double().reshape(-1)
    return lambda found: _shortest(found, rows, lengths, max_hops)


def _hops(found: SeedInfluence) -> npt.NDArray[Any]:
    return np.repeat(np.arange(found.starts.size - 1), np.diff(found.starts))


def _shortest(found: SeedInfluence, rows: EdgeRows, lengths: Tensor, max_hops: int) -> _Floats:
    ball = rows.ball(int(found.nodes[0]), max_hops)
    length = lengths.index_select(0, rows.numbers(ball).to(torch.long)).numpy()
    target, size = ball.targets(), ball.nodes.size
    order = np.lexsort((length, ball.sources, target))  # of repeated edges the shortest first
    keys = target[order] * size + ball.sources[order]
    first = order[np.flatnonzero(np.diff(keys, prepend=-1))]
    edges = target[first], ball.sources[first]
    matrix = csr_matrix((length[first], edges), shape=(size, size))
    return _of(found, ball, np.asarray(dijkstra(matrix, indices=0), np.float64))


def _resistance(found: SeedInfluence, ball: Ball) -> _Floats:
    if ball.nodes.size > _MOST:
        raise ValueError(
            f"distance='resistance' needs balls of at most {_MOST:,} nodes: got "
            f"{ball.nodes.size:,} around node {ball.nodes[0]}; lower max_hops, or measure pairs by "
            "resistance_correlation."
        )
    return _of(found, ball, ball_resistance(ball.targets(), ball.sources, ball.nodes.size))


def _of(found: SeedInfluence, ball: Ball, values: _Floats) -> _Floats:
    """The values of the nodes that an engine found, in its order."""
    order = np.argsort(ball.nodes)
    return values[order[np.searchsorted(ball.nodes, found.nodes, sorter=order)]]
