"""snap-patents and pokec as LINKX publishes them (Lim et al. 2021, arxiv.org/abs/2110.14446)."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphattn.datasets.matlab import MatlabFile
from graphattn.datasets.public_raw import RawFiles, draw_splits, whole
from graphattn.datasets.sparse_rows import dense_blocks

_SHARES, _COUNT = (0.5, 0.25, 0.25), 5


class LinkxFiles(RawFiles):
    """One `.mat`: edge_index `[2, edges]`, node_feat `[nodes, channels]`, num_nodes, and classes.

    Classes are `label`, or the five quantiles of `years` as `year_classes` cuts them. Edges keep
    their direction. Five random splits of 50/25/25 of the labelled nodes are drawn. Those LINKX
    used are a file of their own, `<name>-splits.npy`, that must be downloaded from its repository;
    it is a pickle, and must be made a plain table before it is read here.

    Example:
        >>> from pathlib import Path
        >>> from graphattn.datasets.public_table import PUBLIC
        >>> LinkxFiles(Path("nowhere"), PUBLIC["pokec"]).stat()
        {}
    """

    def num_nodes(self) -> int:
        """Read the number of nodes: rows of the features, and `num_nodes` if it is there."""
        file = self._file()
        file.need("edge_index", "node_feat", self._target)
        rows = int(file.shapes["node_feat"][0])
        if "num_nodes" in file.shapes:
            counts = whole(file.flat("num_nodes"), "num_nodes").tolist()
            if counts != [rows]:
                raise ValueError(
                    f"num_nodes in {self.path(self.spec.files[0])} must be {rows}, the rows of "
                    f"node_feat: got {counts[:3]}."
                )
        return rows

    def edges(self) -> NDArray[np.int64]:
        """Read the edges as they are listed."""
        edges = self._file().read("edge_index")
        if not isinstance(edges, np.ndarray) or edges.ndim != 2 or edges.shape[0] != 2:
            raise ValueError(
                f"edge_index in {self.path(self.spec.files[0])} must be [2, edges]: "
                f"got {list(edges.shape)}."
            )
        return whole(edges, "edge_index")

    def features(self) -> Iterator[NDArray[np.float32]]:
        """Read the features in blocks of rows; sparse ones are held sparse."""
        matrix: Any = self._file().read("node_feat")
        if matrix.ndim != 2:
            raise ValueError(
                f"node_feat in {self.path(self.spec.files[0])} must be [nodes, channels]: "
                f"got {list(matrix.shape)}."
            )
        return dense_blocks(matrix)

    def labels(self) -> NDArray[np.int64]:
        """Read the classes, or cut the years into them."""
        values = self._file().flat(self._target)
        if self._target == "years":
            return year_classes(values, self.spec.num_classes)
        if values.dtype.kind == "f":
            values = np.where(np.isnan(values), -1, values)
        return whole(values, self._target)

    def splits(self, y: NDArray[np.int64]) -> NDArray[np.int8]:
        """Draw the splits."""
        return draw_splits(y, _SHARES, _COUNT)

    @property
    def _target(self) -> str:
        return "years" if self.spec.name == "snap-patents" else "label"

    def _file(self) -> MatlabFile:
        return MatlabFile(self.path(self.spec.files[0]))


def year_classes(years: NDArray[Any], num_classes: int) -> NDArray[np.int64]:
    """Cut numbers into classes at their quantiles, as LINKX does.

    A class is the number of quantiles 1/n, 2/n, ..., (n-1)/n that a year is not below.

    Args:
        years: Any numbers; NaN has the class -1.
        num_classes: n.

    Example:
        >>> year_classes(np.array([1990, 1991, 1991, 1999]), 2).tolist()
        [0, 1, 1, 1]
    """
    known = ~np.isnan(years) if years.dtype.kind == "f" else np.ones(len(years), bool)
    classes = np.full(len(years), -1, np.int64)
    if known.any():
        cuts = np.quantile(years[known], np.arange(1, num_classes) / num_classes)
        classes[known] = np.searchsorted(cuts, years[known], side="right")
    return classes
