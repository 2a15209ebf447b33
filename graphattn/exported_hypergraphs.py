"""Hypergraphs as others have them: HIF, XGI, HyperNetX, PyG's bipartite graphs, cliques."""

from collections.abc import Hashable, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse
import torch
from jaxtyping import Int64
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.data.hypergraph_data import HyperGraphData

from graphattn.attribute_tensors import columns_of
from graphattn.hif import to_hif
from graphattn.hypergraph_attributes import HypergraphAttributes
from graphattn.hypernetx_hypergraphs import to_hypernetx

Named = tuple[npt.NDArray[Any], Sequence[Hashable], Sequence[Hashable]]
"""Incidences ``[2, I]`` by number, and the names of nodes and of hyperedges."""


class HypergraphForms:
    """Abstract: the counts of a hypergraph, and what else it can be written as."""

    node: Tensor
    edge: Tensor
    edge_ptr: Tensor
    node_ptr: Tensor
    node_names: tuple[Hashable, ...] | None
    hyperedge_names: tuple[Hashable, ...] | None
    attributes: HypergraphAttributes | None

    @property
    def num_nodes(self) -> int:
        """Number of nodes, isolated ones included."""
        return self.node_ptr.size(0) - 1

    @property
    def num_hyperedges(self) -> int:
        """Number of hyperedges, empty ones included."""
        return self.edge_ptr.size(0) - 1

    @property
    def num_incidences(self) -> int:
        """Number of pairs of a node and a hyperedge, each once."""
        return self.node.size(0)

    def degree(self) -> Int64[Tensor, " nodes"]:
        """Counts the hyperedges of each node."""
        return self.node_ptr.diff().long()

    def size(self) -> Int64[Tensor, " hyperedges"]:
        """Counts the nodes of each hyperedge."""
        return self.edge_ptr.diff().long()

    def hyperedge_index(self) -> Int64[Tensor, "2 incidences"]:
        """Lists the incidences as PyG does: nodes, then hyperedges; by hyperedge, then node."""
        return torch.stack([self.node, self.edge]).long()

    def to_lists(self) -> list[list[int]]:
        """Lists the nodes of each hyperedge, by number."""
        return [part.tolist() for part in torch.split(self.node, self.size().tolist())]

    def to_dense(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """Writes the matrix of nodes by hyperedges, ``[N, M]``: 1 where a node is in."""
        matrix = self.node.new_zeros((self.num_nodes, self.num_hyperedges), dtype=dtype)
        matrix[self.node.long(), self.edge.long()] = 1
        return matrix

    def to_scipy(self) -> scipy.sparse.csr_array:
        """Writes the matrix of nodes by hyperedges as a SciPy sparse matrix of ones."""
        index, shape = self._index(), (self.num_nodes, self.num_hyperedges)
        ones = np.ones(index.shape[1], np.float32)
        return scipy.sparse.csr_array((ones, (index[0], index[1])), shape=shape)

    def to_data(self) -> HyperGraphData:
        """Makes a PyG ``HyperGraphData`` with both counts.

        Where there are any, ``node_names``, ``hyperedge_names`` and ``hypergraph_attributes`` stand
        there as they are; besides, weights and attributes that are numbers are tensors, such as
        ``hyperedge_weight``: see :func:`graphattn.attribute_tensors.columns_of`. ``from_data``
        reads all of it, and takes a tensor's word where it was changed.
        """
        counts = {"num_nodes": self.num_nodes, "num_hyperedges": self.num_hyperedges}
        data = HyperGraphData(edge_index=self.hyperedge_index(), **counts)
        for name in ("node_names", "hyperedge_names"):
            if getattr(self, name) is not None:
                data[name] = getattr(self, name)
        if self.attributes is not None:
            data.hypergraph_attributes = self.attributes
            for name, column in columns_of(self.attributes).items():
                data[name] = column.values.to(self.node.device)
        return data

    def to_bipartite(self) -> HeteroData:
        """Makes a PyG graph of types "node" and "hyperedge", joined by "in" and back by "has"."""
        data = HeteroData()
        data["node"].num_nodes, data["hyperedge"].num_nodes = self.num_nodes, self.num_hyperedges
        data["node", "in", "hyperedge"].edge_index = self.hyperedge_index()
        data["hyperedge", "has", "node"].edge_index = self.hyperedge_index().flip(0)
        return data

    def clique(self, max_size: int) -> tuple[Tensor, Tensor]:
        """Joins all members of each hyperedge to each other: see :func:`to_cliques`."""
        return to_cliques(self.to_scipy(), max_size)

    def to_hif(self) -> dict[str, Any]:
        """Writes what a HIF file holds, for ``json.dump``: see :func:`~graphattn.hif.to_hif`."""
        index, nodes, edges = self._named_index()
        return to_hif(zip(*index.tolist(), strict=True), nodes, edges, self.attributes)

    def to_xgi(self) -> Any:
        """Makes an ``xgi.Hypergraph``: see :func:`to_xgi`."""
        return to_xgi(self._named_index(), self.attributes)

    def to_hypernetx(self) -> Any:
        """Makes a ``hypernetx.Hypergraph``: weights, properties and name go along.

        See :func:`graphattn.hypernetx_hypergraphs.to_hypernetx`.
        """
        index, nodes, edges = self._named_index()
        return to_hypernetx(zip(*index.tolist(), strict=True), nodes, edges, self.attributes)

    def _index(self) -> npt.NDArray[np.int64]:
        return self.hyperedge_index().cpu().numpy()

    def _named_index(self) -> Named:
        nodes, edges = self.node_names, self.hyperedge_names
        return (
            self._index(),
            range(self.num_nodes) if nodes is None else nodes,
            range(self.num_hyperedges) if edges is None else edges,
        )


def to_xgi(named: Named, attributes: HypergraphAttributes | None = None) -> Any:
    """Makes an ``xgi.Hypergraph``.

    Args:
        named: Incidences and names.
        attributes: Of nodes, hyperedges and the whole.

    Returns:
        The hypergraph, isolated nodes and empty hyperedges included.

    Raises:
        ValueError: Incidences have attributes, or it is "asc" or directed: XGI would lose that.
        ImportError: XGI is not installed.
    """
    index, nodes, edges = named
    own = attributes or HypergraphAttributes()
    if own.incidences is not None or own.network_type != "undirected":
        raise ValueError(
            "XGI keeps no attributes of incidences: got "
            f"{'none' if own.incidences is None else 'some'}, network-type {own.network_type}; "
            "leave them out with dataclasses.replace(made, attributes=made.attributes._replace("
            "incidences=None, network_type='undirected')), or use to_hif."
        )
    try:
        xgi: Any = import_module("xgi")
    except ImportError as error:
        raise ImportError(f"to_xgi needs XGI: got {error}; pip install xgi.") from error
    made = xgi.Hypergraph()
    for key, value in (own.metadata or {}).items():
        made[key] = value
    made.add_nodes_from(nodes)
    for name, members in zip(edges, _lists(index, nodes, len(edges)), strict=True):
        made.add_edge(members, idx=name)
    if own.nodes is not None:
        made.set_node_attributes(dict(zip(nodes, map(dict, own.nodes), strict=True)))
    if own.hyperedges is not None:
        made.set_edge_attributes(dict(zip(edges, map(dict, own.hyperedges), strict=True)))
    return made


def to_cliques(matrix: scipy.sparse.csr_array, max_size: int) -> tuple[Tensor, Tensor]:
    """Joins all members of each hyperedge to each other.

    Args:
        matrix: Nodes by hyperedges, of ones.
        max_size: Members of the largest hyperedge that may be joined.

    Returns:
        ``edge_index`` ``[2, E]``, both directions and no loops, ordered by target; and for each
        edge how many hyperedges its ends share.

    Raises:
        ValueError: A hyperedge is larger.

    Example:
        >>> to_cliques(scipy.sparse.csr_array(np.ones((2, 3))), 2)[1].tolist()
        [3, 3]
    """
    sizes = np.bincount(matrix.indices, minlength=1)
    if sizes.max() > max_size:
        raise ValueError(
            f"hyperedge of {sizes.max()} nodes exceeds max_size={max_size}: it alone would become "
            f"{int(sizes.max()) * (int(sizes.max()) - 1):,} edges; raise max_size or drop it."
        )
    ones = matrix.astype(np.int64)
    shared = scipy.sparse.coo_array(ones @ ones.T)
    other = shared.row != shared.col
    order = np.lexsort((shared.col[other], shared.row[other]))
    pairs = np.stack([shared.col[other][order], shared.row[other][order]]).astype(np.int64)
    return torch.from_numpy(pairs), torch.from_numpy(shared.data[other][order])


def _lists(index: npt.NDArray[Any], nodes: Sequence[Hashable], count: int) -> list[list[Hashable]]:
    lists: list[list[Hashable]] = [[] for _ in range(count)]
    for node, edge in zip(*index.tolist(), strict=True):
        lists[edge].append(nodes[node])
    return lists
