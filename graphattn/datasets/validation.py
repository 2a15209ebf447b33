"""What a data set must satisfy before any work begins, said in numbers where it does not."""

import torch
from jaxtyping import Int64
from torch import Tensor
from torch_geometric.data import Data

from graphattn.edges import check_whole


def check_data(data: Data, *, num_classes: int | None = None) -> None:
    """Checks features, labels and the sizes of everything that has one row a node.

    Edges are only checked for shape and range here; `CSRGraph` checks them in full. Masks are
    checked when they are used, by `graphattn.datasets.splits.splits`.

    Args:
        data: with `edge_index` and, as far as it has them, `x` and `y`.
        num_classes: labels run from 0 to num_classes - 1; None takes any label >= -1.

    Raises:
        ValueError: sizes disagree, an edge leaves the graph, a feature is NaN or infinite, a
            label is out of range.
        TypeError: x is not a floating tensor or y not an int64 one.

    Example:
        >>> check_data(Data(x=torch.ones(2, 1), edge_index=torch.tensor([[0], [1]])))
    """
    x, y, edge_index = data.get("x"), data.get("y"), data.get("edge_index")
    num_nodes = count_nodes(data)
    if num_nodes < 1:
        raise ValueError("A graph needs at least one node: got none; give x or num_nodes.")
    for key, part in (("x", x), ("y", y), ("edge_index", edge_index)):
        if part is not None and not isinstance(part, Tensor):
            kind = type(part).__name__
            raise TypeError(f"{key} must be a torch tensor: got {kind}; convert it first.")
    if x is not None:
        _check_features(x)
    if y is not None:
        _check_labels(y, num_classes)
    sizes = {"num_nodes": num_nodes} if "num_nodes" in data else {}
    sizes |= {key: len(part) for key, part in (("x", x), ("y", y)) if part is not None}
    if len(set(sizes.values())) > 1:
        came = ", ".join(f"{name}: {size}" for name, size in sizes.items())
        raise ValueError(f"x, y and num_nodes must count the same nodes: got {came} rows.")
    if edge_index is not None:
        check_edges(edge_index, num_nodes)


def check_edges(edge_index: Tensor, num_nodes: int) -> None:
    """Checks the shape, the type and the range of edges.

    Args:
        edge_index: should be `[2, edges]`; whole numbers in a float type pass.
        num_nodes: ids run from 0 to num_nodes - 1.

    Raises:
        ValueError: the shape is wrong, or an id is fractional or out of range; the first five are
            named.

    Example:
        >>> check_edges(torch.tensor([[0], [1]]), num_nodes=2)
    """
    if edge_index.dim() != 2 or edge_index.size(0) != 2:
        is_turned = edge_index.dim() == 2 and edge_index.size(1) == 2
        hint = "; it looks transposed: use edge_index.t()" if is_turned else ""
        raise ValueError(f"edge_index must be [2, edges]: got {list(edge_index.shape)}{hint}.")
    if edge_index.is_floating_point():
        check_whole(edge_index.numpy(force=True))
    wrong = ((edge_index < 0) | (edge_index >= num_nodes)).nonzero()
    if len(wrong):
        first = ", ".join(f"edge_index[{i},{e}]={edge_index[i, e]}" for i, e in wrong[:5].tolist())
        raise ValueError(
            f"Edges must join nodes of the graph: got {first}, but ids run 0..{num_nodes - 1}; "
            f"{len(wrong)} such ids. Correct them or give more nodes."
        )


def count_nodes(data: Data) -> int:
    """The number of nodes: as declared, else rows of x or y, else one more than the largest id.

    Args:
        data: PyG data, complete or not.

    Returns:
        The number; 0 where nothing tells.

    Example:
        >>> count_nodes(Data(edge_index=torch.tensor([[0], [4]])))
        5
    """
    if "num_nodes" in data:
        return int(data.num_nodes or 0)
    for key in ("x", "y"):
        value = data.get(key)
        if isinstance(value, Tensor) and value.dim():
            return value.size(0)
    edge_index = data.get("edge_index")
    if not isinstance(edge_index, Tensor) or not edge_index.numel():
        return 0
    largest = edge_index.max()
    return int(largest) + 1 if bool(largest.isfinite()) else 0


def first_offenders(rows: Int64[Tensor, " wrong"], limit: int = 5) -> str:
    """The first ids of a list of offenders and their count, for an error message.

    Args:
        rows: ids of the offenders.
        limit: how many to name.

    Returns:
        A few words.

    Example:
        >>> first_offenders(torch.arange(7), limit=2)
        '[0, 1]; 7 in all'
    """
    return f"{rows[:limit].tolist()}; {len(rows)} in all"


def _check_features(x: Tensor) -> None:
    if x.dim() != 2 or not x.is_floating_point():
        raise TypeError(
            f"x must be a floating tensor [nodes, channels]: got {x.dtype} {list(x.shape)}."
        )
    bad = (~x.isfinite()).any(dim=1).nonzero().view(-1)
    if len(bad):
        raise ValueError(
            "Features must be finite numbers: got NaN or infinity in rows "
            f"{first_offenders(bad)} of {len(x)}. Mend them, or let "
            "graphattn.datasets.features.fill_missing(data, 'zero' | 'mean' | 'drop') do so "
            "(--data.nan zero, mean or drop)."
        )


def _check_labels(y: Tensor, num_classes: int | None) -> None:
    if y.dim() != 1 or y.dtype != torch.int64:
        raise TypeError(f"y must be an int64 tensor [nodes]: got {y.dtype} {list(y.shape)}.")
    top = num_classes if num_classes is not None else int(y.amax()) + 1 if y.numel() else 0
    wrong = ((y < -1) | (y >= top)).nonzero().view(-1)
    if len(wrong):
        values, counts = torch.unique(y.index_select(0, wrong), return_counts=True)
        seen = ", ".join(
            f"{v} ({c}x)" for v, c in zip(values[:5].tolist(), counts[:5].tolist(), strict=True)
        )
        raise ValueError(
            f"Labels must lie in 0..{top - 1}, or be -1 for unlabelled: got {seen} in nodes "
            f"{first_offenders(wrong)}. Renumber the classes from 0."
        )
