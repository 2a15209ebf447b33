"""The Hypergraph Interchange Format, read and written on this machine alone.

Source: https://github.com/HIF-org/HIF-standard.
"""

import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from graphattn.corrupt import CorruptFile
from graphattn.foreign_hypergraphs import Members, members_of_lists
from graphattn.hypergraph_attributes import HypergraphAttributes, Record, Records, known, told

_TYPES = ("undirected", "asc", "directed")


def members_of_hif(source: Any) -> Members:
    """Reads a hypergraph in the Hypergraph Interchange Format.

    Incidences of a directed one count alike; their direction is an attribute.

    Args:
        source: The path of a JSON file, or what such a file holds.

    Returns:
        Incidences, names and attributes: first those listed under "nodes" and "edges", in their
        order. A weight is the attribute "weight".

    Raises:
        FileNotFoundError: There is no such file.
        CorruptFile: It is no JSON, or no HIF.

    Example:
        >>> members_of_hif({"incidences": [{"node": "a", "edge": 0}]}).node_names
        ('a',)
    """
    content, where = source, "the dictionary"
    if not isinstance(source, Mapping):
        where = Path(source).name
        try:
            content = json.loads(Path(source).read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise CorruptFile(f"{where} must be a JSON file: {error}.") from error
    listed = content.get("incidences") if isinstance(content, Mapping) else None
    if not isinstance(listed, list):
        raise CorruptFile(f"{where} must be HIF with a list 'incidences': got none.")
    kind, metadata = content.get("network-type", "undirected"), content.get("metadata") or {}
    if kind not in _TYPES or not isinstance(metadata, Mapping):
        raise CorruptFile(
            f"{where} must have a network-type of {', '.join(_TYPES)} and metadata by name: got "
            f"{kind!r} and {type(metadata).__name__}."
        )
    nodes, edges = (_listed(content, name, where) for name in ("node", "edge"))
    members: dict[Any, list[Any]] = {name: [] for name in edges}
    records: dict[Any, list[Record]] = {name: [] for name in edges}
    for item in listed:
        edge, node = _field(item, "edge", where), _field(item, "node", where)
        members.setdefault(edge, []).append(node)
        records.setdefault(edge, []).append(_record(item, where))
    found = members_of_lists(members, nodes)
    numbered = dict.fromkeys([*nodes, *(node for part in members.values() for node in part)])
    attributes = HypergraphAttributes(
        nodes=told(nodes.get(name, {}) for name in numbered),
        hyperedges=told(edges.get(name, {}) for name in members),
        incidences=told(record for part in records.values() for record in part),
        metadata=dict(metadata) or None,
        network_type=kind,
    )
    return found._replace(attributes=known(attributes))


def to_hif(
    pairs: Iterable[tuple[int, int]],
    nodes: Sequence[Hashable],
    hyperedges: Sequence[Hashable],
    attributes: HypergraphAttributes | None = None,
) -> dict[str, Any]:
    """Writes a hypergraph as HIF has it, with all nodes and hyperedges listed.

    A number as weight stands in its own field, and among the attributes, where XGI looks for it.

    Args:
        pairs: The node and the hyperedge of each incidence, by number.
        nodes: What nodes are called.
        hyperedges: What hyperedges are called.
        attributes: Of all these.

    Returns:
        What a HIF file holds; ``json.dump`` writes it.

    Raises:
        TypeError: A name is neither a string nor an integer.

    Example:
        >>> to_hif([(0, 0)], ["a"], range(1))["incidences"]
        [{'edge': 0, 'node': 'a'}]
    """
    odd = [name for name in (*nodes, *hyperedges) if not isinstance(name, str | int)]
    if odd:
        raise TypeError(f"HIF names are strings or integers: got {odd[0]!r}; rename it.")
    own = attributes or HypergraphAttributes()
    named = [{"edge": hyperedges[edge], "node": nodes[node]} for node, edge in pairs]
    return {
        "network-type": own.network_type,
        "metadata": dict(own.metadata or {}),
        "nodes": _with([{"node": name} for name in nodes], own.nodes),
        "edges": _with([{"edge": name} for name in hyperedges], own.hyperedges),
        "incidences": _with(named, own.incidences),
    }


def _with(items: list[dict[str, Any]], records: Records | None) -> list[dict[str, Any]]:
    for item, record in zip(items, records or (), strict=False):
        attrs, weight = dict(record), record.get("weight")
        if isinstance(weight, int | float) and not isinstance(weight, bool):
            item["weight"] = weight
        if isinstance(attrs.get("direction"), str):
            item["direction"] = attrs.pop("direction")
        if attrs:
            item["attrs"] = attrs
    return items


def _listed(content: Mapping[str, Any], name: str, where: str) -> dict[Any, Record]:
    """What is said of all nodes or edges, in their order."""
    items = content.get(f"{name}s") or ()
    if not isinstance(items, list | tuple):
        raise CorruptFile(f"{where} must have a list '{name}s': got {type(items).__name__}.")
    found: dict[Any, Record] = {}
    for item in items:
        called, record = _field(item, name, where), _record(item, where)
        if found.setdefault(called, record) != record:
            raise CorruptFile(f"{where} must list {name} {called!r} once: got it twice, unlike.")
    return found


def _record(item: Mapping[str, Any], where: str) -> Record:
    """The attributes of one entry, its weight and direction among them."""
    attrs = item.get("attrs") or {}
    if not isinstance(attrs, Mapping):
        raise CorruptFile(f"{where} must have attrs by name: got {attrs!r}.")
    record = dict(attrs)
    for field in ("weight", "direction"):
        if field in item and record.get(field, item[field]) != item[field]:
            raise CorruptFile(
                f"{where} must have one {field} an entry: got {item[field]!r}, and "
                f"{record[field]!r} among its attrs."
            )
        if field in item:
            record[field] = item[field]
    return record


def _field(item: Any, name: str, where: str) -> Any:
    found = item.get(name) if isinstance(item, Mapping) else None
    if not isinstance(found, str | int) or isinstance(found, bool):
        raise CorruptFile(f"{where} must name {name}s by a string or an integer: got {item!r}.")
    return found
