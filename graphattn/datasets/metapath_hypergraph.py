"""Hyperedges from meta-paths: what one node reaches along them is one hyperedge."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import scipy.sparse
import torch
from torch_geometric.data import HeteroData
from torch_geometric.data.hypergraph_data import HyperGraphData
from torch_geometric.transforms import BaseTransform

from graphattn.checks import check_choice, check_least
from graphattn.datasets.joined_nodes import join_nodes
from graphattn.datasets.metapaths import EdgeType, MetaPath, parse_metapath, reached

_Ints = npt.NDArray[np.int64]


class MetaPathHypergraph(BaseTransform):
    """Turns a graph of several kinds of nodes into a hypergraph, one type of hyperedge a meta-path.

    For a meta-path with an anchor, each node of the anchor's type makes one hyperedge: itself and
    the nodes reached at the kept positions, backwards and forwards from it. So
    ``"artist-term-artist"`` anchored at its middle joins each term with its artists, and
    ``"artist-*"`` each artist with all its neighbours.

    Args:
        metapaths: Each node types joined by "-", or a type and "*", or a list of edge types
            (source, relation, target), where "~relation" is walked backwards.
        anchor: "middle" or a position from 0, for all meta-paths or one each.
        members: "all" positions, the anchor included, or the two "ends".
        min_size: Smaller hyperedges are left out.
        max_size: The largest size that is fine; None for any.
        on_large: What becomes of larger ones: an "error", "drop" them, or "sample" as many nodes.
        add_self_loops: Whether each node gets a hyperedge of its own, of one more type.
        dedup: Whether of hyperedges of one type with the same nodes only the first is kept.
        seed: Of the sample; the draw of a hyperedge depends on it, the anchor and the type alone.

    Raises:
        ValueError: An option is unknown or out of range.

    Example:
        >>> data = HeteroData()
        >>> data["artist"].num_nodes, data["term"].num_nodes = 3, 1
        >>> data["artist", "has", "term"].edge_index = torch.tensor([[0, 2], [0, 0]])
        >>> made = MetaPathHypergraph(["artist-term-artist"])(data)
        >>> made.edge_index.tolist(), made.hyperedge_anchor.tolist()
        ([[0, 2, 3], [0, 0, 0]], [3])
    """

    def __init__(
        self,
        metapaths: Sequence[str | Sequence[EdgeType]],
        *,
        anchor: str | int | Sequence[str | int] = "middle",
        members: str = "all",
        min_size: int = 2,
        max_size: int | None = None,
        on_large: str = "error",
        add_self_loops: bool = False,
        dedup: bool = False,
        seed: int = 0,
    ) -> None:
        check_choice(("all", "ends"), members=members)
        check_choice(("error", "drop", "sample"), on_large=on_large)
        check_least(1, min_size=min_size, max_size=1 if max_size is None else max_size)
        if not metapaths or isinstance(metapaths, str):
            raise ValueError(
                f"metapaths must be a list such as ['artist-term-artist']: got {metapaths!r}."
            )
        anchors = [anchor] * len(metapaths) if isinstance(anchor, str | int) else list(anchor)
        if len(anchors) != len(metapaths):
            raise ValueError(
                f"anchor must be one for each of {len(metapaths)} meta-paths: got {len(anchors)}."
            )
        self.metapaths, self.anchors, self.members = list(metapaths), anchors, members
        self.min_size, self.max_size, self.on_large = min_size, max_size, on_large
        self.add_self_loops, self.dedup, self.seed = add_self_loops, dedup, seed

    def forward(self, data: HeteroData) -> HyperGraphData:
        """Makes the hypergraph.

        Args:
            data: Nodes of each type, and edges; left as it is.

        Returns:
            All nodes, type by type in the order of ``data.node_types``, with ``edge_index`` (nodes,
            hyperedges), ``num_hyperedges``, ``hyperedge_type`` (the place of the meta-path),
            ``hyperedge_anchor`` (a node), ``metapath_names``, and what
            :func:`~graphattn.datasets.joined_nodes.join_nodes` says.

        Raises:
            ValueError: A meta-path does not fit the edge types, or a hyperedge is too large.
        """
        found = join_nodes(data)
        paths = [
            parse_metapath(path, anchor, data.edge_types)
            for path, anchor in zip(self.metapaths, self.anchors, strict=True)
        ]
        matrices = {kind: _matrix(data, kind) for kind in data.edge_types}
        node, edge, anchors, types, count = [], [], [], [], 0
        for number, path in enumerate(paths):
            anchor, member, starts = self._hyperedges(path, number, found, matrices)
            node.append(member)
            edge.append(np.repeat(np.arange(anchor.size) + count, np.diff(starts)))
            anchors.append(anchor)
            types.append(np.full(anchor.size, number))
            count += anchor.size
        names = [path.name for path in paths]
        if self.add_self_loops:
            every = np.arange(found.num_nodes, dtype=np.int64)
            node.append(every)
            edge.append(every + count)
            anchors.append(every)
            types.append(np.full(every.size, len(paths)))
            names.append("self")
        pairs = np.stack([np.concatenate(node), np.concatenate(edge)])
        found.edge_index = torch.from_numpy(pairs)
        found.hyperedge_type = torch.from_numpy(np.concatenate(types).astype(np.int64))
        found.hyperedge_anchor = torch.from_numpy(np.concatenate(anchors).astype(np.int64))
        found.num_hyperedges = int(found.hyperedge_type.size(0))
        found.metapath_names = names
        return found

    def _hyperedges(
        self,
        path: MetaPath,
        number: int,
        found: HyperGraphData,
        matrices: dict[EdgeType, scipy.sparse.csr_array],
    ) -> tuple[_Ints, _Ints, _Ints]:
        """Anchors, members and where each hyperedge starts among them, for one meta-path."""
        offset, num_nodes = found.node_offset[path.anchor_type], found.num_nodes
        count = int((found.node_type == list(found.node_offset).index(path.anchor_type)).sum())
        parts = reached(path, self.members, matrices, count)
        keys = [anchor * num_nodes + node + found.node_offset[kind] for kind, anchor, node in parts]
        pairs = np.unique(np.concatenate(keys))
        anchor, member = pairs // num_nodes, pairs % num_nodes
        sizes = np.bincount(anchor, minlength=count)
        if self.max_size is not None and sizes.max(initial=0) > self.max_size:
            member, anchor = self._cut(path, number, member, anchor, sizes)
            sizes = np.bincount(anchor, minlength=count)
        kept = sizes >= self.min_size
        if self.dedup:
            kept &= _firsts(member, np.concatenate([[0], np.cumsum(sizes)]))
        inside = kept[anchor]
        starts = np.concatenate([[0], np.cumsum(sizes[kept])])
        return np.flatnonzero(kept) + offset, member[inside], starts

    def _cut(
        self, path: MetaPath, number: int, member: _Ints, anchor: _Ints, sizes: _Ints
    ) -> tuple[_Ints, _Ints]:
        """Leaves large hyperedges out, or as many of their nodes as are too many."""
        assert self.max_size is not None
        large = np.flatnonzero(sizes > self.max_size)
        if self.on_large == "error":
            raise ValueError(
                f"meta-path {path.name!r}: hyperedge of {sizes.max()} nodes exceeds "
                f"max_size={self.max_size}; use on_large='drop' or 'sample'."
            )
        stays = ~np.isin(anchor, large)
        if self.on_large == "sample":
            ends = np.cumsum(sizes)
            for one in large:
                generator = np.random.default_rng([self.seed, number, int(one)])
                start = ends[one] - sizes[one]
                stays[start + generator.choice(sizes[one], self.max_size, replace=False)] = True
        return member[stays], anchor[stays]


def _matrix(data: HeteroData, kind: EdgeType) -> scipy.sparse.csr_array:
    first, _, last = kind
    source, target = data[kind].edge_index.cpu().numpy()
    shape = (int(data[first].num_nodes), int(data[last].num_nodes))
    ones = np.ones(source.size, bool)
    return scipy.sparse.csr_array((ones, (source, target)), shape=shape)


def _firsts(member: _Ints, starts: _Ints) -> npt.NDArray[np.bool_]:
    """Whether no earlier hyperedge has the same members."""
    seen: set[bytes] = set()
    is_first = np.ones(starts.size - 1, np.bool_)
    for number in range(starts.size - 1):
        content = member[starts[number] : starts[number + 1]].tobytes()
        is_first[number] = content not in seen
        seen.add(content)
    return is_first
