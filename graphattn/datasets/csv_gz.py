"""Gzipped tables of numbers, read in blocks: every byte hashed, the first bad line named."""

import hashlib
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from graphattn.datasets.npz import CorruptDataset
from graphattn.kernels.decimal import parse_numbers, parse_whole

_COMPRESSED = 1 << 20  # bytes read at once
_BLOCK = 1 << 24  # bytes of text at once
_MOST_COLUMNS = 1 << 16
_SMALL = 1 << 16  # bytes of a table of names
_LONGEST = 32 * _MOST_COLUMNS  # bytes of a line

Parser = Callable[[NDArray[np.uint8], NDArray[Any]], tuple[int, int, int]]


class CsvGz:
    """One ``.csv.gz`` file without a header; read it once by :meth:`whole` or :meth:`numbers`.

    Args:
        path: The file.
        columns: Of each line; by default as many as the first line has.
        rows: Lines there must be; by default any number.
        noted: Called with the sha256 of the file, once all of it has been read.
        progress: Show a bar, if there is a terminal.

    Raises:
        ValueError: There is no such file.

    Example:
        >>> import gzip, tempfile
        >>> path = Path(tempfile.mkdtemp()) / "edge.csv.gz"
        >>> path.write_bytes(gzip.compress(b"0,1\\n1,2\\n"))
        28
        >>> [block.tolist() for block in CsvGz(path, columns=2).whole(0, 2)]
        [[[0, 1], [1, 2]]]
    """

    def __init__(
        self,
        path: Path,
        *,
        columns: int | None = None,
        rows: int | None = None,
        noted: Callable[[str], None] | None = None,
        progress: bool = False,
    ) -> None:
        if not path.is_file():
            raise ValueError(f"{path} is needed: there is no such file; unpack the archive again.")
        self._path, self._columns, self._rows = path, columns, rows
        self._noted, self._progress = noted, progress
        self._done = 0

    def whole(self, low: int, high: int) -> Iterator[NDArray[np.int64]]:
        """Read whole numbers.

        Args:
            low: The least there may be.
            high: The largest there may be.

        Returns:
            Blocks of lines, int64 ``[lines, columns]``.

        Raises:
            ValueError: A line holds something else (it is named), or there are more or fewer lines.
            CorruptDataset: The file is torn.
            OSError: It cannot be read.
        """

        def parse(text: NDArray[np.uint8], out: NDArray[Any]) -> tuple[int, int, int]:
            return parse_whole(text, low, high, out)

        return self._blocks(parse, np.int64, f"whole numbers from {low} to {high}")

    def numbers(self, dtype: type = np.float32, *, missing: bool = False) -> Iterator[NDArray[Any]]:
        """Read numbers.

        Args:
            dtype: What to round them to.
            missing: Whether empty cells, and nan, stand for NaN.

        Returns:
            Blocks of lines, ``[lines, columns]``.

        Raises:
            ValueError: A line holds something else (it is named), or there are more or fewer lines.
            CorruptDataset: The file is torn.
            OSError: It cannot be read.
        """

        def parse(text: NDArray[np.uint8], out: NDArray[Any]) -> tuple[int, int, int]:
            return parse_numbers(text, missing, out)

        return self._blocks(parse, dtype, "numbers, or nothing" if missing else "finite numbers")

    def cells(self) -> list[list[str]]:
        """Read a small table of texts, such as a header and its values.

        Returns:
            The cells of each line.

        Raises:
            ValueError: It holds more than 64 KiB, or is no text.
            CorruptDataset: The file is torn.
            OSError: It cannot be read.
        """
        lines: list[str] = []
        size = 0
        with self._path.open("rb") as file:
            for text in self._lines(file):
                size += len(text)
                if size > _SMALL or not text.isascii():
                    raise ValueError(
                        f"{self._path} must be a small table of names: got {size:,} bytes of text."
                    )
                lines += text.decode("ascii").splitlines()
        return [line.split(",") for line in lines]

    def _blocks(self, parse: Parser, dtype: type, what: str) -> Iterator[NDArray[Any]]:
        with self._path.open("rb") as file:
            for text in self._lines(file):
                columns = self._width(text)
                lines = text.count(b"\n")
                if self._rows is not None and self._done + lines > self._rows:
                    raise ValueError(
                        f"{self._path} must have {self._rows:,} lines: got more; "
                        "its count and its lines are of different data."
                    )
                most = len(text) // columns + 1  # a cell takes a byte, so no row is left out
                out: NDArray[Any] = np.empty((min(lines, most), columns), dtype=dtype)
                read, start, wrong = parse(np.frombuffer(text, np.uint8), out)
                if wrong:
                    bad = text[start : start + 80].partition(b"\n")[0].decode(errors="replace")
                    raise ValueError(
                        f"{self._path}: line {self._done + read + 1} must hold {columns} {what}: "
                        f"got {bad!r}."
                    )
                self._done += lines
                yield out
        if self._rows is not None and self._done < self._rows:
            raise ValueError(
                f"{self._path} must have {self._rows:,} lines: got {self._done:,}; "
                "its count and its lines are of different data."
            )

    def _width(self, text: bytes) -> int:
        if self._columns is None:
            self._columns = text[: text.index(b"\n")].count(b",") + 1
            if self._columns > _MOST_COLUMNS:
                raise ValueError(
                    f"{self._path} must have at most {_MOST_COLUMNS:,} columns: "
                    f"got {self._columns:,}."
                )
        return self._columns

    def _lines(self, file: BinaryIO) -> Iterator[bytes]:
        """Cuts the text at ends of lines; the last one gets a newline if it has none."""
        rest = b""
        for piece in self._text(file):
            cut = piece.rfind(b"\n") + 1
            if cut:
                yield rest + piece[:cut]
                rest = piece[cut:]
            else:
                rest += piece
            if len(rest) > _LONGEST:
                raise ValueError(
                    f"{self._path} must hold lines of numbers: got one of more than "
                    f"{_LONGEST:,} bytes."
                )
        if rest:
            yield rest + b"\n"

    def _text(self, file: BinaryIO) -> Iterator[bytes]:
        """Unzips, so that at most a block of text is held, whatever the file promises."""
        state, unzip = hashlib.sha256(), zlib.decompressobj(wbits=31)
        size = self._path.stat().st_size
        disable = None if self._progress else True
        try:
            with tqdm(
                total=size, desc=self._path.name, unit="B", unit_scale=True, disable=disable
            ) as bar:
                while chunk := file.read(_COMPRESSED):
                    state.update(chunk)
                    bar.update(len(chunk))
                    while chunk:
                        if unzip.eof:  # another member, or padding
                            if not chunk.strip(b"\0"):
                                break
                            unzip = zlib.decompressobj(wbits=31)
                        piece = unzip.decompress(chunk, _BLOCK)
                        if piece:
                            yield piece
                        chunk = unzip.unused_data if unzip.eof else unzip.unconsumed_tail
                while not unzip.eof:
                    piece = unzip.decompress(b"", _BLOCK)
                    if not piece:
                        raise CorruptDataset(
                            f"{self._path} is cut off after {size:,} bytes; fetch it again."
                        )
                    yield piece
        except zlib.error as error:
            raise CorruptDataset(
                f"{self._path} is no sound gzip file ({error}); fetch it again."
            ) from error
        if self._noted is not None:
            self._noted(state.hexdigest())
