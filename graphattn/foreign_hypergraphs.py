"""Hypergraphs that others made: lists, PyG's, SciPy's and XGI's."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from graphattn.attribute_tensors import with_columns
from graphattn.hypergraph_attributes import HypergraphAttributes, known, told


class Members(NamedTuple):
    """Incidences by number, and what nodes and hyperedges were called; None: their numbers.

    Attributes of incidences are in the order of ``hyperedge_index``.
    """

    hyperedge_index: Any
    num_nodes: int
    num_hyperedges: int
    node_names: tuple[Hashable, ...] | None = None
    hyperedge_names: tuple[Hashable, ...] | None = None
    attributes: HypergraphAttributes | None = None


def members_of_lists(hyperedges: Mapping[Any, Iterable[Any]], nodes: Iterable[Any] = ()) -> Members:
    """Numbers the nodes and hyperedges of lists of members.

    Args:
        hyperedges: The members of each hyperedge, by its name.
        nodes: Nodes that come first, isolated ones among them.

    Returns:
        Incidences and names; no names where they are 0, 1, 2, ... already.

    Example:
        >>> members_of_lists({"e": ["b", "a"]}).node_names
        ('b', 'a')
    """
    number = {node: i for i, node in enumerate(dict.fromkeys(nodes))}
    pairs = [
        (number.setdefault(node, len(number)), edge)
        for edge, members in enumerate(hyperedges.values())
        for node in members
    ]
    index = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    names = plain_names(number), plain_names(hyperedges)
    return Members(index, len(number), len(hyperedges), *names)


def members_of_data(data: Any) -> Members:
    """Takes the incidences out of a PyG ``HyperGraphData``, without its slow properties.

    Args:
        data: Has ``edge_index`` ``[2, I]``; the number of hyperedges is ``num_hyperedges``, or the
            rows of ``hyperedge_type``, ``hyperedge_attr`` or ``edge_attr``, or as many as have
            ids; that of nodes is ``num_nodes`` if set, or the rows of ``x`` or ``y``. Names and
            attributes are what ``Incidence.to_data`` put there, and its tensors where they were
            changed since; a ``hyperedge_weight`` alone becomes an attribute.

    Returns:
        The incidences and the counts, and what else there is.

    Raises:
        ValueError: ``edge_index`` is missing, or sizes disagree, those of attributes too.

    Example:
        >>> import torch
        >>> from torch_geometric.data.hypergraph_data import HyperGraphData
        >>> index = torch.tensor([[0, 1], [0, 0]])
        >>> members_of_data(HyperGraphData(edge_index=index, num_nodes=3)).num_nodes
        3
    """
    stored = data.to_dict()
    index = stored.get("edge_index")
    if index is None:
        raise ValueError("data must have edge_index [2, I] (node, hyperedge): got none.")
    num_nodes = _agreed(stored, "num_nodes", ("x", "y", "node_type"))
    kinds = ("hyperedge_type", "hyperedge_attr", "edge_attr")
    num_hyperedges = _agreed(stored, "num_hyperedges", kinds)
    largest = index.amax(1).tolist() if index.dim() == 2 and index.numel() else [-1, -1]
    num_nodes = int(largest[0]) + 1 if num_nodes is None else num_nodes
    num_hyperedges = int(largest[-1]) + 1 if num_hyperedges is None else num_hyperedges
    # What PyG has moved or copied comes back as lists.
    names = [_tuple(stored.get(name)) for name in ("node_names", "hyperedge_names")]
    parts, weight = stored.get("hypergraph_attributes"), stored.get("hyperedge_weight")
    attributes = None if parts is None else HypergraphAttributes(*map(_tuple, parts))
    if attributes is not None:
        attributes.check(num_nodes, num_hyperedges, index.size(-1))
        attributes = with_columns(attributes, stored)
    elif isinstance(weight, Tensor) and weight.shape == (num_hyperedges,):
        records = told({"weight": value} for value in weight.tolist())
        attributes = known(HypergraphAttributes(hyperedges=records))
    return Members(index, num_nodes, num_hyperedges, names[0], names[1], attributes)


def _tuple(given: Any) -> Any:
    return tuple(given) if isinstance(given, list) else given


def _agreed(stored: Mapping[str, Any], count: str, tensors: Sequence[str]) -> int | None:
    sizes = {count: int(stored[count])} if stored.get(count) is not None else {}
    for name in tensors:
        if isinstance(stored.get(name), Tensor) and stored[name].dim():
            sizes[f"rows of {name}"] = int(stored[name].size(0))
    if len(set(sizes.values())) > 1:
        got = ", ".join(f"{size} {name}" for name, size in sizes.items())
        raise ValueError(f"sizes of data must agree: got {got}.")
    return next(iter(sizes.values()), None)


def members_of_matrix(matrix: Any) -> Members:
    """Takes the incidences out of a matrix of nodes by hyperedges, dense or sparse.

    Args:
        matrix: ``[N, M]``, a tensor, an array or a SciPy sparse matrix; what is not 0 is one.

    Returns:
        The incidences, in order of hyperedges where it is dense.

    Raises:
        ValueError: It is no matrix, or has NaN entries.

    Example:
        >>> members_of_matrix(np.eye(2)).hyperedge_index.tolist()
        [[0, 1], [0, 1]]
    """
    if isinstance(matrix, Tensor):
        matrix = matrix.detach().cpu().to_dense().numpy()
    shape = tuple(getattr(matrix, "shape", ()))
    if len(shape) != 2:
        raise ValueError(f"matrix must be nodes by hyperedges, [N, M]: got shape {list(shape)}.")
    if hasattr(matrix, "tocoo"):
        entries = matrix.tocoo()
        values, pairs = entries.data, np.stack([entries.row, entries.col])
        pairs = pairs[:, values != 0]
    else:
        values = np.asarray(matrix)
        pairs = np.stack(np.nonzero(values.T)[::-1])
    missing = int(np.isnan(values).sum()) if np.asarray(values).dtype.kind == "f" else 0
    if missing:
        raise ValueError(f"matrix must hold numbers: got {missing} NaN entries; remove them.")
    return Members(pairs.astype(np.int64), int(shape[0]), int(shape[1]))


def members_of_xgi(hypergraph: Any) -> Members:
    """Takes the incidences and attributes out of an XGI hypergraph.

    Args:
        hypergraph: An ``xgi.Hypergraph``; a ``SimplicialComplex`` is of network type "asc".

    Returns:
        Incidences, names and attributes, in its order.

    Raises:
        TypeError: It is none, or a directed one, whose directions would be lost.

    Example:
        >>> members_of_xgi("no hypergraph")
        Traceback (most recent call last):
        ...
        TypeError: hypergraph must be an xgi.Hypergraph: got str.
    """
    edges: Any = getattr(hypergraph, "edges", None)
    if not hasattr(edges, "members"):
        raise TypeError(f"hypergraph must be an xgi.Hypergraph: got {type(hypergraph).__name__}.")
    if hasattr(edges, "tail"):
        raise TypeError(
            "hypergraph must be undirected, or directions would be lost: got an xgi.DiHypergraph; "
            "use Incidence.from_hif(xgi.to_hif_dict(hypergraph))."
        )
    lists = {name: _ordered(edges.members(name)) for name in edges}
    nodes, is_complex = hypergraph.nodes, hasattr(hypergraph, "add_simplex")
    attributes = HypergraphAttributes(
        nodes=told(dict(nodes[name]) for name in nodes),
        hyperedges=told(dict(edges[name]) for name in edges),
        metadata=dict(getattr(hypergraph, "_net_attr", {})) or None,
        network_type="asc" if is_complex else "undirected",
    )
    return members_of_lists(lists, nodes)._replace(attributes=known(attributes))


def plain_names(given: Mapping[Any, Any]) -> tuple[Hashable, ...] | None:
    """The keys of a mapping, or None where they are 0, 1, 2, ...

    Example:
        >>> plain_names({0: "x", 1: "y"}), plain_names({"a": 1})
        (None, ('a',))
    """
    is_plain = all(type(name) is int and name == i for i, name in enumerate(given))
    return None if is_plain else tuple(given)


def _ordered(members: Iterable[Any]) -> list[Any]:
    """Members of a set in an order that does not change from run to run."""
    return sorted(members, key=lambda name: (type(name).__name__, str(name)))
