"""Where the nodes of a data set are and how long its edges, where it says so."""

import math

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphattn.config import DataOptions
from graphattn.datasets.ogb_table import OGB
from graphattn.datasets.public_table import PUBLIC
from graphattn.loading import load_data

_METRES = 111_320.0  # a degree of latitude
_CITIES = "city-networks-"


def data_with_places(options: DataOptions) -> Data | None:
    """Load a data set again as it is, if it may have coordinates or lengths; OGB's have none.

    Example:
        >>> data_with_places(DataOptions("ogbn-arxiv")) is None
        True
    """
    plain = options.name in OGB or options.name in PUBLIC
    return None if plain and not options.name.startswith(_CITIES) else load_data(options)


def coordinates(data: Data) -> tuple[Tensor, str] | None:
    """Return where the nodes are, in a plane.

    Args:
        data: Has `pos` `[nodes, 2]`, or as first features longitude and latitude in degrees
            (`lon` and `lat` among its `meta["feature_names"]`, or a city of City-Networks), which
            are laid on a plane that touches the globe at their mean.

    Returns:
        float64 `[nodes, 2]`, and the unit; or None.

    Example:
        >>> names = {"feature_names": ["lon", "lat"]}
        >>> pos, unit = coordinates(Data(x=torch.tensor([[0.0, -0.5], [1.0, 0.5]]), meta=names))
        >>> pos.tolist(), unit
        ([[0.0, -55660.0], [111320.0, 55660.0]], 'metres')
    """
    meta, x, pos = data.get("meta") or {}, data.get("x"), data.get("pos")
    city = str(data.get("name") or "").startswith(_CITIES)
    if isinstance(x, Tensor) and (
        city or list(meta.get("feature_names", ()))[:2] == ["lon", "lat"]
    ):
        degrees = x[:, :2].double()
        middle = math.radians(float(degrees[:, 1].mean()))
        return degrees * torch.tensor([math.cos(middle), 1.0]) * _METRES, "metres"
    if isinstance(pos, Tensor) and pos.dim() == 2 and pos.size(1) == 2:
        return pos.double(), "units of pos"
    return None


def lengths(data: Data, edge_index: Tensor) -> tuple[Tensor, str]:
    """Return the length of edges, as a data set gives them.

    Args:
        data: Has `edge_index` and `edge_length` (metres), or `edge_weight`.
        edge_index: The edges asked for. An edge that is not there has the length of its reverse;
            of repeated ones the shortest counts.

    Returns:
        float64 `[edges]`, and the unit.

    Raises:
        ValueError: The data have no lengths, or have no such edge.

    Example:
        >>> data = Data(edge_index=torch.tensor([[0, 0], [1, 1]]), edge_length=torch.tensor([3, 2]))
        >>> lengths(data, torch.tensor([[0, 1], [1, 0]]))[0].tolist()
        [2.0, 2.0]
    """
    named = {"edge_length": "metres", "edge_weight": "units of edge_weight"}
    key = next((key for key in named if isinstance(data.get(key), Tensor)), None)
    if key is None:
        raise ValueError("distance weight needs data with edge_length or edge_weight: got neither.")
    size = int(max(edges.max() if edges.numel() else 0 for edges in (data.edge_index, edge_index)))
    size += 1
    given = data[key].double().view(-1).cpu().numpy()
    source, target = data.edge_index.cpu().numpy()
    known = np.concatenate([source * size + target, target * size + source])
    both = np.concatenate([given, given])
    reversed_ = np.arange(known.size) >= given.size
    order = np.lexsort((both, reversed_, known))  # of an edge the shortest, before its reverse
    first = order[np.flatnonzero(np.diff(known[order], prepend=-1))]
    asked_source, asked_target = edge_index.cpu().numpy()
    asked = asked_source * size + asked_target
    if not asked.size:
        return torch.zeros(0, dtype=torch.float64), named[key]
    at = np.minimum(np.searchsorted(known[first], asked), max(first.size - 1, 0))
    if first.size == 0 or (known[first][at] != asked).any():
        raise ValueError("distance weight needs a length for each edge: the data lack some.")
    return torch.from_numpy(both[first][at]), named[key]
