"""Which tokens of a seed are joined by an edge of the graph they were drawn from."""

import torch
from jaxtyping import Bool
from torch import Tensor

from graphattn.graph import CSRGraph
from graphattn.kernels.joined import joined_tokens as kernel
from graphattn.ops.neighborhood import Neighborhood
from graphattn.ops.threads import as_many_threads_as_torch


def joined_tokens(graph: CSRGraph, tokens: Neighborhood) -> Bool[Tensor, "seeds samples samples"]:
    """Tells for each pair of tokens of a seed whether the second sends to the first.

    The tokens of a seed and these edges are the subgraph that they induce. Takes time of
    ``samples ** 2`` bisections a seed, none of which depends on how many edges a hub has beyond its
    logarithm.

    Args:
        graph: The graph.
        tokens: Drawn from it, with ids of its nodes.

    Returns:
        True at (seed, i, j) where both tokens exist and an edge goes from token j to token i.

    Raises:
        IndexError: A token is no node of the graph.

    Example:
        >>> from graphattn.ops.neighborhood import sample_neighborhood
        >>> path = CSRGraph.from_edge_index(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
        >>> tokens = sample_neighborhood(path, torch.tensor([1]), 3, pool="set")
        >>> joined_tokens(path, tokens)[0].sum().item()
        4
    """
    with as_many_threads_as_torch():
        ids, mask = tokens.ids.cpu().numpy(), tokens.mask.cpu().numpy()
        found = kernel(graph.rowptr, graph.col, ids, mask)
    return torch.from_numpy(found)
