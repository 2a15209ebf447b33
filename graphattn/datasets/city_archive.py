"""The archives of City-Networks: tensors, read straight from a `.tar.gz` without running code."""

import io
import pickle
import tarfile
import warnings
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphattn.datasets.npz import UNREADABLE, CorruptDataset
from graphattn.datasets.public_raw import RawFiles, corrupt, whole

NODE_CHANNELS, EDGE_CHANNELS = 12, 25
_PARTS = ("train_mask.pt", "valid_mask.pt", "test_mask.pt")
_EDGES, _LABELS = "edge_indices.pt", "10-chunk_16-hop_node_labels.pt"
_MOST_BYTES, _MOST_FILES = 2**32, 1000  # of an archive, unpacked
_PLAIN = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE)
_UNREADABLE = (
    *UNREADABLE,
    tarfile.TarError,
    AttributeError,
    IndexError,
    pickle.UnpicklingError,
)


class CityArchive(RawFiles):
    """One `<city>.tar.gz` of the authors: a tensor a file, in a folder of the city's name.

    Nothing is unpacked to disk. Only the tensors that are needed are read, by
    `torch.load(weights_only=True)`; an archive with a link, a device or a path that leads out of
    its folder is refused as a whole. A name that ends in `-plain` takes the features of the
    junctions alone (12), others also the mean of their roads (37).

    Example:
        >>> from pathlib import Path
        >>> from graphattn.datasets.public_table import PUBLIC
        >>> CityArchive(Path("nowhere"), PUBLIC["city-networks-paris"]).stat()
        {}
    """

    def num_nodes(self) -> int:
        """Read the number of nodes: rows of features."""
        return len(self._features())

    def edges(self) -> NDArray[np.int64]:
        """Read the edges, which must go both ways."""
        (edges,) = self._tensors(_EDGES)
        if edges.dim() != 2 or edges.size(0) != 2:
            raise self._wrong(_EDGES, "be [2, edges]", list(edges.shape))
        found = whole(edges.numpy(), _EDGES)
        if found.size:
            most = int(found.max()) + 1
            there, back = (np.unique(a * most + b) for a, b in (found, found[::-1]))
            if not np.array_equal(there, back):
                lost = np.setdiff1d(there, back).size
                raise self._wrong(_EDGES, "go both ways", f"{lost} edges without their reverse")
        return found

    def features(self) -> Iterator[NDArray[np.float32]]:
        """Read the features."""
        yield self._features().float().numpy()

    def labels(self) -> NDArray[np.int64]:
        """Read the classes."""
        (y,) = self._tensors(_LABELS)
        return whole(y.numpy(), _LABELS)

    def splits(self, y: NDArray[np.int64]) -> NDArray[np.int8]:
        """Read the authors' split, whose masks are lists of ids."""
        table = np.full((1, len(y)), -1, np.int8)
        for part, (name, mask) in enumerate(zip(_PARTS, self._tensors(*_PARTS), strict=True)):
            ids = mask.nonzero().view(-1).numpy() if mask.dtype == torch.bool else mask.numpy()
            ids = whole(ids, name)
            if ids.ndim != 1 or ((ids < 0) | (ids >= len(y))).any():
                raise self._wrong(name, f"list nodes 0..{len(y) - 1}", list(ids[:5]))
            shared = ids[table[0, ids] >= 0]
            if shared.size:
                raise self._wrong(name, "have no node of another part", f"node {shared[0]}")
            table[0, ids] = part
        return table

    def _features(self) -> Tensor:
        plain = self.spec.name.endswith("-plain")
        name = "node_features.pt" if plain else "node_features_augmented.pt"
        wanted = NODE_CHANNELS if plain else NODE_CHANNELS + EDGE_CHANNELS
        (x,) = self._tensors(name)
        if x.dim() != 2 or x.size(1) != wanted or not x.is_floating_point():
            raise self._wrong(name, f"be numbers [nodes, {wanted}]", f"{x.dtype} {list(x.shape)}")
        return x

    def _tensors(self, *names: str) -> list[Tensor]:
        path = self.path(self.spec.files[0])
        found: dict[str, Tensor] = {}
        total = count = 0
        try:
            with tarfile.open(path, "r:gz") as archive:
                for member in archive:
                    total, count = total + member.size, count + 1
                    place = PurePosixPath(member.name)
                    odd = place.is_absolute() or ".." in place.parts or "\\" in member.name
                    if odd or member.type not in _PLAIN:
                        raise CorruptDataset(
                            f"{path} must hold plain files below one folder: got "
                            f"{member.name[:80]!r}."
                        )
                    if total > _MOST_BYTES or count > _MOST_FILES:
                        raise CorruptDataset(
                            f"{path} must hold at most {_MOST_FILES:,} files of "
                            f"{_MOST_BYTES / 1e9:.3g} GB: got more."
                        )
                    file = archive.extractfile(member) if place.name in names else None
                    if file is not None:
                        found[place.name] = dense(load_plainly(io.BytesIO(file.read())))
        except CorruptDataset:
            raise
        except _UNREADABLE as error:
            raise corrupt(path, "an archive of tensors", error) from error
        missing = [name for name in names if name not in found]
        if missing:
            raise ValueError(f"{path} must hold {', '.join(names)}: got no {', '.join(missing)}.")
        return [found[name] for name in names]

    def _wrong(self, name: str, wanted: str, got: object) -> ValueError:
        return ValueError(f"{name} in {self.folder / self.spec.files[0]} must {wanted}: got {got}.")


def load_plainly(file: io.BytesIO | Path) -> Any:
    """Read what `torch.save` wrote, tensors and plain containers only, without a warning.

    Args:
        file: A path, or a file that is open.

    Raises:
        pickle.UnpicklingError: There is something else in it, or it is no such file.

    Example:
        >>> file = io.BytesIO()
        >>> torch.save([torch.ones(1)], file)
        >>> _ = file.seek(0)
        >>> load_plainly(file)
        [tensor([1.])]
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, before it refuses a file of other making
        return torch.load(file, map_location="cpu", weights_only=True)


def dense(loaded: object) -> Tensor:
    """Return what was loaded if it is a tensor, each of whose numbers is in the file.

    Args:
        loaded: As `load_plainly` gives it.

    Raises:
        TypeError: It is something else.
        ValueError: The file repeats numbers, so that few bytes would become many.

    Example:
        >>> dense(torch.ones(1).expand(10**15))
        Traceback (most recent call last):
        ...
        ValueError: a tensor in it has 1000000000000000 numbers in 4 bytes
    """
    if not isinstance(loaded, Tensor) or loaded.layout != torch.strided:
        raise TypeError(f"a file of it holds {type(loaded).__name__} instead of a dense tensor")
    held = loaded.untyped_storage().nbytes()
    if loaded.numel() * loaded.element_size() > held:
        raise ValueError(f"a tensor in it has {loaded.numel()} numbers in {held} bytes")
    return loaded.detach()
