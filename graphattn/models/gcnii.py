"""GCNII, the deep message-passing baseline: each layer keeps the first one in sight."""

import torch_geometric.nn as pyg
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import dropout

from graphattn.checks import check_least
from graphattn.ops.adjacency import GCNNormalization


class GCNII(nn.Module):
    r"""A GCN that stays trainable at any depth, of PyG's ``GCN2Conv``.

    .. math:: h_{l+1} = \mathrm{ReLU}\left(\left((1-\alpha) \hat A h_l + \alpha h_0\right)
        \left((1-\beta_l) I + \beta_l W_l\right)\right), \quad
        \beta_l = \log\left(\frac{\theta}{l} + 1\right), \quad h_0 = \mathrm{ReLU}(W_{in} x)

    Source: Chen et al. 2020, https://arxiv.org/abs/2007.02133, equation 5.

    Args:
        in_channels: Features per node.
        hidden_channels: Width of the hidden layers.
        out_channels: Number of classes.
        num_layers: Number of convolutions.
        alpha: Share of the first layer in each, in [0, 1].
        theta: How much of each weight matrix there is: above 0.
        dropout: Before every layer, in [0, 1).

    Raises:
        ValueError: A size is below 1, or ``alpha`` or ``theta`` is out of its range.

    Example:
        >>> import torch
        >>> model = GCNII(8, 16, 3, num_layers=16)
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
        num_layers: int = 16,
        alpha: float = 0.1,
        theta: float = 0.5,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        check_least(1, in_channels=in_channels, hidden_channels=hidden_channels)
        check_least(1, out_channels=out_channels, num_layers=num_layers)
        if not 0.0 <= alpha <= 1.0:
            raise ValueError(f"alpha is a share in [0, 1]: got {alpha}.")
        if not theta > 0.0:
            raise ValueError(f"theta must be above 0: got {theta}.")
        self.dropout = dropout
        self.normalize = GCNNormalization()
        self.lin_in = nn.Linear(in_channels, hidden_channels)
        self.convs = nn.ModuleList(
            pyg.GCN2Conv(hidden_channels, alpha, theta, layer, normalize=False)
            for layer in range(1, num_layers + 1)
        )
        self.lin_out = nn.Linear(hidden_channels, out_channels)

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        self.lin_in.reset_parameters()
        self.lin_out.reset_parameters()
        for conv in self.convs:
            conv.reset_parameters()  # type: ignore[operator]

    def forward(
        self, x: Float[Tensor, "nodes in_channels"], adj: Tensor
    ) -> Float[Tensor, "nodes out_channels"]:
        """Logits of every node.

        Args:
            x: Node features.
            adj: ``edge_index`` ``[2, edges]`` (source, target), or the sparse CSR matrix
                ``[nodes, nodes]`` with row = target.

        Returns:
            Logits.
        """
        adj, weight = self.normalize(adj, x)
        first = h = self._drop(self.lin_in(self._drop(x)).relu())
        for conv in self.convs:
            h = self._drop(conv(h, first, adj, weight).relu())
        return self.lin_out(h)

    def _drop(self, h: Tensor) -> Tensor:
        return dropout(h, self.dropout, self.training)
