"""Hyperedges of single nodes, put beside those that there are."""

from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from graphattn.hypergraph import Incidence


def with_self_loops(incidence: Incidence) -> Incidence:
    """Give every node a hyperedge of its own, numbered after all others in the order of the nodes.

    Without them a layer tells a node nothing of itself but what its hyperedges bring, and a node in
    no hyperedge nothing at all. The order is known beforehand, so that nothing is sorted.

    Args:
        incidence: The hypergraph; left as it is. Names stay behind.

    Returns:
        A hypergraph with as many hyperedges more as there are nodes.

    Example:
        >>> with_self_loops(Incidence.from_lists([[0, 2], [2]])).to_lists()
        [[0, 2], [2], [0], [1], [2]]
    """
    node_ptr, edge_ptr = incidence.node_ptr, incidence.edge_ptr
    kind: dict[str, Any] = {"dtype": edge_ptr.dtype, "device": edge_ptr.device}
    count, known, hyperedges = incidence.num_nodes, incidence.num_incidences, edge_ptr.size(0) - 1
    nodes = torch.arange(count, **kind)
    # Of each node the new hyperedge is the last one: the others move up by the nodes before it.
    owner = incidence.node.index_select(0, incidence.node_perm)
    place = torch.arange(known, **kind) + owner
    node_perm = torch.empty(known + count, **kind)
    node_perm[place.long()] = incidence.node_perm
    node_perm[(node_ptr[1:] + nodes).long()] = known + nodes
    return Incidence(
        torch.cat([incidence.node, nodes]),
        torch.cat([incidence.edge, hyperedges + nodes]),
        torch.cat([edge_ptr, known + 1 + nodes]),
        node_perm,
        torch.cat([node_ptr[:1], node_ptr[1:] + nodes + 1]),
    )


def types_with_self_loops(
    types: Int[Tensor, " hyperedges"] | None, incidence: Incidence, own: int
) -> Int[Tensor, " all_hyperedges"]:
    """Return the types of the hyperedges of `with_self_loops`.

    Args:
        types: Types of those there are; None: all 0.
        incidence: The hypergraph as it was.
        own: The type of the new ones.

    Example:
        >>> types_with_self_loops(None, Incidence.from_lists([[0, 1]]), 1).tolist()
        [0, 1, 1]
    """
    if types is None:
        types = incidence.edge.new_zeros(incidence.num_hyperedges, dtype=torch.long)
    return torch.cat([types, types.new_full((incidence.num_nodes,), own)])
