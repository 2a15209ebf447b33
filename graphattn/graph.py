"""The one graph container inside: compressed sparse rows, and its makers, which validate once."""

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int64
from torch import Tensor

from graphattn.corrupt import CorruptFile
from graphattn.edges import (
    check_edges,
    check_rows,
    compress,
    distinct,
    edge_keys,
)
from graphattn.files import digest_arrays, read_arrays, write_arrays
from graphattn.foreign_edges import edges_of_data, edges_of_matrix, edges_of_networkx
from graphattn.kernels.csr import is_symmetric, transpose
from graphattn.memory import release

_LOG = logging.getLogger(__name__)

SelfLoops = Literal["keep", "drop", "add"]


@dataclass(frozen=True, eq=False)
class CSRGraph:
    """A directed graph; row i lists the nodes that send to i, sorted and distinct.

    The makers ``from_...`` check what they are given. The arrays are read-only, perhaps mapped.

    Args:
        rowptr: ``[N + 1]``, where each row starts in ``col``.
        col: ``[E]``; int32 where ids fit, else int64.
        num_duplicates: Edges of the input that repeated another one.
        num_self_loops: Distinct self-loops of the input, whatever became of them.

    Raises:
        ValueError: The arrays have the wrong types or do not fit together.

    Example:
        >>> import torch
        >>> graph = CSRGraph.from_edge_index(torch.tensor([[0, 1, 1], [2, 2, 0]]))
        >>> graph.num_nodes, graph.num_edges, graph.degree().tolist()
        (3, 3, [1, 0, 2])
    """

    rowptr: npt.NDArray[Any]
    col: npt.NDArray[Any]
    num_duplicates: int = 0
    num_self_loops: int = 0

    def __post_init__(self) -> None:
        """Checks all that kernels rely on but the order in a row; makes the arrays read-only."""
        rowptr, col = np.asarray(self.rowptr).view(), np.asarray(self.col).view()
        check_rows(rowptr, col)
        rowptr.flags.writeable = col.flags.writeable = False
        object.__setattr__(self, "rowptr", rowptr)
        object.__setattr__(self, "col", col)

    @classmethod
    def from_edge_index(
        cls,
        edge_index: Tensor | npt.NDArray[Any],
        num_nodes: int | None = None,
        *,
        self_loops: SelfLoops = "keep",
    ) -> "CSRGraph":
        """Makes a graph from a list of edges; repeated edges are merged and counted.

        Args:
            edge_index: ``[2, edges]``: sources, then targets. Whole numbers in a float type pass.
            num_nodes: Number of nodes; by default one more than the largest id.
            self_loops: What becomes of edges from a node to itself: ``"keep"`` those there are,
                ``"drop"`` them, or ``"add"`` one for each node.

        Returns:
            The graph.

        Raises:
            ValueError: The shape is wrong, or an id is negative, too large, or no whole number;
                the message names the first five.
            TypeError: The ids are no numbers.

        Example:
            >>> CSRGraph.from_edge_index(np.array([[0], [5]]), num_nodes=5)
            Traceback (most recent call last):
            ...
            ValueError: edge_index[1,0]=5 but ids run 0..4; 1 such edge. Give ids below num_nodes=5.
        """
        if self_loops not in ("keep", "drop", "add"):
            raise ValueError(f"self_loops must be 'keep', 'drop' or 'add': got {self_loops!r}.")
        edges, num_nodes = check_edges(edge_index, num_nodes)
        keys = edge_keys(edges, num_nodes)
        num_duplicates = edges.shape[1] - keys.size
        is_loop = keys % (num_nodes + 1) == 0
        num_self_loops = int(is_loop.sum())
        if self_loops == "drop":
            keys = keys[~is_loop]
        elif self_loops == "add":
            every = np.arange(num_nodes, dtype=np.int64) * (num_nodes + 1)
            keys = distinct(np.concatenate([keys, every]))
        if num_duplicates or num_self_loops:
            found = (num_nodes, num_duplicates, num_self_loops, self_loops)
            _LOG.info("%d nodes; merged %d repeated edges; %d self-loops (%r)", *found)
        return cls(*compress(keys, num_nodes), num_duplicates, num_self_loops)

    @classmethod
    def from_data(cls, data: Any, *, self_loops: SelfLoops = "keep") -> "CSRGraph":
        """Makes a graph from a PyG ``Data``.

        Args:
            data: Has ``edge_index`` and a number of nodes; ``x`` and ``y``, if there, one row each.
            self_loops: As for :meth:`from_edge_index`.

        Returns:
            The graph.

        Raises:
            ValueError: ``edge_index`` is missing or wrong, or sizes disagree.

        Example:
            >>> from torch_geometric.data import Data
            >>> data = Data(edge_index=torch.tensor([[0], [1]]), num_nodes=3)
            >>> CSRGraph.from_data(data).num_nodes
            3
        """
        return cls.from_edge_index(*edges_of_data(data), self_loops=self_loops)

    @classmethod
    def from_scipy(cls, matrix: Any, *, self_loops: SelfLoops = "keep") -> "CSRGraph":
        """Makes a graph from a SciPy sparse matrix: a non-zero at [i, j] is an edge i -> j.

        Args:
            matrix: Square, of any sparse format.
            self_loops: As for :meth:`from_edge_index`.

        Returns:
            The graph.

        Raises:
            ValueError: The matrix is not square or has NaN entries.
            TypeError: It is no sparse matrix.

        Example:
            >>> import scipy.sparse
            >>> CSRGraph.from_scipy(scipy.sparse.eye(3)).num_self_loops
            3
        """
        return cls.from_edge_index(*edges_of_matrix(matrix), self_loops=self_loops)

    @classmethod
    def from_networkx(cls, graph: Any, *, self_loops: SelfLoops = "keep") -> "CSRGraph":
        """Makes a graph from a networkx graph; nodes are numbered in the order of ``graph.nodes``.

        Args:
            graph: Any networkx graph; an undirected one gives both directions of each edge.
            self_loops: As for :meth:`from_edge_index`.

        Returns:
            The graph.

        Raises:
            TypeError: It is no networkx graph.

        Example:
            >>> import networkx
            >>> CSRGraph.from_networkx(networkx.path_graph(3)).degree().tolist()
            [1, 2, 1]
        """
        return cls.from_edge_index(*edges_of_networkx(graph), self_loops=self_loops)

    @property
    def num_nodes(self) -> int:
        """Number of nodes."""
        return int(self.rowptr.size) - 1

    @property
    def num_edges(self) -> int:
        """Number of directed edges, each once."""
        return int(self.col.size)

    @cached_property
    def is_undirected(self) -> bool:
        """Whether each edge has its reverse, in whatever order rows are; found out once."""
        return bool(is_symmetric(self.rowptr, self.col))

    @cached_property
    def _reversed(self) -> "CSRGraph":
        rows = transpose(self.rowptr, self.col)
        back = CSRGraph(*rows, self.num_duplicates, self.num_self_loops)
        back.__dict__.update(_reversed=self, is_undirected=self.is_undirected)
        return back

    def degree(self) -> npt.NDArray[np.int64]:
        """Counts the senders of each node, int64 ``[N]``."""
        return np.diff(self.rowptr)

    def reverse(self) -> "CSRGraph":
        """Turns every edge round; the first call does the work, later ones return the same graph.

        Returns:
            The reversed graph; this graph itself where it is undirected.

        Example:
            >>> graph = CSRGraph.from_edge_index(np.array([[0], [1]]))
            >>> graph.reverse().degree().tolist()
            [1, 0]
        """
        return self if self.is_undirected else self._reversed

    def to_undirected(self) -> "CSRGraph":
        """Adds the reverse of every edge.

        Returns:
            The undirected graph; this graph itself where it is undirected.

        Example:
            >>> CSRGraph.from_edge_index(np.array([[0], [1]])).to_undirected().num_edges
            2
        """
        if self.is_undirected:
            return self
        edges = self.edge_index().numpy()
        keys = edge_keys(np.concatenate([edges, edges[::-1]], axis=1), self.num_nodes)
        return CSRGraph(*compress(keys, self.num_nodes), self.num_duplicates, self.num_self_loops)

    def edge_index(self) -> Int64[Tensor, "2 edges"]:
        """Lists the edges as PyG does: sources, then targets; ordered by target, then source.

        Example:
            >>> CSRGraph.from_edge_index(np.array([[2, 0], [1, 1]])).edge_index().tolist()
            [[0, 2], [1, 1]]
        """
        targets = np.repeat(np.arange(self.num_nodes, dtype=np.int64), self.degree())
        return torch.from_numpy(np.stack([self.col.astype(np.int64), targets]))

    def digest(self) -> str:
        """Hashes the structure, once, for manifests and caches: 32 hexadecimal digits."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        return digest_arrays(self.rowptr, self.col)

    def save(self, folder: Path | str) -> None:
        """Writes the graph to a folder, which is made if missing; its description comes last.

        Args:
            folder: Holds ``rowptr.npy``, ``col.npy`` and ``graph.json`` afterwards.

        Raises:
            OSError: The disk is full or cannot be written.

        Example:
            >>> import tempfile
            >>> folder = tempfile.mkdtemp()
            >>> CSRGraph.from_edge_index(np.array([[0], [1]])).save(folder)
            >>> CSRGraph.load(folder).num_edges
            1
        """
        arrays = {"rowptr": self.rowptr, "col": self.col}
        counts = {name: getattr(self, name) for name in ("num_duplicates", "num_self_loops")}
        write_arrays(Path(folder), "graph", arrays, counts)

    @classmethod
    def load(cls, folder: Path | str, mmap: bool = True) -> "CSRGraph":
        """Reads a graph that :meth:`save` wrote, and checks all of it.

        Args:
            folder: The folder.
            mmap: Map the arrays instead of reading them into memory.

        Returns:
            The graph.

        Raises:
            ValueError: It is of another format.
            CorruptFile: A file is missing or damaged; the message names it.
        """
        (rowptr, col), facts = read_arrays(Path(folder), "graph", ("rowptr", "col"), mmap=mmap)
        counts = [facts.get("num_duplicates"), facts.get("num_self_loops")]
        if not all(type(count) is int and count >= 0 for count in counts):
            raise CorruptFile(f"graph.json in {folder} must count with integers: got {counts}.")
        try:
            graph = cls(rowptr, col, *counts)  # type: ignore[arg-type]
        except ValueError as error:
            raise CorruptFile(f"the graph in {folder} is damaged: {error} Save again.") from error
        graph.__dict__["_digest"] = facts["digest"]  # just compared
        release(graph.col)
        return graph
