"""Hypergraphs and knowledge graphs: from the uniform `.npz` files, and one that is bundled."""

from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import torch
from numpy.typing import NDArray
from torch_geometric.data import HeteroData
from torch_geometric.data.hypergraph_data import HyperGraphData

from graphattn.datasets.npz import (
    MASKS,
    METRICS,
    PER_NODE,
    UNREADABLE,
    check_rows,
    features_of,
    labels_of,
    meta_of,
    path_of,
    read_npz,
)
from graphattn.datasets.splits import random_split
from graphattn.incidences import check_incidences

_NODE_KINDS = {"music10k_nie": {"artist": 4412, "song": 9999, "term": 458, "release": 8116}}
_RELATIONS = {
    "music10k_nie": {
        0: ("artist", "song", "song"),
        1: ("artist", "release", "release"),
        2: ("artist", "term", "term"),
        3: ("song", "part_of", "release"),
    }
}


def load_hypergraph(path: str | Path, *, max_bytes: int = 2**35) -> HyperGraphData:
    """Reads a hypergraph from one uniform `.npz` file and checks it.

    Keys: `hyperedge_index` `[2, I]` (node, hyperedge), `hyperedge_type` `[M]`, and of nodes what
    :func:`~graphattn.datasets.npz.load_npz` reads; `partition_hyperedge_index` and other masks are
    carried along.

    Args:
        path: the file.
        max_bytes: refuse a file that would unpack to more.

    Returns:
        HyperGraphData with int64 `edge_index` (the incidences), `num_nodes`, `num_hyperedges`, `x`
        where there are features, `y` or `y_float`, boolean masks, `name`, `metric` and `meta`.

    Raises:
        FileNotFoundError: there is no such file.
        CorruptDataset: it is no `.npz` file of plain arrays, or unpacks to more than max_bytes.
        ValueError: its arrays contradict each other, or it holds no hypergraph.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "trio.npz"
        >>> np.savez(path, hyperedge_index=[[0, 1, 2], [0, 0, 1]], y=[0, 1, 0])
        >>> load_hypergraph(path).num_hyperedges
        2
    """
    path = Path(path)
    arrays = _arrays(path, max_bytes)
    try:
        if "hyperedge_index" not in arrays:
            raise ValueError(
                f"hyperedge_index is needed, [2, I]: got only {sorted(arrays)}; load_npz reads "
                "graphs."
            )
        return _to_data(arrays, path.stem, max_bytes)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path.name}: {error}") from error


def named_hypergraph(name: str, root: str | Path | None = None) -> HyperGraphData:
    """Reads the hypergraph `<root>/<name>.npz`.

    Args:
        name: such as "cora_cocite", "cora_coauth", "house_committees", "music10k_nie".
        root: the folder of `.npz` files; None takes it from the variable GRAPHATTN_DATA.

    Returns:
        As from `load_hypergraph`.

    Raises:
        FileNotFoundError: no folder was given, or it does not exist.
        ValueError: the folder holds no such data set; the message names the nearest.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> np.savez(root / "trio.npz", hyperedge_index=[[0, 1, 2], [0, 0, 1]], y=[0, 1, 0])
        >>> named_hypergraph("trio", root).num_nodes
        3
    """
    return load_hypergraph(path_of(name, root))


