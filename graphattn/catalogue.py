"""Data sets from the command line: which there are, and own files made into one."""

import csv
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch_geometric.data import Data
from torch_geometric.data.hypergraph_data import HyperGraphData

from graphattn.datasets.npz import load_npz
from graphattn.datasets.ogb_table import OGB
from graphattn.datasets.public_table import PUBLIC, PublicSpec
from graphattn.datasets.splits import Split, random_split
from graphattn.datasets.validation import check_data
from graphattn.files import read_array
from graphattn.outputs import output_file
from graphattn.short_names import DATASETS


def catalogue(root: str | None = None) -> list[tuple[str, str]]:
    """Return the data sets that `--data.name` takes, each with where it comes from.

    Args:
        root: Folder of `.npz` files; by default that of GRAPHATTN_DATA.

    Raises:
        ValueError: The root is no folder.
        FileNotFoundError: GRAPHATTN_DATA names no folder.

    Example:
        >>> dict(catalogue("."))["karate"]
        'built in'
    """
    folder = root or os.environ.get("GRAPHATTN_DATA")
    if root and not Path(root).is_dir():
        raise ValueError(f"root must be a folder of .npz data sets: got {root}.")
    if folder and not Path(folder).is_dir():
        raise FileNotFoundError(f"GRAPHATTN_DATA must name a folder of data sets: got {folder}.")
    fetched = "OGB, read from a folder: `graphattn data download`, or `data synth` for a made one"
    kinds = dict.fromkeys(OGB, fetched) | {name: _raw(spec) for name, spec in PUBLIC.items()}
    for name, named in DATASETS.items():
        if named.options.get("name") == name:  # made of a file of that name
            kinds.setdefault(name, f"hypergraph, made of {name}.npz")
    found = [(name, kinds.get(name, "built in")) for name in DATASETS]
    if folder:
        files = sorted(Path(folder).glob("*.npz"))
        found += [(file.stem, _kind(file)) for file in files if file.stem not in DATASETS]
    return found


def from_files(
    edges: Path, x: Path, y: Path, *, fractions: tuple[float, float, float], seed: int, metric: str
) -> Data:
    """Make a data set of three own files.

    Args:
        edges: Two columns, source and target; `.csv`, `.txt` or `.npy` (`[edges, 2]` or its
            transpose).
        x: One row of features a node; `.csv`, `.txt` or `.npy`.
        y: One label a node: a whole number, -1 for unlabelled, or a text, empty for unlabelled;
            `.csv`, `.txt` or `.npy`. Texts become classes in their order, kept in `meta` as
            `class_names`.
        fractions: Shares of labelled nodes to train on, to choose by and to test on.
        seed: Of that split.
        metric: Name of the metric it is judged by.

    Raises:
        ValueError: A file is missing, is no table of numbers, the three disagree, or a part of the
            split that has a share, or a class in the training part, would be empty.

    Example:
        >>> import tempfile
        >>> edges, x, y = (Path(tempfile.mkdtemp()) / f"{name}.npy" for name in ("edges", "x", "y"))
        >>> np.save(edges, [[0, 1], [1, 0]]), np.save(x, np.eye(2)), np.save(y, [0, 1])
        (None, None, None)
        >>> from_files(edges, x, y, fractions=(1.0, 0.0, 0.0), seed=0, metric="accuracy").num_nodes
        2
    """
    ends = _table(edges, np.int64)
    if ends.ndim != 2 or 2 not in ends.shape:
        raise ValueError(f"{edges} must have two columns, source and target: got {ends.shape}.")
    ends = ends.T if ends.shape[1] == 2 else ends
    features = _table(x, np.float32)
    labels, names = _labels(y, len(features))
    data = Data(
        x=torch.from_numpy(features.reshape(len(features), -1)),
        y=torch.from_numpy(labels),
        edge_index=torch.from_numpy(np.ascontiguousarray(ends)),
    )
    check_data(data)
    split = random_split(data.y, fractions, seed=seed)
    _check_split(data.y, split, fractions)
    data.train_mask, data.val_mask, data.test_mask = split.masks(len(labels))
    data.metric = metric
    data.meta = {"class_names": names} if names else {}
    return data


def _check_split(y: torch.Tensor, split: Split, fractions: tuple[float, float, float]) -> None:
    """Refuse a split that leaves a part or a class with nothing to learn or judge by."""
    sizes = [len(part) for part in (split.train, split.val, split.test)]
    asked = "/".join(f"{share:g}" for share in fractions)
    if any(share > 0 and not size for share, size in zip(fractions, sizes, strict=True)):
        raise ValueError(
            f"each part of the split must hold a node: got {'/'.join(map(str, sizes))} nodes for "
            f"shares {asked} of {int((y >= 0).sum())} labelled; label more, or give other shares."
        )
    trained = torch.bincount(y.index_select(0, split.train), minlength=int(y.max()) + 1)
    empty = (trained == 0).nonzero().view(-1).tolist()
    if empty:
        held = int((y == empty[0]).sum())
        raise ValueError(
            f"each class must have a node to train on: got none of class {empty[0]}, which has "
            f"{held} labelled nodes ({len(empty)} such classes), for shares {asked}; label more, "
            "merge classes, or number them from 0 without gaps."
        )


