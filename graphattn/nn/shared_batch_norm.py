"""Batch normalisation whose batch is that of all ranks, on any device."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from graphattn.ops.ranks import Ranks


class SharedBatchNorm(nn.Module):
    r"""Batch norm by the moments of the batches of all ranks, as if they were one.

    .. math:: \hat x = \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}}, \qquad
        (n, n\mu, n(\sigma^2 + \mu^2)) = \sum_r \Big(n_r, \sum x, \sum x^2\Big)

    One message forward and one backward, in float64, which makes the plain sums as exact as two
    passes. A rank may have no row. It takes the place of a batch norm of PyTorch's, whose
    parameters and buffers it holds under the same names; PyTorch's own synchronised one
    (``torch.nn.SyncBatchNorm``, https://arxiv.org/abs/1803.08904 for the idea) needs a GPU.

    Args:
        norm: The batch norm whose place it takes; parameters and buffers are shared with it.
        ranks: Who normalises together.
        allow_single_element: Normalise a single row by the running moments, as PyG's batch norm
            may; otherwise it is an error.

    Example:
        >>> from graphattn.ops.ranks import ALONE
        >>> SharedBatchNorm(nn.BatchNorm1d(3), ALONE)(torch.randn(5, 3)).shape
        torch.Size([5, 3])
    """

    weight: Tensor | None
    bias: Tensor | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self, norm: _BatchNorm, ranks: Ranks, *, allow_single_element: bool = False
    ) -> None:
        super().__init__()
        self.ranks, self.allow_single_element = ranks, allow_single_element
        self.eps, self.momentum = norm.eps, norm.momentum
        for name in ("weight", "bias"):
            self.register_parameter(name, getattr(norm, name))
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            self.register_buffer(name, getattr(norm, name))
        self.training = norm.training

    def forward(self, x: Float[Tensor, "rows channels ..."]) -> Float[Tensor, "rows channels ..."]:
        """Normalises each channel; in training mode by the batch, whose moments it remembers.

        Args:
            x: One row a node, on as many ranks as there are.

        Returns:
            Rows of the same shape and type.

        Raises:
            ValueError: All ranks together have but one value a channel.
        """
        if not self.training:
            whole = self.running_mean is None
            return F.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, whole, eps=self.eps
            )
        rows = x.double()
        axes = [0, *range(2, x.dim())]
        count = rows.new_full((1,), x.numel() // x.size(1))
        own = torch.cat([count, rows.sum(axes), rows.square().sum(axes)])
        total: Tensor = _SumOverRanks.apply(own, self.ranks)  # type: ignore[no-untyped-call]
        values, moments = int(total[0]), (self.running_mean, self.running_var)
        mean, square = (total[1:] / total[0]).view(2, -1)
        var = (square - mean.square()).clamp_min(0.0)
        if values > 1:
            self._remember(mean.detach(), var.detach() * (values / (values - 1)))
        elif self.allow_single_element and moments[0] is not None and moments[1] is not None:
            mean, var = moments[0].double(), moments[1].double()
        else:
            raise ValueError(
                f"batch norm needs more than one value a channel: got {list(x.shape)} here and "
                f"{values} on all ranks."
            )
        shape = (1, -1, *(1 for _ in axes[1:]))
        out = (rows - mean.view(shape)) * (var + self.eps).rsqrt().view(shape)
        if self.weight is not None and self.bias is not None:
            out = out * self.weight.view(shape) + self.bias.view(shape)
        return out.to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, var: Tensor) -> None:
        if self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = 1.0 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
        for running, now in ((self.running_mean, mean), (self.running_var, var)):
            if running is not None:
                running.lerp_(now.to(running.dtype), share)


class _SumOverRanks(torch.autograd.Function):
    """The sum over ranks; what each contributed gets the sum of the gradients of all."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        return ranks.sum(values).view_as(values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.ranks.sum(gradient), None
