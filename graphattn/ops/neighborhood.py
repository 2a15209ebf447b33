"""Tokens drawn from the few-hop neighbourhood of each seed, as the paper draws them."""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from graphattn.graph import CSRGraph
from graphattn.kernels.sample import draw_neighborhood
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
    if pool not in ("list", "set"):
        raise ValueError(f"pool must be 'list' or 'set': got {pool!r}.")
    if direction not in ("in", "out", "both"):
        raise ValueError(f"direction must be 'in', 'out' or 'both': got {direction!r}.")
    if not 1 <= num_hops <= 63:
        raise ValueError(f"num_hops must be from 1 to 63: got num_hops={num_hops}.")
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1: got num_samples={num_samples}.")
    options = (num_hops, pool == "list", seed, epoch)
    if direction != "both":
        return _draw(graph if direction == "in" else graph.reverse(), seeds, num_samples, options)
    num_out = (num_samples - 1) // 2
    inward = _draw(graph, seeds, num_samples - num_out, options)
    # Another stream, or an undirected graph would draw the same nodes twice.
    options = (num_hops, pool == "list", ~int(seed), epoch)
    outward = _draw(graph.reverse(), seeds, 1 + num_out, options)
    hop = torch.where(outward.mask, outward.hop + num_hops, outward.hop)
    return Neighborhood(
        torch.cat([inward.ids, outward.ids[:, 1:]], dim=1),
        torch.cat([inward.mask, outward.mask[:, 1:]], dim=1),
        torch.cat([inward.hop, hop[:, 1:]], dim=1),
    )


def _draw(
    graph: CSRGraph, seeds: Tensor, num_samples: int, options: tuple[int, bool, int, int]
) -> Neighborhood:
    with as_many_threads_as_torch():
        ids, mask, hop = draw_neighborhood(
            graph.rowptr, graph.col, seeds.cpu().numpy(), num_samples, *options
        )
    return Neighborhood(torch.from_numpy(ids), torch.from_numpy(mask), torch.from_numpy(hop).long())
