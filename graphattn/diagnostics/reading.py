"""Measurements of influence read back from their files, of which nothing is executed."""

import json
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from graphattn.corrupt import CorruptFile
from graphattn.diagnostics.result import SCHEMA, InfluenceResult
from graphattn.files import read_json

_ARRAYS = {"T": 2, "seeds": 1, "tail_mass": 1, "R_per_node": 1}
_MOST_BYTES = 2**32  # of a file, unpacked
_UNREADABLE = (
    OSError,
    EOFError,
    KeyError,
    ValueError,
    TypeError,
    SyntaxError,
    RuntimeError,
    MemoryError,
    OverflowError,
    RecursionError,
    NotImplementedError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    tokenize.TokenError,
)


def read_influence(path: Path | str) -> InfluenceResult:
    """Reads what :meth:`InfluenceResult.save` wrote.

    Args:
        path: Ends in ``.json`` or ``.npz``.

    Returns:
        The result; means and intervals are computed anew.

    Raises:
        ValueError: There is no such file, its ending is another, or it is of another format.
        CorruptFile: It is torn or altered: not what such a file holds.

    Example:
        >>> import tempfile
        >>> found = InfluenceResult(np.ones((1, 2)), np.arange(1), np.zeros(1), np.ones(1), {})
        >>> path = Path(tempfile.mkdtemp()) / "a.npz"
        >>> found.save(path)
        >>> read_influence(path).T.tolist()
        [[1.0, 1.0]]
    """
    path = Path(path)
    if path.suffix not in (".json", ".npz"):
        raise ValueError(f"a measurement to read must end in .json or .npz: got {path}.")
    if not path.is_file():
        raise ValueError(
            f"a measurement must be a file that `graphattn diagnose` wrote: got {path}, "
            f"{'a folder' if path.is_dir() else 'which is missing'}."
        )
    content = read_json(path) if path.suffix == ".json" else _archive(path)
    if (schema := content.get("schema")) != SCHEMA:
        raise ValueError(f"{path} must hold a measurement of influence, {SCHEMA}: got {schema!r}.")
    try:
        result = _result(content)
    except _UNREADABLE as error:
        raise _damaged(path, error) from error
    return result


def _archive(path: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > _MOST_BYTES:
            raise ValueError(f"it would unpack to {size} bytes")
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: np.asarray(archive[key]) for key in (*_ARRAYS, "about")}
        about = json.loads(str(arrays["about"]))
        return {**arrays, "about": about, "schema": about.pop("schema")}
    except (*_UNREADABLE, AttributeError) as error:
        raise _damaged(path, error) from error


def _result(content: Mapping[str, Any]) -> InfluenceResult:
    arrays = {}
    for name, dims in _ARRAYS.items():
        array = np.asarray(content[name])
        if array.dtype.kind == "O":  # JSON's null stands for NaN
            array = np.array([[*map(_number, row)] if dims == 2 else _number(row) for row in array])
        if array.ndim != dims or array.dtype.kind not in "iuf":
            raise ValueError(f"{name} is {array.dtype} {list(array.shape)}")
        arrays[name] = array
    table, seeds, tail, breadth = arrays.values()
    if not len(table) == len(seeds) == len(tail) == len(breadth) or table.shape[1] < 1:
        raise ValueError(f"its lists have {', '.join(str(len(a)) for a in arrays.values())} rows")
    if not len(seeds) or seeds.dtype.kind not in "iu" or seeds.min() < 0:
        raise ValueError("its seeds are no node ids")
    if not (np.isfinite(table) & (table >= 0)).all() or (tail < 0).any() or (breadth < 0).any():
        raise ValueError("it holds influence below 0, or that is no number")
    if not isinstance(content["about"], dict):
        raise ValueError(f"about is {type(content['about']).__name__}")
    floats = (array.astype(np.float64) for array in (table, tail, breadth))
    table, tail, breadth = floats
    return InfluenceResult(table, seeds.astype(np.int64), tail, breadth, dict(content["about"]))


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _damaged(path: Path, error: Exception) -> CorruptFile:
    return CorruptFile(
        f"{path} is damaged ({' '.join(str(error).split())}): nothing of it was used; "
        "measure again."
    )
