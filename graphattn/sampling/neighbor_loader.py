"""Batches of sampled subgraphs as PyG's loader of the same name gives them, without pyg-lib."""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Shaped
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.loader.utils import index_select
from torch_geometric.sampler.base import SubgraphType

from graphattn.checks import check_least
from graphattn.edges import check_edges
from graphattn.foreign_edges import edges_of_data
from graphattn.kernels.fanout import Clock, check_fanouts, draw_fanout
from graphattn.sampling.ahead import in_order
from graphattn.sampling.fanout import Subgraph, as_subgraph, rows_of_edges
from graphattn.sampling.seeds import seeds_of, times_of

# Options of PyG's that steer worker processes or say how edges are sorted: they change no result.
_WITHOUT_EFFECT = frozenset(
    {"filter_per_worker", "is_sorted", "persistent_workers", "pin_memory", "prefetch_factor"}
)


class NeighborLoader:
    """Goes through the seeds in batches, each a PyG ``Data`` of the nodes and edges drawn for it.

    A script for PyG's ``NeighborLoader`` works with this one by changing the import: attributes
    and their order are PyG's. What differs: every draw depends on (seed, epoch, node, hop) and the
    options only, so a pass is the same whatever ``batch_size`` and ``num_workers``; each pass is
    another epoch; a seed that repeats in a batch has a row and edges for each place; workers are
    threads, so nothing is copied to them. Attributes of ``data`` may come and go between passes;
    its edges are those it had at first.

    Memory: 8 bytes an edge and 8 a node beside ``data`` (16 an edge with times), and 4 bytes a
    node for each thread.

    Source: GraphSAGE, https://arxiv.org/abs/1706.02216.

    Args:
        data: A homogeneous graph with ``edge_index``; repeated edges and self-loops are kept.
        num_neighbors: How many senders of a node to draw at each hop; -1 takes all, 0 none.
        input_nodes: The seeds: ids, or a mask of all nodes; by default all nodes.
        batch_size: Seeds a batch; the last may have fewer.
        shuffle: Go through the seeds in another order each pass.
        drop_last: Leave out the last batch where it is not full.
        replace: Draw with replacement, as many as asked wherever there is a sender.
        subgraph_type: ``"directional"``: only the edges drawn; ``"induced"``: all edges among the
            nodes drawn.
        time_attr: Attribute with the times of nodes or edges; a seed's tree takes only what came
            no later than the seed. Implies ``disjoint``.
        input_time: For each of ``input_nodes`` the last moment to see; by default its time, if
            times are those of nodes.
        disjoint: Give each seed a tree that shares no node with the others; ``batch`` says which
            tree a node is in.
        transform: Applied to each batch, in the thread that iterates.
        num_workers: Threads that prepare batches ahead; 0 prepares each when it is asked for.
        seed: Of draws and order, any integer.
        without_effect: ``filter_per_worker``, ``is_sorted``, ``persistent_workers``,
            ``pin_memory``, ``prefetch_factor``: taken for PyG's sake, they change nothing here.

    Raises:
        ValueError: A size or number is out of its range, seeds or times do not fit, or options
            exclude each other.
        TypeError: ``data`` is no homogeneous ``Data``, seeds or times are no numbers, or an
            option of PyG's is not supported.

    Example:
        >>> edge_index = torch.tensor([[1, 2, 3, 0], [0, 0, 1, 3]])
        >>> data = Data(x=torch.eye(4), edge_index=edge_index)
        >>> loader = NeighborLoader(data, [-1, 1], torch.tensor([0, 3]), batch_size=1)
        >>> for batch in loader:
        ...     print(batch.n_id.tolist(), batch.edge_index.tolist(), batch.e_id.tolist())
        [0, 1, 2, 3] [[1, 2, 3], [0, 0, 1]] [0, 1, 2]
        [3, 0, 1] [[1, 2], [0, 1]] [3, 0]
    """

    def __init__(
        self,
        data: Data,
        num_neighbors: Sequence[int],
        input_nodes: Tensor | npt.NDArray[Any] | Sequence[Any] | None = None,
        *,
        batch_size: int = 1,
        shuffle: bool = False,
        drop_last: bool = False,
        replace: bool = False,
        subgraph_type: str | SubgraphType = "directional",
        time_attr: str | None = None,
        input_time: Shaped[Tensor, " seeds"] | None = None,
        disjoint: bool = False,
        transform: Callable[[Data], Any] | None = None,
        num_workers: int = 0,
        seed: int = 0,
        **without_effect: Any,
    ) -> None:
        _check_kinds(data, num_neighbors, without_effect)
        check_least(1, batch_size=batch_size)
        check_least(0, num_workers=num_workers)
        kind = subgraph_type.value if isinstance(subgraph_type, SubgraphType) else subgraph_type
        if kind not in ("directional", "induced"):
            raise ValueError(f"subgraph_type must be 'directional' or 'induced': got {kind!r}.")
        self._directed, self._disjoint = kind == "directional", disjoint or time_attr is not None
        if self._disjoint and not self._directed:
            raise ValueError(
                "a draw in disjoint trees (which time_attr implies) must be directional: "
                "got subgraph_type='induced'; leave out disjoint and time_attr, or 'induced'."
            )
        if input_time is not None and time_attr is None:
            raise ValueError("input_time needs the times of nodes or edges: got time_attr=None.")
        check_fanouts(num_neighbors)
        edges, num_nodes = check_edges(*edges_of_data(data))
        self._seeds, self._input_id = seeds_of(input_nodes, num_nodes)
        self.input_time = None if input_time is None else input_time.cpu()
        time, self._limit = times_of(data, time_attr, input_time, self._seeds, edges[0])
        self._rows = rows_of_edges(edges, num_nodes, time)
        self.data = data
        self.num_neighbors = [int(number) for number in num_neighbors]
        self.batch_size, self.shuffle, self.drop_last = batch_size, shuffle, drop_last
        self.replace, self.transform, self.num_workers = replace, transform, num_workers
        self.seed = int(seed)
        self._epoch = 0

    @property
    def dataset(self) -> range:
        """One number for each seed, as in PyG: ``len(loader.dataset)`` counts the seeds."""
        return range(self._seeds.numel())

    def set_epoch(self, epoch: int) -> None:
        """Chooses the draw and order of the next pass; each pass after it is one epoch on.

        Args:
            epoch: Any integer; 0 for the first pass until this is called.
        """
        self._epoch = int(epoch)

    def __len__(self) -> int:
        """Number of batches in a pass."""
        batches = self._seeds.numel() / self.batch_size
        return math.floor(batches) if self.drop_last else math.ceil(batches)

    def __iter__(self) -> Iterator[Any]:
        """Starts a pass over the batches, one epoch on from the last."""
        epoch, self._epoch = self._epoch, self._epoch + 1
        return self._pass(epoch)

    def _pass(self, epoch: int) -> Iterator[Any]:
        order = torch.arange(self._seeds.numel())
        if self.shuffle:
            key = [self.seed & 0xFFFFFFFFFFFFFFFF, epoch & 0xFFFFFFFFFFFFFFFF]
            order = torch.from_numpy(np.random.default_rng(key).permutation(order.numel()))
        parts = islice(torch.split(order, self.batch_size) if order.numel() else (), len(self))
        data, attributes = copy.copy(self.data), _attributes_of(self.data)

        def prepare(part: Tensor) -> tuple[Tensor, Subgraph, dict[str, Any]]:
            found = self._sample(part, epoch)
            return part, found, _select(attributes, found)

        for prepared in in_order(prepare, parts, self.num_workers):
            batch = self._batch(data, *prepared)
            yield batch if self.transform is None else self.transform(batch)

    def _sample(self, part: Tensor, epoch: int) -> Subgraph:
        rows, clock = (self._rows.rowptr, self._rows.col), None
        if self._rows.time is not None and self._limit is not None:
            clock = Clock(self._rows.time, self._limit[part.numpy()], of_edges=True)
        seeds = self._seeds.index_select(0, part).numpy()
        key = (self.seed, epoch)
        drawn = draw_fanout(
            *rows, seeds, self.num_neighbors, self.replace, self._disjoint, clock, key
        )
        found = as_subgraph(rows, drawn, directed=self._directed, disjoint=self._disjoint)
        origin = self._rows.origin[found.e_id.numpy()].astype(np.int64, copy=False)
        return found._replace(e_id=torch.from_numpy(origin))

    def _batch(self, data: Data, part: Tensor, found: Subgraph, values: dict[str, Any]) -> Data:
        """Makes the batch as PyG does: attributes of the graph, then those of the draw."""
        batch = copy.copy(data)
        batch.edge_index = found.edge_index.to(data.edge_index.device)
        for key, value in values.items():
            batch[key] = value
        if "num_nodes" in batch:
            batch.num_nodes = found.n_id.numel()
        for key, ids in (("n_id", found.n_id), ("e_id", found.e_id)):
            if key not in batch:
                batch[key] = ids
        batch.batch = found.batch
        batch.num_sampled_nodes = found.num_sampled_nodes
        batch.num_sampled_edges = found.num_sampled_edges
        batch.input_id = part if self._input_id is None else self._input_id.index_select(0, part)
        batch.seed_time = None if self.input_time is None else self.input_time.index_select(0, part)
        batch.batch_size = part.numel()
        return batch


