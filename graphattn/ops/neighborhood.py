"""Tokens drawn from the few-hop neighbourhood of each seed, as the paper draws them."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from graphattn.graph import CSRGraph
from graphattn.kernels.sample import draw_neighborhood
from graphattn.kernels.token_table import Table
from graphattn.ops.threads import as_many_threads_as_torch

Pool = Literal["list", "set"]
Direction = Literal["in", "out", "both"]


class Neighborhood(NamedTuple):
    """The tokens of some seeds: ids, which columns hold one, and how far each is from its seed."""

    ids: Int64[Tensor, "seeds samples"]
    mask: Bool[Tensor, "seeds samples"]
    hop: Int64[Tensor, "seeds samples"]


def sample_neighborhood(
    graph: CSRGraph,
    seeds: Int64[Tensor, " seeds"],
    num_samples: int,
    *,
    num_hops: int = 2,
    pool: Pool = "list",
    direction: Direction = "in",
    seed: int = 0,
    epoch: int = 0,
) -> Neighborhood:
    r"""Draws tokens around each seed, uniformly without replacement from its pool.

    With :math:`\mathrm{hop}_i(v)` the nodes reachable from v in exactly i steps, v left out:

    - ``pool="list"``: :math:`\mathrm{hop}_1(v) \mathbin{+\!\!+} \mathrm{hop}_2(v)
      \mathbin{+\!\!+} \dots`; a node in two of them stands twice, is twice as likely and may be
      drawn twice;
    - ``pool="set"``: each node of their union once.

    A pool smaller than ``num_samples - 1`` is taken whole; the columns left are masked, never
    filled by repetition. The draw of a node depends on (seed, epoch, node) only: not on threads,
    batches or their order.

    Pools are enumerated. From a large pool of two hops of an undirected graph tokens are drawn by
    rejection, which gives the same law and takes a time that does not grow with the pool; whether
    the graph is undirected is found out in its first call.

    Source: section 3 of LargeGT, https://arxiv.org/abs/2312.11109.

    Args:
        graph: The graph.
        seeds: Ids of nodes; may repeat.
        num_samples: Columns of the result, the seed included.
        num_hops: Steps, from 1 to 63.
        pool: ``"list"`` (the paper's) or ``"set"``.
        direction: Follow edges to senders (``"in"``), to receivers (``"out"``), or half of the
            columns each (``"both"``: in-tokens first; of an odd number they have one more).
        seed: Any integer.
        epoch: Another epoch is another draw.

    Returns:
        ``ids``, column 0 the seed, the seed's id where masked; ``mask``, true where there is a
        token; ``hop``, 0 for the seed and where masked, else the distance from the seed. With
        ``direction="both"`` the out-tokens' hops are ``num_hops`` more than their distance.

    Raises:
        ValueError: An option is unknown, a size out of its range, or a seed no node.

    Example:
        >>> import torch
        >>> path = CSRGraph.from_edge_index(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
        >>> tokens = sample_neighborhood(path, torch.tensor([0]), 4, pool="set")
        >>> tokens.ids.tolist(), tokens.hop.tolist(), tokens.mask.tolist()
        ([[0, 1, 2, 0]], [[0, 1, 2, 0]], [[True, True, True, False]])
    """
    check_pool(pool)
    if not 1 <= num_hops <= 63:
        raise ValueError(f"num_hops must be from 1 to 63: got num_hops={num_hops}.")
    nodes, is_list = seeds.cpu().numpy(), pool == "list"

    def draw(rows: CSRGraph, columns: int, stream: int) -> Neighborhood:
        arrays = (rows.rowptr, rows.col, nodes)
        undirected = num_hops == 2 and rows.is_undirected
        return to_neighborhood(
            draw_neighborhood(*arrays, columns, num_hops, is_list, stream, epoch, undirected)
        )

    return along(draw, graph, num_samples, num_hops=num_hops, direction=direction, seed=seed)


def check_pool(pool: str) -> None:
    """Refuses a pool that is neither a list nor a set.

    Args:
        pool: As for :func:`sample_neighborhood`.

    Raises:
        ValueError: It is unknown.

    Example:
        >>> check_pool("bag")
        Traceback (most recent call last):
        ...
        ValueError: pool must be 'list' or 'set': got 'bag'.
    """
    if pool not in ("list", "set"):
        raise ValueError(f"pool must be 'list' or 'set': got {pool!r}.")


@as_many_threads_as_torch()
def along(
    draw: Callable[[CSRGraph, int, int], Neighborhood],
    graph: CSRGraph,
    num_samples: int,
    *,
    num_hops: int,
    direction: Direction,
    seed: int,
) -> Neighborhood:
    """Draws along or against the edges, or half of the columns each, as samplers are asked to.

    Args:
        draw: Takes a graph, the number of columns, and a seed; draws from its rows, on as many
            threads as torch is set to.
        graph: The graph.
        num_samples: Columns of the result, the seed included.
        num_hops: Steps that ``draw`` takes.
        direction: As for :func:`sample_neighborhood`.
        seed: Any integer; the out-tokens of ``"both"`` get its complement.

    Returns:
        What :func:`sample_neighborhood` does.

    Raises:
        ValueError: The direction is unknown, or there is no column for the seed.

    Example:
        >>> def seeds_alone(graph, columns, seed):
        ...     one = torch.zeros(1, columns, dtype=torch.long)
        ...     return Neighborhood(one, one > 0, one)
        >>> loop = CSRGraph.from_edge_index(torch.tensor([[0], [0]]))
        >>> along(seeds_alone, loop, 4, num_hops=2, direction="both", seed=0).ids
        tensor([[0, 0, 0, 0]])
    """
    if direction not in ("in", "out", "both"):
        raise ValueError(f"direction must be 'in', 'out' or 'both': got {direction!r}.")
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1: got num_samples={num_samples}.")
    if direction != "both":
        return draw(graph if direction == "in" else graph.reverse(), num_samples, seed)
    num_out = (num_samples - 1) // 2
    inward = draw(graph, num_samples - num_out, seed)
    # Another stream, or an undirected graph would draw the same nodes twice.
    outward = draw(graph.reverse(), 1 + num_out, ~int(seed))
    hop = torch.where(outward.mask, outward.hop + num_hops, outward.hop)
    return Neighborhood(
        torch.cat([inward.ids, outward.ids[:, 1:]], dim=1),
        torch.cat([inward.mask, outward.mask[:, 1:]], dim=1),
        torch.cat([inward.hop, hop[:, 1:]], dim=1),
    )


def to_neighborhood(table: Table) -> Neighborhood:
    """Turns a kernel's table into tensors.

    Example:
        >>> import numpy as np
        >>> one = np.zeros((1, 1), np.int64)
        >>> to_neighborhood((one, one == 0, one.astype(np.int8))).hop
        tensor([[0]])
    """
    ids, mask, hop = table
    return Neighborhood(torch.from_numpy(ids), torch.from_numpy(mask), torch.from_numpy(hop).long())
