"""An extract of OpenStreetMap, read for its streets and land use and for nothing else."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat

from graphattn.datasets.npz import CorruptDataset

_NOT_THERE = (
    "abandoned",
    "construction",
    "no",
    "planned",
    "platform",
    "proposed",
    "raceway",
    "razed",
)
_TAGS = ("highway", "area", "oneway", "junction", "lanes", "maxspeed", "landuse")
_PIECE = 1 << 20


@dataclass
class OsmExtract:
    """What is kept of an extract.

    Attributes:
        points: Longitude and latitude in degrees, by id.
        streets: Ids of the points of each street, and its tags.
        areas: Ids of the points around each area with a land use, and the land use.

    Example:
        >>> extract = OsmExtract()
        >>> extract.add_way([1, 2], {"highway": "residential"})
        >>> len(extract.streets)
        1
    """

    points: dict[int, tuple[float, float]] = field(default_factory=dict)
    streets: list[tuple[list[int], dict[str, str]]] = field(default_factory=list)
    areas: list[tuple[list[int], str]] = field(default_factory=list)

    def add_way(self, refs: Iterable[int], tags: Mapping[str, str]) -> None:
        """Keep a way if it is a street or an area with a land use.

        Args:
            refs: Ids of its points.
            tags: Its tags.
        """
        ids, kept = list(refs), {key: tags[key] for key in _TAGS if key in tags}
        is_street = "highway" in kept and "yes" not in kept.get("area", "")
        if is_street and kept["highway"] not in _NOT_THERE and len(ids) > 1:
            self.streets.append((ids, kept))
        if "landuse" in kept and len(ids) > 3 and ids[0] == ids[-1]:
            self.areas.append((ids, kept["landuse"]))


def read_osm(path: Path) -> OsmExtract:
    """Read an extract of OpenStreetMap.

    XML is parsed as it comes, and refused if it declares a document type, so that no entity is ever
    expanded. Land use that is mapped as a relation of several ways is not read.

    Args:
        path: `.osm`, or `.osm.pbf`, for which osmium is needed.

    Raises:
        ValueError: There is no such file, or its name ends in something else.
        CorruptDataset: It is torn, hostile, or no such file.
        ImportError: osmium is needed and not installed.

    Example:
        >>> read_osm(Path("city.zip"))
        Traceback (most recent call last):
        ...
        ValueError: an extract must end in .osm or .osm.pbf: got city.zip.
    """
    if not path.name.endswith((".osm", ".osm.pbf")):
        raise ValueError(f"an extract must end in .osm or .osm.pbf: got {path}.")
    if not path.is_file():
        raise ValueError(f"{path} is needed: there is no such file.")
    return _read_pbf(path) if path.suffix == ".pbf" else _read_xml(path)


def _read_xml(path: Path) -> OsmExtract:
    extract = OsmExtract()
    refs: list[int] = []
    tags: dict[str, str] = {}
    root: list[str] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        if not root:
            root.append(name)
            if name != "osm":
                raise ValueError(f"its first element is {name!r} instead of 'osm'")
        elif name == "node":
            place = float(attributes["lon"]), float(attributes["lat"])
            if not (-180 <= place[0] <= 180 and -90 <= place[1] <= 90):
                raise ValueError(f"node {attributes['id']} lies at {place}")
            extract.points[int(attributes["id"])] = place
        elif name == "nd":
            refs.append(int(attributes["ref"]))
        elif name == "tag":
            tags[attributes["k"]] = attributes["v"]
        if name in ("way", "node", "relation"):
            refs.clear()
            tags.clear()

    def end(name: str) -> None:
        if name == "way":
            extract.add_way(refs, tags)

    def refuse(*declared: Any) -> None:
        raise ValueError(f"it declares a document type {declared[0]!r}")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.StartDoctypeDeclHandler = refuse
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                parser.Parse(piece, False)
        parser.Parse(b"", True)
    except (expat.ExpatError, ValueError, KeyError) as error:
        said = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise CorruptDataset(
            f"{path} cannot be read as OpenStreetMap's XML, line {parser.CurrentLineNumber}: "
            f"{said}; fetch it again."
        ) from error
    return extract


def _read_pbf(path: Path) -> OsmExtract:
    try:
        import osmium
    except ImportError as error:
        raise ImportError(
            f"{path} is read by osmium, which is not installed: pip install 'graphattn[osm]', or "
            "give the extract as .osm."
        ) from error
    extract = OsmExtract()
    try:
        for thing in osmium.FileProcessor(str(path)):
            if thing.is_node():
                extract.points[thing.id] = (thing.location.lon, thing.location.lat)
            elif thing.is_way():
                tags = {tag.k: tag.v for tag in thing.tags}
                extract.add_way([node.ref for node in thing.nodes], tags)
    except RuntimeError as error:
        raise CorruptDataset(
            f"{path} cannot be read as OpenStreetMap's PBF ({error}); fetch it again."
        ) from error
    return extract
