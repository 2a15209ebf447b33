"""What a step makes smaller, and how far it may go: cross-entropies, squared errors, a norm."""

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.nn import functional as F


def class_weights(
    y: Int[Tensor, " train"], logits: Float[Tensor, "seeds classes"]
) -> Float[Tensor, " classes"]:
    """Return the inverse frequency of each class, so that each present one weighs alike.

    Args:
        y: Classes of the training nodes.
        logits: Give the number of classes, the type and the device.

    Returns:
        Weights whose mean over the training nodes is one; zero for a class that has none.

    Example:
        >>> class_weights(torch.tensor([0, 0, 0, 1]), torch.zeros(1, 3))
        tensor([0.6667, 2.0000, 0.0000])
    """
    counts = torch.bincount(y, minlength=logits.shape[1])
    share = counts.sum() / ((counts > 0).sum() * counts.clamp(min=1))
    return torch.where(counts > 0, share, 0.0).to(logits)


def mean_loss(
    logits: Float[Tensor, "seeds classes"],
    y: Shaped[Tensor, "seeds ..."],
    weights: Float[Tensor, " classes"] | None = None,
    *,
    label_smoothing: float = 0.0,
) -> tuple[Float[Tensor, ""], float]:
    """Return the mean cross-entropy of some seeds, and the weight that it has beside others'.

    Of numbers, the mean squared error.

    Args:
        logits: One row a seed; there may be none.
        y: Their classes; or rows of binary labels, of which each that is not below zero counts by
            its own cross-entropy; or numbers, none of them NaN.
        weights: Of each class; by default one. Binary labels have none.
        label_smoothing: Share of the target spread evenly over the classes.

    Returns:
        The mean, zero without seeds, and how much the seeds weigh together.

    Example:
        >>> mean_loss(torch.zeros(2, 4), torch.tensor([0, 3]))
        (tensor(1.3863), 2.0)
    """
    if not len(y):
        return logits.sum(), 0.0  # a zero that the backward goes through
    if y.is_floating_point():
        return F.mse_loss(logits.squeeze(1), y.to(logits)), float(len(y))
    if y.dim() == 2:
        return _mean_binary(logits, y, label_smoothing)
    mean = F.cross_entropy(logits, y, weight=weights, label_smoothing=label_smoothing)
    return mean, float(len(y) if weights is None else weights.index_select(0, y).sum())


def _mean_binary(logits: Tensor, y: Tensor, label_smoothing: float) -> tuple[Tensor, float]:
    known = (y >= 0).to(logits)
    count = float(known.sum())
    if not count:
        return 0.0 * logits.sum(), 0.0
    target = y.clamp(min=0).to(logits) * (1 - label_smoothing) + label_smoothing / 2
    each = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (each * known).sum() / count, count


def clip_gradient(model: nn.Module, largest: float) -> Tensor:
    """Shorten the whole gradient to a norm, if there is one, and return what it was.

    Args:
        model: Whose parameters have gradients.
        largest: The norm; 0 leaves the gradient as it is.

    Example:
        >>> model = nn.Linear(1, 1, bias=False)
        >>> model(torch.full((1, 1), 3.0)).sum().backward()
        >>> clip_gradient(model, 1.0), model.weight.grad
        (tensor(3.), tensor([[1.0000]]))
    """
    if largest:
        return nn.utils.clip_grad_norm_(model.parameters(), largest)
    return nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
