"""Batches of hypergraphs too large for one: from nodes to hyperedges to nodes, hop by hop."""

from collections.abc import Iterator, Sequence
from copy import copy
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch_geometric.data.hypergraph_data import HyperGraphData

from graphattn.checks import check_least
from graphattn.hypergraph import Incidence
from graphattn.sampling.seeds import seeds_of

_Ints = npt.NDArray[np.int64]
_OF_HYPEREDGES = ("hyperedge_type", "hyperedge_attr", "hyperedge_weight", "hyperedge_anchor")


class HypergraphLoader:
    """Goes through the seeds in batches, each a PyG ``HyperGraphData`` of what was drawn for it.

    A hop draws hyperedges of each new node, then nodes of each new hyperedge; an incidence walked
    either way is in the batch. With -1 both ways, as many hops as layers give the outputs of the
    whole hypergraph at the seeds, but for batch norm in training. A draw depends on (seed, epoch,
    node or hyperedge) alone, whatever the batches. Each pass is another epoch.

    Args:
        data: With ``edge_index`` (nodes, hyperedges), and tensors of nodes and hyperedges.
        num_neighbors: For each hop, how many hyperedges of a node and nodes of a hyperedge to draw;
            -1 takes all.
        input_nodes: The seeds: ids, or a mask of all nodes; by default all nodes.
        batch_size: Seeds a batch; the last may have fewer.
        shuffle: Go through the seeds in another order each pass.
        seed: Of draws and order, any integer.

    Raises:
        ValueError: A size is out of range, or incidences or seeds do not fit.

    Example:
        >>> index = torch.tensor([[0, 1, 1, 2, 3], [0, 0, 1, 1, 2]])
        >>> data = HyperGraphData(x=torch.eye(4), edge_index=index)
        >>> batch = next(iter(HypergraphLoader(data, [(-1, -1)], torch.tensor([0]))))
        >>> batch.n_id.tolist(), batch.e_id.tolist(), batch.edge_index.tolist()
        ([0, 1], [0], [[0, 1], [0, 0]])
    """

    def __init__(
        self,
        data: Any,
        num_neighbors: Sequence[tuple[int, int]],
        input_nodes: Tensor | npt.NDArray[Any] | Sequence[Any] | None = None,
        *,
        batch_size: int = 1,
        shuffle: bool = False,
        seed: int = 0,
    ) -> None:
        check_least(1, batch_size=batch_size)
        for pair in num_neighbors:
            if len(tuple(pair)) != 2 or min(pair) < -1:
                raise ValueError(
                    "num_neighbors must be pairs (hyperedges of a node, nodes of a hyperedge), -1 "
                    f"for all: got {pair}."
                )
        made = Incidence.from_data(data)
        self.data, self.batch_size, self.shuffle = data, batch_size, shuffle
        self.num_neighbors, self.seed = [tuple(pair) for pair in num_neighbors], int(seed)
        self._seeds, self._input_id = seeds_of(input_nodes, made.num_nodes)
        self._sizes = made.num_nodes, made.num_hyperedges
        self._members = made.edge_ptr.numpy(), made.node.numpy()
        order = made.node_perm.long()
        self._hyperedges = made.node_ptr.numpy(), made.edge.index_select(0, order).numpy()
        self._epoch = 0

    def __len__(self) -> int:
        """Number of batches of a pass."""
        return (self._seeds.numel() + self.batch_size - 1) // self.batch_size

    def over(
        self, input_nodes: Tensor, *, batch_size: int | None = None, shuffle: bool = False
    ) -> "HypergraphLoader":
        """Makes a loader of other seeds, which shares the sorted incidences and starts at epoch 0.

        Args:
            input_nodes: The seeds: ids, or a mask of all nodes.
            batch_size: Seeds a batch; by default as many as here.
            shuffle: Go through the seeds in another order each pass.

        Raises:
            ValueError: The size is below 1, or the seeds do not fit.
        """
        made = copy(self)
        made.batch_size = self.batch_size if batch_size is None else batch_size
        check_least(1, batch_size=made.batch_size)
        made._seeds, made._input_id = seeds_of(input_nodes, self._sizes[0])
        made.shuffle, made._epoch = shuffle, 0
        return made

    def set_epoch(self, epoch: int) -> None:
        """Chooses the draw and order of the next pass; each pass after it is one epoch on.

        Args:
            epoch: Any integer; 0 for the first pass until this is called.
        """
        self._epoch = int(epoch)

    def __iter__(self) -> Iterator[HyperGraphData]:
        """Yields the batches of one pass.

        Yields:
            The tensors of its nodes, seeds first, and of its hyperedges; ``edge_index`` among
            them; ``n_id`` and ``e_id``, their numbers in ``data``; ``input_id``, the places of the
            seeds among ``input_nodes``; ``batch_size``, how many seeds there are.
        """
        epoch, self._epoch = self._epoch, self._epoch + 1
        order = torch.arange(self._seeds.numel())
        if self.shuffle:
            words = [part % 2**63 for part in (self.seed, epoch)]
            order = torch.from_numpy(np.random.default_rng(words).permutation(order.numel()))
        for places in torch.split(order, self.batch_size) if order.numel() else ():
            yield self._batch(places, epoch)

    def _batch(self, places: Tensor, epoch: int) -> HyperGraphData:
        seeds = self._seeds[places].numpy().astype(np.int64)
        nodes, edges, pairs = self._draw(seeds, epoch)
        keys = np.unique(pairs[1] * self._sizes[0] + pairs[0])  # an incidence walked twice is one
        edge, node = keys // self._sizes[0], keys % self._sizes[0]
        local = np.stack([_places(nodes, node), _places(edges, edge)])
        n_id, e_id = torch.from_numpy(nodes), torch.from_numpy(edges)
        batch = HyperGraphData(edge_index=torch.from_numpy(local), num_nodes=nodes.size)
        batch.num_hyperedges = int(edges.size)
        for name, value in self.data.to_dict().items():
            if name in ("edge_index", "num_nodes", "num_hyperedges"):
                continue
            if not isinstance(value, Tensor) or not value.dim():
                batch[name] = value
            elif name in _OF_HYPEREDGES or name == "edge_attr":
                batch[name] = value.index_select(0, e_id)
            elif value.size(0) == self._sizes[0]:
                batch[name] = value.index_select(0, n_id)
        batch.n_id, batch.e_id = n_id, e_id
        batch.input_id = places if self._input_id is None else self._input_id[places]
        batch.batch_size = int(places.numel())
        return batch

    def _draw(self, seeds: _Ints, epoch: int) -> tuple[_Ints, _Ints, _Ints]:
        """Nodes in the order they were found, hyperedges likewise, and incidences walked."""
        nodes, edges = _new(seeds, np.empty(0, np.int64)), np.empty(0, np.int64)
        fresh, pairs = nodes, [np.empty((2, 0), np.int64)]
        for hop, (of_node, of_edge) in enumerate(self.num_neighbors):
            key = (self.seed, epoch, 2 * hop)
            source, reached = _pick(*self._hyperedges, fresh, of_node, key)
            pairs.append(np.stack([source, reached]))
            new_edges = _new(reached, edges)
            edges = np.concatenate([edges, new_edges])
            key = (self.seed, epoch, 2 * hop + 1)
            source, reached = _pick(*self._members, new_edges, of_edge, key)
            pairs.append(np.stack([reached, source]))
            fresh = _new(reached, nodes)
            nodes = np.concatenate([nodes, fresh])
        return nodes, edges, np.concatenate(pairs, axis=1)


