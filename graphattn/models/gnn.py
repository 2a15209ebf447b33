"""The message-passing baselines, plain and strong, made of PyG's own convolutions."""

from typing import Any, Literal

import torch
import torch_geometric.nn as pyg
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import dropout

from graphattn.ops.adjacency import GCNNormalization

Norm = Literal["none", "batch", "layer"]


class GNN(nn.Module):
    """GCN, GraphSAGE or GAT over the whole graph, in a plain and a strong form.

    Plain (`residual=False`): exactly `torch_geometric.nn.GCN | GraphSAGE | GAT`, that is
    conv -> norm -> ReLU -> dropout, the last convolution giving the logits.
    Strong (`residual=True`): input linear, then num_layers times

        h <- dropout(relu(norm(conv(h) + linear(h))))

    then an output linear: the form in which classic networks match graph transformers
    (Platonov et al. 2023, https://arxiv.org/abs/2302.11640; Luo et al. 2024,
    https://arxiv.org/abs/2406.08993).

    Args:
        in_channels: features per node.
        hidden_channels: width of the hidden layers; divisible by `heads` for "gat".
        out_channels: number of classes.
        conv: the convolution: "gcn", "sage" (mean) or "gat".
        num_layers: number of convolutions, at least 1.
        heads: attention heads, of "gat" alone.
        dropout: after every hidden layer, in [0, 1).
        input_dropout: on the features themselves, in [0, 1).
        residual: the strong form.
        norm: normalisation after each convolution.

    Attributes:
        wants_edge_index: False where the sparse CSR adjacency is taken and faster; True for GAT.

    Raises:
        ValueError: num_layers is below 1, or heads does not divide hidden_channels.

    Example:
        >>> model = GNN(8, 16, 3, conv="gcn", residual=True, norm="batch")
        >>> model(torch.zeros(5, 8), torch.tensor([[0, 1], [1, 2]])).shape
        torch.Size([5, 3])
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        *,
        conv: Literal["gcn", "sage", "gat"] = "gcn",
        num_layers: int = 2,
        heads: int = 1,
        dropout: float = 0.5,
        input_dropout: float = 0.0,
        residual: bool = False,
        norm: Norm = "none",
    ) -> None:
        super().__init__()
        if num_layers < 1:
            raise ValueError(f"GNN needs at least one layer: got num_layers={num_layers}.")
        if conv != "gat" and heads != 1:
            raise ValueError(f"Only conv='gat' has heads: got heads={heads}, conv={conv!r}.")
        if hidden_channels % heads:
            raise ValueError(
                f"heads must divide hidden_channels: got heads={heads}, "
                f"hidden_channels={hidden_channels}."
            )
        self.conv = conv
        self.input_dropout = input_dropout
        self.wants_edge_index = conv == "gat"
        self.normalize = GCNNormalization()
        self.net: Any
        if residual:
            sizes = (in_channels, hidden_channels, out_channels)
            convs = [_convolution(conv, hidden_channels, heads) for _ in range(num_layers)]
            self.net = _Residual(sizes, convs, norm, dropout)
        else:
            options: dict[str, Any] = {"gcn": {"normalize": False}, "gat": {"heads": heads}}
            self.net = {"gcn": pyg.GCN, "sage": pyg.GraphSAGE, "gat": pyg.GAT}[conv](
                in_channels,
                hidden_channels,
                num_layers,
                out_channels,
                dropout=dropout,
                norm=None if norm == "none" else _norm(norm, hidden_channels),
                **options.get(conv, {}),
            )

    def reset_parameters(self) -> None:
        """Draws all weights anew and empties the statistics of batch norm."""
        self.net.reset_parameters()

    def forward(
        self, x: Float[Tensor, "nodes in_channels"], adj: Tensor
    ) -> Float[Tensor, "nodes out_channels"]:
        """Logits of every node.

        Args:
            x: node features.
            adj: edge_index `[2, edges]` (source, target), or for GCN and SAGE the sparse CSR
                matrix `[nodes, nodes]` with row = target
                (`graphattn.ops.adjacency.to_sparse_adjacency`). Its GCN normalisation is
                computed once for as long as the same tensor comes in.

        Returns:
            Logits.
        """
        weight = None
        if self.conv == "gcn":
            adj, weight = self.normalize(adj, x)
        elif adj.layout != torch.strided:
            if self.conv == "gat":
                raise ValueError(
                    "GAT takes edge_index: got a sparse matrix; pass edge_index [2, edges]."
                )
            adj = adj.to(x.dtype)
        x = dropout(x, self.input_dropout, self.training)
        if self.conv == "gcn":
            return self.net(x, adj, edge_weight=weight)
        return self.net(x, adj)


class _Residual(nn.Module):
    """Input linear, convolutions with a linear side path, output linear."""

    def __init__(
        self, sizes: tuple[int, int, int], convs: list[nn.Module], norm: Norm, dropout: float
    ) -> None:
        super().__init__()
        width = sizes[1]
        self.dropout = dropout
        self.lin_in = nn.Linear(sizes[0], width)
        self.convs = nn.ModuleList(convs)
        self.lins = nn.ModuleList(nn.Linear(width, width) for _ in convs)
        self.norms = nn.ModuleList(_norm(norm, width) for _ in convs)
        self.lin_out = nn.Linear(width, sizes[2])

    def reset_parameters(self) -> None:
        for module in [self.lin_in, *self.convs, *self.lins, *self.norms, self.lin_out]:
            if not isinstance(module, nn.Identity):
                module.reset_parameters()

    def forward(self, x: Tensor, adj: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        args = (adj,) if edge_weight is None else (adj, edge_weight)
        h = dropout(self.lin_in(x).relu(), self.dropout, self.training)
        for conv, lin, norm in zip(self.convs, self.lins, self.norms, strict=True):
            h = dropout(norm(conv(h, *args) + lin(h)).relu(), self.dropout, self.training)
        return self.lin_out(h)


def _convolution(conv: str, channels: int, heads: int) -> nn.Module:
    if conv == "gcn":
        return pyg.GCNConv(channels, channels, normalize=False)
    if conv == "sage":
        return pyg.SAGEConv(channels, channels)
    return pyg.GATConv(channels, channels // heads, heads=heads)


def _norm(norm: Norm, channels: int) -> nn.Module:
    if norm == "batch":
        return pyg.BatchNorm(channels, allow_single_element=True)
    return nn.LayerNorm(channels) if norm == "layer" else nn.Identity()
