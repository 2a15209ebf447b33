"""Polynormer, the polynomial-expressive linear transformer baseline, as PyG builds it."""

import torch
import torch_geometric.nn as pyg
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.nn.attention import PolynormerAttention

from graphattn.ops.adjacency import GCNNormalization


class Polynormer(nn.Module):
    """`torch_geometric.nn.models.Polynormer` on one graph, with its local-to-global warm-up.

    The paper trains the local layers alone first and adds global attention afterwards. Here the
    model counts its training steps in a buffer (saved with the weights, as batch norm's own
    counter is): up to `warmup_steps` it answers from the local layers, later from the global
    ones. PyG ends in a log-softmax, by which cross-entropy and arg-max are unmoved.

    Source: Deng et al. 2024, https://arxiv.org/abs/2403.01232.

    Args:
        in_channels: features per node.
        hidden_channels: width of one head; the layers are heads * hidden_channels wide.
        out_channels: number of classes.
        local_layers: gated GCN layers.
        global_layers: linear-attention layers.
        heads: attention heads.
        dropout: in local and global layers, in [0, 1).
        warmup_steps: training steps before global attention; 0 turns it on at once.

    Raises:
        ValueError: a layer count is below 1 or warmup_steps below 0.

    Example:
        >>> model = Polynormer(8, 16, 3, warmup_steps=0)
        >>> model(torch.zeros(5, 8), torch.tensor([[0, 1], [1, 2]])).shape
        torch.Size([5, 3])
    """

    wants_edge_index: bool = False
    steps: Tensor

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        *,
        local_layers: int = 7,
        global_layers: int = 2,
        heads: int = 1,
        dropout: float = 0.5,
        warmup_steps: int = 100,
    ) -> None:
        super().__init__()
        if local_layers < 1 or global_layers < 1 or warmup_steps < 0:
            raise ValueError(
                "Polynormer needs local_layers >= 1, global_layers >= 1 and warmup_steps >= 0: "
                f"got {local_layers}, {global_layers} and {warmup_steps}."
            )
        self.warmup_steps = warmup_steps
        self.normalize = GCNNormalization()
        self.net = pyg.models.Polynormer(
            in_channels,
            hidden_channels,
            out_channels,
            local_layers=local_layers,
            global_layers=global_layers,
            heads=heads,
            dropout=dropout,
            global_dropout=dropout,
        )
        # PyG gives its attention the width of one head, at which several heads do not fit.
        width = heads * hidden_channels
        self.net.global_attn = nn.ModuleList(
            PolynormerAttention(width, heads, hidden_channels, dropout=dropout, qk_shared=False)
            for _ in range(global_layers)
        )
        self.net.lin_in.requires_grad_(False)  # made by PyG and never used
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    @property
    def is_global(self) -> bool:
        """Whether the warm-up is over and global attention answers."""
        return int(self.steps) >= self.warmup_steps

    def reset_parameters(self) -> None:
        """Draws all weights anew and starts the warm-up again."""
        self.net.reset_parameters()
        self.steps.zero_()

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
        self.net._global = self.is_global
        if self.training:
            self.steps += 1
        one_graph = torch.zeros(x.size(0), dtype=torch.long, device=x.device)
        return self.net(x, self.normalize.feed(self.net.local_convs, adj, x), one_graph)
