"""SGFormer, the one-layer linear-attention baseline, as PyG builds it."""

import torch
import torch_geometric.nn as pyg
from jaxtyping import Float
from torch import Tensor, nn

from graphattn.ops.adjacency import GCNNormalization


class SGFormer(nn.Module):
    """`torch_geometric.nn.models.SGFormer` on one graph: a GCN plus linear all-pairs attention.

    logits = linear(graph_weight * gcn(x, edges) + (1 - graph_weight) * attention(x)), passed
    through PyG's final log-softmax (cross-entropy and arg-max are unmoved by it). In float32 only,
    for PyG's attention makes a float32 tensor of its own.

    Source: Wu et al. 2023, https://arxiv.org/abs/2306.10759.

    Args:
        in_channels: features per node.
        hidden_channels: width of both branches.
        out_channels: number of classes.
        num_layers: convolutions of the graph branch.
        attention_layers: layers of the all-pairs branch.
        heads: attention heads, each hidden_channels wide; they are averaged.
        dropout: in both branches, in [0, 1).
        graph_weight: share of the graph branch, in [0, 1].

    Raises:
        ValueError: heads does not divide hidden_channels, or graph_weight is outside [0, 1].

    Example:
        >>> model = SGFormer(8, 16, 3)
        >>> model(torch.zeros(5, 8), torch.tensor([[0, 1], [1, 2]])).shape
        torch.Size([5, 3])
    """

    wants_edge_index: bool = False

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        *,
        num_layers: int = 3,
        attention_layers: int = 1,
        heads: int = 1,
        dropout: float = 0.5,
        graph_weight: float = 0.5,
    ) -> None:
        super().__init__()
        if hidden_channels % heads:
            raise ValueError(
                f"heads must divide hidden_channels: got heads={heads}, "
                f"hidden_channels={hidden_channels}."
            )
        if not 0.0 <= graph_weight <= 1.0:
            raise ValueError(f"graph_weight is a share in [0, 1]: got {graph_weight}.")
        self.normalize = GCNNormalization()
        self.net = pyg.models.SGFormer(
            in_channels,
            hidden_channels,
            out_channels,
            trans_num_layers=attention_layers,
            trans_num_heads=heads,
            trans_dropout=dropout,
            gnn_num_layers=num_layers,
            gnn_dropout=dropout,
            graph_weight=graph_weight,
        )

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        self.net.reset_parameters()

    def forward(
        self, x: Float[Tensor, "nodes in_channels"], adj: Tensor
    ) -> Float[Tensor, "nodes out_channels"]:
        """Logits (as log-probabilities) of every node.

        Args:
            x: node features.
            adj: edge_index `[2, edges]`, or the sparse CSR matrix with row = target, whose
                normalisation is then computed once and not in every layer and step.

        Returns:
            Log-probabilities.
        """
        one_graph = torch.zeros(x.size(0), dtype=torch.long, device=x.device)
        return self.net(x, self.normalize.feed(self.net.graph_conv.convs, adj, x), one_graph)
