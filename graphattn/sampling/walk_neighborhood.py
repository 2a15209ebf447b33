"""Tokens from ends of short walks, as random-walk samplers draw them: cheap, and not uniform."""

from jaxtyping import Int64
from torch import Tensor

from graphattn.graph import CSRGraph
from graphattn.kernels.path_walk import draw_walks
from graphattn.ops.neighborhood import (
    Direction,
    Neighborhood,
    Pool,
    along,
    check_pool,
    to_neighborhood,
)


def walk_neighborhood(
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
    """Draws tokens around each seed where random walks of one or two steps end.

    Biased: one step is as likely as two, so neighbours make up about half of the tokens however
    few they are, and of the nodes two steps away those with many short ways to them are drawn most.
    On graphs with hubs the law is far from that of :func:`sample_neighborhood`; and
    :class:`BottomKSampler`, which is uniform, takes hardly longer. A walk that ends at its seed, or
    where there is no way on, is dropped; after four walks a column the columns left are masked,
    even if there are nodes for them. The draw of a node depends on (seed, epoch, node) only.

    Args:
        graph: The graph.
        seeds: Ids of nodes; may repeat.
        num_samples: Columns of the result, the seed included.
        num_hops: 1 or 2, the longest walk.
        pool: ``"list"``, each end as often as walks end there, or ``"set"``, each once.
        direction: As for :func:`sample_neighborhood`.
        seed: Any integer.
        epoch: Another epoch is another draw.

    Returns:
        As :func:`sample_neighborhood` does.

    Raises:
        ValueError: An option is unknown, a size out of its range, or a seed no node.

    Example:
        >>> import torch
        >>> pair = CSRGraph.from_edge_index(torch.tensor([[0, 1], [1, 0]]))
        >>> walk_neighborhood(pair, torch.tensor([0]), 3, pool="set").ids
        tensor([[0, 1, 0]])
    """
    check_pool(pool)
    if num_hops not in (1, 2):
        raise ValueError(f"num_hops must be 1 or 2 for walk_neighborhood: got num_hops={num_hops}.")
    nodes = seeds.cpu().numpy()

    def draw(rows: CSRGraph, columns: int, stream: int) -> Neighborhood:
        arrays = (rows.rowptr, rows.col, nodes)
        return to_neighborhood(draw_walks(*arrays, columns, num_hops, pool == "set", stream, epoch))

    return along(draw, graph, num_samples, num_hops=num_hops, direction=direction, seed=seed)
