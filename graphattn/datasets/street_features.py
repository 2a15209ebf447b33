"""Features of junctions and roads, as City-Networks has them: numbers, and the commonest texts."""

from collections import Counter

import numpy as np
import torch
from jaxtyping import Float32
from numpy.typing import NDArray
from torch import Tensor

from graphattn.datasets.streets import Streets

_MOST = {"oneway": 4, "lanes": 8, "reversed": 4, "highway": 8}  # texts with a column of their own
_OTHERS = ("lanes", "highway")


def street_features(
    streets: Streets,
) -> tuple[
    Float32[Tensor, "nodes node_channels"],
    Float32[Tensor, "segments edge_channels"],
    list[str],
    list[str],
]:
    """Make columns of numbers of what is known of junctions and road segments.

    Junctions: longitude, latitude, number of streets, land use (the eight commonest, and others).
    Segments: length, speed, and one column for each oneway (at most 4), number of lanes (8 and
    others), reversed (at most 4) and highway (8 and others). The commonest text comes first. An
    unknown text has zeros, but for land use where others are known: there it is a text, "nan".

    Args:
        streets: Junctions and segments.

    Returns:
        Both, not scaled, and the names of their columns.

    Example:
        >>> streets = Streets(np.zeros((2, 2)), np.ones(2, int), ["", ""], torch.tensor([[0], [1]]),
        ...                   np.ones(1), np.ones(1), {k: ["a"] for k in _MOST})
        >>> street_features(streets)[3]
        ['length_m', 'speed_kph', 'oneway=a', 'lanes=a', 'reversed=a', 'highway=a']
    """
    known = any(streets.landuse)
    landuse = [text or "nan" for text in streets.landuse] if known else streets.landuse
    columns, node_names = _columns("landuse", landuse, 8, others=True)
    numbers = [streets.pos, streets.street_count[:, None]]
    x = np.concatenate([*numbers, columns], axis=1)
    parts = [streets.length[:, None], streets.speed[:, None]]
    edge_names = ["length_m", "speed_kph"]
    for kind, most in _MOST.items():
        columns, names = _columns(kind, streets.kinds[kind], most, others=kind in _OTHERS)
        parts.append(columns)
        edge_names += names
    edge_attr = np.concatenate(parts, axis=1)
    return (
        torch.from_numpy(x.astype(np.float32)),
        torch.from_numpy(edge_attr.astype(np.float32)),
        ["lon", "lat", "street_count", *node_names],
        edge_names,
    )


def _columns(
    kind: str, texts: list[str], most: int, *, others: bool
) -> tuple[NDArray[np.float64], list[str]]:
    counts = Counter(text for text in texts if text)
    ranked = sorted(counts, key=lambda text: (-counts[text], text))
    place = {text: i for i, text in enumerate(ranked[:most])}
    names = [f"{kind}={text}" for text in place]
    if others and len(ranked) > most:
        place |= dict.fromkeys(ranked[most:], len(names))
        names.append(f"{kind}=others")
    table = np.zeros((len(texts), len(names)))
    for row, text in enumerate(texts):
        if text in place:
            table[row, place[text]] = 1.0
    return table, names
