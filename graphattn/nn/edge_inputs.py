"""What a convolution along edges is given, in one form: edges, their features, their degrees."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.typing import SparseTensor
from torch_geometric.utils import is_torch_sparse_tensor, to_edge_index


def mean_log_degree(deg: Int[Tensor, " degrees"] | None) -> Float[Tensor, ""]:
    """Gives the mean of ``log(d + 1)``, or 1; ``deg`` counts nodes of degree 0, 1, 2, ..."""
    if deg is None:
        return torch.ones(())
    count = deg.to(torch.float64)
    logs = torch.log(torch.arange(deg.size(0), dtype=torch.float64, device=deg.device) + 1)
    if not float((logs * count).sum()) > 0:
        raise ValueError(
            f"deg must count a node that has edges: got {deg.tolist()}; right would be "
            "deg=degree(edge_index[1]).long().bincount()."
        )
    return ((logs * count).sum() / count.sum()).float()


def degree_scales(
    names: tuple[str, ...], ptr: Int[Tensor, " rows_and_one"], log_degree: Float[Tensor, ""]
) -> list[Float[Tensor, "rows 1 1"] | None]:
    """Gives what each scaler multiplies the aggregates of each target by; None: nothing."""
    if set(names) == {"identity"}:
        return [None]
    degrees = ptr.diff().clamp(min=1).to(log_degree.dtype)
    amplified = (torch.log(degrees + 1) / log_degree).view(-1, 1, 1)
    scales = {"identity": None, "amplification": amplified, "attenuation": 1 / amplified}
    return [scales[name] for name in names]


def read_edges(
    edge_index: Tensor | SparseTensor, edge_weight: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Gives edges as ``[2, edges]`` with the source first, and their weights."""
    if isinstance(edge_index, EdgeIndex):
        return edge_index.as_tensor(), edge_weight
    if isinstance(edge_index, SparseTensor):
        row, col, value = edge_index.coo()
        return torch.stack([col, row]), value if edge_weight is None else edge_weight
    if is_torch_sparse_tensor(edge_index):
        edges, value = to_edge_index(edge_index)
        return edges.flip(0), value if edge_weight is None else edge_weight
    if edge_index.dim() != 2 or edge_index.size(0) != 2:
        raise ValueError(
            f"edge_index must be [2, edges]: got {list(edge_index.shape)}; "
            "a [edges, 2] table becomes right with edge_index.t()."
        )
    return edge_index, edge_weight


def add_loops(
    edges: Tensor, edge_attr: Tensor | None, edge_weight: Tensor | None, num_nodes: int
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Adds an edge from each node to itself, of features 0 and weight 1."""
    loops = torch.arange(num_nodes, device=edges.device, dtype=edges.dtype)
    edges = torch.cat([edges, loops.expand(2, -1)], dim=1)
    if edge_attr is not None:
        blank = edge_attr.new_zeros(num_nodes, edge_attr.size(1))
        edge_attr = torch.cat([edge_attr, blank])
    if edge_weight is not None:
        edge_weight = torch.cat([edge_weight, edge_weight.new_ones(num_nodes)])
    return edges, edge_attr, edge_weight
