"""The one hypergraph container inside: incidences sorted both ways, and its makers."""

import logging
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Int, Int64
from torch import Tensor

from graphattn import foreign_hypergraphs as foreign
from graphattn.exported_hypergraphs import HypergraphForms
from graphattn.files import digest_arrays
from graphattn.hif import members_of_hif
from graphattn.hypergraph_attributes import HypergraphAttributes, placed
from graphattn.hypernetx_hypergraphs import members_of_hypernetx
from graphattn.incidences import check_incidences, check_sorted, renumbered
from graphattn.kernels.edge_attention import order_edges
from graphattn.kernels.incidence import order_incidences

_LOG = logging.getLogger(__name__)
_TENSORS = ("node", "edge", "edge_ptr", "node_perm", "node_ptr")


@dataclass(frozen=True, eq=False)
class Incidence(HypergraphForms):
    """Which node is in which hyperedge: each pair once, sorted by hyperedge, then node.

    The makers ``from_...`` check what they are given. Layers take it in place of
    ``hyperedge_index`` and then neither sort nor check again. All tensors are int32 where ids
    fit, else int64, and on one device.

    Args:
        node: ``[I]``, the node of each incidence.
        edge: ``[I]``, its hyperedge.
        edge_ptr: ``[M + 1]``, where each hyperedge starts in ``node`` and ``edge``.
        node_perm: ``[I]``, incidences by node, then hyperedge.
        node_ptr: ``[N + 1]``, where each node starts in ``node_perm``.
        num_duplicates: Incidences of the input that repeated another one.
        node_names: What the nodes were called; None: 0, 1, 2, ...
        hyperedge_names: What the hyperedges were called; None: 0, 1, 2, ...
        attributes: What other formats carry beside; nothing here computes with it.

    Raises:
        ValueError: The tensors have the wrong types or do not fit together.

    Example:
        >>> made = Incidence.from_hyperedge_index(torch.tensor([[2, 0, 1], [0, 0, 1]]))
        >>> made.num_nodes, made.num_hyperedges, made.to_lists()
        (3, 2, [[0, 2], [1]])
    """

    node: Int[Tensor, " incidences"]
    edge: Int[Tensor, " incidences"]
    edge_ptr: Int[Tensor, " hyperedges_and_one"]
    node_perm: Int[Tensor, " incidences"]
    node_ptr: Int[Tensor, " nodes_and_one"]
    num_duplicates: int = 0
    node_names: tuple[Hashable, ...] | None = None
    hyperedge_names: tuple[Hashable, ...] | None = None
    attributes: HypergraphAttributes | None = None

    def __post_init__(self) -> None:
        """Checks all that kernels rely on but the order; what lies on a GPU came from here."""
        check_sorted(self.node, self.edge, self.edge_ptr, self.node_perm, self.node_ptr)

    @classmethod
    def from_hyperedge_index(
        cls,
        hyperedge_index: Tensor | npt.NDArray[Any],
        num_nodes: int | None = None,
        num_hyperedges: int | None = None,
    ) -> "Incidence":
        """Makes a hypergraph from a list of incidences; repeated ones are merged and counted.

        Args:
            hyperedge_index: ``[2, I]``: nodes, then hyperedges, as in PyG.
            num_nodes: Number of nodes; by default one more than the largest id.
            num_hyperedges: Number of hyperedges; by default one more than the largest id.

        Returns:
            The hypergraph, on the device of ``hyperedge_index``.

        Raises:
            ValueError: The shape is wrong, or an id is negative or too large.
            TypeError: The ids are no integers.

        Example:
            >>> Incidence.from_hyperedge_index(np.array([[0], [2]]), num_hyperedges=2)
            Traceback (most recent call last):
            ...
            ValueError: hyperedge id 2 at incidence 0 but num_hyperedges=2; give ids below 2.
        """
        (node, edge), *counts = check_incidences(hyperedge_index, num_nodes, num_hyperedges)
        dtype = np.int32 if max(node.size, *counts) < 2**31 - 1 else np.int64
        node, edge = node.astype(dtype), edge.astype(dtype)
        perm, _, count = order_incidences(node, edge, *counts)
        node, edge = node[perm[:count]], edge[perm[:count]]
        edge_ptr = np.zeros(counts[1] + 1, dtype)
        np.cumsum(np.bincount(edge, minlength=counts[1]), out=edge_ptr[1:])
        node_ptr, node_perm = order_edges(node, counts[0])
        if perm.size > count:
            _LOG.info("%d nodes, %d hyperedges; merged %d repeats", *counts, perm.size - count)
        arrays = (node, edge, edge_ptr, node_perm, node_ptr)
        tensors: dict[str, Any] = dict(zip(_TENSORS, map(torch.from_numpy, arrays), strict=True))
        made = cls(**tensors, num_duplicates=perm.size - count)
        is_tensor = isinstance(hyperedge_index, Tensor)
        return made.to(hyperedge_index.device) if is_tensor else made

    @classmethod
    def from_lists(
        cls,
        hyperedges: Iterable[Iterable[Hashable]] | Mapping[Hashable, Iterable[Hashable]],
        nodes: Iterable[Hashable] | None = None,
    ) -> "Incidence":
        """Makes a hypergraph from the members of each hyperedge.

        Args:
            hyperedges: Lists of nodes, or such lists by the names of hyperedges.
            nodes: All nodes, in the order of their numbers. By default they are numbered as they
                come; where all are integers, they are those numbers.

        Returns:
            The hypergraph.

        Raises:
            ValueError: A node is negative.

        Example:
            >>> Incidence.from_lists([["b", "a"], [], ["a"]]).degree().tolist()
            [1, 2]
        """
        named = hyperedges.items() if isinstance(hyperedges, Mapping) else enumerate(hyperedges)
        lists: dict[Any, list[Any]] = {name: list(members) for name, members in named}
        if nodes is None and all(type(node) is int for edge in lists.values() for node in edge):
            pairs = [(node, i) for i, edge in enumerate(lists.values()) for node in edge]
            index = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
            made = cls.from_hyperedge_index(index, None, len(lists))
            return replace(made, hyperedge_names=foreign.plain_names(lists))
        return cls._named(foreign.members_of_lists(lists, nodes or ()))

    @classmethod
    def from_matrix(cls, matrix: Any) -> "Incidence":
        """Makes a hypergraph from a matrix of nodes by hyperedges: what is not 0 is an incidence.

        Args:
            matrix: ``[N, M]``: a tensor, an array, or a sparse matrix of PyTorch or SciPy.

        Raises:
            ValueError: It is no matrix, or has NaN entries.

        Example:
            >>> Incidence.from_matrix(torch.eye(3)).num_hyperedges
            3
        """
        return cls._named(foreign.members_of_matrix(matrix))

    @classmethod
    def from_data(cls, data: Any) -> "Incidence":
        """Makes a hypergraph from a PyG ``HyperGraphData``.

        Args:
            data: Has ``edge_index``; counts are ``num_nodes`` and ``num_hyperedges``, or rows of
                ``x``, ``y``, and of ``hyperedge_type``, ``hyperedge_attr``, ``edge_attr``.

        Raises:
            ValueError: ``edge_index`` is missing or wrong, or sizes disagree.

        Example:
            >>> from torch_geometric.data.hypergraph_data import HyperGraphData
            >>> data = HyperGraphData(edge_index=torch.tensor([[0, 1], [0, 0]]), num_nodes=4)
            >>> Incidence.from_data(data).num_nodes
            4
        """
        return cls._named(foreign.members_of_data(data))

    @classmethod
    def from_hif(cls, source: Mapping[str, Any] | Path | str) -> "Incidence":
        """Reads HIF, the JSON that XGI and HyperNetX write, with weights and attributes.

        Args:
            source: The path of a file, or what it holds.

        Raises:
            FileNotFoundError: There is no such file.
            CorruptFile: It is no HIF.

        Example:
            >>> made = Incidence.from_hif({"incidences": [{"node": "a", "edge": "e"}]})
            >>> made.node_names, made.hyperedge_names
            (('a',), ('e',))
        """
        return cls._named(members_of_hif(source))

    @classmethod
    def from_xgi(cls, hypergraph: Any) -> "Incidence":
        """Makes a hypergraph from an ``xgi.Hypergraph``; a ``TypeError`` where it is none."""
        return cls._named(foreign.members_of_xgi(hypergraph))

    @classmethod
    def from_hypernetx(cls, hypergraph: Any) -> "Incidence":
        """Makes a hypergraph from a ``hypernetx.Hypergraph``; a ``TypeError`` where it is none."""
        return cls._named(members_of_hypernetx(hypergraph))

    @classmethod
    def _named(cls, members: foreign.Members) -> "Incidence":
        made = cls.from_hyperedge_index(*members[:3])
        attributes = members.attributes
        if attributes is not None and attributes.incidences is not None:
            slots = made._slots(torch.as_tensor(members.hyperedge_index))
            count = made.num_incidences
            of_incidences = placed(attributes.incidences, slots.numpy(), count)
            attributes = attributes._replace(incidences=of_incidences)
        names = members.node_names, members.hyperedge_names
        return replace(made, node_names=names[0], hyperedge_names=names[1], attributes=attributes)

    def _slots(self, index: Tensor) -> Int64[Tensor, " given"]:
        """Where incidences, ``[2, given]``, stand among those of this hypergraph, on the CPU."""
        keys = self.edge.cpu().long() * max(self.num_nodes, 1) + self.node.cpu()
        return torch.searchsorted(keys, index[1].cpu() * max(self.num_nodes, 1) + index[0].cpu())

    def dual(self) -> "Incidence":
        """Makes nodes of hyperedges and hyperedges of nodes.

        Example:
            >>> Incidence.from_lists([[0, 1], [1]]).dual().to_lists()
            [[0], [0, 1]]
        """
        order = self.node_perm
        back = torch.empty_like(order)
        back[order.long()] = torch.arange(len(order), dtype=order.dtype, device=order.device)
        pairs = self.edge.index_select(0, order), self.node.index_select(0, order)
        names = self.hyperedge_names, self.node_names
        attributes = None if self.attributes is None else self.attributes.turned(order.tolist())
        ends = *pairs, self.node_ptr, back, self.edge_ptr
        return Incidence(*ends, self.num_duplicates, *names, attributes)

    def subgraph(
        self, nodes: Int[Tensor, " kept"] | Bool[Tensor, " nodes"], *, min_size: int = 1
    ) -> tuple["Incidence", Int64[Tensor, " hyperedges_kept"]]:
        """Keeps some nodes, and the hyperedges that have enough of them.

        Args:
            nodes: A mask, or distinct ids in the order of their new numbers.
            min_size: Nodes that a hyperedge must have among them; PyG keeps those with 2.

        Returns:
            The smaller hypergraph, and the old numbers of its hyperedges.

        Raises:
            ValueError: An id is repeated or out of range, or the mask has another length.

        Example:
            >>> part, kept = Incidence.from_lists([[0, 1], [2], [1, 2]]).subgraph(torch.tensor([2]))
            >>> part.to_lists(), kept.tolist()
            ([[0], [0]], [1, 2])
        """
        ids, number = renumbered(nodes, self.num_nodes)
        new = number.to(self.node.device).index_select(0, self.node)
        sizes = torch.bincount(self.edge[new >= 0], minlength=self.num_hyperedges)
        kept, number = renumbered(sizes >= min_size, self.num_hyperedges)
        other = number.index_select(0, self.edge)
        inside = (new >= 0) & (other >= 0)
        index = torch.stack([new, other])[:, inside]
        made = Incidence.from_hyperedge_index(index, len(ids), len(kept))
        names = self.node_names, self.hyperedge_names
        chosen = [
            None if old is None else tuple(old[i] for i in which.tolist())
            for old, which in zip(names, (ids, kept), strict=True)
        ]
        attributes = self.attributes
        if attributes is not None:
            order = torch.empty(index.size(1), dtype=torch.long)
            order[made._slots(index.long())] = inside.nonzero().view(-1).cpu()
            attributes = attributes.kept(ids.tolist(), kept.tolist(), order.tolist())
        made = replace(made, node_names=chosen[0], hyperedge_names=chosen[1])
        return replace(made, attributes=attributes), kept

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Incidence":
        """Moves all tensors to a device; this hypergraph itself where they are there."""
        if self.node.device == torch.device(device):
            return self
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Incidence":
        """Copies all tensors to memory from which a GPU reads faster."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Incidence":
        changed: dict[str, Any] = {name: change(getattr(self, name)) for name in _TENSORS}
        return replace(self, **changed)

    def digest(self) -> str:
        """Hashes the structure, not the names, for manifests and caches: 32 hexadecimal digits."""
        return digest_arrays(*(getattr(self, name).cpu().numpy() for name in _TENSORS))