def _pick(
    ptr: npt.NDArray[Any], col: npt.NDArray[Any], rows: _Ints, count: int, key: tuple[int, ...]
) -> tuple[_Ints, _Ints]:
    """Some of the entries of each row: those with the lowest random words, without replacement."""
    sizes = (ptr[rows + 1] - ptr[rows]).astype(np.int64)
    source = np.repeat(rows, sizes)
    starts = np.cumsum(sizes) - sizes
    within = np.arange(source.size) - np.repeat(starts, sizes)
    reached = col[np.repeat(ptr[rows].astype(np.int64), sizes) + within].astype(np.int64)
    if count < 0 or sizes.max(initial=0) <= count:
        return source, reached
    order = np.lexsort((_words(key, source, reached), np.repeat(np.arange(rows.size), sizes)))
    kept = np.sort(order[within < count])
    return source[kept], reached[kept]


def _words(key: tuple[int, ...], *parts: _Ints) -> npt.NDArray[np.uint64]:
    """A random word for each row of numbers, by SplitMix64 (Steele et al. 2014)."""
    state = np.zeros(parts[0].size, np.uint64)
    for part in (*(np.uint64(number % 2**64) for number in key), *parts):
        state = (state + np.asarray(part).astype(np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state ^= state >> np.uint64(31)
    return state


def _new(found: _Ints, known: _Ints) -> _Ints:
    """What is found and not known, each once, in the order it was found."""
    distinct, first = np.unique(found, return_index=True)
    in_order = found[np.sort(first)]
    return in_order[~np.isin(in_order, known, assume_unique=True)] if distinct.size else in_order


def _places(known: _Ints, ids: _Ints) -> _Ints:
    order = np.argsort(known)
    return order[np.searchsorted(known, ids, sorter=order)]
