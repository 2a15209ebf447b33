"""The numbers among the attributes of a hypergraph as tensors, and back where they were changed."""

from collections.abc import Iterator, Mapping
from numbers import Real
from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphattn.hypergraph_attributes import HypergraphAttributes, Records

_PREFIXES = {"nodes": "node", "hyperedges": "hyperedge", "incidences": "incidence"}
_TYPES = {bool: torch.bool, int: torch.int64, float: torch.float64}


class Column(NamedTuple):
    """One attribute of all nodes, hyperedges or incidences.

    Attributes:
        part: "nodes", "hyperedges" or "incidences".
        name: Of the attribute.
        values: One for each, ``[N]``, ``[M]`` or ``[I]``.
    """

    part: str
    name: str
    values: Tensor


def columns_of(attributes: HypergraphAttributes) -> dict[str, Column]:
    """Makes a tensor of each weight and of each attribute that is a number for all.

    ``node_weight``, ``hyperedge_weight`` and ``incidence_weight`` are float32, and 1 where there is
    none. ``node_attr_age`` is attribute "age" of nodes; so for ``hyperedge_attr_...`` and
    ``incidence_attr_...``. It is there where all have it, all of one type: bool, int64 or float64.
    Names that are no identifiers, or that PyG would change in a batch ("index", "batch"), are not.

    Args:
        attributes: Stay as they are, and say what the tensors do not.

    Returns:
        What a PyG ``Data`` may hold, by name.

    Example:
        >>> made = columns_of(HypergraphAttributes(hyperedges=({"weight": 2}, {})))
        >>> {name: column.values.tolist() for name, column in made.items()}
        {'hyperedge_weight': [2.0, 1.0]}
    """
    columns = {}
    for part, prefix in _PREFIXES.items():
        records: Records | None = getattr(attributes, part)
        for name, given in _by_name(records or ()):
            key = f"{prefix}_weight" if name == "weight" else f"{prefix}_attr_{name}"
            if name == "weight":
                values = _weights(attributes, part, given)
            else:
                values = _numbers(given, len(records or ()))
            if values is not None and key.isidentifier() and not _changes_in_a_batch(key):
                columns[key] = Column(part, name, values)
    return columns


def with_columns(
    attributes: HypergraphAttributes, stored: Mapping[str, Any]
) -> HypergraphAttributes:
    """Takes back the tensors of :func:`columns_of`: one that was changed since has the last word.

    Args:
        attributes: As they were when the tensors were made.
        stored: What the PyG ``Data`` holds; a tensor that is gone changes nothing.

    Returns:
        The attributes, the very same records where the tensors say the same.

    Raises:
        ValueError: A tensor has another length.

    Example:
        >>> before = HypergraphAttributes(nodes=({"age": 3}, {"age": 4}))
        >>> with_columns(before, {"node_attr_age": torch.tensor([3, 5])}).nodes
        ({'age': 3}, {'age': 5})
    """
    for key, (part, name, before) in columns_of(attributes).items():
        found = stored.get(key)
        if not isinstance(found, Tensor):
            continue
        if found.shape != before.shape:
            raise ValueError(
                f"{key} must have one number for each of {len(before)} {part}: got shape "
                f"{list(found.shape)}."
            )
        found = found.detach().cpu()
        now = found.to(before.dtype)
        same = ((now == before) | (now.isnan() & before.isnan())).tolist()
        if all(same):
            continue
        records = tuple(
            record if kept else {**record, name: value}
            for record, kept, value in zip(
                getattr(attributes, part), same, found.tolist(), strict=True
            )
        )
        changed: dict[str, Any] = {part: records}
        attributes = attributes._replace(**changed)
    return attributes


def _by_name(records: Records) -> Iterator[tuple[str, list[Any]]]:
    found: dict[str, list[Any]] = {}
    for record in records:
        for name, value in record.items():
            found.setdefault(name, []).append(value)
    return iter(found.items())


def _weights(attributes: HypergraphAttributes, part: str, given: list[Any]) -> Tensor | None:
    if any(isinstance(value, bool) or not isinstance(value, Real) for value in given):
        return None
    return torch.from_numpy(attributes.weights(part)).float()


def _numbers(given: list[Any], count: int) -> Tensor | None:
    kinds = set(map(type, given))
    kind = next(iter(kinds))
    if len(given) != count or len(kinds) > 1 or kind not in _TYPES:
        return None
    if kind is int and not all(-(2**63) <= value < 2**63 for value in given):
        return None
    return torch.tensor(given, dtype=_TYPES[kind])


def _changes_in_a_batch(key: str) -> bool:
    return "index" in key or "batch" in key
