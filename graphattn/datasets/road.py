"""Made road networks of any size, with City-Networks' labels, for tests and for scale."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Int64
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import minimum_spanning_tree
from torch import Tensor
from torch_geometric.data import Data

from graphattn.datasets.city_recipe import CLASSES, HOPS, city_data

_JITTER = 0.28  # of the spacing, either way: blocks stay simple
_DIAGONAL = 0.04  # share of the blocks that a road may cut across
_ARTERIAL = 8  # streets from one arterial road to the next
_SPEEDS = (50.0, 30.0, 15.0)  # km/h of arterial roads, streets and lanes
_WAVES = 6  # of the fields by which a city is denser here than there


class RoadNetwork(NamedTuple):
    """Roads, one direction each, and where they meet.

    Attributes:
        edge_index: `[2, roads]`, the smaller id first.
        length: `[roads]`, metres.
        kind: `[roads]`: 0 arterial road, 1 street, 2 lane.
        pos: `[nodes, 2]`, metres east and north.

    Example:
        >>> RoadNetwork._fields
        ('edge_index', 'length', 'kind', 'pos')
    """

    edge_index: Int64[Tensor, "2 roads"]
    length: Float32[Tensor, " roads"]
    kind: Int64[Tensor, " roads"]
    pos: Float32[Tensor, "nodes 2"]


def road(
    num_nodes: int = 5_000,
    *,
    degree: float = 2.8,
    spacing: float = 90.0,
    hops: int = HOPS,
    num_classes: int = CLASSES,
    seed: int = 0,
) -> Data:
    """A made road network whose labels are deciles of the 16-hop eccentricity.

    Args:
        num_nodes: Junctions, at least 10.
        degree: Mean number of roads at a junction, 2.4 to 3.2; met but for rounding.
        spacing: Mean distance of neighbouring junctions, metres.
        hops: Radius of the eccentricity, from which labels are cut.
        num_classes: Of equally many nodes.
        seed: Of the network; the split is City-Networks', the same for all seeds.

    Returns:
        As `city_data`: x, y, edge_index (both ways), edge_length (metres), pos, `ecc16`, masks.

    Raises:
        ValueError: The size, degree, or spacing is out of range.

    Example:
        >>> data = road(400)
        >>> data.num_edges, data.is_undirected(), data.y.bincount().tolist()
        (1120, True, [41, 41, 41, 41, 41, 41, 41, 41, 41, 31])
    """
    network = road_network(num_nodes, degree=degree, spacing=spacing, seed=seed)
    speed = torch.tensor(_SPEEDS)[network.kind]
    kinds = torch.nn.functional.one_hot(network.kind, len(_SPEEDS))
    street_count = torch.bincount(network.edge_index.view(-1), minlength=num_nodes)
    return city_data(
        torch.cat([network.pos, street_count[:, None]], dim=1),
        network.edge_index,
        torch.cat([network.length[:, None], speed[:, None], kinds], dim=1).float(),
        name="road",
        node_names=("x_m", "y_m", "street_count"),
        edge_names=("length_m", "speed_kph", "arterial", "street", "lane"),
        hops=hops,
        num_classes=num_classes,
        meta={"source": f"made: road(num_nodes={num_nodes}, degree={degree:g}, seed={seed})"},
    )


def road_network(
    num_nodes: int, *, degree: float = 2.8, spacing: float = 90.0, seed: int = 0
) -> RoadNetwork:
    """Draws a connected road network: a warped grid of streets with gaps, dead ends and diagonals.

    Junctions are the crossings of a grid, shaken, and drawn together and apart by smooth waves. A
    random spanning tree keeps them connected; of the other streets, and of a few diagonals, so many
    are kept as the degree asks for, more of them where the city is dense. Every eighth street is an
    arterial road, which is kept first. Roads bend, so they are a little longer than straight lines.
    A block has at most one diagonal, so nearly no roads cross. Nodes are shuffled.

    Args:
        num_nodes: Junctions, at least 10.
        degree: Mean number of roads at a junction, 2.4 to 3.2.
        spacing: Mean distance of neighbouring junctions, metres.
        seed: Of all that is drawn; no global generator is touched.

    Returns:
        The network.

    Raises:
        ValueError: One of them is out of range.

    Example:
        >>> network = road_network(100, degree=3.0)
        >>> network.edge_index.shape, network.pos.shape
        (torch.Size([2, 150]), torch.Size([100, 2]))
    """
    if num_nodes < 10:
        raise ValueError(f"num_nodes must be at least 10: got {num_nodes}.")
    if not 2.4 <= degree <= 3.2:
        raise ValueError(f"degree must be from 2.4 to 3.2, as of real roads: got {degree}.")
    if not (np.isfinite(spacing) and spacing > 0):
        raise ValueError(f"spacing is a distance in metres, above 0: got {spacing}.")
    generator = np.random.default_rng(seed)
    width = int(np.ceil(np.sqrt(num_nodes)))
    row, column = np.divmod(np.arange(num_nodes), width)
    place = np.stack([column, row], axis=1).astype(np.float64)
    dense = _waves(place / width, generator)
    warp = np.stack([_waves(place / width, generator) for _ in range(2)], axis=1)
    shaken = place + generator.uniform(-_JITTER, _JITTER, place.shape) + 0.03 * width * warp
    pos = spacing * shaken
    ends, kind = _candidates(num_nodes, width, generator)
    kept = _chosen(ends, kind, dense, num_nodes, round(degree * num_nodes / 2), generator)
    ends, kind = ends[:, kept], kind[kept]
    straight = np.linalg.norm(pos[ends[0]] - pos[ends[1]], axis=1)
    bends = 1.0 + 0.08 * generator.gamma(1.0, 1.0, len(straight))
    name = generator.permutation(num_nodes)
    shuffled = np.empty_like(pos)
    shuffled[name] = pos
    return RoadNetwork(
        torch.from_numpy(np.ascontiguousarray(np.sort(name[ends], axis=0))),
        torch.from_numpy((straight * bends).astype(np.float32)),
        torch.from_numpy(kind),
        torch.from_numpy(shuffled.astype(np.float32)),
    )


def _waves(place: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
    """Draws a smooth field of mean 0 and about unit deviation over the unit square."""
    waves = generator.normal(0.0, 5.0, (_WAVES, 2))
    phases = generator.uniform(0.0, 2 * np.pi, _WAVES)
    field = np.zeros(len(place))
    for wave, phase in zip(waves, phases, strict=True):
        field += np.cos(place @ wave + phase) / max(1.0, np.linalg.norm(wave) / 5.0)
    return np.sqrt(2.0 / _WAVES) * field


def _candidates(
    num_nodes: int, width: int, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Lists all streets of the grid and some diagonals, each with its kind."""
    nodes = np.arange(num_nodes)
    row, column = np.divmod(nodes, width)
    right = nodes[(column < width - 1) & (nodes + 1 < num_nodes)]
    down = nodes[nodes + width < num_nodes]
    corner = nodes[(column < width - 1) & (nodes + width + 1 < num_nodes)]
    corner = corner[generator.random(len(corner)) < _DIAGONAL]
    falling = generator.random(len(corner)) < 0.5
    diagonal = np.where(falling, [corner, corner + width + 1], [corner + 1, corner + width])
    ends = np.concatenate([[right, right + 1], [down, down + width], diagonal], axis=1)
    lane = np.where(generator.random(ends.shape[1]) < 0.15, 2, 1)
    arterial = np.concatenate(
        [row[right] % _ARTERIAL == 4, column[down] % _ARTERIAL == 4, np.zeros(len(corner), bool)]
    )
    return ends, np.where(arterial, 0, lane)


def _chosen(
    ends: NDArray[np.int64],
    kind: NDArray[np.int64],
    dense: NDArray[np.float64],
    num_nodes: int,
    count: int,
    generator: np.random.Generator,
) -> NDArray[np.int64]:
    """Chooses a random spanning tree, then the roads most wanted, until there are ``count``."""
    lot = generator.uniform(0.5, 1.0, ends.shape[1]) - 0.4 * (kind == 0)
    numbers = np.arange(1, ends.shape[1] + 1)
    shape = (num_nodes, num_nodes)
    tree = minimum_spanning_tree(csr_array((lot, (ends[0], ends[1])), shape=shape)).tocoo()
    lookup = csr_array((numbers, (ends[0], ends[1])), shape=shape)
    in_tree = np.asarray(lookup[tree.row, tree.col]).ravel() - 1
    wish = generator.gumbel(size=ends.shape[1]) + 0.8 * dense[ends[0]] + 3.0 * (kind == 0)
    wish[in_tree] = np.inf
    most = min(count, len(wish)) - 1
    return np.sort(np.argpartition(-wish, most)[: most + 1])
