"""City-Networks: the authors' four cities, and any other city by the same recipe.

Source: Liang et al. 2025, https://arxiv.org/abs/2503.09008.
"""

import os
import pickle
from pathlib import Path
from typing import Any

import torch
from torch_geometric.data import Data

from graphattn.datasets.city_archive import EDGE_CHANNELS, NODE_CHANNELS, dense, load_plainly
from graphattn.datasets.city_recipe import CLASSES, HOPS, city_data
from graphattn.datasets.npz import UNREADABLE, CorruptDataset
from graphattn.datasets.osm_file import read_osm
from graphattn.datasets.public import load_public
from graphattn.datasets.public_table import CITIES
from graphattn.datasets.splits import Split
from graphattn.datasets.street_features import street_features
from graphattn.datasets.streets import Streets, streets_of_networkx, streets_of_osm
from graphattn.datasets.validation import check_data

_OSM = "OpenStreetMap contributors, ODbL 1.0 (attribution, share-alike for the data)"
_KEYS = ("x", "edge_index", "y", "train_mask", "val_mask", "test_mask")
_BROKEN = (*UNREADABLE, AttributeError, IndexError, pickle.UnpicklingError)


def city_network(
    name: str,
    root: str | Path | None = None,
    *,
    augmented: bool = True,
    cache: str | Path | None = None,
) -> Data:
    """Load one of the authors' four cities.

    Read from the cache where it is there, without a network; else from `<name>.tar.gz` under the
    root, which `graphattn data download city-networks-paris` fetches; else from the file that PyG's
    `CityNetwork` has processed, `<root>/<name>/processed/data.pt`, after a look at what is in it.

    Args:
        name: "paris", "shanghai", "la" or "london".
        root: Folder of the files; by default that of the variable GRAPHATTN_DATA. Only read.
        augmented: Append the mean features of its roads to a junction's own (37 features, else
            12). Each has a cache of its own.
        cache: Folder of the caches; by default that of GRAPHATTN_CACHE, else `~/.cache/graphattn`.

    Returns:
        Data with x, y, edge_index (both directions), masks `[nodes, 1]`, name, metric and meta.

    Raises:
        ValueError: There is no such city, or its files contradict themselves.
        FileNotFoundError: There are no files, and no cache of them.
        CorruptDataset: A file is torn or hostile.
        OSError: The disk is full or cannot be written.

    Example:
        >>> city_network("rome")
        Traceback (most recent call last):
        ...
        ValueError: name must be one of paris, shanghai, la, london: got 'rome'; any other city ...
    """
    if name not in CITIES:
        raise ValueError(
            f"name must be one of {', '.join(CITIES)}: got {name!r}; any other city is made by "
            "city_from_osm of an extract of OpenStreetMap."
        )
    public = f"city-networks-{name}" + ("" if augmented else "-plain")
    try:
        return load_public(public, root, cache=cache)
    except FileNotFoundError:
        top = root or os.environ.get("GRAPHATTN_DATA")
        processed = Path(top) / name / "processed" / "data.pt" if top else None
        if processed is None or not processed.is_file():
            raise
        return pyg_city(processed, name=public, augmented=augmented)


