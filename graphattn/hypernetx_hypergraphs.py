"""Hypergraphs of HyperNetX, with their properties: read, and made."""

import math
from collections.abc import Hashable, Iterable, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from graphattn.foreign_hypergraphs import Members, members_of_lists
from graphattn.hypergraph_attributes import HypergraphAttributes, Record, Records, known, told

_COLUMNS = ("weight", "misc_properties")
_BOOKKEEPING = "_level"  # HyperNetX writes it among the properties of what is looked at


def members_of_hypernetx(hypergraph: Any) -> Members:
    """Takes the incidences and properties out of a HyperNetX hypergraph.

    HyperNetX gives everything a weight: the default one counts as none, unless it is also among the
    other properties. The order is that of its properties, then of its incidences.

    Args:
        hypergraph: A ``hypernetx.Hypergraph``. Its ``name`` becomes the metadata "name"; what
            ``Incidence.to_hypernetx`` left in ``metadata`` and ``network_type`` is taken too.

    Returns:
        Incidences, names and attributes.

    Raises:
        TypeError: It is none.

    Example:
        >>> members_of_hypernetx(3)
        Traceback (most recent call last):
        ...
        TypeError: hypergraph must be a hypernetx.Hypergraph: got int.
    """
    members = getattr(hypergraph, "incidence_dict", None)
    if members is None or not hasattr(hypergraph, "nodes"):
        name = type(hypergraph).__name__
        raise TypeError(f"hypergraph must be a hypernetx.Hypergraph: got {name}.")
    of_nodes, of_edges = _properties(hypergraph.nodes), _properties(hypergraph.edges)
    of_cells = _properties(getattr(hypergraph, "incidences", None))
    nodes = _in_order(map(_plain, hypergraph.nodes), of_nodes)
    lists = {_plain(name): [_plain(node) for node in part] for name, part in members.items()}
    names = _in_order(map(_plain, hypergraph.edges), of_edges)
    lists = {name: lists.get(name, []) for name in names}
    metadata = dict(getattr(hypergraph, "metadata", None) or {})
    if getattr(hypergraph, "name", None):
        metadata["name"] = hypergraph.name
    attributes = HypergraphAttributes(
        nodes=told(of_nodes.get(name, {}) for name in nodes),
        hyperedges=told(of_edges.get(name, {}) for name in lists),
        incidences=told(of_cells.get((e, node), {}) for e, part in lists.items() for node in part),
        metadata=metadata or None,
        network_type=getattr(hypergraph, "network_type", "undirected"),
    )
    return members_of_lists(lists, nodes)._replace(attributes=known(attributes))


def to_hypernetx(
    pairs: Iterable[tuple[int, int]],
    nodes: Sequence[Hashable],
    hyperedges: Sequence[Hashable],
    attributes: HypergraphAttributes | None = None,
) -> Any:
    """Makes a ``hypernetx.Hypergraph``.

    Weights are its weights, all attributes (weights too, so that one of 1 is told from none) are
    its ``misc_properties``, the metadata "name" is its ``name``. HyperNetX has no place for other
    metadata and the type of network: they are its plain attributes ``metadata`` and
    ``network_type``, which only ``Incidence.from_hypernetx`` reads.

    Args:
        pairs: The node and the hyperedge of each incidence, by number.
        nodes: What nodes are called.
        hyperedges: What hyperedges are called.
        attributes: Of all these.

    Returns:
        The hypergraph.

    Raises:
        ValueError: A node is isolated or a hyperedge empty: HyperNetX would lose it.
        ImportError: HyperNetX is not installed.

    Example:
        >>> to_hypernetx([(0, 0)], ["a", "b"], ["e"])
        Traceback (most recent call last):
        ...
        ValueError: HyperNetX keeps nodes in hyperedges only: got 1 isolated nodes and 0 empty
        hyperedges; leave them out with subgraph, or use to_xgi or to_hif.
    """
    listed = list(pairs)
    isolated = len(nodes) - len({node for node, _ in listed})
    empty = len(hyperedges) - len({edge for _, edge in listed})
    if isolated or empty:
        raise ValueError(
            f"HyperNetX keeps nodes in hyperedges only: got {isolated} isolated nodes and {empty} "
            "empty hyperedges; leave them out with subgraph, or use to_xgi or to_hif."
        )
    try:
        hypernetx: Any = import_module("hypernetx")
        table: Any = import_module("pandas").DataFrame
    except ImportError as error:
        raise ImportError(
            f"to_hypernetx needs HyperNetX: got {error}; pip install hypernetx."
        ) from error
    own = attributes or HypergraphAttributes()
    metadata = dict(own.metadata or {})
    ends = [hyperedges[edge] for _, edge in listed], [nodes[node] for node, _ in listed]
    made = hypernetx.Hypergraph(
        table(_table({"edges": ends[0], "nodes": ends[1]}, own.incidences)),
        misc_cell_properties_col="misc_properties",
        edge_properties=table(_table({"uid": hyperedges}, own.hyperedges)),
        node_properties=table(_table({"uid": nodes}, own.nodes)),
        misc_properties_col="misc_properties",
        name=metadata["name"] if isinstance(metadata.get("name"), str) else None,
    )
    made.metadata, made.network_type = metadata, own.network_type
    return made


def _table(keys: dict[str, Sequence[Hashable]], records: Records | None) -> dict[str, Any]:
    """Columns of objects: pandas would make other numbers of numbers."""
    count = len(next(iter(keys.values())))
    given = records or ({},) * count
    weights = [record.get("weight") for record in given]
    numbers: list[Any] = [1 if _odd(weight) else weight for weight in weights]
    columns = {**keys, _COLUMNS[0]: numbers, _COLUMNS[1]: [dict(record) for record in given]}
    return {name: _objects(values) for name, values in columns.items()}


def _objects(values: Sequence[Any]) -> Any:
    column = np.empty(len(values), object)
    column[:] = values
    return column


def _odd(weight: Any) -> bool:
    """Whether a weight is none that HyperNetX computes with."""
    return isinstance(weight, bool) or not isinstance(weight, int | float)


def _properties(view: Any) -> dict[Any, Record]:
    """What each node, hyperedge or pair of hyperedge and node has, in the order it was given."""
    table = getattr(view, "user_defined_properties", None)
    if table is None:
        return {}
    default, columns = getattr(view, "default_weight", 1), {}
    for name in table.columns:
        columns[name] = table[name].tolist()
    weights, others = (columns.pop(name, [None] * len(table)) for name in _COLUMNS)
    found: dict[Any, Record] = {}
    for place, key in enumerate(table.index.tolist()):
        record = dict(others[place] or {})
        record |= {k: part[place] for k, part in columns.items() if not _missing(part[place])}
        record.pop(_BOOKKEEPING, None)
        weight = record.get("weight")
        expected = default if _odd(weight) or _missing(weight) else weight
        if not _missing(weights[place]) and weights[place] != expected:
            record["weight"] = weights[place]
        found[_plain(key)] = record
    return found


def _in_order(names: Iterable[Any], listed: Iterable[Any]) -> list[Any]:
    """Names in the order of a list, then those that it has not."""
    there = dict.fromkeys(names)
    return list(dict.fromkeys([*(name for name in listed if name in there), *there]))


def _missing(value: Any) -> bool:
    """Whether pandas wrote this where there is nothing."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def _plain(name: Any) -> Any:
    """A name as Python has it, where NumPy made a number of its own of it."""
    if isinstance(name, tuple):
        return tuple(map(_plain, name))
    return name.item() if isinstance(name, np.generic) else name
