"""How far the nodes of a ball are from its seed: in hops, by the weight of edges, or straight."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra
from torch import Tensor
from torch_geometric.data import Data

from graphattn.diagnostics.balls import EdgeRows
from graphattn.diagnostics.engines import SeedInfluence
from graphattn.diagnostics.subject import Subject

_Floats = npt.NDArray[np.float64]


def distances(
    kind: str, data: Data, subject: Subject, rows: EdgeRows
) -> Callable[[SeedInfluence], _Floats]:
    """Makes the function that measures the nodes of a ball.

    Args:
        kind: ``"hops"``, ``"weight"`` or ``"euclid"``.
        data: Has ``edge_weight`` or ``pos``, where they are asked for.
        subject: What is measured.
        rows: Its edges by target.

    Returns:
        From a ball to float64, one number a node. By weight, a path runs along the edges inside the
        ball, against their direction.

    Raises:
        ValueError: The data lack what is asked for.
    """
    if kind == "hops":
        return lambda found: _hops(found).astype(np.float64)
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
    return lambda found: _shortest(found, rows, lengths)


def _hops(found: SeedInfluence) -> npt.NDArray[Any]:
    return np.repeat(np.arange(found.starts.size - 1), np.diff(found.starts))


def _shortest(found: SeedInfluence, rows: EdgeRows, lengths: Tensor) -> _Floats:
    ball = rows.ball(int(found.nodes[0]), found.starts.size - 2)
    length = lengths.index_select(0, rows.numbers(ball).to(torch.long)).numpy()
    target, size = ball.targets(), ball.nodes.size
    order = np.lexsort((length, ball.sources, target))  # of repeated edges the shortest first
    keys = target[order] * size + ball.sources[order]
    first = order[np.flatnonzero(np.diff(keys, prepend=-1))]
    edges = target[first], ball.sources[first]
    matrix = csr_matrix((length[first], edges), shape=(size, size))
    return np.asarray(dijkstra(matrix, indices=0), np.float64)