class _Attribute(NamedTuple):
    """An attribute to take rows of: which, and along which dimension."""

    key: str
    value: Any
    dim: int
    of_nodes: bool


def _attributes_of(data: Data) -> list[_Attribute]:
    """What belongs to nodes or edges, in the order of ``data``, as PyG decides it."""
    found = []
    for key, value in data._store.items():
        of_nodes = data.is_node_attr(key)
        if key != "edge_index" and (of_nodes or data.is_edge_attr(key)):
            dim = data.__cat_dim__(key, value, data._store)
            found.append(_Attribute(key, value, dim, of_nodes))
    return found


def _select(attributes: list[_Attribute], found: Subgraph) -> dict[str, Any]:
    """Takes their rows for the nodes and edges found, on the device where each lies."""
    values = {}
    for key, value, dim, of_nodes in attributes:
        index = found.n_id if of_nodes else found.e_id
        index = index if isinstance(value, np.ndarray) else index.to(value.device)
        values[key] = index_select(value, index, dim=dim)
    return values


def _check_kinds(data: Any, num_neighbors: Any, others: dict[str, Any]) -> None:
    """Refuses what PyG's loader takes and this one does not."""
    if not isinstance(data, Data):
        raise TypeError(
            f"data must be a homogeneous PyG Data: got {type(data).__name__}; "
            "use PyG's loader for heterogeneous graphs and remote stores."
        )
    if not isinstance(num_neighbors, Sequence):
        raise TypeError(
            "num_neighbors must be a list with one number for each hop: "
            f"got {type(num_neighbors).__name__}."
        )
    unknown = sorted(set(others) - _WITHOUT_EFFECT)
    if unknown:
        raise TypeError(
            f"NeighborLoader does not support {', '.join(unknown)}: it takes shuffle, drop_last, "
            "replace, subgraph_type, time_attr, input_time, disjoint, transform, num_workers, "
            "seed; use PyG's loader with pyg-lib for more."
        )
