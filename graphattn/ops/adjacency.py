"""The two adjacency forms full-batch models take, and their GCN normalisation computed once."""

import warnings
from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.utils import to_edge_index, to_torch_csr_tensor


def to_sparse_adjacency(edge_index: Tensor, num_nodes: int) -> Tensor:
    """Edges as the sparse CSR matrix that PyG's convolutions multiply by: row = target.

    PyG calls it `adj_t`: entry (i, j) is 1 where j sends to i. On a CPU a `GCNConv` is about six
    times, a `SAGEConv` three times faster with it than with `edge_index`.

    Args:
        edge_index: `[2, edges]`, (source, target) node ids.
        num_nodes: number of nodes N.

    Returns:
        A sparse CSR float32 matrix `[N, N]`. Duplicate edges count once.

    Raises:
        ValueError: edge_index is not `[2, edges]`, or an id is not in 0..N-1.

    Example:
        >>> adj = to_sparse_adjacency(torch.tensor([[0, 1], [1, 2]]), num_nodes=3)
        >>> adj.to_dense()[1].tolist()
        [1.0, 0.0, 0.0]
    """
    if edge_index.dim() != 2 or edge_index.size(0) != 2:
        raise ValueError(
            f"edge_index must be [2, edges]: got {list(edge_index.shape)}; "
            "a [edges, 2] table becomes right with edge_index.t()."
        )
    if edge_index.numel() and not 0 <= int(edge_index.min()) <= int(edge_index.max()) < num_nodes:
        raise ValueError(
            f"Edges must join nodes 0..{num_nodes - 1}: got ids from {int(edge_index.min())} to "
            f"{int(edge_index.max())}; correct them or raise num_nodes={num_nodes}."
        )
    return _sparse(edge_index, None, num_nodes)


class GCNNormalization:
    """D^-1/2 (A + I) D^-1/2, computed on the first call and kept for the next ones.

    A full-batch model sees one and the same adjacency at every step, while `GCNConv` would
    normalise it anew in each layer. This remembers the last adjacency by identity (and by its
    version counter, so a change in place is noticed); it is a memo, not state: it never changes
    a result and is neither copied nor saved with the model.

    Source: Kipf & Welling 2017, https://arxiv.org/abs/1609.02907; arithmetic by PyG's `gcn_norm`.

    Example:
        >>> normalize = GCNNormalization()
        >>> edges, weight = normalize(torch.tensor([[0, 1], [1, 0]]), torch.ones(2, 3))
        >>> [round(value, 3) for value in weight.tolist()]
        [0.5, 0.5, 0.5, 0.5]
    """

    def __init__(self) -> None:
        self._adj: Tensor | None = None
        self._key: tuple[int, int, torch.dtype] | None = None
        self._value: tuple[Tensor, Tensor | None] | None = None

    def __call__(
        self, adj: Tensor, x: Float[Tensor, "nodes channels"]
    ) -> tuple[Tensor, Tensor | None]:
        """The normalised adjacency and, for an edge_index, its weights (None for CSR).

        Args:
            adj: sparse CSR `[nodes, nodes]` (row = target) or edge_index `[2, edges]`.
            x: features; they give the number of nodes and the dtype of the weights.

        Returns:
            (CSR, None) or (edge_index with self-loops, weights `[edges + nodes]`).
        """
        key = (adj._version, x.size(0), x.dtype)
        if self._value is None or self._adj is not adj or self._key != key:
            with torch.no_grad():
                self._value = _normalize(adj, x)
            self._adj, self._key = adj, key
        return self._value

    def feed(self, convs: Iterable[Any], adj: Tensor, x: Float[Tensor, "nodes channels"]) -> Tensor:
        """The adjacency to give to a network of PyG that calls its `GCNConv`s itself.

        A sparse matrix is normalised here, once, and the convolutions told not to; an edge_index
        passes through, and they normalise it as ever.

        Args:
            convs: the `GCNConv` layers of the network; their `normalize` flag is set.
            adj: sparse CSR `[nodes, nodes]` (row = target) or edge_index `[2, edges]`.
            x: features; they give the number of nodes and the dtype of the weights.

        Returns:
            What to pass in place of `adj`.
        """
        is_sparse = adj.layout != torch.strided
        for conv in convs:
            conv.normalize = not is_sparse
        return self(adj, x)[0] if is_sparse else adj

    def __deepcopy__(self, memo: dict[int, object]) -> "GCNNormalization":
        return GCNNormalization()

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return GCNNormalization, ()


def _normalize(adj: Tensor, x: Tensor) -> tuple[Tensor, Tensor | None]:
    num_nodes = x.size(0)
    if adj.layout == torch.strided:
        edge_index, weight = gcn_norm(adj, None, num_nodes, dtype=x.dtype)
        return edge_index, weight
    # Through edges and back: gcn_norm on a sparse matrix would add a second self-loop to a node
    # that has one, where on edge_index it does not.
    edges, values = to_edge_index(adj)
    edges, values = gcn_norm(edges.flip(0), values.to(x.dtype), num_nodes, dtype=x.dtype)
    return _sparse(edges, values, num_nodes), None


def _sparse(edge_index: Tensor, values: Tensor | None, num_nodes: int) -> Tensor:
    # Checked, because a wrong id would read foreign memory; that the layout is in beta is no news.
    checked = torch.sparse.check_sparse_tensor_invariants(True)  # type: ignore[no-untyped-call]
    with warnings.catch_warnings(), checked:
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        return to_torch_csr_tensor(edge_index.flip(0), values, size=(num_nodes, num_nodes))
