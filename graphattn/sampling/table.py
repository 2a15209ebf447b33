"""A table of rows, whole or cut into shards, in memory or memory-mapped, that rows come from."""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from graphattn.files import read_array


class Table:
    """Rows of float32 numbers, cut into shards of equal length but the last.

    Args:
        shards: At least one tensor, of equal shapes but for the number of rows.

    Example:
        >>> table = Table([torch.zeros(2, 3), torch.ones(1, 3)])
        >>> table.gather(torch.tensor([2, 0]))[:, 0]
        tensor([1., 0.])
    """

    def __init__(self, shards: Sequence[Tensor]) -> None:
        self._shards = list(shards)
        self._shard_rows = max(1, self._shards[0].shape[0])
        rows = sum(shard.shape[0] for shard in self._shards)
        self.shape = (rows, *self._shards[0].shape[1:])

    @classmethod
    def open(cls, paths: Sequence[Path], shape: tuple[int, ...], shard_rows: int) -> "Table":
        """Maps shards from files.

        Args:
            paths: One ``.npy`` file a shard.
            shape: What the whole table must measure.
            shard_rows: Rows of each shard but the last.

        Returns:
            The table.

        Raises:
            ValueError: A shard is missing, truncated, or of another type or shape.

        Example:
            >>> Table.open([], (0, 3), 4).shape
            (0, 3)
        """
        shards = []
        for i, path in enumerate(paths):
            array = read_array(path, mmap=True)
            rows = min(shard_rows, shape[0] - i * shard_rows)
            if array.dtype.str != "<f4" or array.shape != (rows, *shape[1:]):
                raise ValueError(
                    f"shard {path} must be float32 of shape {[rows, *shape[1:]]}: "
                    f"got {array.dtype} of shape {list(array.shape)}; build the store again."
                )
            shards.append(torch.from_numpy(array))
        return cls(shards or [torch.zeros(shape)])

    def whole(self) -> Float32[Tensor, "nodes ..."]:
        """Returns all rows: the shard itself where there is but one, else a copy."""
        return self._shards[0] if len(self._shards) == 1 else torch.cat(self._shards)

    def gather(self, rows: Int64[Tensor, " rows"]) -> Float32[Tensor, "rows ..."]:
        """Copies rows; fastest when they are sorted.

        Args:
            rows: Indices of rows; may repeat.

        Returns:
            The rows, in the order asked for.

        Raises:
            IndexError: There is no such row.
        """
        if len(self._shards) == 1:
            return self._shards[0].index_select(0, rows)
        if rows.numel() == 0:
            return torch.empty(0, *self.shape[1:])
        ordered, order = rows.sort()
        if ordered[0] < 0 or ordered[-1] >= self.shape[0]:
            raise IndexError(
                f"rows run from 0 to {self.shape[0] - 1}: "
                f"got some from {int(ordered[0])} to {int(ordered[-1])}."
            )
        out = torch.empty(rows.numel(), *self.shape[1:])
        first = int(ordered[0]) // self._shard_rows
        last = int(ordered[-1]) // self._shard_rows
        cuts = torch.arange(first, last + 2) * self._shard_rows
        bounds = torch.searchsorted(ordered, cuts).tolist()
        for shard in range(first, last + 1):
            start, stop = bounds[shard - first], bounds[shard - first + 1]
            local = ordered[start:stop] - shard * self._shard_rows
            torch.index_select(self._shards[shard], 0, local, out=out[start:stop])
        if torch.equal(ordered, rows):
            return out
        return torch.empty_like(out).index_copy_(0, order, out)
