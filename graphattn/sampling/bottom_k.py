"""The fastest sampler of tokens: the lowest of random ranks, redrawn every few epochs."""

from dataclasses import KW_ONLY, dataclass, replace
from threading import Lock
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor

from graphattn.checks import check_least
from graphattn.graph import CSRGraph
from graphattn.kernels.bottom_k import draw_bottom_k
from graphattn.kernels.csr import renumber_nodes
from graphattn.kernels.random_words import key_words
from graphattn.ops.neighborhood import Direction, Neighborhood, Pool, along, to_neighborhood

_RANKS = 0x72616E6B  # sets these permutations apart from others with the same seed


class _Ranked(NamedTuple):
    """A graph whose nodes are numbered by rank, and which ranks these are."""

    which: tuple[int, int]
    rowptr: NDArray[np.int64]
    col: NDArray[Any]
    rank: NDArray[Any]
    node_of: NDArray[Any]


_KEPT = 2  # ranks for which a renumbered graph is kept
_RANKED: WeakKeyDictionary[CSRGraph, list[_Ranked]] = WeakKeyDictionary()
_LOCK = Lock()


@dataclass(frozen=True)
class BottomKSampler:
    """Draws tokens without looking at whole pools; called as :func:`sample_neighborhood` is.

    All nodes are given random ranks, and rows are sorted by them. A seed's tokens are the nodes
    within two hops that have the lowest ranks, counted cyclically from an offset that each group
    of ``share`` seeds draws for itself. Over ranks and offsets every set of that size is as
    likely as any other, as with ``pool="set"``. Between two changes of the ranks, which cost as
    much as drawing for about a quarter of all nodes, a node's chances to be drawn are fixed and
    scatter around their mean by about one part in the square root of ``num_samples``.

    The time of a seed does not grow with its pool, only with the number of its neighbours. The
    graph renumbered by the ranks, as large as the graph itself, is kept beside it until the graph
    is dropped: for the last two ranks that were asked for, such as those of the present epoch and
    those of epoch 0, which evaluation asks for.

    Source: bottom-k sketches, Cohen and Kaplan 2007, https://doi.org/10.1145/1281100.1281133; one
    draw for many seeds, as in layer-neighbor sampling, https://arxiv.org/abs/2210.13339.

    Args:
        share: Consecutive seeds of a call that share an offset. None: all of them; then they share
            many tokens, so that a batch has few distinct nodes to gather. 1: none; then the tokens
            of a node depend on (seed, epoch, node) only, not on its batch. Otherwise they depend
            on the first seed of the group besides. The chances of each single node are the same.
        permute_every: Epochs between two changes of the ranks.

    Raises:
        ValueError: An option is below 1.

    Example:
        >>> import torch
        >>> path = CSRGraph.from_edge_index(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
        >>> tokens = BottomKSampler()(path, torch.tensor([0]), 4)
        >>> sorted(tokens.ids[0].tolist()), tokens.hop.sum().item(), tokens.mask.sum().item()
        ([0, 0, 1, 2], 3, 3)
    """

    _only_keywords: KW_ONLY
    share: int | None = None
    permute_every: int = 10

    def __post_init__(self) -> None:
        """Refuses numbers below 1."""
        if self.share is not None:
            check_least(1, share=self.share)
        check_least(1, permute_every=self.permute_every)

    @property
    def independent(self) -> "BottomKSampler":
        """This sampler with an offset for each seed: a node's tokens depend on nothing else.

        So tokens that are to be the same in whatever batch a node comes are drawn, such as those
        of evaluation.
        """
        return replace(self, share=1)

    def __call__(
        self,
        graph: CSRGraph,
        seeds: Int64[Tensor, " seeds"],
        num_samples: int,
        *,
        num_hops: int = 2,
        pool: Pool = "set",
        direction: Direction = "in",
        seed: int = 0,
        epoch: int = 0,
    ) -> Neighborhood:
        """Draws tokens around each seed.

        Args:
            graph: The graph.
            seeds: Ids of nodes; may repeat.
            num_samples: Columns of the result, the seed included.
            num_hops: 1 or 2.
            pool: ``"set"``.
            direction: As for :func:`sample_neighborhood`.
            seed: Any integer.
            epoch: Another epoch is another draw.

        Returns:
            As :func:`sample_neighborhood` does; tokens are ordered by rank.

        Raises:
            ValueError: An option is not among those, a size out of its range, or a seed no node.
        """
        if pool != "set":
            raise ValueError(
                f"pool must be 'set' for BottomKSampler: got {pool!r}; "
                "sample_neighborhood draws from lists."
            )
        if num_hops not in (1, 2):
            raise ValueError(
                f"num_hops must be 1 or 2 for BottomKSampler: got num_hops={num_hops}; "
                "sample_neighborhood goes further."
            )
        nodes = seeds.cpu().numpy()
        which = (int(key_words(seed)[0]), int(epoch) // self.permute_every)
        share = self.share or max(nodes.size, 1)

        def draw(rows: CSRGraph, columns: int, stream: int) -> Neighborhood:
            _, rowptr, col, rank, node_of = _with_ranks(rows, which)
            arrays, key = (rowptr, col, rank, node_of, nodes), (stream, int(epoch))
            return to_neighborhood(draw_bottom_k(*arrays, columns, num_hops, share, key))

        return along(draw, graph, num_samples, num_hops=num_hops, direction=direction, seed=seed)

    def of_part(
        self,
        graph: CSRGraph,
        seeds: Int64[Tensor, " seeds"],
        part: slice,
        num_samples: int,
        **options: Any,
    ) -> Neighborhood:
        """Draws for some consecutive seeds what a call with all of them draws for these.

        Costs one row more than the part has, for the seed that leads the others of its group.

        Args:
            graph: The graph.
            seeds: Ids of nodes, such as a batch that several processes share.
            part: Which of them, with a start, a stop and no step.
            num_samples: Columns of the result, the seed included.
            options: As for a call.

        Returns:
            The rows of the part.

        Raises:
            ValueError: As for a call.

        Example:
            >>> import torch
            >>> ring = CSRGraph.from_edge_index(torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]]))
            >>> seeds, sampler = torch.tensor([3, 1, 0, 2]), BottomKSampler()
            >>> part, whole = sampler.of_part(ring, seeds, slice(2, 4), 2), sampler(ring, seeds, 2)
            >>> torch.equal(part.ids, whole.ids[2:])
            True
        """
        start, stop, _ = part.indices(seeds.numel())
        share = self.share or max(seeds.numel(), 1)
        begun = start % share  # how many seeds of the first group come before the part
        if not begun:
            return self(graph, seeds[start:stop], num_samples, **options)
        turn = min(stop, start - begun + share)
        led = torch.cat([seeds[start - begun : start - begun + 1], seeds[start:turn]])
        first = replace(self, share=None)(graph, led, num_samples, **options)
        rest = self(graph, seeds[turn:stop], num_samples, **options)
        return Neighborhood(*(torch.cat([a[1:], b]) for a, b in zip(first, rest, strict=True)))


def _with_ranks(graph: CSRGraph, which: tuple[int, int]) -> _Ranked:
    """Finds the graph numbered by these ranks, or makes it and forgets the one asked for least."""
    with _LOCK:
        kept = _RANKED.setdefault(graph, [])
        found = [ranked for ranked in kept if ranked.which == which]
        if not found:
            del kept[: len(kept) - _KEPT + 1]  # before the new one: no more at once than are kept
            generator = np.random.default_rng([int(word) for word in key_words(*which, _RANKS)])
            rank = generator.permutation(np.arange(graph.num_nodes, dtype=graph.col.dtype))
            node_of = np.empty_like(rank)
            node_of[rank] = np.arange(graph.num_nodes, dtype=rank.dtype)
            rows = renumber_nodes(graph.rowptr, graph.col, rank)
            found = [_Ranked(which, *rows, rank, node_of)]
        kept[:] = [ranked for ranked in kept if ranked.which != which] + found
        return found[0]
