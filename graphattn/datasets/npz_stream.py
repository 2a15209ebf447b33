"""One array of a large ``.npz`` archive, read from front to back without holding it in memory."""

import zipfile
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.lib import format as format_
from numpy.typing import NDArray

from graphattn.datasets.npz import UNREADABLE, CorruptDataset

_PIECE = 1 << 24  # bytes read at once when numbers are skipped
_UNREADABLE = tuple(fault for fault in UNREADABLE if fault is not OSError)  # the disk's own


class NpzArray:
    """An array in an archive, as a stream of its numbers; nothing of it is ever unpickled.

    Use it in a ``with`` statement.

    Args:
        path: The archive.
        key: Name of the array in it.

    Attributes:
        shape: Of the array.
        dtype: Of its numbers.

    Raises:
        ValueError: There is no such file.
        CorruptDataset: It is no archive, has no such array, or one of objects or in Fortran order.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "data.npz"
        >>> np.savez_compressed(path, edge_index=np.array([[0, 1], [1, 2]]))
        >>> with NpzArray(path, "edge_index") as array:
        ...     array.skip(1)
        ...     array.read(2).tolist()
        [1, 1]
    """

    def __init__(self, path: Path, key: str) -> None:
        if not path.is_file():
            raise ValueError(f"{path} is needed: there is no such file; unpack the archive again.")
        self._path, self._key = path, key
        try:
            self._archive = zipfile.ZipFile(path)
        except _UNREADABLE as error:
            raise self._corrupt(error) from error
        try:
            self._file: IO[bytes] = self._archive.open(f"{key}.npy")
            self.shape, self.dtype = self._header()
        except _UNREADABLE as error:
            self._archive.close()
            raise self._corrupt(error) from error

    def _header(self) -> tuple[tuple[int, ...], np.dtype[Any]]:
        version = format_.read_magic(self._file)
        old = version == (1, 0)
        read = format_.read_array_header_1_0 if old else format_.read_array_header_2_0
        shape, fortran, dtype = read(self._file)
        if dtype.hasobject or dtype.kind not in "iufb" or min(shape, default=0) < 0:
            raise ValueError(f"{self._key} must hold plain numbers: got {dtype} {list(shape)}")
        if fortran and len(shape) > 1:
            raise ValueError(f"{self._key} must be stored row by row, not column by column")
        return shape, dtype

    def __enter__(self) -> "NpzArray":
        """Returns itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes the archive."""
        self._file.close()
        self._archive.close()

    def read(self, count: int) -> NDArray[Any]:
        """Read the next numbers.

        Args:
            count: How many.

        Returns:
            ``[count]``, of the type they have.

        Raises:
            CorruptDataset: There are no more, or their checksum is wrong.
        """
        try:
            out = np.empty(count, self.dtype)
            rest = memoryview(out.view(np.uint8).data)
            while rest:
                piece = self._file.read(min(len(rest), _PIECE))
                if not piece:
                    raise EOFError("it ends too early")
                rest[: len(piece)] = piece
                rest = rest[len(piece) :]
        except _UNREADABLE as error:
            raise self._corrupt(error) from error
        return out

    def skip(self, count: int) -> None:
        """Pass over the next numbers.

        Args:
            count: How many.

        Raises:
            CorruptDataset: There are no more.
        """
        most = _PIECE // self.dtype.itemsize
        for start in range(0, count, most):
            self.read(min(most, count - start))

    def _corrupt(self, error: Exception) -> CorruptDataset:
        reason = " ".join(str(error).split()).rstrip(".")
        return CorruptDataset(
            f"{self._path} cannot be read as an archive with the array {self._key} ({reason}); "
            "fetch it again."
        )
