"""What the land around a junction is used for: the area it lies in, or else the nearest one."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree


def landuse_at(
    pos: NDArray[np.float64], areas: Sequence[tuple[NDArray[np.float64], str]]
) -> list[str]:
    """Finds the land use at some places.

    Where areas overlap, the one listed first counts. Where there is none, that of the area counts
    one of whose corners is nearest.

    Args:
        pos: `[places, 2]`, longitude and latitude in degrees.
        areas: The corners of each, `[corners, 2]`, the first repeated at the end; and its land use.

    Returns:
        One text a place; "" if there are no areas.

    Example:
        >>> square = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.0, 0.0]])
        >>> areas = [(square, "forest"), (square + 5.0, "farmland")]
        >>> landuse_at(np.array([[0.5, 0.5], [4.0, 4.0]]), areas)
        ['forest', 'farmland']
    """
    if not areas:
        return [""] * len(pos)
    narrow = np.array([np.cos(np.deg2rad(pos[:, 1].mean())), 1.0])  # a degree of longitude
    corners = np.concatenate([outline for outline, _ in areas]) * narrow
    owner = np.repeat(np.arange(len(areas)), [len(outline) for outline, _ in areas])
    found = owner[KDTree(corners).query(pos * narrow)[1]]
    for number in reversed(range(len(areas))):
        found[_inside(pos, areas[number][0])] = number
    return [areas[number][1] for number in found]


def _inside(pos: NDArray[np.float64], outline: NDArray[np.float64]) -> NDArray[np.int64]:
    """Lists the places from which a ray to the east crosses an outline an odd number of times."""
    near = (pos >= outline.min(axis=0)) & (pos <= outline.max(axis=0))
    places = np.flatnonzero(near.all(axis=1))
    odd = np.zeros(len(places), bool)
    lon, lat = pos[places].T
    for (a_lon, a_lat), (b_lon, b_lat) in pairwise(outline):
        if a_lat != b_lat:
            crosses = (a_lat > lat) != (b_lat > lat)
            odd ^= crosses & (lon < a_lon + (lat - a_lat) / (b_lat - a_lat) * (b_lon - a_lon))
    return places[odd]
