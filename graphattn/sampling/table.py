"""A table of rows, whole or cut into shards, in memory or memory-mapped, that rows come from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from graphattn.corrupt import CorruptFile
from graphattn.files import read_array
from graphattn.kernels.gather import gather_rows
from graphattn.sampling.buffers import Buffers


class Table:
    """Rows of float32 or float16 numbers, cut into shards of equal length but the last.

    Args:
        shards: At least one tensor, of equal types and shapes but for the number of rows.

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
        self.dtype = self._shards[0].dtype
        self.device = self._shards[0].device

    @classmethod
    def open(
        cls,
        paths: Sequence[Path],
        shape: tuple[int, ...],
        shard_rows: int,
        dtype: Literal["float32", "float16"] = "float32",
    ) -> "Table":
        """Maps shards from files.

        Args:
            paths: One ``.npy`` file a shard.
            shape: What the whole table must measure.
            shard_rows: Rows of each shard but the last.
            dtype: Type of the numbers.

        Returns:
            The table.

        Raises:
            CorruptFile: A shard is missing, truncated, or of another type or shape.

        Example:
            >>> Table.open([], (0, 3), 4).shape
            (0, 3)
        """
        shards = []
        for i, path in enumerate(paths):
            array = read_array(path, mmap=True)
            rows = min(shard_rows, shape[0] - i * shard_rows)
            if array.dtype != np.dtype(dtype) or array.shape != (rows, *shape[1:]):
                raise CorruptFile(
                    f"shard {path} must be {dtype} of shape {[rows, *shape[1:]]}: "
                    f"got {array.dtype} of shape {list(array.shape)}."
                )
            shards.append(torch.from_numpy(array))
        return cls(shards or [torch.zeros(shape, dtype=getattr(torch, dtype))])

    def to(self, device: torch.device | str) -> "Table":
        """Returns a table in the memory of a device: itself if it lies there."""
        whole = self.whole()
        return self if whole.device == torch.device(device) else Table([whole.to(device)])

    def whole(self) -> Float[Tensor, "nodes ..."]:
        """Returns all rows: the shard itself where there is but one, else a copy."""
        return self._shards[0] if len(self._shards) == 1 else torch.cat(self._shards)

    def gather(
        self, rows: Int64[Tensor, " rows"], buffers: Buffers | None = None
    ) -> Float[Tensor, "rows ..."]:
        """Copies rows; fastest when they are sorted.

        Args:
            rows: Indices of rows; may repeat.
            buffers: Where memory comes from; by default it is allocated.

        Returns:
            The rows, in the order asked for, on the table's device.

        Raises:
            IndexError: There is no such row.
        """
        if self.device.type != "cpu":
            return self._shards[0].index_select(0, rows.to(self.device, non_blocking=True))
        shape = (rows.numel(), *self.shape[1:])
        out = (
            torch.empty(shape, dtype=self.dtype)
            if buffers is None
            else buffers.take(shape, self.dtype)
        )
        target, wanted = out.numpy(), rows.numpy()
        if len(self._shards) == 1:
            gather_rows(self._shards[0].numpy(), wanted, target)
            return out
        order = None if (wanted[:-1] <= wanted[1:]).all() else np.argsort(wanted, kind="stable")
        ordered = wanted if order is None else wanted[order]
        if ordered.size and (ordered[0] < 0 or ordered[-1] >= self.shape[0]):
            raise IndexError(
                f"rows run from 0 to {self.shape[0] - 1}: got some from {ordered[0]} "
                f"to {ordered[-1]}."
            )
        starts = np.arange(len(self._shards) + 1) * self._shard_rows
        bounds = np.searchsorted(ordered, starts)
        for shard, start, first, last in zip(
            self._shards, starts, bounds[:-1], bounds[1:], strict=False
        ):
            if first < last:
                gather_rows(shard.numpy(), ordered[first:last] - start, target[first:last])
        if order is None:
            return out
        return torch.empty_like(out).index_copy_(0, torch.from_numpy(order), out)
