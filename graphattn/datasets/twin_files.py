"""Files of a made data set in OGB's raw layout: gzipped tables, and archives of arrays."""

import gzip
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as format_
from numpy.typing import NDArray

from graphattn.kernels.decimal import write_decimals, write_whole

_WHOLE, _DECIMAL = 20, 24  # bytes of a number at most
_DATE = (2020, 1, 1, 0, 0, 0)  # in archives: the same seed gives the same bytes


@contextmanager
def _gzip(path: Path) -> Iterator[gzip.GzipFile]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        path.open("wb") as file,
        gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0) as zipped,
    ):
        yield zipped


def write_table(path: Path, blocks: Iterable[NDArray[Any]], *, places: int | None = None) -> None:
    """Write a table without a header.

    Args:
        path: Ends in `.csv.gz`; folders above it are made.
        blocks: Rows: whole numbers from 0 on, or floats.
        places: Decimal places of floats.

    Raises:
        OSError: The disk is full or cannot be written.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a.csv.gz"
        >>> write_table(path, [np.array([[1, 2]]), np.array([[3, 4]])])
        >>> gzip.decompress(path.read_bytes())
        b'1,2\\n3,4\\n'
    """
    with _gzip(path) as file:
        for block in blocks:
            text = np.empty(block.size * (_WHOLE if places is None else _DECIMAL), np.uint8)
            if places is None:
                size = write_whole(block.astype(np.int64, copy=False), text)
            else:
                size = write_decimals(block, places, text)
            file.write(text[:size].data)


def write_cells(path: Path, lines: Iterable[Iterable[object]]) -> None:
    """Write a small table of texts.

    Args:
        path: Ends in `.csv.gz`; folders above it are made.
        lines: Cells without commas.

    Raises:
        OSError: The disk is full or cannot be written.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a.csv.gz"
        >>> write_cells(path, [["paper", "author"], [3, 4]])
        >>> gzip.decompress(path.read_bytes())
        b'paper,author\\n3,4\\n'
    """
    with _gzip(path) as file:
        for line in lines:
            file.write(f"{','.join(map(str, line))}\n".encode())


class ArchiveFile:
    """A `.npz` archive whose arrays come in blocks, stored as they are.

    Use it in a ``with`` statement.

    Args:
        path: Ends in `.npz`; folders above it are made.

    Raises:
        OSError: The disk is full or cannot be written.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a.npz"
        >>> with ArchiveFile(path) as archive:
        ...     archive.add("ids", (3,), np.int64, [np.arange(2), np.arange(1)])
        >>> np.load(path)["ids"].tolist()
        [0, 1, 0]
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._archive = zipfile.ZipFile(path, "w", zipfile.ZIP_STORED)

    def __enter__(self) -> "ArchiveFile":
        """Returns itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Writes the archive's table of contents."""
        self._archive.close()

    def add(
        self, key: str, shape: tuple[int, ...], dtype: Any, blocks: Iterable[NDArray[Any]]
    ) -> None:
        """Add an array.

        Args:
            key: Its name.
            shape: Of all of it.
            dtype: Of its numbers.
            blocks: Its numbers in order.

        Raises:
            OSError: The disk is full or cannot be written.
        """
        about = zipfile.ZipInfo(f"{key}.npy", _DATE)
        head = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
        with self._archive.open(about, "w", force_zip64=True) as file:
            format_.write_array_header_1_0(file, head)
            for block in blocks:
                file.write(np.ascontiguousarray(block, dtype).reshape(-1).view(np.uint8).data)
