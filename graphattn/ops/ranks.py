"""Processes that train one model together, and what they tell each other: sums, rows, numbers."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from jaxtyping import Shaped
from torch import Tensor

_LONG = timedelta(days=7)  # for work that one rank does before the others


class RankLost(ConnectionError):  # noqa: N818 - reads as what happened
    """Another process of the run ended, or did not answer in time.

    Args:
        rank: Who noticed.
        why: What the connection said.

    Example:
        >>> print(RankLost(1, "Connection closed by peer"))
        rank 1 cannot go on, because another rank ended or did not answer in time (Connection ...
    """

    def __init__(self, rank: int, why: str) -> None:
        self.rank = rank
        first = re.sub(r"^\[[^]]*\] *", "", why.strip()).partition("\n")[0].partition(". ")[0]
        super().__init__(
            f"rank {rank} cannot go on, because another rank ended or did not answer in time "
            f"({first.rstrip('.')}): the same command goes on from the last checkpoint."
        )


@dataclass(frozen=True)
class Ranks:
    """One of the processes that train together, over ``torch.distributed``'s default group.

    Every method but the properties must be called by all ranks, in the same order. One process
    alone gets back what it gave, and no group is needed.

    Args:
        rank: Which one this is, from 0.
        size: How many there are.

    Example:
        >>> import torch
        >>> ALONE.sum(torch.tensor([3.0]))
        tensor([3.])
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this rank writes and speaks for all."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        """Whether there is no other."""
        return self.size == 1

    def part(self, count: int) -> slice:
        """Tells which of ``count`` things in a row are this rank's: parts differ by one at most.

        Example:
            >>> [Ranks(rank, 3).part(5) for rank in range(3)]
            [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
        """
        each, more = divmod(count, self.size)
        start = self.rank * each + min(self.rank, more)
        return slice(start, start + each + (self.rank < more))

    def sum(self, values: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        """Adds up a tensor over ranks; all get the same bits.

        Args:
            values: Of the same shape and type on every rank; left as it is.

        Raises:
            RankLost: Another rank is gone.
        """
        if self.alone:
            return values
        total = values.detach().clone(memory_format=torch.contiguous_format)
        with self._together():
            dist.all_reduce(total)
        return total

    def pack_sum(self, *values: Shaped[Tensor, "..."]) -> list[Tensor]:
        """Adds up several tensors over ranks in one message, at least in float32.

        Args:
            values: Tensors of one device, of the same shapes on every rank.

        Returns:
            Their sums, each of its own shape and type.

        Raises:
            RankLost: Another rank is gone.
        """
        if self.alone:
            return list(values)
        total = self.sum(pack(values))
        return unpack(total, values)

    def gather(self, rows: Shaped[Tensor, "rows ..."]) -> Shaped[Tensor, "all_rows ..."]:
        """Gives every rank the rows of all, in the order of ranks.

        Args:
            rows: As many as this rank has; of the same type, and shape beyond the first axis.

        Raises:
            RankLost: Another rank is gone.
        """
        if self.alone:
            return rows
        mine = torch.zeros(self.size, dtype=torch.long, device=rows.device)
        mine[self.rank] = rows.size(0)
        counts = self.sum(mine).tolist()
        padded = rows.new_zeros(max(counts), *rows.shape[1:])
        padded[: rows.size(0)] = rows.detach()
        parts = [torch.empty_like(padded) for _ in counts]
        with self._together():
            dist.all_gather(parts, padded)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    def largest(self, number: int) -> int:
        """Returns the largest of the ranks' whole numbers."""
        if self.alone:
            return number
        values = torch.tensor([number])
        with self._together():
            dist.all_reduce(values, dist.ReduceOp.MAX)
        return int(values)

    def of_first(self, content: bytes) -> bytes:
        """Returns what the first rank gave; the others' is not looked at.

        Raises:
            RankLost: Another rank is gone.
        """
        if self.alone:
            return content
        length = self.largest(len(content) if self.first else 0)
        mine = torch.zeros(length, dtype=torch.uint8)
        if self.first and length:
            mine = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        with self._together():
            dist.broadcast(mine, 0)
        return mine.numpy().tobytes()

    @contextmanager
    def first_before_others(self) -> Iterator[None]:
        """Lets the first rank go through a block, then the others, however long it takes.

        Raises:
            RankLost: Another rank is gone.
        """
        if self.alone:
            yield
            return
        with self._together():
            waiting = dist.new_group(backend="gloo", timeout=_LONG)
        if not self.first:
            with self._together():
                dist.barrier(waiting)
        yield
        if self.first:
            with self._together():
                dist.barrier(waiting)
        dist.destroy_process_group(waiting)

    @contextmanager
    def _together(self) -> Iterator[None]:
        try:
            yield
        except (RuntimeError, ValueError) as error:  # ValueError: there is no group
            raise RankLost(self.rank, str(error)) from error


ALONE = Ranks()


def pack(values: "list[Tensor] | tuple[Tensor, ...]") -> Shaped[Tensor, " numbers"]:
    """Lays tensors of any shape end to end, in the widest of their types, float32 at least.

    Args:
        values: At least one, all on one device.

    Example:
        >>> import torch
        >>> pack([torch.ones(1, 2), torch.tensor(3)])
        tensor([1., 1., 3.])
    """
    widest = torch.float32
    for value in values:
        widest = torch.promote_types(widest, value.dtype)
    return torch.cat([value.detach().reshape(-1).to(widest) for value in values])


def unpack(
    packed: Shaped[Tensor, " numbers"], like: "list[Tensor] | tuple[Tensor, ...]"
) -> list[Tensor]:
    """Cuts what :func:`pack` laid end to end into tensors of the shapes and types of others.

    Args:
        packed: As many numbers as the others hold together.
        like: Tensors whose shapes and types are taken.

    Example:
        >>> import torch
        >>> unpack(torch.tensor([1.0, 2.0, 3.0]), [torch.zeros(2, 1), torch.tensor(0)])
        [tensor([[1.], [2.]]), tensor(3)]
    """
    parts = torch.split(packed, [value.numel() for value in like])
    return [part.view(v.shape).to(v.dtype) for part, v in zip(parts, like, strict=True)]
