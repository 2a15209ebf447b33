"""The raw files of a public data set: what must be told of them, whatever their format."""

import hashlib
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from graphattn.datasets.npz import UNREADABLE, CorruptDataset
from graphattn.datasets.public_table import PublicSpec
from graphattn.datasets.splits import random_split

_MOST_BYTES = 2**33  # an archive's arrays unpack to less; more is a bomb


class RawFiles(ABC):
    """The raw files of one data set, which are only ever read.

    Args:
        folder: Holds them.
        spec: Which data set.

    Attributes:
        sha256: Of the files, by name, once `hash_all` has read them.

    Example:
        >>> issubclass(RawFiles, ABC)
        True
    """

    def __init__(self, folder: Path, spec: PublicSpec) -> None:
        self.folder, self.spec = folder, spec
        self.sha256: dict[str, str] = {}

    def stat(self) -> dict[str, list[int]]:
        """Return size and time of change of every file that is there, by name."""
        found = {}
        for name in (*self.spec.files, self.spec.own_splits):
            if (self.folder / name).is_file():
                about = (self.folder / name).stat()
                found[name] = [about.st_size, about.st_mtime_ns]
        return found

    def hash_all(self) -> None:
        """Read every file once for its sha256.

        Raises:
            ValueError: One is missing.
        """
        names = [*self.spec.files]
        if (self.folder / self.spec.own_splits).is_file():
            names.append(self.spec.own_splits)
        for name in names:
            with self.path(name).open("rb") as file:
                self.sha256[name] = hashlib.file_digest(file, "sha256").hexdigest()

    def path(self, name: str) -> Path:
        """Return where a file lies.

        Raises:
            ValueError: It is missing.
        """
        path = self.folder / name
        if not path.is_file():
            raise ValueError(f"{path} is needed: there is no such file; fetch it again.")
        return path

    def arrays(self, *keys: str) -> list[NDArray[Any]]:
        """Read arrays of the one `.npz` file; what else is in it is never looked at.

        Raises:
            ValueError: It has no such arrays; those it has are named.
            CorruptDataset: It is no archive, is torn, or one of them holds Python objects.
        """
        path = self.path(self.spec.files[0])
        try:
            with zipfile.ZipFile(path) as opened:
                sizes = {info.filename: info.file_size for info in opened.infolist()}
            names = {name.removesuffix(".npy") for name in sizes if name.endswith(".npy")}
            missing = sorted(set(keys) - names)
            if not missing and sum(sizes[f"{key}.npy"] for key in keys) > _MOST_BYTES:
                raise ValueError(f"it would unpack to more than {_MOST_BYTES} bytes")
            with np.load(path, allow_pickle=False) as archive:
                found = [archive[f"{key}.npy"] for key in keys] if not missing else []
            if not all(isinstance(array, np.ndarray) for array in found):
                raise ValueError("an entry of it is no array")
        except UNREADABLE as error:
            raise corrupt(path, "an archive of plain arrays", error) from error
        if missing:
            hint = ""
            if "edge_index" in names:
                hint = "; it is in the uniform format, which is read by its own name or path"
            raise ValueError(
                f"{path} must hold the arrays {', '.join(keys)}: got no {', '.join(missing)}{hint}."
            )
        for key, array in zip(keys, found, strict=True):
            if array.dtype.kind not in "iufb":
                raise ValueError(f"{key} in {path} must hold numbers: got {array.dtype}.")
        return found

    @abstractmethod
    def num_nodes(self) -> int:
        """Read the number of nodes."""

    @abstractmethod
    def edges(self) -> NDArray[np.int64]:
        """Read the edges, `[2, edges]`: source, target; ids are checked by whoever calls."""

    @abstractmethod
    def features(self) -> Iterator[NDArray[np.float32]]:
        """Read the features in blocks of rows."""

    @abstractmethod
    def labels(self) -> NDArray[np.int64]:
        """Read the classes `[nodes]`, -1 where there is none."""

    @abstractmethod
    def splits(self, y: NDArray[np.int64]) -> NDArray[np.int8]:
        """Read or draw the splits `[splits, nodes]`: 0 trains, 1 validates, 2 tests, -1 neither."""


def corrupt(path: Path, what: str, error: Exception) -> CorruptDataset:
    """Return the error of a file that is not what it must be.

    Args:
        path: The file.
        what: It must be.
        error: That reading it ended in.

    Example:
        >>> str(corrupt(Path("a.mat"), "a MATLAB file", EOFError("too short.")))
        'a.mat cannot be read as a MATLAB file (too short); fetch it again.'
    """
    reason = " ".join(str(error).split()).rstrip(".")[:200] or type(error).__name__
    return CorruptDataset(f"{path} cannot be read as {what} ({reason}); fetch it again.")


def whole(array: NDArray[Any], what: str) -> NDArray[np.int64]:
    """Return numbers as int64, which floats may be too if they have no fraction.

    Args:
        array: Of any shape.
        what: It is, for the message.

    Raises:
        ValueError: They are fractions, not finite, or too large.

    Example:
        >>> whole(np.array([1.0, 2.0]), "years").tolist()
        [1, 2]
    """
    if array.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            sound = (np.rint(array) == array) & (np.abs(array) < 2.0**53)
    elif array.dtype.kind == "u":
        sound = array <= np.iinfo(np.int64).max
    else:
        sound = np.array(array.dtype.kind in "ib")
    if not sound.all():
        raise ValueError(f"{what} must be whole numbers: got {array.dtype} with others among them.")
    return array.astype(np.int64)


def draw_splits(y: NDArray[np.int64], fractions: Sequence[float], count: int) -> NDArray[np.int8]:
    """Draw splits of the labelled nodes at random; that of seed s is the same whatever the count.

    Args:
        y: Classes `[nodes]`, -1 for none.
        fractions: Shares of train, validation and test.
        count: Of splits; their seeds are 0 to count - 1.

    Returns:
        As `RawFiles.splits`.

    Raises:
        ValueError: No node would be trained on.

    Example:
        >>> np.sort(draw_splits(np.zeros(8, np.int64), (0.5, 0.25, 0.25), 1)).tolist()
        [[0, 0, 0, 0, 1, 1, 2, 2]]
    """
    table = np.full((count, len(y)), -1, np.int8)
    for seed in range(count):
        split = random_split(torch.from_numpy(y), fractions, stratify=False, seed=seed)
        for part, ids in enumerate((split.train, split.val, split.test)):
            table[seed, ids.numpy()] = part
    return table