def is_hypergraph_file(path: str | Path) -> bool:
    """Tells whether a `.npz` file holds a hypergraph, by the names in it.

    Args:
        path: the file; where it is none or torn, the answer is no.

    Example:
        >>> is_hypergraph_file("nowhere.npz")
        False
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return "hyperedge_index" in getattr(archive, "files", ())
    except UNREADABLE:
        return False


def knowledge_graph(
    name: str, root: str | Path | None = None, *, max_bytes: int = 2**35
) -> HeteroData:
    """Reads the triples of `<root>/<name>.npz`, from which hyperedges can be made.

    "music10k_nie" has nodes artist, song, term and release, in this order, and the four relations
    that point away from artists or from songs; the file's other four are their reverses. Any other
    set has nodes "entity", and an edge type ("entity", "0", "entity") for each relation number.

    Args:
        name: such as "music10k_nie", "fb15k237_nie".
        root: the folder of `.npz` files; None takes it from the variable GRAPHATTN_DATA.
        max_bytes: refuse a file that would unpack to more.

    Returns:
        HeteroData with features, labels and masks of each kind of node, `name`, `metric`, `meta`.

    Raises:
        FileNotFoundError: there is no such folder or file.
        CorruptDataset: it is no `.npz` file of plain arrays.
        ValueError: it has no triples, or they contradict each other.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> np.savez(root / "kg.npz", edge_index=[[0, 1], [1, 2]], edge_type=[0, 1], y=[0, 1, 0])
        >>> knowledge_graph("kg", root).edge_types
        [('entity', '0', 'entity'), ('entity', '1', 'entity')]
    """
    path = path_of(name, root)
    arrays = _arrays(path, max_bytes)
    missing = [key for key in ("edge_index", "edge_type") if key not in arrays]
    if missing:
        raise ValueError(
            f"{path.name}: triples are needed, edge_index and edge_type: no {missing}."
        )
    kinds, relations = _NODE_KINDS.get(path.stem), _RELATIONS.get(path.stem)
    nodes = _to_data(arrays, path.stem, max_bytes, "edge_index")
    count, arcs, kind_of_arc = nodes.num_nodes, nodes.edge_index, arrays["edge_type"]
    kinds = {"entity": count} if kinds is None else kinds
    check_rows("edge_type", kind_of_arc, arcs.size(1), "edges")
    if relations is None:
        numbers = np.unique(kind_of_arc).tolist()
        relations = {number: ("entity", str(number), "entity") for number in numbers}
    made, start, offset = HeteroData(), 0, {}
    for kind, size in kinds.items():
        offset[kind] = start
        made[kind].num_nodes = size
        for key in ("x", "y", *MASKS, *PER_NODE):
            if key in nodes:
                made[kind][key] = nodes[key][start : start + size]
        start += size
    if start != count:
        raise ValueError(f"{path.name}: must have {start} nodes of {list(kinds)}: got {count}.")
    for number, (first, relation, last) in relations.items():
        chosen = arcs[:, torch.from_numpy(kind_of_arc == number)]
        ends = torch.tensor([[offset[first]], [offset[last]]])
        made[first, relation, last].edge_index = chosen - ends
    made.name, made.metric, made.meta = nodes.name, nodes.metric, nodes.meta
    return made


def southern_women(*, seed: int = 0) -> HyperGraphData:
    """Davis' 18 women of a town in Mississippi and the 14 social events they came to.

    A hyperedge is an event. The label is the circle a woman belongs to, as the literature gives it
    after the book: the first nine women of its table, and the others. The split is random within
    the circles: 30 % train, 20 % validation, the rest test.

    Source: Davis, Gardner and Gardner, Deep South, 1941, as bundled in networkx.

    Args:
        seed: of the split.

    Returns:
        HyperGraphData with `edge_index` (the 89 attendances), one-hot `x` `[18, 18]`, `y`, masks
        `[18]`, `node_names`, `hyperedge_names`, `metric` "accuracy".

    Example:
        >>> data = southern_women()
        >>> data.num_nodes, data.num_hyperedges, data.edge_index.size(1)
        (18, 14, 89)
    """
    graph = nx.davis_southern_women_graph()
    women = [name for name, kind in graph.nodes(data="bipartite") if kind == 0]
    events = [name for name, kind in graph.nodes(data="bipartite") if kind == 1]
    pairs = [
        (women.index(woman), number)
        for number, event in enumerate(events)
        for woman in sorted(graph[event], key=women.index)
    ]
    y = (torch.arange(len(women)) >= 9).long()
    train_mask, val_mask, test_mask = random_split(y, (0.3, 0.2, 0.5), seed=seed).masks(len(y))
    return HyperGraphData(
        x=torch.eye(len(women)),
        y=y,
        train_mask=train_mask,
        val_mask=val_mask,
        test_mask=test_mask,
        edge_index=torch.tensor(pairs, dtype=torch.long).t().contiguous(),
        num_nodes=len(women),
        num_hyperedges=len(events),
        node_names=women,
        hyperedge_names=events,
        name="southern_women",
        metric="accuracy",
    )


def targets_of(data: HyperGraphData) -> torch.Tensor | None:
    """Finds what is to be predicted of nodes: classes ``y``, else numbers, NaN where there is none.

    Args:
        data: With ``y``; or with ``y_float``, which counts where ``valid_mask`` holds.

    Example:
        >>> targets_of(southern_women()).dtype
        torch.int64
    """
    y, numbers, valid = (data.get(name) for name in ("y", "y_float", "valid_mask"))
    if y is None and numbers is not None:
        y = numbers if valid is None else numbers.float().where(valid.bool(), torch.nan)
    if y is None:
        return None
    y = y.detach().cpu()
    y = y.view(-1) if y.dim() == 2 and y.size(1) == 1 else y
    return y.float() if y.is_floating_point() else y.long()


def types_of(data: HyperGraphData) -> torch.Tensor | None:
    """Finds the types of hyperedges, as whole numbers from 0; None where they have none.

    Args:
        data: Perhaps with ``hyperedge_type``.

    Raises:
        ValueError: They are no vector of whole numbers, one a hyperedge, or one is negative.

    Example:
        >>> types_of(southern_women()) is None
        True
    """
    types = data.get("hyperedge_type")
    if types is None:
        return None
    count = data.get("num_hyperedges", len(types))
    if types.dim() != 1 or types.is_floating_point() or len(types) != count:
        raise ValueError(
            f"hyperedge_type must be a whole number for each of {count} hyperedges: got "
            f"{list(types.shape)}, {types.dtype}."
        )
    if len(types) and int(types.min()) < 0:
        first = int((types < 0).nonzero()[0, 0])
        raise ValueError(
            f"hyperedge_type must be 0 or more: got {int(types[first])} for hyperedge {first}."
        )
    return types.detach().cpu().long()


def _arrays(path: Path, max_bytes: int) -> dict[str, NDArray[Any]]:
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}; give the path of a .npz data file.")
    return read_npz(path, max_bytes)


def _to_data(
    arrays: dict[str, NDArray[Any]], stem: str, max_bytes: int, key: str = "hyperedge_index"
) -> HyperGraphData:
    """What a file says of its nodes, and one of its lists of pairs as ``edge_index``."""
    meta = meta_of(arrays)
    data = HyperGraphData()
    x = features_of(arrays, max_bytes)
    rows = {name: len(arrays[name]) for name in ("y", *MASKS, *PER_NODE) if name in arrays}
    declared = meta.get("num_nodes")
    sizes = list(rows.values()) or ([declared] if isinstance(declared, int) else [])
    num_nodes = sizes[0] if x is None and sizes else None if x is None else len(x)
    types = arrays.get("hyperedge_type") if key == "hyperedge_index" else None
    count = None if types is None else len(types)
    if key == "edge_index":
        count = num_nodes
    pairs, num_nodes, num_hyperedges = check_incidences(arrays[key], num_nodes, count)
    data.edge_index = torch.from_numpy(pairs)
    data.num_nodes = num_nodes
    if key == "hyperedge_index":
        data.num_hyperedges = num_hyperedges
    if x is not None:
        data.x = torch.from_numpy(x)
    if "y" in arrays:
        data.y = labels_of(arrays["y"])
    extra = [name for name in arrays if name.endswith("_mask") and name not in (*MASKS, *PER_NODE)]
    for name in (*MASKS, *PER_NODE, *extra):
        if name in arrays:
            check_rows(name, arrays[name], num_nodes, "nodes")
            data[name] = torch.from_numpy(arrays[name])
    if "y" in data:
        check_rows("y", arrays["y"], num_nodes, "nodes")
    if types is not None:
        check_rows("hyperedge_type", types, num_hyperedges, "hyperedges")
        data.hyperedge_type = torch.from_numpy(types.astype(np.int64))
    if key == "hyperedge_index" and "partition_hyperedge_index" in arrays:
        parts, *_ = check_incidences(arrays["partition_hyperedge_index"], num_nodes, None)
        data.partition_hyperedge_index = torch.from_numpy(parts)
    metric = str(meta.get("metric", "accuracy"))
    data.name, data.metric = str(meta.get("name", stem)), METRICS.get(metric, metric)
    data.meta = meta
    return data
