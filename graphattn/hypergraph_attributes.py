"""What a hypergraph carries beside its incidences: weights and attributes, as other formats do."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Record = Mapping[str, Any]
Records = tuple[Record, ...]


class HypergraphAttributes(NamedTuple):
    """Attributes by name, one mapping a node, hyperedge or incidence; None where none has any.

    A weight is the attribute "weight". Incidences are in the order of ``Incidence.node`` and
    ``Incidence.edge``.

    Attributes:
        nodes: Of each node.
        hyperedges: Of each hyperedge.
        incidences: Of each incidence.
        metadata: Of the whole hypergraph.
        network_type: What HIF calls it: "undirected", "asc" or "directed". Directions are the
            attribute "direction" of incidences and change nothing here.

    Example:
        >>> HypergraphAttributes(hyperedges=({"weight": 2.0}, {})).weights().tolist()
        [2.0, 1.0]
    """

    nodes: Records | None = None
    hyperedges: Records | None = None
    incidences: Records | None = None
    metadata: Record | None = None
    network_type: str = "undirected"

    def weights(self, part: str = "hyperedges") -> npt.NDArray[np.float64]:
        """Gives the weights of one part as numbers; 1 where there is none.

        Args:
            part: "nodes", "hyperedges" or "incidences".

        Raises:
            ValueError: A weight is no number, or the part has no attributes.
        """
        records = getattr(self, part)
        if records is None:
            raise ValueError(f"{part} must have attributes to have weights: got none.")
        found = [record.get("weight", 1.0) for record in records]
        odd = [value for value in found if isinstance(value, bool | str) or not np.isscalar(value)]
        if odd:
            raise ValueError(f"weights of {part} must be numbers: got {odd[0]!r}.")
        return np.array(found, np.float64)

    def check(self, num_nodes: int, num_hyperedges: int, num_incidences: int) -> None:
        """Refuses attributes of another number of nodes, hyperedges or incidences.

        Raises:
            ValueError: There is not one record for each.
        """
        counts = {"nodes": num_nodes, "hyperedges": num_hyperedges, "incidences": num_incidences}
        for part, count in counts.items():
            records = getattr(self, part)
            if records is not None and len(records) != count:
                raise ValueError(
                    f"attributes must have one record for each of {count} {part}: got "
                    f"{len(records)}."
                )

    def turned(self, order: Iterable[int]) -> "HypergraphAttributes":
        """Changes nodes and hyperedges over, with incidences in another order."""
        incidences = taken(self.incidences, order)
        return self._replace(nodes=self.hyperedges, hyperedges=self.nodes, incidences=incidences)

    def kept(
        self, nodes: Iterable[int], hyperedges: Iterable[int], incidences: Iterable[int]
    ) -> "HypergraphAttributes | None":
        """Keeps those of some, in their new order; None where nothing is left to say."""
        return known(
            self._replace(
                nodes=taken(self.nodes, nodes),
                hyperedges=taken(self.hyperedges, hyperedges),
                incidences=taken(self.incidences, incidences),
            )
        )


def taken(records: Records | None, ids: Iterable[int]) -> Records | None:
    """Takes some of the records; None stays None, and so becomes what says nothing.

    Example:
        >>> taken(({"a": 1}, {}), [1, 0]), taken(({"a": 1}, {}), [1])
        (({}, {'a': 1}), None)
    """
    return None if records is None else told(records[i] for i in ids)


def told(records: Iterable[Record]) -> Records | None:
    """Makes a tuple of records, or None where none says anything.

    Example:
        >>> told([{}, {}]), told([{"weight": 2}])
        (None, ({'weight': 2},))
    """
    given = tuple(records)
    return given if any(given) else None


def placed(records: Sequence[Record], slots: npt.NDArray[np.int64], count: int) -> Records | None:
    """Brings records of incidences as listed into the order of the hypergraph.

    Args:
        records: One for each listed incidence.
        slots: Where each of these stands.
        count: How many different ones there are.

    Raises:
        ValueError: An incidence is listed twice with different attributes.

    Example:
        >>> placed([{"weight": 2}, {}], np.array([1, 0]), 2)
        ({}, {'weight': 2})
    """
    if not any(records):
        return None
    found: list[Record | None] = [None] * count
    for record, slot in zip(records, slots.tolist(), strict=True):
        if found[slot] is not None and found[slot] != record:
            raise ValueError(
                "an incidence must be listed once, or with the same attributes each time: got "
                f"{dict(found[slot] or {})} and {dict(record)}."
            )
        found[slot] = record
    return told(record or {} for record in found)


def known(attributes: HypergraphAttributes) -> HypergraphAttributes | None:
    """None in place of attributes that say nothing.

    Example:
        >>> known(HypergraphAttributes()) is None
        True
    """
    return None if attributes == HypergraphAttributes() else attributes
