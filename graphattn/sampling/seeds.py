"""What a loader of subgraphs starts from: seeds in any form PyG takes, and times, checked."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


def seeds_of(input_nodes: Any, num_nodes: int) -> tuple[Tensor, Tensor | None]:
    """Reads the seeds out of what PyG calls input nodes.

    Args:
        input_nodes: Ids, a mask of all nodes, in any container; or none for all nodes.
        num_nodes: Number of nodes.

    Returns:
        The seeds, on the CPU, and what PyG calls their input ids: for a mask the nodes, else none,
        which stands for positions.

    Raises:
        ValueError: An id is no node, or the shape is wrong.
        TypeError: They are neither integers nor a mask.

    Example:
        >>> seeds_of([True, False, True], 3)[0].tolist()
        [0, 2]
    """
    if input_nodes is None:
        return torch.arange(num_nodes), None
    nodes = torch.as_tensor(input_nodes).detach().cpu()
    if nodes.dtype == torch.bool:
        if nodes.shape != (num_nodes,):
            raise ValueError(
                f"input_nodes as a mask must be [{num_nodes}]: got shape {list(nodes.shape)}."
            )
        nodes = nodes.nonzero().view(-1)
        return nodes, nodes
    if nodes.numel() and (nodes.is_floating_point() or nodes.is_complex()):
        raise TypeError(f"input_nodes must hold integer ids or be a mask: got {nodes.dtype}.")
    if nodes.ndim != 1:
        raise ValueError(f"input_nodes must be [seeds]: got shape {list(nodes.shape)}.")
    nodes = nodes.long()
    if nodes.numel() and not 0 <= nodes.min() <= nodes.max() < num_nodes:
        bad = nodes[(nodes < 0) | (nodes >= num_nodes)]
        raise ValueError(
            f"input_nodes must be ids from 0 to {num_nodes - 1}: got {bad[:5].tolist()}, "
            f"{bad.numel()} such ids."
        )
    return nodes, None


def times_of(
    data: Any, name: str | None, input_time: Tensor | None, seeds: Tensor, sources: Any
) -> tuple[npt.NDArray[Any] | None, npt.NDArray[Any] | None]:
    """Reads the times of edges and seeds out of an attribute of nodes or edges.

    Args:
        data: A PyG ``Data`` that has the attribute.
        name: Its name, or none.
        input_time: The last moment of each seed; by default its own time, if nodes have times.
        seeds: The seeds.
        sources: int64 ``[edges]``, the sender of each edge.

    Returns:
        When each edge came, in the order of ``data``, and the last moment of each seed; or none.

    Raises:
        ValueError: There is no such attribute, times do not fit, or those of seeds are missing.
        TypeError: Times are no numbers, or of two kinds.

    Example:
        >>> from torch_geometric.data import Data
        >>> time, edge_index = torch.tensor([3, 4, 5]), torch.tensor([[0, 2], [1, 1]])
        >>> data = Data(edge_index=edge_index, time=time, num_nodes=3)
        >>> times_of(data, "time", None, torch.tensor([1]), np.array([0, 2]))
        (array([3, 5]), array([4]))
    """
    if name is None:
        return None, None
    of_nodes = name in data and data.is_node_attr(name)
    if not of_nodes and not (name in data and data.is_edge_attr(name)):
        raise ValueError(
            f"time_attr must name an attribute of nodes or edges: got {name!r}; "
            f"data has {', '.join(sorted(data.keys()))}."
        )
    size = int(data.num_nodes) if of_nodes else sources.size
    time = moments(f"data.{name}", data[name], size)
    if input_time is not None:
        limit = moments("input_time", input_time, seeds.numel(), time.dtype)
    elif of_nodes:
        limit = time[seeds.numpy()]
    else:
        raise ValueError(
            f"times of edges need input_time, the last moment of each seed: got time_attr={name!r} "
            "and input_time=None."
        )
    return (time[sources] if of_nodes else time), limit


def moments(
    name: str, time: Tensor, size: int, kind: np.dtype[Any] | None = None
) -> npt.NDArray[Any]:
    """Checks times and brings them to int64 or float64.

    Args:
        name: What the message calls them.
        time: The times, in any unit.
        size: How many there must be.
        kind: The type that they must have once brought there, if that is settled.

    Returns:
        ``[size]``, int64 or float64.

    Raises:
        ValueError: Their number is another, or some are NaN.
        TypeError: They are no real numbers, or of another kind.

    Example:
        >>> moments("node_time", torch.tensor([3, 1], dtype=torch.int32), 2).dtype
        dtype('int64')
    """
    if time.is_complex() or time.dtype == torch.bool:
        raise TypeError(f"{name} must hold integers or real numbers: got {time.dtype}.")
    values = time.detach().cpu().to(torch.float64 if time.is_floating_point() else torch.int64)
    if values.shape != (size,):
        raise ValueError(f"{name} must be [{size}]: got shape {list(values.shape)}.")
    array: npt.NDArray[Any] = values.contiguous().numpy()
    if kind is not None and array.dtype != kind:
        raise TypeError(
            f"{name} must be of the kind of the other times, {kind}: got {time.dtype}; "
            "give both as integers or both as floats."
        )
    if np.isnan(array).any():
        raise ValueError(f"{name} must not be NaN: got {int(np.isnan(array).sum())} of {size}.")
    return array
