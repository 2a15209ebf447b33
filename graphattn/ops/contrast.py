"""The symmetric contrast of two views of the same nodes."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def contrast(
    first: Float[Tensor, "nodes channels"],
    second: Float[Tensor, "nodes channels"],
    *,
    temperature: float = 0.5,
) -> Float[Tensor, ""]:
    r"""Asks of each node's first view that it is nearer to its second than to another's.

    .. math::
        S = \frac{a b^\top}{\tau}, \qquad
        \tfrac12 \big(\mathrm{CE}(S, \mathrm{diag}) + \mathrm{CE}(S^\top, \mathrm{diag})\big)

    with rows brought to length 1. Time and memory grow with the square of the nodes.

    Source: InfoNCE as in MetaHGNIE, https://arxiv.org/abs/2512.12477.

    Args:
        first: One view of each node.
        second: The other, in the same order.
        temperature: What products are divided by.

    Returns:
        The mean over nodes and directions; 0 for a single node.

    Raises:
        ValueError: temperature is not above 0.

    Example:
        >>> import torch
        >>> round(float(contrast(torch.eye(2), torch.eye(2), temperature=1.0)), 4)
        0.3133
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0: got temperature={temperature}.")
    likeness = F.normalize(first) @ F.normalize(second).T / temperature
    own = likeness.diagonal()
    return ((likeness.logsumexp(1) + likeness.logsumexp(0)) / 2 - own).mean()
