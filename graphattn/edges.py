"""Edge lists as users give them: checked, the first offenders named, then sorted and distinct."""

import logging
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from graphattn.memory import available_memory

_LOG = logging.getLogger(__name__)
_MOST_NODES = 3_037_000_499  # the square of more is no int64
_MANY = 10**7  # nodes from which on memory is looked at before it is asked for


def id_dtype(num_nodes: int) -> np.dtype[Any]:
    """Chooses the smallest integer type that holds every node id.

    Args:
        num_nodes: Number of nodes.

    Returns:
        int32, or int64 for more than 2**31 - 1 nodes.

    Example:
        >>> id_dtype(5), id_dtype(2**31)
        (dtype('int32'), dtype('int64'))
    """
    return np.dtype(np.int32 if num_nodes <= 2**31 - 1 else np.int64)


def check_edges(
    edge_index: Tensor | npt.NDArray[Any], num_nodes: int | None
) -> tuple[npt.NDArray[np.int64], int]:
    """Checks a list of edges.

    Args:
        edge_index: ``[2, edges]``: sources, then targets. Whole numbers in a float type pass.
        num_nodes: Number of nodes; by default one more than the largest id.

    Returns:
        The edges as int64, and the number of nodes.

    Raises:
        ValueError: The shape is wrong, or an id is negative, too large, or no whole number.
        TypeError: The ids are no numbers.

    Example:
        >>> check_edges(np.array([[0, 1], [1, 2]]), None)[1]
        3
    """
    if isinstance(edge_index, Tensor):
        edge_index = edge_index.detach().cpu().numpy()
    edges = np.asarray(edge_index)
    if edges.ndim != 2 or edges.shape[0] != 2:
        hint = "give sources in row 0 and targets in row 1"
        if edges.ndim == 2 and edges.shape[1] == 2:
            hint = "it looks transposed: use edge_index.t()"
        raise ValueError(f"edge_index must be [2, edges]: got shape {list(edges.shape)}; {hint}.")
    if edges.dtype.kind not in "iuf":
        raise TypeError(f"edge_index must hold integer ids: got {edges.dtype}.")
    if edges.dtype.kind == "f":
        check_whole(edges)
        _LOG.info("edge_index holds whole numbers as %s; taken as integers", edges.dtype)
    _refuse(edges, edges < 0, "ids run from 0", "Number the nodes from 0")
    if num_nodes is None:
        num_nodes = int(edges.max()) + 1 if edges.size else 0
    if not 0 <= num_nodes <= _MOST_NODES:
        raise ValueError(f"num_nodes must be from 0 to {_MOST_NODES}: got {num_nodes}.")
    _refuse(
        edges,
        edges >= num_nodes,
        f"ids run 0..{num_nodes - 1}" if num_nodes else "there are no nodes",
        f"Give ids below num_nodes={num_nodes}",
    )
    return edges.astype(np.int64, copy=False), num_nodes


def check_whole(edges: npt.NDArray[Any]) -> None:
    """Refuses ids of a float type that are no whole numbers: rounding them would move edges.

    Args:
        edges: ``[2, edges]``, of a float type.

    Raises:
        ValueError: The first five that are none.

    Example:
        >>> check_whole(np.array([[0.0], [1.7]]))
        Traceback (most recent call last):
        ...
        ValueError: edge_index[1,0]=1.7 but ids are whole numbers; 1 such edge. Give integer ids.
    """
    whole = np.isfinite(edges) & (np.floor(edges) == edges)
    _refuse(edges, ~whole, "ids are whole numbers", "Give integer ids")


def edge_keys(edges: npt.NDArray[np.int64], num_nodes: int) -> npt.NDArray[np.int64]:
    """Turns checked edges into sorted distinct keys, ``target * num_nodes + source``.

    Args:
        edges: ``[2, edges]``.
        num_nodes: Number of nodes.

    Returns:
        One key for each distinct edge; multiples of ``num_nodes + 1`` are the self-loops.

    Example:
        >>> edge_keys(np.array([[0, 1, 1], [1, 0, 0]]), 2).tolist()
        [1, 2]
    """
    keys: npt.NDArray[np.int64] = edges[1] * num_nodes
    keys += edges[0]
    return distinct(keys)


