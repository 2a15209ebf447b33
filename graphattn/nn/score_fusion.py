"""Two scores of each node made one."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from graphattn.checks import check_choice


class ScoreFusion(nn.Module):
    r"""Makes one score of two.

    "adaptive" is :math:`\eta y_1 + (1 - \eta) y_2` with :math:`\eta` learnt, "fixed" the same, not
    learnt. With :math:`u_i = w_i y_i + c_i`, "gate" is :math:`g u_1 + (1 - g) u_2` with
    :math:`g = \sigma(u_1 + u_2)`, "attention" weighs the scores by the softmax of the u, and
    "concat" is :math:`\mathrm{ReLU}(w^\top y + c)`. At the start two equal
    scores stay what they are, with "concat" if they are not negative.

    Source: https://arxiv.org/abs/2512.12477.

    Args:
        mode: One of those five.
        eta: :math:`\eta` at the start.

    Raises:
        ValueError: The mode is unknown.

    Example:
        >>> ScoreFusion("fixed", 0.5)(torch.tensor([1.0]), torch.tensor([3.0]))
        tensor([2.])
    """

    def __init__(self, mode: str, eta: float) -> None:
        super().__init__()
        check_choice(("adaptive", "fixed", "gate", "attention", "concat"), fusion=mode)
        self.mode, self._eta = mode, eta
        self.eta = nn.Parameter(torch.empty(())) if mode == "adaptive" else None
        mapped = mode in ("gate", "attention")
        self.scale = nn.Parameter(torch.empty(2)) if mapped or mode == "concat" else None
        self.shift = (
            nn.Parameter(torch.empty(2 if mapped else 1)) if self.scale is not None else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Sets all weights to where they start."""
        with torch.no_grad():
            if self.eta is not None:
                self.eta.fill_(self._eta)
            if self.scale is not None and self.shift is not None:
                self.scale.fill_(0.5 if self.mode == "concat" else 1.0)
                self.shift.zero_()

    def forward(
        self, struct: Float[Tensor, " nodes"], text: Float[Tensor, " nodes"]
    ) -> Float[Tensor, " nodes"]:
        """Fuses the two.

        Args:
            struct: The first score of each node.
            text: The second.
        """
        both = torch.stack([struct, text], dim=1)
        if self.scale is None or self.shift is None:
            eta = self._eta if self.eta is None else self.eta
            return eta * struct + (1 - eta) * text
        if self.mode == "concat":
            return ((both * self.scale).sum(1) + self.shift).relu()
        mapped = both * self.scale + self.shift
        if self.mode == "attention":
            return (mapped.softmax(1) * both).sum(1)
        gate = mapped.sum(1).sigmoid()
        return gate * mapped[:, 0] + (1 - gate) * mapped[:, 1]
