"""What a made data set of the shape of one of OGB's holds: everything of it, drawn in blocks.

A twin has its original's nodes, edges, degrees with a heavy tail, width of features, classes and
parts of the split, times a scale. Its labels can be learnt: nodes lie in communities, and features
show the class faintly, so a model gains by averaging over edges. It says nothing of the original.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from graphattn.datasets.ogb_files import PARTS
from graphattn.datasets.ogb_table import OgbSpec
from graphattn.kernels.random_words import key_words
from graphattn.kernels.twin_edges import draw_edges

_FEWEST = 200  # nodes
_GROUP, _BLOCKS = 72, 83  # nodes of a group, and groups of a block
_ROWS, _EDGES = 1 << 16, 1 << 21  # of a block that is written at once
_SIGNAL, _NOISE = 1.5, 0.08  # length of the class means; share of labels that are any class
_FAITHFUL = 0.6  # share of groups that are of the class of their block
_YEARS = {"train": (2005, 2017), "valid": (2018, 2018), "test": (2019, 2020), "": (1990, 2020)}
_SPECIES = {"train": (0, 5), "valid": (6, 6), "test": (7, 7), "": (0, 7)}


@dataclass(frozen=True)
class Twin:
    """The plan of a twin: all of it follows from these three.

    Args:
        spec: The original.
        scale: Of nodes, edges and split, in (0, 1].
        seed: Any integer from 0 on.

    Raises:
        ValueError: The scale is out of range, or too small for the original.

    Example:
        >>> from graphattn.datasets.ogb_table import OGB
        >>> Twin(OGB["ogbn-products"], 0.001, 0).num_nodes
        2449
    """

    spec: OgbSpec
    scale: float
    seed: int

    def __post_init__(self) -> None:
        """Refuses sizes that make no sense."""
        if not 0.0 < self.scale <= 1.0 or self.num_nodes < _FEWEST:
            raise ValueError(
                f"scale must lie in (0, 1] and give {_FEWEST} nodes: got {self.scale}, at least "
                f"{_FEWEST / self.spec.num_nodes:.2g} is needed."
            )
        if self.seed < 0:
            raise ValueError(f"seed must be from 0 on: got {self.seed}.")

    @property
    def num_nodes(self) -> int:
        """Nodes; of mag papers."""
        return round(self.spec.num_nodes * self.scale)

    @property
    def num_edges(self) -> int:
        """Lines of edges; fewer than the scale says where so few nodes would be too dense."""
        most = self.num_nodes * (self.num_nodes - 1) // 16
        return min(round(self.spec.num_edges * self.scale), most)

    @cached_property
    def group(self) -> int:
        """Nodes of a group; smaller where there would be fewer groups than classes."""
        classes = self.spec.num_classes if self.spec.num_tasks == 1 else 16
        return max(4, min(_GROUP, self.num_nodes // (4 * classes)))

    @cached_property
    def weight(self) -> NDArray[np.float64]:
        """Weight of each node: log-normal, of 3 % of the nodes Pareto besides."""
        generator = self.generator(0)
        weight = generator.lognormal(sigma=1.05, size=self.num_nodes)
        tail = generator.choice(self.num_nodes, size=self.num_nodes * 3 // 100, replace=False)
        weight[tail] += 8.0 * generator.pareto(1.9, size=tail.size)
        return weight

    @cached_property
    def number(self) -> NDArray[np.int64]:
        """The id of each node: communities are no ranges of ids."""
        return self.generator(1).permutation(self.num_nodes)

    @cached_property
    def community(self) -> NDArray[np.int64]:
        """The class of each node's group, by id."""
        generator = self.generator(2)
        classes = self.spec.num_classes if self.spec.num_tasks == 1 else 16
        share = np.arange(1, classes + 1) ** -0.7
        groups = -(-self.num_nodes // self.group)
        blocks = generator.choice(classes, size=-(-groups // _BLOCKS), p=share / share.sum())
        own = generator.choice(classes, size=groups, p=share / share.sum())
        of_block = np.repeat(blocks, _BLOCKS)[:groups]
        of_group = np.where(generator.random(groups) < _FAITHFUL, of_block, own)
        found = np.empty(self.num_nodes, np.int64)
        found[self.number] = np.repeat(of_group, self.group)[: self.num_nodes]
        return found

    @cached_property
    def part(self) -> NDArray[np.int8]:
        """The part of the split of each node, by id: 0 train, 1 valid, 2 test, 3 none."""
        generator = self.generator(3)
        order = generator.permutation(self.num_nodes)
        if self.spec.split == "sales_ranking":  # what is popular is trained on
            popular = self.weight * generator.lognormal(sigma=0.5, size=self.num_nodes)
            order = self.number[np.argsort(-popular, kind="stable")]
        sizes = np.array(self.spec.parts) * (self.num_nodes / self.spec.num_nodes)
        ends = np.maximum(np.rint(np.cumsum(sizes)).astype(np.int64), np.arange(1, 4))
        part = np.full(self.num_nodes, 3, np.int8)
        for number, ids in enumerate(np.split(order, ends)[:3]):
            part[ids] = number
        return part

    def generator(self, *stream: int) -> np.random.Generator:
        """Return the random numbers of one purpose, or of one block of it."""
        return np.random.default_rng([self.seed, *stream])

    def edges(self) -> Iterator[NDArray[np.int64]]:
        """Draw the edges: blocks of ids `[2, edges]`, the same every time."""
        quota = self._quota()
        sums = np.concatenate([[0.0], np.cumsum(self.weight)])
        parts = min(self.num_nodes, 1 << 20) + 1
        guide = np.searchsorted(sums[1:], np.linspace(0.0, sums[-1], parts))
        sizes = (self.group, self.group * _BLOCKS)
        key, mark = key_words(self.seed, 4), np.full(self.num_nodes, -1, np.int64)
        total = np.concatenate([[0], np.cumsum(quota)])
        first = 0
        while first < self.num_nodes:
            last = int(np.searchsorted(total, total[first] + _EDGES, side="right")) - 1
            last = min(max(last, first + 1), self.num_nodes)
            ends = np.empty((2, int(total[last] - total[first])), np.int64)
            nodes = (first, last)
            one_way = not self.spec.inverse
            drawn = draw_edges(nodes, quota, sums, guide, sizes, one_way, key, mark, ends)
            if drawn < ends.shape[1]:
                raise ValueError(f"scale is too small for {self.spec.name}: got {self.scale}.")
            yield self.number[ends]
            first = last

    def _quota(self) -> NDArray[np.int64]:
        """Edges that each node draws, by weight, none so many that they would not be distinct."""
        most = max(1, self.num_nodes // 6)
        sums = np.cumsum(self.weight)
        ends = np.floor(sums * (self.num_edges / sums[-1])).astype(np.int64)
        ends[-1] = self.num_edges
        quota = np.minimum(np.diff(ends, prepend=0), most)
        while (missing := self.num_edges - int(quota.sum())) > 0:
            room = np.flatnonzero(quota < most)[:missing]
            quota[room] += 1
        return quota

    def features(self) -> Iterator[NDArray[np.float32]]:
        """Draw the features: blocks of rows."""
        means = self.means()
        for block, ids in enumerate(cuts(self.num_nodes)):
            noise = self.generator(5, block).standard_normal(
                (len(ids), self.spec.channels), dtype=np.float32
            )
            yield noise + means[self.community[ids]]

    def means(self) -> NDArray[np.float32]:
        """Return what the features of each community are like."""
        shape = (int(self.community.max()) + 1, self.spec.channels)
        means = self.generator(6).standard_normal(shape, dtype=np.float32)
        return np.asarray(means * (_SIGNAL / np.linalg.norm(means, axis=1, keepdims=True)))

    def labels(self) -> Iterator[NDArray[np.int64]]:
        """Draw the labels: blocks `[nodes, tasks]`."""
        tasks, classes = self.spec.num_tasks, self.spec.num_classes
        likely = self.generator(7).beta(0.3, 0.7, (int(self.community.max()) + 1, tasks))
        for block, ids in enumerate(cuts(self.num_nodes)):
            generator, of = self.generator(8, block), self.community[ids]
            if tasks > 1:
                yield (generator.random((len(ids), tasks)) < likely[of]).astype(np.int64)
                continue
            any_class = generator.integers(classes, size=len(ids))
            keep = generator.random(len(ids)) >= _NOISE
            yield np.where(keep, of, any_class).reshape(-1, 1)

    def extra(self) -> Iterator[NDArray[np.int64]]:
        """Draw the year, or the species, of each node, which is what the split goes by."""
        ranges = _SPECIES if self.spec.extra == "node_species" else _YEARS
        low, high = np.array([ranges[part] for part in (*PARTS, "")]).T
        for block, ids in enumerate(cuts(self.num_nodes)):
            of = self.part[ids]
            yield self.generator(9, block).integers(low[of], high[of] + 1).reshape(-1, 1)

    def edge_features(self, edges: NDArray[np.int64], block: int) -> NDArray[np.float64]:
        """Draw features in (0, 1] for a block of edges, by the communities at both ends."""
        means = self.generator(6).random((int(self.community.max()) + 1, self.spec.channels))
        noise = 0.2 * self.generator(10, block).standard_normal((edges.shape[1], means.shape[1]))
        middle = means[self.community[edges[0]]] + means[self.community[edges[1]]]
        return np.clip(middle / 2 + noise, 0.001, 1.0)


def cuts(count: int) -> Iterator[NDArray[np.int64]]:
    """Cut the ids 0..count-1 into blocks.

    Args:
        count: How many.

    Example:
        >>> [len(ids) for ids in cuts(70_000)]
        [65536, 4464]
    """
    for start in range(0, count, _ROWS):
        yield np.arange(start, min(start + _ROWS, count))
