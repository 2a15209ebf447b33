"""Graphs from the uniform `.npz` files: one file a data set, read without executing anything."""

import difflib
import json
import logging
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch_geometric.data import Data

from graphattn.datasets.features import fill_missing
from graphattn.datasets.splits import splits
from graphattn.datasets.validation import check_data, check_edges, count_nodes
from graphattn.edges import check_whole

_LOG = logging.getLogger(__name__)
MASKS = ("train_mask", "val_mask", "test_mask")
PER_NODE = ("ecc16", "y_float", "valid_mask", "accident_count", "osmid")
PER_EDGE = ("edge_length", "edge_type")
METRICS = {"acc": "accuracy"}
UNREADABLE = (
    OSError,
    EOFError,
    KeyError,
    ValueError,
    TypeError,
    SyntaxError,
    NotImplementedError,
    RuntimeError,
    MemoryError,
    OverflowError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    tokenize.TokenError,  # a header that numpy takes for one of Python 2
)
"""What readers of archives and arrays raise on bytes that are torn or hostile."""


class CorruptDataset(ValueError):  # noqa: N818 - reads as what it is
    """A data file is torn, altered or hostile; nothing of it was used."""


def load_npz(path: str | Path, *, nan: str = "error", max_bytes: int = 2**35) -> Data:
    """Reads one uniform `.npz` file and checks it.

    Keys: `edge_index` `[2, E]` (source, target); `x` `[N, F]`, or CSR rows `x_indptr`,
    `x_indices`, `x_data` (one value if all are equal), `x_shape`; `y` `[N]` with -1 for
    unlabelled; `train_mask`, `val_mask`, `test_mask` bool `[N]` or `[N, splits]`; `meta`, a JSON
    string. What else is known (`edge_length`, `ecc16`, ...) is carried along, never as a feature.

    Args:
        path: the file.
        nan: what to do with NaN or infinite features: "error", "zero", "mean" or "drop" (see
            `graphattn.datasets.features.fill_missing`).
        max_bytes: refuse a file that would unpack to more (a zip bomb, or a mistake).

    Returns:
        Data with float32 x, int64 y and edge_index, boolean masks, name, metric ("accuracy",
        "rocauc" or "macro_f1") and meta, the file's own description.

    Raises:
        FileNotFoundError: there is no such file.
        CorruptDataset: it is no `.npz` file of plain arrays, holds pickled objects, or unpacks to
            more than max_bytes.
        ValueError: its arrays contradict each other, or a value is out of range.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "pair.npz"
        >>> np.savez(path, edge_index=[[0, 1], [1, 0]], x=np.eye(2), y=[0, 1])
        >>> load_npz(path).num_edges
        2
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}; give the path of a .npz data file.")
    arrays = read_npz(path, max_bytes)
    try:
        data = _to_data(arrays, path.stem, max_bytes)
        if nan != "error":
            data = fill_missing(data, nan)
        check_data(data, num_classes=data.meta.get("num_classes"))
        if "train_mask" in data and data.get("y") is not None:
            splits(data)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path.name}: {error}") from error
    return data


def named(name: str, root: str | Path | None = None, *, nan: str = "error") -> Data:
    """Reads `<root>/<name>.npz`.

    Args:
        name: of the data set, such as "tolokers".
        root: the folder of `.npz` files; None takes it from the variable GRAPHATTN_DATA.
        nan: see `load_npz`.

    Returns:
        Data, as from `load_npz`.

    Raises:
        FileNotFoundError: no folder was given, or it does not exist.
        ValueError: the folder holds no such data set; the message names the nearest.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> np.savez(root / "pair.npz", edge_index=[[0, 1], [1, 0]], x=np.eye(2), y=[0, 1])
        >>> named("pair", root).name
        'pair'
    """
    return load_npz(path_of(name, root), nan=nan)


def path_of(name: str, root: str | Path | None = None) -> Path:
    """The file `<root>/<name>.npz`, with the errors of `named`."""
    folder = Path(root or os.environ.get("GRAPHATTN_DATA") or "")
    if folder == Path() or not folder.is_dir():
        came = f"{folder} is not a folder" if folder != Path() else "none was given"
        raise FileNotFoundError(
            f"Data set {name!r} is read from a folder of .npz files: {came}; "
            "set GRAPHATTN_DATA=/path/to/folder, or give root."
        )
    known = sorted(file.stem for file in folder.glob("*.npz"))
    if name not in known:
        near = difflib.get_close_matches(name.lower().replace("-", "_"), known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(
            f"There is no data set {name!r} in {folder}: {hint}There are "
            f"{', '.join(known) or 'no .npz files at all'}."
        )
    return folder / f"{name}.npz"


def read_npz(path: Path, max_bytes: int) -> dict[str, NDArray[Any]]:
    """All arrays of a file, or `CorruptDataset`."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > max_bytes:
            raise CorruptDataset(
                f"{path} would unpack to {size} bytes, more than max_bytes={max_bytes}; "
                "if you trust it, raise max_bytes."
            )
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
        if odd := [key for key, array in arrays.items() if not isinstance(array, np.ndarray)]:
            raise ValueError(f"{odd[0]!r} in it is no array")
        return arrays
    except CorruptDataset:
        raise
    except UNREADABLE as error:
        raise CorruptDataset(
            f"{path} is not a .npz file of plain arrays: {error}. Nothing in it was executed; "
            "fetch or make it again, without object arrays."
        ) from error


