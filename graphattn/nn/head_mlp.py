"""One small network a head, all heads of a layer at once."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from graphattn.checks import check_choice, check_least
from graphattn.ops.head_mlp import head_mlp, plain_head_mlp

_ACTS = ("silu", "relu", "gelu", "identity")


class HeadMLP(nn.Module):
    r"""Gives each head a network of two layers of its own, by two batched products.

    .. math:: y_h = W'_h\,\phi(\mathrm{norm}(\mathrm{drop}(W_h z_h + b_h))) + b'_h

    Hidden channels are not kept for the backward pass, which computes them again, save where some
    are dropped.

    Source: the update of https://arxiv.org/abs/2501.02393, in that order.

    Args:
        heads: Number of heads.
        in_channels: Channels of a head that come in.
        hidden_channels: Channels of a head in between.
        out_channels: Channels of a head that go out.
        norm: "rms" divides by the root mean square of the channels, and so forgets how large
            ``z`` is where the bias is 0; None does not.
        act: "silu", "relu", "gelu" or "identity".
        dropout: Share that is dropped in training.

    Raises:
        ValueError: A size is below 1, or ``norm`` or ``act`` is unknown.

    Example:
        >>> HeadMLP(2, 8, 16, 4)(torch.randn(2, 100, 8)).shape
        torch.Size([2, 100, 4])
    """

    def __init__(
        self,
        heads: int,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        *,
        norm: str | None = "rms",
        act: str = "silu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_least(1, heads=heads, in_channels=in_channels)
        check_least(1, hidden_channels=hidden_channels, out_channels=out_channels)
        check_choice(_ACTS, act=act)
        if norm is not None:
            check_choice(("rms",), norm=norm)
        self.act, self.dropout = act, dropout
        self.scale: Tensor | None
        self.weight_in = nn.Parameter(torch.empty(heads, in_channels, hidden_channels))
        self.bias_in = nn.Parameter(torch.empty(heads, hidden_channels))
        self.weight_out = nn.Parameter(torch.empty(heads, hidden_channels, out_channels))
        self.bias_out = nn.Parameter(torch.empty(heads, out_channels))
        scale = None if norm is None else nn.Parameter(torch.empty(heads, hidden_channels))
        self.register_parameter("scale", scale)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws weights and biases as :class:`torch.nn.Linear` does, and sets the scale to 1."""
        for weight, bias in ((self.weight_in, self.bias_in), (self.weight_out, self.bias_out)):
            bound = 1.0 / math.sqrt(weight.size(1))
            nn.init.uniform_(weight, -bound, bound)
            nn.init.uniform_(bias, -bound, bound)
        if self.scale is not None:
            nn.init.ones_(self.scale)

    def forward(
        self, z: Float[Tensor, "*batch heads rows in_channels"]
    ) -> Float[Tensor, "*batch heads rows out_channels"]:
        """Updates.

        Args:
            z: What each head gathered.

        Returns:
            What each head makes of it.
        """
        weights = (self.weight_in, self.bias_in, self.weight_out, self.bias_out, self.scale)
        dropout = self.dropout if self.training else 0.0
        narrow = z.dtype not in (torch.float32, torch.float64) or z.dtype != self.weight_in.dtype
        if dropout or narrow or torch.is_autocast_enabled(z.device.type):
            return plain_head_mlp(z, *weights, act=self.act, dropout=dropout)
        rows = z.movedim(-3, -2)
        out = head_mlp(rows.reshape(-1, *rows.shape[-2:]), *weights, act=self.act)
        return out.view(*rows.shape[:-1], out.size(-1)).movedim(-2, -3)
