"""Streets as a graph: junctions, and the road segments between them with what is known of each."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from graphattn.datasets.landuse import landuse_at
from graphattn.datasets.osm_file import OsmExtract

KINDS = ("oneway", "lanes", "reversed", "highway")
_EARTH = 6_371_009.0  # metres, as OSMnx has it
_FORTH, _BACK = ("yes", "true", "1"), ("-1", "reverse", "t")
_MILE = 1.60934
_UNKNOWN_SPEED = 30.0  # km/h, where no street of an extract tells one

Hop = tuple[int, int, bool]  # the next point, the street, and whether it is against its line


@dataclass
class Streets:
    """Junctions and the directed road segments between them.

    Attributes:
        pos: `[nodes, 2]`, longitude and latitude in degrees.
        street_count: Streets that meet at each junction.
        landuse: Of each junction; "" where unknown.
        edge_index: `[2, segments]`.
        length: Metres, one a segment.
        speed: km/h, one a segment.
        kinds: For each of `KINDS` a text a segment; "" where unknown.

    Example:
        >>> Streets.__name__
        'Streets'
    """

    pos: NDArray[np.float64]
    street_count: NDArray[np.int64]
    landuse: list[str]
    edge_index: Int64[Tensor, "2 segments"]
    length: NDArray[np.float64]
    speed: NDArray[np.float64]
    kinds: dict[str, list[str]]


def streets_of_osm(extract: OsmExtract) -> Streets:
    """Make a graph of an extract's streets, as OSMnx does: its largest part, without mere bends.

    A point is a junction unless it has two neighbours and traffic passes it one way or both ways;
    the segments between junctions are joined, and texts that differ along one are listed. A speed
    that is not tagged is the mean of its kind of street.

    Args:
        extract: As read.

    Raises:
        ValueError: There is no street in it.

    Example:
        >>> extract = OsmExtract({1: (0.0, 0.0), 2: (0.0, 0.001), 3: (0.0, 0.002)})
        >>> extract.add_way([1, 2, 3], {"highway": "residential"})
        >>> streets = streets_of_osm(extract)
        >>> streets.edge_index.tolist(), streets.length.round().tolist()
        ([[0, 1], [1, 0]], [222.0, 222.0])
    """
    onward, tags = _largest(*_hops(extract))
    if not onward:
        raise ValueError("an extract must hold a street: got none with two points.")
    ends = _junctions(onward)
    number = {point: i for i, point in enumerate(sorted(ends))}
    paths = [path for start in number for path in _paths(start, onward, ends)]
    pos = np.array([extract.points[point] for point in number])
    lines = {_undirected(points) for points, _ in paths}
    count = Counter(number[end] for line in lines for end in (line[0], line[-1]))
    sides = [[number[points[side]] for points, _ in paths] for side in (0, -1)]
    kinds = {kind: [_text(_values(kind, hops, tags)) for _, hops in paths] for kind in KINDS}
    return Streets(
        pos=pos,
        street_count=np.array([count[i] for i in range(len(number))]),
        landuse=landuse_at(
            pos,
            [
                (np.array([extract.points[ref] for ref in refs]), use)
                for refs, use in extract.areas
                if all(ref in extract.points for ref in refs)
            ],
        ),
        edge_index=torch.tensor(sides),
        length=np.array([_metres([extract.points[p] for p in points]) for points, _ in paths]),
        speed=_speeds([[tags[street] for _, street, _ in hops] for _, hops in paths]),
        kinds=kinds,
    )


def streets_of_networkx(graph: Any) -> Streets:
    """Take over a graph such as OSMnx gives; nodes are numbered in its order.

    Args:
        graph: See `graphattn.datasets.city_networks.city_from_networkx`.

    Raises:
        TypeError: It is no networkx graph.
        ValueError: A node lacks its place or an edge its length.

    Example:
        >>> import networkx
        >>> streets_of_networkx(networkx.path_graph(2))
        Traceback (most recent call last):
        ...
        ValueError: each node needs x and y in degrees: got {} for node 0.
    """
    if not (hasattr(graph, "nodes") and hasattr(graph, "is_directed")):
        raise TypeError(f"graph must be a networkx graph: got {type(graph).__name__}.")
    nodes = list(graph.nodes(data=True))
    for name, facts in nodes:
        if not all(_is_number(facts.get(key)) for key in ("x", "y")):
            raise ValueError(f"each node needs x and y in degrees: got {facts} for node {name}.")
    edges = list(graph.edges(data=True))
    for source, target, facts in edges:
        if not (_is_number(facts.get("length")) and float(facts["length"]) >= 0):
            raise ValueError(
                f"each edge needs a length in metres, at least 0: got {facts.get('length')} for "
                f"{source} -> {target}."
            )
    number = {name: i for i, (name, _) in enumerate(nodes)}
    ends = np.array([[number[s], number[t]] for s, t, _ in edges], np.int64).reshape(-1, 2).T
    pairs = {(min(s, t), max(s, t)) for s, t in ends.T.tolist()}
    count = Counter(end for pair in pairs for end in pair)
    speed = [facts.get("speed_kph") for _, _, facts in edges]
    known = [float(value) for value in speed if _is_number(value)]
    mean = float(np.mean(known)) if known else _UNKNOWN_SPEED
    return Streets(
        pos=np.array([[float(f["x"]), float(f["y"])] for _, f in nodes]).reshape(-1, 2),
        street_count=np.array([int(f.get("street_count", count[number[n]])) for n, f in nodes]),
        landuse=[_text([facts.get("landuse")]) for _, facts in nodes],
        edge_index=torch.from_numpy(np.ascontiguousarray(ends)),
        length=np.array([float(facts["length"]) for _, _, facts in edges]),
        speed=np.array([float(v) if _is_number(v) else mean for v in speed]),
        kinds={kind: [_text([f.get(kind)]) for _, _, f in edges] for kind in KINDS},
    )


def _hops(extract: OsmExtract) -> tuple[dict[int, list[Hop]], list[dict[str, str]]]:
    """Lists where one can go from each point, street by street; points not there cut a street."""
    onward: dict[int, list[Hop]] = defaultdict(list)
    for street, (refs, tags) in enumerate(extract.streets):
        forth, back = _directions(tags)
        for here, there in pairwise(refs):
            if here == there or here not in extract.points or there not in extract.points:
                continue
            if forth:
                onward[here].append((there, street, False))
            if back:
                onward[there].append((here, street, not (back and not forth)))
    return dict(onward), [tags for _, tags in extract.streets]


def _directions(tags: dict[str, str]) -> tuple[bool, bool]:
    oneway = tags.get("oneway", "yes" if tags.get("junction") == "roundabout" else "no").lower()
    return oneway not in _BACK, oneway not in _FORTH


def _largest(
    onward: dict[int, list[Hop]], tags: list[dict[str, str]]
) -> tuple[dict[int, list[Hop]], list[dict[str, str]]]:
    """Keeps the part with most points, whatever the direction of streets."""
    points = sorted({*onward, *(hop[0] for hops in onward.values() for hop in hops)})
    if not points:
        return {}, tags
    place = {point: i for i, point in enumerate(points)}
    pairs = [(place[p], place[hop[0]]) for p, hops in onward.items() for hop in hops]
    sources, targets = np.array(pairs).T
    shape = (len(points), len(points))
    part = connected_components(coo_array((np.ones(len(pairs)), (sources, targets)), shape))[1]
    kept = part == np.bincount(part).argmax()
    return {point: onward.get(point, []) for point in points if kept[place[point]]}, tags


def _junctions(onward: dict[int, list[Hop]]) -> set[int]:
    """Finds the points that are no mere bends."""
    before: dict[int, list[int]] = defaultdict(list)
    for point, hops in onward.items():
        for there, _, _ in hops:
            before[there].append(point)
    found = set()
    for point, hops in onward.items():
        after = [there for there, _, _ in hops]
        neighbours = {*after, *before[point]}
        passes = len(neighbours) == 2 and len(after) + len(before[point]) in (2, 4)
        if not (passes and after and before[point]):
            found.add(point)
    return found or {min(onward)}  # of a ring alone, one point


def _paths(
    start: int, onward: dict[int, list[Hop]], ends: set[int]
) -> Iterator[tuple[list[int], list[Hop]]]:
    """Follows each street from a junction to the next one."""
    for first in onward[start]:
        points, hops = [start, first[0]], [first]
        while points[-1] not in ends:
            further = [hop for hop in onward[points[-1]] if hop[0] != points[-2]]
            if not further or len(points) > len(onward) + 1:
                break  # a dead end against the traffic
            hops.append(further[0])
            points.append(further[0][0])
        if points[-1] in ends:
            yield points, hops


def _undirected(points: Sequence[int]) -> tuple[int, ...]:
    return min(tuple(points), tuple(reversed(points)))


def _values(kind: str, hops: list[Hop], tags: list[dict[str, str]]) -> list[Any]:
    if kind == "reversed":
        return [against for _, _, against in hops]
    if kind == "oneway":
        return [not all(_directions(tags[street])) for _, street, _ in hops]
    return [tags[street].get(kind) for _, street, _ in hops]


def _text(values: Sequence[Any]) -> str:
    """Writes values as one text: none, the only one, or a sorted list of those that differ."""
    flat = [v for value in values for v in (value if isinstance(value, list) else [value])]
    known = {str(v) for v in flat if v is not None and not (isinstance(v, float) and np.isnan(v))}
    if len(known) < 2:
        return "".join(known)
    return f"[{', '.join(sorted(known))}]"


def _metres(line: Sequence[tuple[float, float]]) -> float:
    """Adds up the great-circle distances along a line."""
    lon, lat = np.deg2rad(np.array(line)).T
    half = np.sin(np.diff(lat) / 2) ** 2
    half += np.cos(lat[:-1]) * np.cos(lat[1:]) * np.sin(np.diff(lon) / 2) ** 2
    return float(2 * _EARTH * np.arcsin(np.sqrt(half)).sum())


def _speeds(paths: list[list[dict[str, str]]]) -> NDArray[np.float64]:
    """Takes the mean of what is tagged along each segment, or else of its kind of street."""
    told = [[v for tags in path if (v := _kph(tags.get("maxspeed"))) is not None] for path in paths]
    kind = [path[0]["highway"] for path in paths]
    by_kind: dict[str, list[float]] = defaultdict(list)
    for name, values in zip(kind, told, strict=True):
        if values:
            by_kind[name].append(float(np.mean(values)))
    means = {name: float(np.mean(values)) for name, values in by_kind.items()}
    rest = float(np.mean(list(means.values()))) if means else _UNKNOWN_SPEED
    return np.array(
        [np.mean(v) if v else means.get(name, rest) for v, name in zip(told, kind, strict=True)]
    )


def _kph(text: str | None) -> float | None:
    number = "".join(c for c in (text or "").split(";")[0] if c in "0123456789.")
    if not number or not _is_number(number):
        return None
    return float(number) * (_MILE if "mph" in (text or "") else 1.0)


def _is_number(value: Any) -> bool:
    try:
        return bool(np.isfinite(float(value)))
    except (TypeError, ValueError):
        return False