def _to_data(arrays: Mapping[str, NDArray[Any]], stem: str, max_bytes: int) -> Data:
    if "edge_index" not in arrays:
        kind = "a hypergraph" if "hyperedge_index" in arrays else f"only {sorted(arrays)}"
        raise ValueError(f"edge_index is needed, [2, edges]: got {kind}; this reads graphs.")
    meta = meta_of(arrays)
    metric = str(meta.get("metric", "accuracy"))
    data = Data(edge_index=_ids(arrays["edge_index"]))
    x = features_of(arrays, max_bytes)
    if x is not None:
        data.x = torch.from_numpy(x)
    if "y" in arrays:
        data.y = labels_of(arrays["y"])
    if x is None:  # with features, they count the nodes
        declared = meta.get("num_nodes") if data.get("y") is None else None
        data.num_nodes = declared if isinstance(declared, int) else count_nodes(data)
    check_edges(data.edge_index, count_nodes(data))
    for key in MASKS + PER_NODE:
        if key in arrays:
            check_rows(key, arrays[key], count_nodes(data), "nodes")
            data[key] = torch.from_numpy(arrays[key])
    for key in PER_EDGE:
        if key in arrays:
            check_rows(key, arrays[key], data.edge_index.size(-1), "edges")
            data[key] = torch.from_numpy(arrays[key])
    data.name = str(meta.get("name", stem))
    data.metric = METRICS.get(metric, metric)
    data.meta = meta
    return data


