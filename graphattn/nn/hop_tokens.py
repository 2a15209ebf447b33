"""A seed's own features after each hop of propagation, as tokens and as one summary."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from graphattn.ops.dropout import fast_dropout


class HopTokens(nn.Module):
    r"""Projects each hop of a seed by a matrix of its own.

    .. math::
        t_l = W_l\,(\hat A^l x)_v + b_l, \qquad
        \mathrm{token}_l = W\,\mathrm{ReLU}(t_l) + b, \qquad
        \mathrm{summary} = W' \mathrm{ReLU}\Bigl(\sum_l t_l\Bigr) + b'

    The summary is SIGN (https://arxiv.org/abs/2004.11198): one layer over all hops side by side.
    The tokens are those of NAGphormer (https://arxiv.org/abs/2206.04910), for an attention to
    weigh seed by seed.

    Args:
        in_channels: Channels of ``x``.
        out_channels: Channels of a token and of the summary.
        num_hops: The farthest hop ``L``; there are ``L + 1`` tokens, hop 0 first.
        dropout: Dropout after the ReLU.

    Raises:
        ValueError: ``num_hops`` is below 1.

    Example:
        >>> import torch
        >>> tokens, summary = HopTokens(8, 16, num_hops=4)(torch.randn(10, 5, 8))
        >>> tokens.shape, summary.shape
        (torch.Size([10, 5, 16]), torch.Size([10, 16]))
    """

    def __init__(
        self, in_channels: int, out_channels: int, num_hops: int, *, dropout: float = 0.5
    ) -> None:
        super().__init__()
        if num_hops < 1:
            raise ValueError(f"num_hops must be at least 1: got num_hops={num_hops}.")
        self.dropout = dropout
        self.weight = nn.Parameter(torch.empty(num_hops + 1, in_channels, out_channels))
        self.bias = nn.Parameter(torch.empty(num_hops + 1, 1, out_channels))
        self.lin_token = nn.Linear(out_channels, out_channels)
        self.lin_summary = nn.Linear(out_channels, out_channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws weights as one linear layer over all hops side by side would."""
        bound = 1.0 / math.sqrt(self.weight.size(0) * self.weight.size(1))
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)
        self.lin_token.reset_parameters()
        self.lin_summary.reset_parameters()

    def forward(
        self, own: Float[Tensor, "seeds hops channels"]
    ) -> tuple[Float[Tensor, "seeds hops hidden"], Float[Tensor, "seeds hidden"]]:
        """Projects.

        Args:
            own: Features of each seed after 0, 1, ... ``num_hops`` hops of propagation.

        Returns:
            A token for each hop, and one summary of all hops.
        """
        projected = torch.baddbmm(self.bias, own.transpose(0, 1), self.weight)
        summary = self.lin_summary(self._activate(projected.sum(dim=0)))
        return self.lin_token(self._activate(projected)).transpose(0, 1), summary

    def _activate(self, x: Tensor) -> Tensor:
        return fast_dropout(F.relu(x), self.dropout, self.training)
