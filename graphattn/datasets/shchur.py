"""The co-purchase and co-author graphs of Shchur et al. 2018, https://arxiv.org/abs/1811.05868."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from graphattn.datasets.public_raw import RawFiles, draw_splits, whole
from graphattn.datasets.sparse_rows import dense_blocks, sparse_rows

_SHARES, _COUNT = (0.6, 0.2, 0.2), 10


class ShchurFiles(RawFiles):
    """One `.npz` of two sparse matrices, `adj_*` and `attr_*`, and `labels`.

    As PyG and the published results have it, self-loops are dropped, edges go both ways and every
    feature above 0 is 1. There is no public split: ten random ones of 60/20/20 are drawn.

    Example:
        >>> from pathlib import Path
        >>> from graphattn.datasets.public_table import PUBLIC
        >>> ShchurFiles(Path("nowhere"), PUBLIC["shchur-coauthor-cs"]).stat()
        {}
    """

    def num_nodes(self) -> int:
        """Read the number of nodes: rows of the features."""
        return int(self._matrix("attr").shape[0])

    def edges(self) -> NDArray[np.int64]:
        """Read the edges but for self-loops."""
        matrix = self._matrix("adj")
        if matrix.shape[0] != matrix.shape[1]:
            raise ValueError(
                f"adj_shape in {self.path(self.spec.files[0])} must be square: "
                f"got {list(matrix.shape)}."
            )
        sources = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
        kept = sources != matrix.indices
        return np.stack([sources[kept], matrix.indices[kept].astype(np.int64)])

    def features(self) -> Iterator[NDArray[np.float32]]:
        """Read the features in blocks of rows, each 0 or 1 (negative ones as they are)."""
        for block in dense_blocks(self._matrix("attr")):
            block[block > 0] = 1
            yield block

    def labels(self) -> NDArray[np.int64]:
        """Read the classes."""
        (y,) = self.arrays("labels")
        return whole(y, "labels")

    def splits(self, y: NDArray[np.int64]) -> NDArray[np.int8]:
        """Draw the splits."""
        return draw_splits(y, _SHARES, _COUNT)

    def _matrix(self, name: str) -> csr_array:
        keys = [f"{name}_{part}" for part in ("data", "indices", "indptr", "shape")]
        data, indices, indptr, shape = self.arrays(*keys)
        what = f"{name}_* in {self.path(self.spec.files[0])}"
        size = whole(shape, f"{name}_shape").reshape(-1).tolist()
        return sparse_rows(data, indices, indptr, size, what)
