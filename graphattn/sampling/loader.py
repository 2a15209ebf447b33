"""Batches of seeds with the tokens they attend to, drawn afresh and gathered once a batch."""

import math
from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass, fields, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor

from graphattn.checks import check_least
from graphattn.kernels.distinct import distinct
from graphattn.ops.joined import joined_tokens
from graphattn.ops.neighborhood import Neighborhood, Pool
from graphattn.ops.ranks import ALONE, Ranks
from graphattn.sampling.ahead import in_order
from graphattn.sampling.bottom_k import BottomKSampler
from graphattn.sampling.buffers import Buffers
from graphattn.sampling.store import TokenStore


@dataclass(frozen=True, eq=False)
class TokenBatch:
    """One batch: what a model takes, as tensors.

    Args:
        seeds: Ids of the nodes to predict for.
        rows: The distinct nodes of the batch: their features, then those of each hop, as numbers
            of the type that the store keeps, float32 or float16.
        ids: The tokens of each seed as indices into ``rows``; column 0 is the seed.
        mask: True where a token exists.
        hop: How far each token is from its seed.
        own: Own hops of the seeds, or none.
        pe: Positions of the seeds, or none.
        y: Labels of the seeds, or none.
        joined: True where an edge goes from the second token to the first, or none.

    Example:
        >>> ids = torch.zeros(1, 2, dtype=torch.long)
        >>> mask = torch.ones(1, 2, dtype=torch.bool)
        >>> TokenBatch(ids[0, :1], torch.zeros(1, 3, 4), ids, mask, ids).to("cpu").rows.shape
        torch.Size([1, 3, 4])
    """

    seeds: Int64[Tensor, " seeds"]
    rows: Float[Tensor, "rows contexts channels"]
    ids: Int64[Tensor, "seeds samples"]
    mask: Bool[Tensor, "seeds samples"]
    hop: Int64[Tensor, "seeds samples"]
    own: Float[Tensor, "seeds own_hops channels"] | None = None
    pe: Float[Tensor, "seeds pe_channels"] | None = None
    y: Shaped[Tensor, "seeds ..."] | None = None
    joined: Bool[Tensor, "seeds samples samples"] | None = None

    def to(self, device: torch.device | str) -> "TokenBatch":
        """Moves every tensor.

        Args:
            device: Where to.

        Returns:
            A batch there.
        """
        parts: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        ahead = torch.device(device).type != "cpu"  # what comes to the CPU is read at once
        for name, part in parts.items():
            if part is not None:
                parts[name] = part.to(device, non_blocking=ahead)
        return TokenBatch(**parts)


def independent(sampler: Callable[..., Neighborhood]) -> Callable[..., Neighborhood]:
    """Returns the sampler whose draw of a node depends on (seed, epoch, node) only, if it has one.

    Args:
        sampler: Any function of the form of :func:`~graphattn.sample_neighborhood`;
            ``independent`` of one that draws for many seeds at once draws for each alone.

    Example:
        >>> independent(BottomKSampler(share=64)).share, independent(len) is len
        (1, True)
    """
    return getattr(sampler, "independent", sampler)


@runtime_checkable
class Extracted(Protocol):
    """Tokens of one draw beside the rows that they read; ``extract_tokens`` makes them."""

    def check(self, loader: "TokenLoader") -> None:
        """Refuses a loader whose batches would have other bits."""
        ...

    def holds(self, seeds: Int64[Tensor, " seeds"]) -> bool:
        """Tells whether all of some seeds were extracted."""
        ...

    def batch(self, seeds: Int64[Tensor, " seeds"]) -> TokenBatch:
        """Returns the batch of some seeds, without labels."""
        ...