def write_npz(data: Data, path: Path, *, name: str) -> None:
    """Write data in the uniform format, all of it or nothing, and read it back to be sure.

    Args:
        data: With `edge_index`, and as far as it has them `x`, `y` and masks.
        path: Ends in `.npz`.
        name: What the data set is called.

    Raises:
        ValueError: The path ends in something else, or the data are a hypergraph.
        OSError: The disk is full or read-only.

    Example:
        >>> import tempfile
        >>> from graphattn.datasets.bundled import karate
        >>> path = Path(tempfile.mkdtemp()) / "club.npz"
        >>> write_npz(karate(), path, name="club")
        >>> load_npz(path).name
        'club'
    """
    output_file(path, "out", (".npz",))
    if isinstance(data, HyperGraphData):
        raise ValueError(f"only graphs are written: {data.get('name', 'this')} is a hypergraph.")
    kept = ("edge_index", "x", "y", "train_mask", "val_mask", "test_mask")
    arrays: dict[str, NDArray[Any]] = {
        key: data[key].numpy() for key in kept if data.get(key) is not None
    }
    meta = {"name": name, "metric": str(data.get("metric") or "accuracy")}
    arrays["meta"] = np.array(json.dumps({**(data.get("meta") or {}), **meta}))
    partial = path.with_name(f"{path.stem}.part.npz")
    try:
        np.savez_compressed(partial, allow_pickle=False, **arrays)
        load_npz(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _raw(spec: PublicSpec) -> str:
    """Say what raw files a data set is read from."""
    first = f"{spec.files[0]} and {len(spec.files) - 1} more" if spec.files[1:] else spec.files[0]
    fetched = "`graphattn data download`" if spec.address else "fetched by hand"
    return f"raw files, read from a folder: {first}; {fetched}"


def _kind(file: Path) -> str:
    """Say what a file is by the names in it, without reading its arrays."""
    try:
        with np.load(file, allow_pickle=False) as archive:
            names = set(archive.files)
    except (OSError, ValueError, EOFError):
        return "unreadable"
    if "hyperedge_index" in names or "edge_index" not in names:
        return "hypergraph, numbers of nodes" if "y_float" in names else "hypergraph"
    classes = "y" in names and "train_mask" in names
    has_x = bool(names & {"x", "x_indptr"})
    return "node classification" if classes and has_x else "graph, without classes or features"


def _table(path: Path, kind: type) -> NDArray[Any]:
    if not path.is_file():
        raise ValueError(f"there is no file {path}.")
    if path.suffix == ".npy":
        array = read_array(path)
        if array.dtype.kind not in "iufb" or (kind is np.int64 and array.dtype.kind == "f"):
            raise ValueError(f"{path} must hold {kind.__name__} numbers: got {array.dtype}.")
        return np.asarray(array.astype(kind))
    text = _text(path)
    delimiter = "," if "," in text.partition("\n")[0] else None
    first = (
        next(csv.reader([text.partition("\n")[0]])) if delimiter else text.split("\n")[0].split()
    )
    rows = text.split("\n")[0 if _numeric(first) else 1 :]
    if not any(row.strip() for row in rows):
        raise ValueError(f"{path} must be a table of {kind.__name__} numbers: got no row of them.")
    try:
        return np.loadtxt(rows, dtype=kind, delimiter=delimiter, ndmin=2)
    except ValueError as error:
        reason = " ".join(str(error).rstrip(".").split())
        raise ValueError(f"{path} must be a table of {kind.__name__} numbers: {reason}.") from error


def _labels(path: Path, num_nodes: int) -> tuple[NDArray[np.int64], list[str]]:
    """Read one label a node, and the names of the classes where they are texts."""
    if path.suffix == ".npy" and path.is_file() and (array := read_array(path)).dtype.kind == "U":
        cells = [str(cell).strip() for cell in array.reshape(-1)]
    elif path.suffix == ".npy" or not path.is_file():
        return _table(path, np.int64).reshape(-1), []
    else:
        rows = list(csv.reader(_text(path).rstrip("\n").split("\n")))
        if any(len(row) > 1 for row in rows):
            columns = len(max(rows, key=len))
            raise ValueError(f"{path} must hold one label a line: got {columns} columns.")
        cells = [row[0].strip() if row else "" for row in rows]
        headed = not _numeric(cells[:1]) and (_numeric(cells[1:2]) or len(cells) == num_nodes + 1)
        cells = cells[1:] if headed else cells
    if all(_numeric([cell]) for cell in cells if cell) and any(cells):
        try:
            return np.array([int(cell) if cell else -1 for cell in cells], dtype=np.int64), []
        except (ValueError, OverflowError) as error:
            raise ValueError(
                f"{path} must hold whole numbers or texts, a class each: got fractions."
            ) from error
    names = sorted({cell for cell in cells if cell})
    places = {name: place for place, name in enumerate(names)} | {"": -1}
    return np.array([places[cell] for cell in cells], dtype=np.int64), names


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be text in UTF-8: got byte {error.start} of none.") from (
            error
        )


def _numeric(cells: list[str]) -> bool:
    try:
        [float(cell) for cell in cells]
    except ValueError:
        return False
    return True
