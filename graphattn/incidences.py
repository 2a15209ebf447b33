"""Incidences as users give them: checked, and the first offender named."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

_FORM = "hyperedge_index must be [2, I] int64 (node, hyperedge)"


def check_incidences(
    hyperedge_index: Tensor | npt.NDArray[Any],
    num_nodes: int | None,
    num_hyperedges: int | None,
    *,
    nodes_from: str | None = None,
    hyperedges_from: str | None = None,
) -> tuple[npt.NDArray[np.int64], int, int]:
    """Checks a list of incidences.

    Args:
        hyperedge_index: ``[2, I]``: nodes, then hyperedges; of an integer type.
        num_nodes: Number of nodes; by default one more than the largest id.
        num_hyperedges: Number of hyperedges; by default one more than the largest id.
        nodes_from: The tensor whose rows are the nodes, for the message; ``num_nodes`` if None.
        hyperedges_from: The tensor whose rows are the hyperedges; ``num_hyperedges`` if None.

    Returns:
        The incidences as int64, the number of nodes and the number of hyperedges.

    Raises:
        ValueError: The shape is wrong, or an id is negative or too large.
        TypeError: The ids are no integers.

    Example:
        >>> check_incidences(np.array([[0, 9], [0, 0]]), 5, None, nodes_from="x")
        Traceback (most recent call last):
        ...
        ValueError: node id 9 at incidence 1 but x has 5 rows; give ids below 5.
    """
    if isinstance(hyperedge_index, Tensor):
        hyperedge_index = hyperedge_index.detach().cpu().numpy()
    incidences = np.asarray(hyperedge_index)
    check_form(incidences.shape, incidences.dtype)
    incidences = incidences.astype(np.int64, copy=False)
    node, edge = incidences
    for kind, ids in (("node", node), ("hyperedge", edge)):
        _refuse(kind, ids, ids < 0, "negative id; number nodes and hyperedges from 0")
    num_nodes = _size(node, num_nodes, "num_nodes")
    num_hyperedges = _size(edge, num_hyperedges, "num_hyperedges")
    rows = f"num_nodes={num_nodes}" if nodes_from is None else f"{nodes_from} has {num_nodes} rows"
    _refuse("node", node, node >= num_nodes, f"but {rows}; give ids below {num_nodes}")
    if hyperedges_from is None:
        rule = f"but num_hyperedges={num_hyperedges}; give ids below {num_hyperedges}"
        _refuse("hyperedge", edge, edge >= num_hyperedges, rule)
    elif edge.size and edge.max() >= num_hyperedges:
        worst = int(edge.max())
        raise ValueError(
            f"hyperedge id {worst} needs {hyperedges_from} with >= {worst + 1} rows, "
            f"got {num_hyperedges}."
        )
    return incidences, num_nodes, num_hyperedges


def check_form(shape: tuple[int, ...], dtype: Any) -> None:
    """Refuses what cannot be a list of incidences, without reading it.

    Args:
        shape: Of the array or tensor.
        dtype: Of the array or tensor.

    Raises:
        ValueError: The shape is wrong.
        TypeError: The ids are no integers.

    Example:
        >>> check_form((7, 3), np.int64)
        Traceback (most recent call last):
        ...
        ValueError: hyperedge_index must be [2, I] int64 (node, hyperedge); got [7, 3]: ...
    """
    if len(shape) != 2 or shape[0] != 2:
        is_turned = len(shape) == 2 and shape[1] == 2
        advice = "transpose it" if is_turned else "give nodes in row 0 and hyperedges in row 1"
        raise ValueError(f"{_FORM}; got {[int(size) for size in shape]}: {advice}.")
    name = str(dtype).removeprefix("torch.")
    if not name.removeprefix("<class 'numpy.").startswith(("int", "uint")):
        raise TypeError(f"{_FORM}; got {name}: use .long() if the ids are whole.")


def check_sorted(
    node: Tensor, edge: Tensor, edge_ptr: Tensor, node_perm: Tensor, node_ptr: Tensor
) -> None:
    """Checks that incidences sorted both ways fit together; values are read on a CPU only.

    Args:
        node: ``[I]``.
        edge: ``[I]``.
        edge_ptr: ``[M + 1]``.
        node_perm: ``[I]``.
        node_ptr: ``[N + 1]``.

    Raises:
        ValueError: They do not.

    Example:
        >>> one, ptr = torch.zeros(1, dtype=torch.int32), torch.tensor([0, 2], dtype=torch.int32)
        >>> check_sorted(one, one, ptr, one, ptr)
        Traceback (most recent call last):
        ...
        ValueError: edge_ptr must rise from 0 to 1, the incidences: got [0, 2]; use a maker, ...
    """
    all_of_them = (node, edge, edge_ptr, node_perm, node_ptr)
    kinds = {(str(one.dtype), str(one.device), one.dim()) for one in all_of_them}
    count = node.numel()
    if len(kinds) > 1 or {edge.numel(), node_perm.numel()} != {count}:
        shapes = [f"{one.dtype} {list(one.shape)}" for one in all_of_them]
        raise ValueError(f"tensors of incidences must have one type and length: got {shapes}.")
    if node.device.type != "cpu":
        return
    sides = {"edge": (edge_ptr, edge), "node": (node_ptr, node)}
    for name, (ptr, ids) in sides.items():
        if not ptr.numel() or ptr[0] != 0 or ptr[-1] != count or bool((ptr.diff() < 0).any()):
            raise ValueError(
                f"{name}_ptr must rise from 0 to {count}, the incidences: got "
                f"{ptr[:5].tolist()}; use a maker, such as from_hyperedge_index."
            )
        _check_range(name, ids, ptr.numel() - 1)
    _check_range("node_perm", node_perm, count)


def _check_range(name: str, ids: Tensor, count: int) -> None:
    if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < count:
        raise ValueError(
            f"{name} must hold ids from 0 to {count - 1}: got {int(ids.min())} to {int(ids.max())}."
        )


def renumbered(chosen: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Gives chosen nodes or hyperedges new numbers.

    Args:
        chosen: A mask ``[count]``, or distinct ids in the order of their new numbers.
        count: How many there are.

    Returns:
        The ids chosen, and for each of all its new number or -1.

    Raises:
        ValueError: An id is repeated or out of range, or the mask has another length.

    Example:
        >>> renumbered(torch.tensor([2, 0]), 3)[1].tolist()
        [1, -1, 0]
    """
    if chosen.dtype == torch.bool:
        if chosen.numel() != count:
            raise ValueError(f"a mask must have {count} entries: got {chosen.numel()}.")
        chosen = chosen.nonzero().squeeze(1)
    _check_range("a choice", chosen, count)
    number = torch.full((count,), -1, dtype=torch.long, device=chosen.device)
    number[chosen] = torch.arange(chosen.numel(), device=chosen.device)
    if int((number >= 0).sum()) != chosen.numel():
        raise ValueError("ids must be distinct: got one twice; use .unique().")
    return chosen, number


def _size(ids: npt.NDArray[np.int64], size: int | None, name: str) -> int:
    if size is None:
        return int(ids.max()) + 1 if ids.size else 0
    if isinstance(size, bool) or size < 0:
        raise ValueError(f"{name} must be a count from 0: got {size!r}.")
    return int(size)


def _refuse(kind: str, ids: npt.NDArray[np.int64], bad: npt.NDArray[np.bool_], rule: str) -> None:
    if bad.any():
        at = int(bad.argmax())
        joint = " " if rule.startswith("but") else ": "
        raise ValueError(f"{kind} id {ids[at]} at incidence {at}{joint}{rule}.")