def meta_of(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """The description of a file; a `ValueError` where it is no JSON object."""
    if "meta" not in arrays:
        return {}
    text = arrays["meta"]
    try:
        meta = json.loads(str(text)) if text.dtype.kind == "U" and text.ndim == 0 else None
    except (json.JSONDecodeError, RecursionError):
        meta = None
    if not isinstance(meta, dict):
        raise ValueError('meta must be a JSON object in one string, such as {"name": "mine"}.')
    if not isinstance(meta.get("num_classes", 1), int | None):
        raise ValueError(f"num_classes in meta must be whole: got {meta['num_classes']!r}.")
    return meta


def _whole(arrays: Mapping[str, NDArray[Any]], key: str) -> torch.Tensor:
    array = arrays[key]
    if array.dtype.kind not in "iu":
        raise TypeError(f"{key} must hold whole numbers: got {array.dtype}.")
    return torch.from_numpy(array.astype(np.int64))


def _ids(edges: NDArray[Any]) -> torch.Tensor:
    if edges.dtype.kind == "f" and edges.ndim == 2:
        check_whole(edges)
        _LOG.info("edge_index holds whole numbers as %s; taken as integers", edges.dtype)
        wide = edges.astype(np.promote_types(edges.dtype, np.float64))  # float16 ends at 65,504
        edges = wide.clip(-(2.0**62), 2.0**62).astype(np.int64)
    return _whole({"edge_index": edges}, "edge_index")


def labels_of(y: NDArray[Any]) -> torch.Tensor:
    """Labels as int64, -1 where there is none; a `ValueError` where they are fractions."""
    if y.dtype.kind == "f":
        known = np.where(np.isnan(y), -1.0, y).astype(np.float64)
        if not (np.rint(known) == known).all():
            raise ValueError("Labels must be whole numbers, or NaN for unlabelled: got fractions.")
        y = known.clip(-(2.0**62), 2.0**62).astype(np.int64)
    return _whole({"y": y}, "y")


def features_of(arrays: Mapping[str, NDArray[Any]], max_bytes: int) -> NDArray[np.float32] | None:
    """Features as one dense table, None where there are none; an error where they do not fit."""
    if "x" in arrays:
        if arrays["x"].ndim != 2 or arrays["x"].dtype.kind not in "fiub":
            raise TypeError(
                f"x must be numbers [nodes, channels]: got {arrays['x'].dtype} "
                f"{list(arrays['x'].shape)}."
            )
        with np.errstate(over="ignore"):
            return arrays["x"].astype(np.float32)
    sparse = {key: arrays.get(f"x_{key}") for key in ("indptr", "indices", "data", "shape")}
    if all(part is None for part in sparse.values()):
        return None
    missing = [f"x_{key}" for key, part in sparse.items() if part is None]
    if missing:
        raise ValueError(
            f"Sparse features need x_indptr, x_indices, x_data, x_shape: no {missing}."
        )
    return _dense({key: part for key, part in sparse.items() if part is not None}, max_bytes)


def _dense(sparse: Mapping[str, NDArray[Any]], max_bytes: int) -> NDArray[np.float32]:
    if any(part.ndim != 1 for part in sparse.values()) or len(sparse["shape"]) != 2:
        raise ValueError("x_indptr, x_indices, x_data must be lists and x_shape two numbers.")
    if any(sparse[key].dtype.kind not in "iu" for key in ("indptr", "indices", "shape")):
        raise TypeError("x_indptr, x_indices and x_shape must hold whole numbers.")
    indptr, columns = sparse["indptr"].astype(np.int64), sparse["indices"].astype(np.int64)
    rows, width = (int(size) for size in sparse["shape"])
    values = sparse["data"]
    if rows < 0 or width < 0 or rows * width * 4 > max_bytes:
        raise ValueError(
            f"x_shape must be sizes that fit max_bytes={max_bytes} when dense: got {rows}, {width}."
        )
    if values.dtype.kind not in "fiub" or len(values) not in (1, len(columns)):
        raise ValueError(f"x_data must be 1 or {len(columns)} numbers: got {len(values)}.")
    if len(indptr) != rows + 1 or indptr[0] != 0 or indptr[-1] != len(columns):
        raise ValueError(
            f"x_indptr must be {rows + 1} offsets from 0 to {len(columns)}: got {len(indptr)}, "
            f"from {indptr[:1].tolist()} to {indptr[-1:].tolist()}."
        )
    wrong = np.flatnonzero((columns < 0) | (columns >= width))
    if (np.diff(indptr) < 0).any() or len(wrong):
        raise ValueError(
            f"x_indices must lie in 0..{width - 1} and x_indptr must not fall: "
            f"{len(wrong)} wrong indices, first at {wrong[:5].tolist()}."
        )
    x = np.zeros((rows, width), dtype=np.float32)
    with np.errstate(over="ignore"):
        x[np.repeat(np.arange(rows), np.diff(indptr)), columns] = values
    return x


def check_rows(key: str, array: NDArray[Any], count: int, what: str) -> None:
    """Refuses an array that has not one row of numbers for each of what there is."""
    if array.ndim < 1 or len(array) != count or array.dtype.kind not in "iufb":
        raise ValueError(
            f"{key} must have one number a row for {count} {what}: got {array.dtype} "
            f"{list(array.shape)}."
        )
