"""What a token store holds and how it is computed: its options, and the hops they ask for."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from torch import Tensor

from graphattn.edges import id_dtype
from graphattn.graph import CSRGraph
from graphattn.memory import release
from graphattn.ops.propagate import Norm, PropagationSteps, check_propagation

Direction = Literal["in", "out", "both"]
DType = Literal["float32", "float16"]

_MOST_HALF = float(np.finfo(np.float16).max)
_ROWS = 1 << 16  # looked at together
_TABLES = 4  # of the size of a hop


@dataclass(frozen=True)
class Recipe:
    """The options of a token store.

    Args:
        num_hops: Hops of context that each token carries.
        num_own_hops: Hops of context that each seed has of its own; 0 for none.
        norm: As for :func:`~graphattn.ops.propagate.propagate`.
        direction: Context from senders (``"in"``), from receivers (``"out"``), or from senders and
            then from receivers (``"both"``).
        dtype: What features and hops are kept as. Hops are computed in float32 and rounded once;
            float16 halves the memory and the time a batch takes to gather.

    Raises:
        ValueError: An option is out of its range.

    Example:
        >>> Recipe(direction="both").num_contexts
        5
    """

    num_hops: int = 2
    num_own_hops: int = 0
    norm: Norm = "sym"
    direction: Direction = "in"
    dtype: DType = "float32"

    def __post_init__(self) -> None:
        """Refuses what cannot be computed."""
        if self.num_hops < 0 or self.num_own_hops < 0:
            raise ValueError(
                "num_hops and num_own_hops must be 0 or more: "
                f"got num_hops={self.num_hops}, num_own_hops={self.num_own_hops}."
            )
        if self.norm not in ("sym", "row"):
            raise ValueError(f"norm must be 'sym' or 'row': got {self.norm!r}.")
        if self.direction not in ("in", "out", "both"):
            raise ValueError(f"direction must be 'in', 'out' or 'both': got {self.direction!r}.")
        if self.dtype not in ("float32", "float16"):
            raise ValueError(f"dtype must be 'float32' or 'float16': got {self.dtype!r}.")

    @property
    def num_contexts(self) -> int:
        """Number of contexts a token carries, its own features included."""
        return 1 + self.num_hops * (2 if self.direction == "both" else 1)

    def as_dict(self) -> dict[str, Any]:
        """Returns the options by name, as a manifest keeps them."""
        return asdict(self)

    def hop_names(self) -> tuple[list[str], list[str]]:
        """Names the hops that features and own hops are made of, ``in1`` being one hop of senders.

        Returns:
            The names of the contexts of the features and of the own hops (none if there are none).

        Example:
            >>> Recipe(num_hops=1, num_own_hops=2, direction="both").hop_names()
            (['x', 'in1', 'out1'], ['x', 'in1', 'in2'])
        """
        sides = {"in": ["in"], "out": ["out"], "both": ["in", "out"]}[self.direction]
        hops = range(1, self.num_hops + 1)
        features = ["x"] + [f"{side}{hop}" for side in sides for hop in hops]
        own = ["x"] + [f"{sides[0]}{hop}" for hop in range(1, self.num_own_hops + 1)]
        return features, own if self.num_own_hops else []

    def interleave(self, hops: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[Any]:
        """Lays hops side by side, node after node, as numbers of the type that is kept.

        Args:
            hops: Some ``[rows, C]``.

        Returns:
            ``[rows, len(hops), C]``.

        Raises:
            ValueError: A number is too large for float16.

        Example:
            >>> Recipe(dtype="float16").interleave([np.ones((2, 3), np.float32)]).dtype
            dtype('float16')
        """
        table = np.empty((len(hops[0]), len(hops), hops[0].shape[1]), self.dtype)
        for place, hop in enumerate(hops):
            if self.dtype == "float16" and hop.size and max(hop.max(), -hop.min()) > _MOST_HALF:
                raise ValueError(
                    f"float16 holds numbers up to {_MOST_HALF:.0f}: got {np.abs(hop).max():.4g} "
                    "among the features; scale them, or keep float32."
                )
            table[:, place] = hop
        return table

    def longest(self) -> dict[str, int]:
        """Tells how many hops of senders (``"in"``) and of receivers (``"out"``) are needed.

        Example:
            >>> Recipe(num_hops=2, num_own_hops=5).longest()
            {'in': 5, 'out': 0}
        """
        features, own = self.hop_names()
        longest = {"in": 0, "out": 0}
        for name in features + own:
            side = name.rstrip("0123456789")
            if side in longest:
                longest[side] = max(longest[side], int(name.removeprefix(side)))
        return longest

    def memory(self, num_nodes: int, num_edges: int, channels: int) -> int:
        """Tells how many bytes :meth:`compute` takes: features, scaled ones, a hop and the next.

        Example:
            >>> Recipe().memory(10, 20, 5)
            968
        """
        graphs = 2 if self.longest()["out"] else 1
        rows = 8 * (num_nodes + 1) + id_dtype(num_nodes).itemsize * num_edges
        return _TABLES * 4 * num_nodes * channels + graphs * rows

    def compute(
        self, graph: CSRGraph, x: npt.NDArray[np.float32], known: dict[str, npt.NDArray[Any]]
    ) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
        """Computes the hops that are needed and not known yet, one at a time, in a fixed order.

        Args:
            graph: The graph.
            x: Features.
            known: Hops computed before, by name; what is yielded may be added by the caller.

        Yields:
            A name of :meth:`hop_names` and its ``[N, C]`` array.
        """
        for side, hops in self.longest().items():
            if all(f"{side}{hop}" in known for hop in range(1, hops + 1)):
                continue
            steps = PropagationSteps(
                graph if side == "in" else graph.reverse(), self.norm, np.float32
            )
            current: npt.NDArray[np.floating[Any]] = x
            for hop in range(1, hops + 1):
                name = f"{side}{hop}"
                if name in known:
                    current = known[name]
                else:
                    current = steps.next(current)
                    yield name, current


def check_inputs(
    graph: CSRGraph, x: Tensor, pe: Tensor | None, recipe: Recipe
) -> dict[str, npt.NDArray[np.float32]]:
    """Checks what a store is made from.

    Args:
        graph: The graph.
        x: Features, one row a node.
        pe: Positions, one row a node, or none.
        recipe: The options.

    Returns:
        Features ``"x"`` and, if there are any, positions ``"pe"``, as float32 arrays.

    Raises:
        ValueError: Rows do not match the nodes, or a number is not finite (the first five rows are
            named).

    Example:
        >>> import torch
        >>> graph = CSRGraph.from_edge_index(np.array([[0], [1]]))
        >>> check_inputs(graph, torch.zeros(2, 3), None, Recipe())["x"].shape
        (2, 3)
    """
    check_propagation(graph, tuple(x.shape), recipe.num_hops, recipe.norm)
    arrays = {}
    for name, tensor in (("x", x), ("pe", pe)):
        if tensor is None:
            continue
        if tensor.ndim != 2 or tensor.shape[0] != graph.num_nodes:
            raise ValueError(
                f"{name} must be [{graph.num_nodes} nodes, channels]: "
                f"got shape {list(tensor.shape)}."
            )
        array = np.ascontiguousarray(tensor.detach().cpu().float().numpy())
        bad = _rows_not_finite(array)
        if bad.size:
            raise ValueError(
                f"{name} must be finite: got NaN or infinity in {bad.size} rows, first "
                f"{bad[:5].tolist()}; replace or drop them."
            )
        arrays[name] = array
    return arrays


def _rows_not_finite(array: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Lists the rows that hold NaN or infinity, a block after the other."""
    found = [np.empty(0, np.int64)]
    for first in range(0, len(array), _ROWS):
        block = array[first : first + _ROWS]
        found.append(first + np.flatnonzero(~np.isfinite(block).all(axis=1)))
        release(block)
    return np.concatenate(found)
