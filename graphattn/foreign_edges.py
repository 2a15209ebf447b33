"""The edges of graphs that others made: PyG's, SciPy's and networkx'."""

from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor


def edges_of_data(data: Any) -> tuple[Any, int]:
    """Takes the edges and the number of nodes out of a PyG ``Data``.

    Args:
        data: Has ``edge_index`` and a number of nodes; ``x`` and ``y``, if there, one row each.

    Returns:
        ``edge_index`` as it stands, and the number of nodes.

    Raises:
        ValueError: ``edge_index`` is missing, or sizes disagree.

    Example:
        >>> from torch_geometric.data import Data
        >>> edges_of_data(Data(edge_index=np.array([[0], [1]]), num_nodes=3))[1]
        3
    """
    edge_index = getattr(data, "edge_index", None)
    if edge_index is None:
        raise ValueError(
            "data must have edge_index [2, edges]: got none; "
            "undo transforms such as ToSparseTensor, or set data.edge_index."
        )
    sizes = {"num_nodes": int(data.num_nodes)}
    for name in ("x", "y"):
        value = getattr(data, name, None)
        if isinstance(value, Tensor) and value.ndim:
            sizes[f"rows of {name}"] = int(value.shape[0])
    if len(set(sizes.values())) > 1:
        got = ", ".join(f"{count} {name}" for name, count in sizes.items())
        raise ValueError(f"x, y and num_nodes of data must agree: got {got}.")
    return edge_index, sizes["num_nodes"]


def edges_of_matrix(matrix: Any) -> tuple[npt.NDArray[Any], int]:
    """Takes the edges i -> j, non-zero at [i, j], out of a SciPy sparse matrix.

    Args:
        matrix: Square, of any sparse format; an entry stored as 0 is no edge.

    Returns:
        ``[2, edges]`` and the number of nodes.

    Raises:
        ValueError: The matrix is not square or has NaN entries.
        TypeError: It is no sparse matrix.

    Example:
        >>> import scipy.sparse
        >>> edges_of_matrix(scipy.sparse.eye(2))[0].tolist()
        [[0, 1], [0, 1]]
    """
    if not hasattr(matrix, "tocoo"):
        raise TypeError(f"matrix must be a SciPy sparse matrix: got {type(matrix).__name__}.")
    if len(matrix.shape) != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"matrix must be square: got shape {list(matrix.shape)}.")
    entries = matrix.tocoo()
    missing = int((entries.data != entries.data).sum())
    if missing:
        raise ValueError(f"matrix must hold numbers: got {missing} NaN entries; remove them.")
    stored = entries.data != 0
    return np.stack([entries.row[stored], entries.col[stored]]), int(matrix.shape[0])


def edges_of_networkx(graph: Any) -> tuple[npt.NDArray[np.int64], int]:
    """Takes the edges out of a networkx graph, numbering nodes in the order of ``graph.nodes``.

    Args:
        graph: Any networkx graph; an undirected one gives both directions of each edge.

    Returns:
        ``[2, edges]`` and the number of nodes.

    Raises:
        TypeError: It is no networkx graph.

    Example:
        >>> import networkx
        >>> edges_of_networkx(networkx.path_graph(2))[0].tolist()
        [[0, 1], [1, 0]]
    """
    if not all(hasattr(graph, name) for name in ("nodes", "edges", "is_directed")):
        raise TypeError(f"graph must be a networkx graph: got {type(graph).__name__}.")
    number = {node: i for i, node in enumerate(graph.nodes)}
    pairs = [(number[edge[0]], number[edge[1]]) for edge in graph.edges]
    if not graph.is_directed():
        pairs += [(target, source) for source, target in pairs if source != target]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2).T, len(number)