@dataclass(eq=False)
class TokenLoader:
    """Iterates over batches of seeds; each pass draws what its epoch and seed say, nothing else.

    Args:
        store: Where features come from, and the graph.
        seeds: The nodes to go through.
        num_samples: Tokens a seed, itself included.
        batch_size: Seeds a batch; the last may have fewer.
        y: Labels of all nodes of the graph, or none.
        num_hops: Hops within which tokens are drawn.
        pool: ``"list"`` or ``"set"``, as for :func:`~graphattn.sample_neighborhood`; None: the
            sampler's own.
        resample: Draw anew each epoch; otherwise every epoch has the draw of epoch 0, by the
            sampler's ``independent`` where it has one, as :class:`BottomKSampler` does.
        shuffle: Go through the seeds in an order that depends on (seed, epoch).
        sampler: Any function with the signature of :func:`~graphattn.sample_neighborhood`, which
            draws exactly as the paper does; it is told the store's direction.
        adjacency: Tell which tokens of a seed are joined by an edge
            (:func:`~graphattn.ops.joined.joined_tokens`).
        num_workers: Threads that prepare batches ahead; changes no bit of any batch.
        pin_memory: Gather rows into pinned memory, which a GPU reads while it computes.
        seed: Any integer.
        ranks: Which process this is of how many that share every batch: each gets its part, by
            position, with the tokens that one process would draw. A part may be empty.
        extracted: Where the rows of these seeds lie side by side
            (:func:`~graphattn.sampling.extract.extract_tokens`), with ``resample=False``; the same
            bits, by one read a seed instead of one a token.

    Raises:
        ValueError: A size is out of its range, a seed is no node, ``y`` has not one row a node, or
            ``extracted`` is of another draw.

    Example:
        >>> from graphattn.graph import CSRGraph
        >>> graph = CSRGraph.from_edge_index(torch.tensor([[0, 1, 2], [1, 2, 0]]))
        >>> store = TokenStore.in_memory(graph, torch.eye(3))
        >>> loader = TokenLoader(store, torch.arange(3), num_samples=3, batch_size=2)
        >>> [batch.seeds.tolist() for batch in loader]
        [[0, 1], [2]]
    """

    store: TokenStore
    seeds: Int64[Tensor, " seeds"]
    _only_keywords: KW_ONLY
    num_samples: int
    batch_size: int
    y: Shaped[Tensor, "nodes ..."] | None = None
    num_hops: int = 2
    pool: Pool | None = None
    resample: bool = True
    shuffle: bool = False
    sampler: Callable[..., Neighborhood] = BottomKSampler()  # noqa: RUF009 - frozen
    adjacency: bool = False
    num_workers: int = 0
    pin_memory: bool = False
    seed: int = 0
    ranks: Ranks = ALONE
    extracted: Extracted | None = None

    def __post_init__(self) -> None:
        """Refuses what cannot be gone through; brings seeds and labels to the CPU."""
        check_least(1, num_samples=self.num_samples, batch_size=self.batch_size)
        check_least(0, num_workers=self.num_workers)
        self.seeds, self.seed = self.seeds.cpu(), int(self.seed)
        self.y = None if self.y is None else self.y.cpu()
        num_nodes = self.store.num_nodes
        if self.seeds.numel() and not 0 <= self.seeds.min() <= self.seeds.max() < num_nodes:
            bad = self.seeds[(self.seeds < 0) | (self.seeds >= num_nodes)]
            raise ValueError(
                f"seeds must be ids from 0 to {num_nodes - 1}: got {bad[:5].tolist()}, "
                f"{bad.numel()} such seeds."
            )
        if self.y is not None and self.y.shape[0] != num_nodes:
            raise ValueError(
                f"y must have one row for each of the {num_nodes} nodes: got {self.y.shape[0]}."
            )
        if self.extracted is not None:
            self.extracted.check(self)
            if self.adjacency:
                raise ValueError(
                    "adjacency needs the graph, which extracted rows do without: got both."
                )
        self._epoch = 0
        self._draw = self.sampler if self.resample else independent(self.sampler)
        self._buffers = Buffers(most=2 * self.num_workers + 2, pinned=self.pin_memory)

    def set_epoch(self, epoch: int) -> None:
        """Chooses the draw and order of the next pass.

        Args:
            epoch: 0 or more; 0 until this is called.
        """
        self._epoch = int(epoch)

    def __len__(self) -> int:
        """Number of batches in a pass."""
        return math.ceil(self.seeds.numel() / self.batch_size)

    def __iter__(self) -> Iterator[TokenBatch]:
        """Yields the batches of one pass."""
        epoch, seeds = self._epoch, self.seeds
        if self.shuffle:
            key = [self.seed & 0xFFFFFFFFFFFFFFFF, epoch]
            order = np.random.default_rng(key).permutation(seeds.numel())
            seeds = seeds.index_select(0, torch.from_numpy(order))
        parts = torch.split(seeds, self.batch_size) if seeds.numel() else ()
        yield from in_order(lambda part: self._prepare(part, epoch), parts, self.num_workers)

    def _prepare(self, batch: Tensor, epoch: int) -> TokenBatch:
        part = self.ranks.part(batch.numel())
        if self.extracted is not None:
            found = self.extracted.batch(batch[part])
            return replace(found, y=None if self.y is None else self.y.index_select(0, found.seeds))
        seeds, tokens = batch[part], self._tokens(batch, part, epoch if self.resample else 0)
        nodes, ids = distinct(tokens.ids.numpy(), self.store.num_nodes)
        return TokenBatch(
            seeds=seeds,
            rows=self.store.gather(torch.from_numpy(nodes), self._buffers),
            ids=torch.from_numpy(ids),
            mask=tokens.mask,
            hop=tokens.hop,
            own=self.store.gather_own(seeds),
            pe=self.store.gather_pe(seeds),
            y=None if self.y is None else self.y.index_select(0, seeds),
            joined=joined_tokens(self.store.graph, tokens) if self.adjacency else None,
        )

    def _tokens(self, batch: Tensor, part: slice, epoch: int) -> Neighborhood:
        """Draws for a part of a batch what is drawn for it with the whole batch."""
        options: dict[str, Any] = {} if self.pool is None else {"pool": self.pool}
        options |= {"num_hops": self.num_hops, "direction": self.store.direction}
        options |= {"seed": self.seed, "epoch": epoch}
        graph, draw = self.store.graph, self._draw
        if isinstance(draw, BottomKSampler) and not self.ranks.alone:
            return draw.of_part(graph, batch, part, self.num_samples, **options)
        if independent(draw) is draw:
            return draw(graph, batch[part], self.num_samples, **options)
        drawn = draw(graph, batch, self.num_samples, **options)
        return Neighborhood(*(table[part] for table in drawn))
