"""The partition of nodes by the relations they take part in, as MetaHGNIE's release has it."""

import numpy as np
import torch
from torch_geometric.data import HeteroData
from torch_geometric.data.hypergraph_data import HyperGraphData
from torch_geometric.transforms import BaseTransform

from graphattn.datasets.joined_nodes import join_nodes


class RelationSignatureHypergraph(BaseTransform):
    """Makes one hyperedge of all nodes that take part in the same set of relations.

    Each node is in exactly one hyperedge, so that a softmax over the hyperedges of a node is 1:
    this is here to compare with, not to be preferred. Hyperedges stand in the order of their first
    nodes. The type of one is the set of relations on edges inside it, singletons having a type of
    their own; types are numbered by their sorted sets.

    Source: the released code of MetaHGNIE, https://arxiv.org/abs/2512.12477, whose type numbers
    change from run to run.

    Example:
        >>> data = HeteroData()
        >>> data["artist"].num_nodes, data["term"].num_nodes = 3, 1
        >>> data["artist", "has", "term"].edge_index = torch.tensor([[0, 2], [0, 0]])
        >>> RelationSignatureHypergraph()(data).edge_index.tolist()
        [[0, 2, 3, 1], [0, 0, 0, 1]]
    """

    def forward(self, data: HeteroData) -> HyperGraphData:
        """Makes the hypergraph.

        Args:
            data: Nodes of each type, and edges, each type of which is a relation.

        Returns:
            All nodes, as :func:`~graphattn.datasets.joined_nodes.join_nodes` lines them up, with
            ``edge_index`` (nodes, hyperedges), ``num_hyperedges`` and ``hyperedge_type``.
        """
        found = join_nodes(data)
        num_nodes = found.num_nodes
        ends = []
        for kind in data.edge_types:
            source, target = data[kind].edge_index.cpu().numpy()
            first, last = found.node_offset[kind[0]], found.node_offset[kind[2]]
            ends.append((source + first, target + last))
        takes_part = np.zeros((num_nodes, len(ends)), np.bool_)
        for relation, (source, target) in enumerate(ends):
            takes_part[source, relation] = takes_part[target, relation] = True
        bits = np.packbits(takes_part, axis=1)
        _, first_node, group = np.unique(bits, axis=0, return_index=True, return_inverse=True)
        rank = np.empty(first_node.size, np.int64)
        rank[np.argsort(first_node)] = np.arange(first_node.size)
        edge = rank[group.reshape(-1)]
        order = np.argsort(edge, kind="stable")
        inside: list[set[int]] = [set() for _ in range(rank.size)]
        for relation, (source, target) in enumerate(ends):
            for one in np.unique(edge[source][edge[source] == edge[target]]):
                inside[one].add(relation)
        sizes = np.bincount(edge, minlength=rank.size)
        kinds = [(-1,) if sizes[i] == 1 else tuple(sorted(inside[i])) for i in range(rank.size)]
        number = {kind: i for i, kind in enumerate(sorted(set(kinds)))}
        found.edge_index = torch.from_numpy(np.stack([order, edge[order]]))
        found.hyperedge_type = torch.tensor([number[kind] for kind in kinds], dtype=torch.long)
        found.num_hyperedges = int(rank.size)
        return found
