"""The heterophilous graphs of Platonov et al. 2023, https://arxiv.org/abs/2302.11640, raw."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphattn.datasets.public_raw import RawFiles, whole
from graphattn.datasets.sparse_rows import dense_blocks

_MASKS = ("train_masks", "val_masks", "test_masks")


class HeterophilousFiles(RawFiles):
    """One `.npz`: node_features, node_labels, edges `[pairs, 2]`, masks `[splits, nodes]`.

    A pair of `edges` stands for both directions. The splits are the authors' own.

    Example:
        >>> from pathlib import Path
        >>> from graphattn.datasets.public_table import PUBLIC
        >>> HeterophilousFiles(Path("nowhere"), PUBLIC["heterophilous-questions"]).stat()
        {}
    """

    def num_nodes(self) -> int:
        """Read the number of nodes: rows of features."""
        return len(self._features())

    def edges(self) -> NDArray[np.int64]:
        """Read the pairs, `[2, pairs]`."""
        (pairs,) = self.arrays("edges")
        if pairs.ndim != 2 or pairs.shape[1] != 2:
            raise ValueError(
                f"edges in {self.path(self.spec.files[0])} must be [pairs, 2]: "
                f"got {list(pairs.shape)}."
            )
        return whole(pairs, "edges").T

    def features(self) -> Iterator[NDArray[np.float32]]:
        """Read the features in blocks of rows."""
        return dense_blocks(self._features())

    def labels(self) -> NDArray[np.int64]:
        """Read the classes."""
        (y,) = self.arrays("node_labels")
        return whole(y, "node_labels")

    def splits(self, y: NDArray[np.int64]) -> NDArray[np.int8]:
        """Read the authors' splits."""
        masks = self.arrays(*_MASKS)
        path = self.path(self.spec.files[0])
        shape = (*masks[0].shape[:1], len(y))
        for key, mask in zip(_MASKS, masks, strict=True):
            if mask.dtype != bool or mask.shape != shape:
                raise ValueError(
                    f"{key} in {path} must be booleans [splits, {len(y)}], as many splits as the "
                    f"others: got {mask.dtype} {list(mask.shape)}."
                )
        table = np.full(masks[0].shape, -1, np.int8)
        if (np.sum(masks, axis=0) > 1).any():
            number, node = np.argwhere(np.sum(masks, axis=0) > 1)[0]
            raise ValueError(
                f"masks in {path} must not overlap: split {number} has node {node} in two parts."
            )
        for part, mask in enumerate(masks):
            table[mask] = part
        return table

    def _features(self) -> NDArray[Any]:
        (x,) = self.arrays("node_features")
        if x.ndim != 2:
            raise ValueError(
                f"node_features in {self.path(self.spec.files[0])} must be [nodes, channels]: "
                f"got {list(x.shape)}."
            )
        return x
