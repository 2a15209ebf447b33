"""Meta-paths through a graph of several kinds of nodes: how they are written, whom they reach."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse

EdgeType = tuple[str, str, str]


class Step(NamedTuple):
    """One step of a meta-path: the stored edge type, and whether it is walked backwards."""

    edge_type: EdgeType
    is_reverse: bool

    @property
    def ends(self) -> tuple[str, str]:
        """The node types it leaves and enters."""
        first, _, last = self.edge_type
        return (last, first) if self.is_reverse else (first, last)


class MetaPath(NamedTuple):
    """A meta-path: its name, its steps, and the position that its hyperedges are anchored at.

    Where ``is_star``, the steps all leave the anchor, which has position 0.
    """

    name: str
    steps: tuple[Step, ...]
    anchor: int
    is_star: bool = False

    @property
    def anchor_type(self) -> str:
        """The type of node that makes a hyperedge each."""
        at = 0 if self.is_star else self.anchor
        return self.steps[0].ends[0] if at == 0 else self.steps[at - 1].ends[1]


def parse_metapath(
    path: str | Sequence[EdgeType], anchor: str | int, edge_types: Sequence[EdgeType]
) -> MetaPath:
    """Reads a meta-path.

    Args:
        path: Node types joined by "-", such as "artist-term-artist"; or a type and "*", such as
            "artist-*", for all neighbours of its nodes; or edge types (source, relation, target),
            where a relation "~name" is the reverse of "name".
        anchor: "middle", or a position from 0.
        edge_types: The edge types there are.

    Returns:
        The meta-path.

    Raises:
        ValueError: No edge type joins two neighbours, or several do; or there is no such position.

    Example:
        >>> have = [("artist", "has", "term")]
        >>> parse_metapath("artist-term-artist", "middle", have).anchor_type
        'term'
        >>> parse_metapath("term-song", "middle", have)
        Traceback (most recent call last):
        ...
        ValueError: meta-path 'term-song': no edge type joins term and song; have artist-has-term.
    """
    if isinstance(path, str):
        name, types = path, path.split("-")
        if len(types) == 2 and types[1] == "*":
            return _star(name, types[0], anchor, edge_types)
        steps = tuple(_joining(name, *pair, edge_types) for pair in pairwise(types))
    else:
        name = "-".join([path[0][0], *(f"{rel}-{last}" for _, rel, last in path)]) if path else ""
        steps = tuple(_stored(name, tuple(step), edge_types) for step in path)
        for one, other in pairwise(steps):
            if one.ends[1] != other.ends[0]:
                raise ValueError(
                    f"meta-path {name!r}: a step into {one.ends[1]} is followed by one out of "
                    f"{other.ends[0]}; steps must meet."
                )
    if not steps:
        raise ValueError(f"meta-path {name!r} must have at least one step, such as 'artist-term'.")
    place = (len(steps) + 1) // 2 if anchor == "middle" else anchor
    if not isinstance(place, int) or not 0 <= place <= len(steps):
        raise ValueError(
            f"meta-path {name!r}: anchor must be 'middle' or a position 0..{len(steps)}: got "
            f"{anchor!r}."
        )
    return MetaPath(name, steps, place)


def reached(
    path: MetaPath, members: str, matrices: dict[EdgeType, scipy.sparse.csr_array], count: int
) -> list[tuple[str, npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Finds the nodes at each kept position of a meta-path, from each anchor.

    Args:
        path: The meta-path.
        members: "all" positions, the anchor included, or the two "ends".
        matrices: For each edge type, sources by targets, of ones.
        count: Number of nodes of the anchor's type.

    Returns:
        For each kept position, its node type, and pairs of an anchor and a node reached.

    Example:
        >>> have = ("artist", "has", "term")
        >>> path = parse_metapath("artist-term", 1, [have])
        >>> matrix = scipy.sparse.csr_array(np.ones((2, 1)))
        >>> [part[1].tolist() for part in reached(path, "all", {have: matrix}, 1)]
        [[0], [0, 0]]
    """
    own = scipy.sparse.eye_array(count, format="csr", dtype=bool)
    if path.is_star:
        found = [_pairs(path.anchor_type, own)]
        for step in path.steps:
            found.append(_pairs(step.ends[1], _matrix(step, matrices)))
        return found
    last = len(path.steps)
    kept = range(last + 1) if members == "all" else (0, last)
    found = [_pairs(path.anchor_type, own)] if path.anchor in kept else []
    forward, backward = path.steps[path.anchor :], path.steps[: path.anchor][::-1]
    ways = (
        (forward, range(path.anchor + 1, last + 1), False),
        (backward, range(path.anchor - 1, -1, -1), True),
    )
    for steps, positions, is_back in ways:
        near = own
        for step, position in zip(steps, positions, strict=True):
            way = Step(step.edge_type, step.is_reverse != is_back)
            matrix = _matrix(way, matrices)
            near = matrix if near is own else (near @ matrix).astype(bool)
            if position in kept:
                found.append(_pairs(way.ends[1], near))
    return found


def _star(name: str, centre: str, anchor: str | int, edge_types: Sequence[EdgeType]) -> MetaPath:
    if anchor not in ("middle", 0):
        raise ValueError(f"meta-path {name!r}: anchor must be 0 or 'middle': got {anchor!r}.")
    out = [Step(one, False) for one in edge_types if one[0] == centre]
    back = [Step(one, True) for one in edge_types if one[2] == centre]
    if not out and not back:
        raise ValueError(f"meta-path {name!r}: no edge type joins {centre}; {_have(edge_types)}.")
    return MetaPath(name, (*out, *back), 0, True)


def _joining(name: str, first: str, last: str, edge_types: Sequence[EdgeType]) -> Step:
    forth = [Step(one, False) for one in edge_types if (one[0], one[2]) == (first, last)]
    back = [Step(one, True) for one in edge_types if (one[2], one[0]) == (first, last)]
    steps = forth or back
    if not steps:
        raise ValueError(
            f"meta-path {name!r}: no edge type joins {first} and {last}; {_have(edge_types)}."
        )
    if len(steps) > 1:
        names = ", ".join("-".join(step.edge_type) for step in steps)
        raise ValueError(
            f"meta-path {name!r}: several edge types join {first} and {last}: {names}; give the "
            "steps as (source, relation, target)."
        )
    return steps[0]


def _stored(name: str, step: Any, edge_types: Sequence[EdgeType]) -> Step:
    if step in edge_types:
        return Step(step, False)
    first, relation, last = step
    turned = (last, relation.removeprefix("~"), first)
    if relation.startswith("~") and turned in edge_types:
        return Step(turned, True)
    raise ValueError(f"meta-path {name!r}: there is no edge type {step}; {_have(edge_types)}.")


def _have(edge_types: Sequence[EdgeType]) -> str:
    return f"have {', '.join('-'.join(one) for one in edge_types) or 'none'}"


def _matrix(step: Step, matrices: dict[EdgeType, scipy.sparse.csr_array]) -> Any:
    matrix = matrices[step.edge_type]
    return matrix.T.tocsr() if step.is_reverse else matrix


def _pairs(kind: str, matrix: Any) -> tuple[str, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    entries = matrix.tocoo()
    return kind, entries.row.astype(np.int64), entries.col.astype(np.int64)
