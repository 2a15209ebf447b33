"""Random walks from given nodes, as DeepWalk, node2vec and PageRank-like samplers need them."""

import math

import torch
from jaxtyping import Int64
from torch import Tensor

from graphattn.graph import CSRGraph
from graphattn.kernels.walk import walk
from graphattn.ops.threads import as_many_threads_as_torch


def random_walk(
    graph: CSRGraph,
    start: Int64[Tensor, " seeds"],
    walk_length: int,
    *,
    p: float = 1.0,
    q: float = 1.0,
    restart: float = 0.0,
    seed: int = 0,
    epoch: int = 0,
) -> Int64[Tensor, "seeds nodes"]:
    r"""Walks along the edges from source to target, each step uniform among where they lead.

    With ``p`` or ``q`` other than 1 the step from v, reached from t, to x has weight 1/p where x
    is t, 1 where there is an edge t -> x, and 1/q elsewhere (node2vec,
    https://arxiv.org/abs/1607.00653); the first step, and the first after a restart, is uniform.
    Rows of the graph list senders, so the walk goes along those of ``graph.reverse()``; to walk
    against the edges, towards what a node hears of, give ``graph.reverse()``.

    The k-th walk that begins at a node depends on (seed, epoch, node, k) and the options only: not
    on threads nor on other nodes. So repeat a node in ``start`` for several walks from it, or
    change the epoch.

    Args:
        graph: The graph.
        start: Ids of nodes; may repeat.
        walk_length: Steps, 0 or more.
        p: Large: rarely straight back; small: near where it began.
        q: Large: near where it came from, breadth first; small: outwards, depth first.
        restart: Probability, before each step, of going back to the start instead.
        seed: Any integer.
        epoch: Another epoch is another draw.

    Returns:
        The nodes of each walk, column 0 the start, ``walk_length + 1`` columns. A node that no edge
        leaves is stayed at, save for a restart.

    Raises:
        ValueError: A start is no node, or an option out of its range.

    Example:
        >>> path = CSRGraph.from_edge_index(torch.tensor([[0, 1, 2], [1, 2, 3]]))
        >>> random_walk(path, torch.tensor([1, 3]), 3).tolist()
        [[1, 2, 3, 3], [3, 3, 3, 3]]
    """
    if walk_length < 0:
        raise ValueError(f"walk_length must be 0 or more: got walk_length={walk_length}.")
    for name, value in (("p", p), ("q", q)):
        if not (value > 0 and math.isfinite(value) and math.isfinite(1 / value)):
            raise ValueError(f"{name} must be positive and finite: got {name}={value}.")
    if not 0 <= restart <= 1:
        raise ValueError(f"restart must be a probability from 0 to 1: got restart={restart}.")
    receivers = graph.reverse()
    bias, key = (float(p), float(q)), (seed, epoch)
    starts = start.detach().cpu().numpy()
    with as_many_threads_as_torch():
        walks = walk(
            receivers.rowptr, receivers.col, starts, walk_length, bias, float(restart), key
        )
    return torch.from_numpy(walks).to(start.device)
