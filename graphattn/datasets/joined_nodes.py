"""The nodes of all types of a graph in one row, type by type."""

from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.data.hypergraph_data import HyperGraphData


def join_nodes(data: HeteroData) -> HyperGraphData:
    """Lines up the nodes of all types.

    Args:
        data: The graph; its edges are not looked at.

    Returns:
        No hyperedges yet; ``num_nodes``, ``node_type`` ``[N]`` (the place of the type),
        ``node_offset`` (the first node of each type, by name), ``x`` where all types have features
        of one width and ``x_dict`` otherwise, labels (``y``, ``y_float``) and masks, where nodes of
        other types have -1, NaN or False.

    Raises:
        ValueError: A type has no number of nodes.

    Example:
        >>> data = HeteroData()
        >>> data["a"].x, data["b"].x = torch.ones(2, 3), torch.zeros(1, 3)
        >>> join_nodes(data).node_offset
        {'a': 0, 'b': 2}
    """
    counts: dict[str, int] = {}
    for kind in data.node_types:
        count = data[kind].num_nodes
        if count is None:
            raise ValueError(f"nodes of type {kind!r} must be counted: set num_nodes or x.")
        counts[kind] = int(count)
    found = HyperGraphData()
    found.num_nodes = sum(counts.values())
    sizes = torch.tensor(list(counts.values()), dtype=torch.long)
    found.node_type = torch.arange(len(counts)).repeat_interleave(sizes)
    starts = (sizes.cumsum(0) - sizes).tolist()
    found.node_offset = dict(zip(counts, starts, strict=True))
    features = {kind: data[kind].x for kind in counts if data[kind].get("x") is not None}
    if len(features) == len(counts) and len({x.size(-1) for x in features.values()}) == 1:
        found.x = torch.cat(list(features.values()))
    elif features:
        found.x_dict = features
    names = {name for kind in counts for name in data[kind] if _is_label(name)}
    for name in sorted(names):
        found[name] = _joined([data[kind].get(name) for kind in counts], list(counts.values()))
    return found


def _is_label(name: str) -> bool:
    return name in ("y", "y_float") or name.endswith("_mask")


def _joined(parts: list[Tensor | None], counts: list[int]) -> Tensor:
    known = next(part for part in parts if part is not None)
    nothing: Any = False if known.dtype == torch.bool else -1
    nothing = torch.nan if known.is_floating_point() else nothing
    filled = [
        known.new_full((count, *known.shape[1:]), nothing) if part is None else part
        for part, count in zip(parts, counts, strict=True)
    ]
    return torch.cat(filled)