def pyg_city(path: str | Path, *, name: str = "city-networks", augmented: bool = True) -> Data:
    """Read the file that PyG's `CityNetwork` leaves when it has processed a city.

    PyG keeps both kinds of features under one name, so the number of features is compared with what
    is asked for. Nothing in the file is executed. The split is made boolean.

    Args:
        path: `<root>/<name>/processed/data.pt`.
        name: Of the data set.
        augmented: Whether 37 features are wanted, or 12.

    Returns:
        As `city_network`.

    Raises:
        ValueError: The file is of the other kind, or contradicts itself.
        CorruptDataset: It is torn or hostile, or of something else.

    Example:
        >>> pyg_city("none.pt")
        Traceback (most recent call last):
        ...
        ValueError: none.pt is needed: there is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} is needed: there is no such file.")
    try:
        with torch.serialization.safe_globals([Data]):
            loaded = load_plainly(path)
        content = loaded[0] if isinstance(loaded, tuple) else loaded
        found = {key: dense(content[key]) for key in _KEYS}
    except _BROKEN as error:
        reason = " ".join(str(error).split())[:200]
        raise CorruptDataset(
            f"{path} cannot be read as PyG's CityNetwork ({reason}); process it again."
        ) from error
    wanted = NODE_CHANNELS + (EDGE_CHANNELS if augmented else 0)
    x = found["x"]
    if x.dim() != 2 or x.size(1) != wanted:
        raise ValueError(
            f"{path} must have {wanted} features for augmented={augmented}: got {list(x.shape)}; "
            "PyG keeps both kinds under one name, so process it again by force_reload=True."
        )
    for key in ("y", "edge_index"):
        numbers = found[key]
        if numbers.is_floating_point() and not torch.equal(numbers, numbers.trunc()):
            raise ValueError(f"{key} in {path} must hold whole numbers: got fractions or NaN.")
    ids = [found[key] for key in _KEYS[3:]]
    ids = [m.nonzero().view(-1) if m.dtype == torch.bool else m for m in ids]
    split = Split.from_indices(*(part.numpy() for part in ids), num_nodes=len(x))
    train, val, test = split.masks(len(x))
    data = Data(
        x=x.float(),
        y=found["y"].long(),
        edge_index=found["edge_index"].long(),
        train_mask=train,
        val_mask=val,
        test_mask=test,
        name=name,
        metric="accuracy",
        meta={"num_classes": CLASSES, "source": "PyG CityNetwork", "licence": _OSM},
    )
    check_data(data, num_classes=CLASSES)
    if not data.is_undirected():
        raise ValueError(f"edges in {path} must go both ways: got some without their reverse.")
    return data


def city_from_osm(
    path: str | Path,
    *,
    name: str | None = None,
    augmented: bool = True,
    hops: int = HOPS,
    num_classes: int = CLASSES,
) -> Data:
    """Make a data set of a city from an extract of OpenStreetMap, by the authors' recipe.

    Streets are what OSMnx calls network "all": every `highway` but areas and those that are not
    there (yet). Points where a street merely bends are no nodes; the largest connected part is
    kept. Land use is that of the area a junction lies in, or else of that with the nearest corner.

    Args:
        path: `.osm` (XML), or `.osm.pbf`, which needs `pip install graphattn[osm]`.
        name: Of the data set; by default that of the file.
        augmented: As for `city_network`.
        hops: Radius of the eccentricity.
        num_classes: Of equally many nodes.

    Returns:
        As `graphattn.datasets.city_recipe.city_data`; `meta` names the features.

    Raises:
        ValueError: There is no such file, or no street in it.
        CorruptDataset: It is torn, or declares entities of its own.
        ImportError: It is `.osm.pbf`, and osmium is not installed.

    Example:
        >>> city_from_osm("none.osm")
        Traceback (most recent call last):
        ...
        ValueError: none.osm is needed: there is no such file.
    """
    path = Path(path)
    streets = streets_of_osm(read_osm(path))
    title = name or path.name.removesuffix(".pbf").removesuffix(".osm")
    return _city(streets, title, path.name, augmented, hops, num_classes)


def city_from_networkx(
    graph: Any,
    *,
    name: str = "city",
    augmented: bool = True,
    hops: int = HOPS,
    num_classes: int = CLASSES,
) -> Data:
    """Make a data set of a city from a graph such as OSMnx gives, by the authors' recipe.

    Args:
        graph: A networkx `MultiDiGraph` whose nodes have `x` and `y` (degrees), perhaps
            `street_count` and `landuse`, and whose edges have `length` (metres), perhaps
            `speed_kph`, `oneway`, `lanes`, `reversed` and `highway`.
        name: Of the data set.
        augmented: As for `city_network`.
        hops: Radius of the eccentricity.
        num_classes: Of equally many nodes.

    Returns:
        As `graphattn.datasets.city_recipe.city_data`; nodes in the order of the graph.

    Raises:
        TypeError: It is no networkx graph.
        ValueError: A node lacks its place or an edge its length, or there are too few.

    Example:
        >>> import networkx
        >>> graph = networkx.MultiDiGraph()
        >>> graph.add_nodes_from((i, {"x": 0.01 * i, "y": 0.0}) for i in range(20))
        >>> graph.add_edges_from((i, i + 1, {"length": 70.0}) for i in range(19))
        [0, ...]
        >>> data = city_from_networkx(graph, augmented=False)
        >>> data.num_edges, data.meta["feature_names"][:3]
        (38, ['lon', 'lat', 'street_count'])
    """
    return _city(streets_of_networkx(graph), name, "a graph", augmented, hops, num_classes)


def _city(
    streets: Streets, name: str, source: str, augmented: bool, hops: int, num_classes: int
) -> Data:
    x, edge_attr, node_names, edge_names = street_features(streets)
    return city_data(
        x,
        streets.edge_index,
        edge_attr,
        name=name,
        node_names=node_names,
        edge_names=edge_names,
        augmented=augmented,
        hops=hops,
        num_classes=num_classes,
        meta={"source": f"{source}, recipe of City-Networks", "licence": _OSM},
    )
