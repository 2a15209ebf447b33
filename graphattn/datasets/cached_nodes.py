"""What the caches of all raw data sets hold alike: features, labels, edges, and facts of them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphattn.datasets.npz import CorruptDataset
from graphattn.files import read_array


@dataclass(frozen=True, eq=False)
class CachedNodes:
    """The nodes of a data set as they lie in its cache, memory-mapped.

    Attributes:
        folder: Of the cache; `graph` in it is what `CSRGraph.load` reads.
        x: Features `[nodes, channels]`, float32.
        y: Classes `[nodes]`, int64, or `[nodes, tasks]`; -1 where there is no label.
        mean: Of each feature, float64.
        std: Of each feature, float64.
        largest: The largest size of a feature.
        digest: Hash of features and labels.

    Example:
        >>> CachedNodes.__name__
        'CachedNodes'
    """

    folder: Path
    x: Tensor
    y: Tensor
    mean: Tensor
    std: Tensor
    largest: float
    digest: str


def read_nodes(folder: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Map the nodes of a cache.

    Args:
        folder: Of the cache.
        manifest: Its manifest.

    Returns:
        The fields of `CachedNodes`.

    Raises:
        CorruptDataset: The cache is damaged.

    Example:
        >>> read_nodes(Path("nowhere"), {"facts": {}, "files": {}})
        Traceback (most recent call last):
        ...
        graphattn.datasets.npz.CorruptDataset: nowhere is damaged ('mean'): delete it to build ...
    """
    with damage_told(folder):
        facts, digests = manifest["facts"], manifest["files"]
        mean, std = (torch.tensor(facts[key], dtype=torch.float64) for key in ("mean", "std"))
        x, y = (read_array(folder / f"{key}.npy", mmap=True) for key in ("x", "y"))
        return {
            "folder": folder,
            "x": torch.from_numpy(x),
            "y": torch.from_numpy(y if y.ndim == 1 else y.astype(np.int64)),
            "mean": mean,
            "std": std,
            "largest": float(facts["largest"]),
            "digest": f"{digests['x.npy']}{digests['y.npy']}",
        }


def read_edges(folder: Path) -> Tensor:
    """Read the edges of a cache into memory, 16 bytes each.

    Args:
        folder: Of the cache.

    Returns:
        Sources and targets `[2, edges]`, ordered by target, then source.

    Raises:
        ValueError: They are damaged.

    Example:
        >>> read_edges(Path("nowhere"))
        Traceback (most recent call last):
        ...
        graphattn.corrupt.CorruptFile: nowhere...rowptr.npy cannot be read as an array ...
    """
    csr = (read_array(folder / "graph" / f"{key}.npy", mmap=True) for key in ("rowptr", "col"))
    rowptr, col = csr
    edges = np.empty((2, len(col)), np.int64)
    edges[0] = col
    edges[1] = np.repeat(np.arange(len(rowptr) - 1), np.diff(rowptr))
    return torch.from_numpy(edges)


@contextmanager
def damage_told(folder: Path) -> Iterator[None]:
    """Within it, whatever a damaged cache raises when it is read says that, and what mends it.

    Args:
        folder: Of the cache.

    Raises:
        CorruptDataset: The cache is damaged.

    Example:
        >>> with damage_told(Path("cache")):
        ...     {}["x"]
        Traceback (most recent call last):
        ...
        graphattn.datasets.npz.CorruptDataset: cache is damaged ('x'): delete it to build it anew.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        told = f"{folder} is damaged ({error}): delete it to build it anew."
        raise CorruptDataset(told) from error
