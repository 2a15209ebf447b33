"""A data set loaded by its name: built in, from a file, or from a function of the user's own."""

import inspect
import os
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.hypergraph_data import HyperGraphData

from graphattn.config import DataOptions
from graphattn.datasets.features import fill_missing
from graphattn.datasets.hypergraphs import is_hypergraph_file, load_hypergraph
from graphattn.datasets.label_noise import add_label_noise
from graphattn.datasets.npz import load_npz, path_of
from graphattn.datasets.ogb_table import OGB
from graphattn.datasets.public_table import PUBLIC
from graphattn.keys import check_keys
from graphattn.names import find, foreign
from graphattn.short_names import DATASETS


def load_data(options: DataOptions) -> Data:
    """Load a data set by its name, as it is.

    Args:
        options: Its name, folder and keyword arguments.

    Returns:
        PyG data; `HyperGraphData` where it is a hypergraph.

    Raises:
        ValueError: No data set has that name (the nearest one is named), or root is no folder.
        TypeError: Its function returned something else, or has no such argument.
        FileNotFoundError: It is read from a folder, and none was given.
        graphattn.datasets.npz.CorruptDataset: Its file is torn or hostile.

    Example:
        >>> load_data(DataOptions("karate")).num_nodes
        34
    """
    name, given = options.name, options.root or os.environ.get("GRAPHATTN_DATA")
    root = Path(given).resolve() if given else None
    if name.endswith(".npz"):
        moved = root / Path(name).name if root and options.root else None
        file = moved if moved and moved.is_file() and not Path(name).is_file() else Path(name)
        if not file.is_file():
            raise ValueError(f"data.name must be a .npz file that exists: got {name}.")
        return _of_file(file, options)
    if name in DATASETS or "." in name:
        function, preset = find(name, DATASETS, "data.name")
        check_arguments(function, options.options)
        rooted = name in DATASETS and "root" in inspect.signature(function).parameters
        place = {"root": options.root} if rooted or name in OGB or name in PUBLIC else {}
        with foreign(name, "data.name"):
            data = function(**{**preset, **place, **options.options})
        if not isinstance(data, Data):
            raise TypeError(f"data.name must return PyG Data: {name} gave {type(data).__name__}.")
        return _filled(data, options)
    if options.root and not Path(options.root).is_dir():
        raise ValueError(f"data.root must be a folder of .npz data sets: got {options.root}.")
    inside = {file.stem for file in root.glob("*.npz")} if root else set()
    near = get_close_matches(name.lower().replace("-", "_"), {*DATASETS, *inside}, n=1)
    near = near or [raw for raw in PUBLIC if raw.endswith(f"-{name.lower().replace('_', '-')}")]
    if name not in inside and near:
        raise ValueError(f"data.name: there is no data set {name!r}: did you mean {near[0]!r}?")
    return _of_file(path_of(name, root), options)


def _of_file(file: Path, options: DataOptions) -> Data:
    if not is_hypergraph_file(file):
        if options.options:
            raise ValueError(
                f"data.options must be empty for a graph read from {file.name}: got "
                f"{', '.join(options.options)}."
            )
        return load_npz(file, nan=options.nan)
    check_arguments(add_label_noise, options.options)
    return _filled(add_label_noise(load_hypergraph(file), **options.options), options)


def _filled(data: Data, options: DataOptions) -> Data:
    """Mend features that are no numbers, as asked; of a hypergraph, no node is dropped."""
    if options.nan == "error" or not isinstance(data, HyperGraphData):
        return data if options.nan == "error" else fill_missing(data, options.nan)
    if options.nan == "drop":
        raise ValueError("data.nan must be error, zero or mean for a hypergraph: got 'drop'.")
    if isinstance(data.get("x"), Tensor):
        data = data.clone()
        data.x = fill_missing(Data(x=data.x), options.nan).x
    return data


def check_arguments(function: Callable[..., Any], given: Mapping[str, Any]) -> None:
    """Refuse data options that a data set's function does not take.

    Raises:
        ValueError: The first such option, and the nearest there is.

    Example:
        >>> from graphattn.datasets.bundled import karate
        >>> check_arguments(karate, {"sed": 3})
        Traceback (most recent call last):
        ...
        ValueError: unknown key data.options.sed: did you mean data.options.seed?
    """
    parameters = inspect.signature(function).parameters.values()
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters)
    known = [f"data.options.{p.name}" for p in parameters]
    keys = [f"data.options.{key}" for key in given]
    check_keys(keys, known, free=("data.",) if open_ended else ())
