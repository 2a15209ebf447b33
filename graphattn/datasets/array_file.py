"""One ``.npy`` file written from front to back, block by block: all of it, or nothing."""

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.lib import format as format_
from numpy.typing import NDArray

from graphattn.files import check_space, sync_folder


class ArrayFile:
    """A ``.npy`` file of known shape that comes in blocks of rows.

    Use it in a ``with`` statement: what is not closed at its end is removed.

    Args:
        path: Where the file will stand; an older one is replaced by :meth:`close`.
        shape: Of the whole array.
        dtype: Of its numbers.

    Raises:
        OSError: The disk is too small.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "x.npy"
        >>> with ArrayFile(path, (3, 2), np.float32) as file:
        ...     file.write(np.zeros((2, 2)))
        ...     file.write(np.ones((1, 2)))
        ...     len(file.close()), np.load(path).tolist()
        (32, [[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: Any) -> None:
        self._path, self._shape, self._dtype = path, shape, np.dtype(dtype)
        self._rows = 0
        self._digest = xxhash.xxh3_128(f"{self._dtype.str}{shape}".encode())
        size = int(np.prod(shape, dtype=np.int64)) * self._dtype.itemsize + 128
        check_space(path.parent, size)
        self._partial = path.with_name(f"{path.name}.part")
        self._file = self._partial.open("wb")
        try:
            if hasattr(os, "posix_fallocate"):  # a full disk is an error here, not in hours
                os.posix_fallocate(self._file.fileno(), 0, size)
            head = {"descr": self._dtype.str, "fortran_order": False, "shape": shape}
            format_.write_array_header_1_0(self._file, head)
        except OSError:
            self.drop()
            raise

    def __enter__(self) -> "ArrayFile":
        """Returns itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Removes what was not closed."""
        self.drop()

    def write(self, rows: NDArray[Any]) -> None:
        """Add rows.

        Raises:
            ValueError: They are of another width, or more than the array has.
            OSError: The disk is full or cannot be written.
        """
        if rows.shape[1:] != self._shape[1:] or self._rows + len(rows) > self._shape[0]:
            raise ValueError(
                f"{self._path.name} must hold {list(self._shape)} numbers: got rows "
                f"{self._rows} to {self._rows + len(rows)} of shape {list(rows.shape[1:])}."
            )
        block = np.ascontiguousarray(rows, dtype=self._dtype)
        flat = block.reshape(-1).view(np.uint8).data
        self._file.write(flat)
        self._digest.update(flat)
        self._rows += len(rows)

    def close(self) -> str:
        """Put the file in its place.

        Returns:
            Its hash, as :func:`graphattn.files.digest_arrays` computes it.

        Raises:
            ValueError: Rows are missing; nothing is left of the file.
            OSError: The disk is full or cannot be written.
        """
        if self._rows != self._shape[0]:
            self.drop()
            raise ValueError(
                f"{self._path.name} must hold {self._shape[0]:,} rows: got {self._rows:,}."
            )
        try:
            self._file.truncate()
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        except OSError as error:
            self.drop()
            if error.errno == errno.ENOSPC:
                raise OSError(errno.ENOSPC, f"the disk of {self._path} is full") from error
            raise
        self._partial.replace(self._path)
        sync_folder(self._path.parent)
        return self._digest.hexdigest()

    def drop(self) -> None:
        """Remove what was written so far; a file that is in its place stays."""
        try:
            self._file.close()
        finally:
            self._partial.unlink(missing_ok=True)
