"""Cora, CiteSeer and PubMed as Planetoid has them (Yang et al. 2016, arxiv.org/abs/1603.08861).

The files are pickles of Python 2; they are read as data, and nothing in them is executed.
"""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from graphattn.datasets.npz import CorruptDataset
from graphattn.datasets.pickled import Made, read_pickled
from graphattn.datasets.public_raw import RawFiles, corrupt, whole
from graphattn.datasets.sparse_rows import dense_blocks, sparse_rows

_DTYPE = re.compile(r"[biuf][1248]")
_VALIDATED = 500  # nodes after those trained on
_ORDERS = ("<", ">", "|", "=")


class PlanetoidFiles(RawFiles):
    """Eight files `ind.<name>.*`: `x`, `y` to train on, `allx`, `ally`, `tx`, `ty`, `graph`, ids.

    Node i < len(allx) has row i of `allx`; row j of `tx` is that of node `test.index`[j]. Nodes of
    that range that `test.index` leaves out (15 isolated ones of CiteSeer) have features of 0 and no
    class (-1). Self-loops are dropped, repeated edges merged. The split is the public one.

    Example:
        >>> from pathlib import Path
        >>> from graphattn.datasets.public_table import PUBLIC
        >>> PlanetoidFiles(Path("nowhere"), PUBLIC["planetoid-cora"]).stat()
        {}
    """

    def num_nodes(self) -> int:
        """Read the number of nodes: rows of `allx`, and the range of `test.index`."""
        return int(self._test().max()) + 1

    def edges(self) -> NDArray[np.int64]:
        """Read the edges, from each node to those it lists, but for self-loops."""
        path = self._place("graph")
        graph = read_pickled(path)
        kind = "must hold a dict from each node to a list of nodes"
        if type(graph) is not dict or any(type(ids) is not list for ids in graph.values()):
            raise ValueError(f"{path} {kind}: got {type(graph).__name__}.")
        counts = [len(ids) for ids in graph.values()]
        if sum(counts) > path.stat().st_size:  # each takes a byte, unless lists are repeated
            raise CorruptDataset(f"{path} {kind}: got {sum(counts):,} edges in too few bytes.")
        flat = [node for ids in graph.values() for node in ids]
        wrong = [node for node in (*graph, *flat) if type(node) is not int or abs(node) >= 2**62]
        if wrong:
            raise ValueError(f"{path} {kind}: got the node {str(wrong[0])[:40]!r}.")
        sources = np.repeat(np.array(list(graph), np.int64), counts)
        targets = np.array(flat, np.int64)
        kept = sources != targets
        return np.stack([sources[kept], targets[kept]])

    def features(self) -> Iterator[NDArray[np.float32]]:
        """Read the features in blocks of rows."""
        known, tested = self._matrix("allx"), self._matrix("tx")
        test = self._test()
        if known.shape[1] != tested.shape[1] or tested.shape[0] != len(test):
            raise ValueError(
                f"{self._place('tx')} must have {len(test):,} rows of {known.shape[1]} numbers, "
                f"as test.index and allx have: got {list(tested.shape)}."
            )
        yield from dense_blocks(known)
        order = np.full(self.num_nodes() - known.shape[0], -1)
        order[test - known.shape[0]] = np.arange(len(test))
        step = max(1, 2**24 // max(1, known.shape[1]))
        for start in range(0, len(order), step):
            rows = order[start : start + step]
            block = np.zeros((len(rows), known.shape[1]), np.float32)
            for dense in dense_blocks(tested[rows[rows >= 0]]):
                block[rows >= 0] = dense
            yield block

    def labels(self) -> NDArray[np.int64]:
        """Read the classes."""
        test, known = self._test(), self._one_hot("ally")
        y = np.full(self.num_nodes(), -1, np.int64)
        tested = self._one_hot("ty")
        if len(known) != len(y) - (int(test.max()) - int(test.min()) + 1):
            raise ValueError(
                f"{self._place('ally')} must have a row for each of allx: got {len(known)}."
            )
        if len(tested) != len(test):
            raise ValueError(
                f"{self._place('ty')} must have {len(test)} rows, one a line of test.index: "
                f"got {len(tested)}."
            )
        y[: len(known)] = known
        y[test] = tested
        return y

    def splits(self, y: NDArray[np.int64]) -> NDArray[np.int8]:
        """Return the public split: those of `y`, the next 500, those of `test.index`."""
        trained, test = len(self._one_hot("y")), self._test()
        if trained + _VALIDATED > int(test.min()):
            raise ValueError(
                f"{self._place('allx')} must have at least {_VALIDATED} rows more than x: "
                f"got {int(test.min())} and {trained}."
            )
        table = np.full((1, len(y)), -1, np.int8)
        table[0, :trained] = 0
        table[0, trained : trained + _VALIDATED] = 1
        table[0, test] = 2
        return table

    def _place(self, part: str) -> Path:
        prefix = self.spec.files[0].removesuffix("x")
        return self.path(f"{prefix}{part}")

    def _test(self) -> NDArray[np.int64]:
        """The nodes tested on, in the order of `tx`; they follow those of `allx`."""
        path = self._place("test.index")
        try:
            ids = [int(line) for line in path.read_text(encoding="ascii").split()]
            test = np.array(ids, np.int64)
        except (ValueError, OverflowError) as error:
            raise corrupt(path, "a list of node ids", error) from error
        first = self._matrix("allx").shape[0]
        most = first + 2 * len(test) + 100  # few are left out
        if not len(test) or test.min() != first or test.max() >= most:
            raise ValueError(
                f"{path} must hold nodes from {first}, the rows of allx, on: got {len(test)} from "
                f"{test.min() if len(test) else 'none'} to {test.max() if len(test) else 'none'}."
            )
        if len(np.unique(test)) < len(test):
            raise ValueError(f"{path} must name each node once: got some twice.")
        return test

    def _matrix(self, part: str) -> csr_array:
        path = self._place(part)
        made = read_pickled(path)
        state = made.state if isinstance(made, Made) and made.kind == "rows" else None
        if type(state) is not dict:
            raise ValueError(f"{path} must hold sparse rows (csr_matrix): got something else.")
        parts = [
            _array(state.get(key), f"{key} in {path}") for key in ("data", "indices", "indptr")
        ]
        shape = state.get("_shape")
        if type(shape) is not tuple or any(type(size) is not int for size in shape):
            raise ValueError(f"{path} must have a shape: got {str(shape)[:40]}.")
        return sparse_rows(parts[0], parts[1], parts[2], shape, str(path))

    def _one_hot(self, part: str) -> NDArray[np.int64]:
        """The classes of rows that hold one 1 each; -1 of rows that hold none."""
        path = self._place(part)
        table = whole(_array(read_pickled(path), f"the table in {path}"), f"{path}")
        wide = table.ndim == 2 and table.shape[1] == self.spec.num_classes
        if not wide or ((table != 0) & (table != 1)).any() or (table.sum(axis=1) > 1).any():
            raise ValueError(
                f"{path} must have rows of {self.spec.num_classes} zeros but for one 1: "
                f"got {list(table.shape)} with others."
            )
        return np.where(table.any(axis=1), table.argmax(axis=1), -1)


def _array(made: Any, what: str) -> NDArray[Any]:
    """The array that a pickle describes, checked against the bytes it holds."""
    state = made.state if isinstance(made, Made) and made.kind == "array" else None
    if type(state) is not tuple or len(state) != 5:
        raise ValueError(f"{what} must be an array: got something else.")
    _, shape, dtype, by_column, raw = state
    if type(raw) is str and max(raw, default="") <= "\xff":
        raw = raw.encode("latin-1")
    code = dtype.args[0] if isinstance(dtype, Made) and dtype.args else None
    about = dtype.state if isinstance(dtype, Made) else None
    order = about[1] if type(about) is tuple and len(about) > 1 else "="
    sizes = type(shape) is tuple and all(type(size) is int and size >= 0 for size in shape)
    plain = type(code) is str and _DTYPE.fullmatch(code) and order in _ORDERS
    if not sizes or not plain or type(raw) is not bytes or len(shape) > 2:
        raise ValueError(f"{what} must be of plain numbers: got {str(code)[:20]!r}.")
    try:
        kind = np.dtype(f"{order}{code}")
    except TypeError as error:
        raise ValueError(f"{what} must be of plain numbers: got {code!r}.") from error
    if math.prod(shape) * kind.itemsize != len(raw):
        raise CorruptDataset(
            f"{what} must have {math.prod(shape) * kind.itemsize} bytes for {list(shape)} of "
            f"{kind}: got {len(raw)}."
        )
    return np.frombuffer(raw, kind).reshape(shape, order="F" if by_column is True else "C")