def distinct(keys: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Sorts keys in place and drops repeats.

    Args:
        keys: Any; left sorted.

    Returns:
        Each key once.

    Example:
        >>> distinct(np.array([3, 1, 3])).tolist()
        [1, 3]
    """
    keys.sort()
    first = np.ones(keys.size, np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=first[1:])
    return keys if first.all() else keys[first]


def compress(
    keys: npt.NDArray[np.int64], num_nodes: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    """Turns sorted distinct keys into compressed sparse rows.

    Args:
        keys: As :func:`edge_keys` makes them.
        num_nodes: Number of nodes.

    Returns:
        ``rowptr`` int64 ``[N + 1]`` and ``col`` ``[E]``.

    Raises:
        MemoryError: So many nodes need more memory than there is, however few edges they have.

    Example:
        >>> compress(np.array([1, 2]), 2)[0].tolist()
        [0, 1, 2]
    """
    needed = 3 * 8 * num_nodes
    if num_nodes > _MANY and needed > available_memory():  # the system would end the process
        raise MemoryError(
            f"a graph of {num_nodes:,} nodes needs {needed / 1e9:.3g} GB, "
            f"{available_memory() / 1e9:.3g} GB are free: is an id wrong?"
        )
    starts = np.arange(num_nodes + 1, dtype=np.int64) * num_nodes
    rowptr = np.searchsorted(keys, starts).astype(np.int64, copy=False)
    return rowptr, (keys % max(num_nodes, 1)).astype(id_dtype(num_nodes))


def check_rows(rowptr: npt.NDArray[Any], col: npt.NDArray[Any]) -> None:
    """Checks compressed sparse rows: all that kernels rely on but the order within a row.

    Args:
        rowptr: ``[N + 1]``, where each row starts in ``col``.
        col: ``[E]``.

    Raises:
        ValueError: The arrays have the wrong types, do not fit together, or name no node.

    Example:
        >>> check_rows(np.array([0, 1, 1]), np.array([2], dtype=np.int32))
        Traceback (most recent call last):
        ...
        ValueError: col must hold ids from 0 to 1: got ids from 2 to 2.
    """
    if rowptr.dtype != np.int64 or rowptr.ndim != 1 or rowptr.size == 0 or rowptr[0] != 0:
        raise ValueError(
            "rowptr must be int64 [nodes + 1] and begin with 0: "
            f"got {rowptr.dtype} of shape {list(rowptr.shape)}."
        )
    wanted = id_dtype(rowptr.size - 1)
    if col.ndim != 1 or col.dtype != wanted or rowptr[-1] != col.size:
        raise ValueError(
            f"col must be {wanted} of the {rowptr[-1]} edges that rowptr ends with: "
            f"got {col.dtype} of shape {list(col.shape)}."
        )
    down = rowptr[1:] < rowptr[:-1]
    if down.any():
        row = int(down.argmax())
        raise ValueError(
            "rowptr must not descend: "
            f"got rowptr[{row}]={rowptr[row]}, rowptr[{row + 1}]={rowptr[row + 1]}."
        )
    lowest, highest = (col.min(), col.max()) if col.size else (0, -1)
    if lowest < 0 or highest >= rowptr.size - 1:
        raise ValueError(
            f"col must hold ids from 0 to {rowptr.size - 2}: got ids from {lowest} to {highest}."
        )


def _refuse(edges: npt.NDArray[Any], bad: npt.NDArray[np.bool_], rule: str, advice: str) -> None:
    """Raises if any entry is bad, naming the first five."""
    if not bad.any():
        return
    places = np.argwhere(bad)[:5]
    worst = [edges[i, j] for i, j in places]
    exact = [f"{int(value)}" if value.is_integer() else f"{value:g}" for value in worst]
    pairs = zip(places, exact, strict=True)
    named = ", ".join(f"edge_index[{i},{j}]={value}" for (i, j), value in pairs)
    count = int(bad.any(axis=0).sum())
    raise ValueError(f"{named} but {rule}; {count} such edge{'s' if count > 1 else ''}. {advice}.")
