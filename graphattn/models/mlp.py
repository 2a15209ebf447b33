"""The baseline that sees no edge: what the features alone can tell."""

from typing import Literal

import torch_geometric.nn as pyg
from jaxtyping import Float
from torch import Tensor, nn


class MLP(nn.Module):
    """A multi-layer perceptron over node features; the adjacency is taken and ignored.

    Made of `torch_geometric.nn.MLP`.

    Args:
        in_channels: features per node.
        hidden_channels: width of the hidden layers.
        out_channels: number of classes.
        num_layers: linear layers, at least 1.
        dropout: after every hidden layer, in [0, 1).
        norm: normalisation of the hidden layers.

    Raises:
        ValueError: num_layers is below 1.

    Example:
        >>> import torch
        >>> model = MLP(8, 16, 3)
        >>> model(torch.zeros(5, 8)).shape
        torch.Size([5, 3])
    """

    wants_edge_index: bool = False
    sees_no_edges: bool = True

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        *,
        num_layers: int = 2,
        dropout: float = 0.5,
        norm: Literal["none", "batch", "layer"] = "none",
    ) -> None:
        super().__init__()
        if num_layers < 1:
            raise ValueError(f"MLP needs at least one layer: got num_layers={num_layers}.")
        kwargs = {"allow_single_element": True} if norm == "batch" else None
        self.net = pyg.MLP(
            [in_channels, *[hidden_channels] * (num_layers - 1), out_channels],
            dropout=dropout,
            norm={"none": None, "batch": "batch_norm", "layer": "layer_norm"}[norm],
            norm_kwargs={"mode": "node"} if norm == "layer" else kwargs,
        )

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        self.net.reset_parameters()

    def forward(
        self, x: Float[Tensor, "nodes in_channels"], adj: Tensor | None = None
    ) -> Float[Tensor, "nodes out_channels"]:
        """Logits of every node.

        Args:
            x: node features.
            adj: ignored, so that every full-batch model is called alike.

        Returns:
            Logits.
        """
        return self.net(x)
