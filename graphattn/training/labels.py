"""Labels as training takes them: one class a node, or a row of binary ones; below zero is none.

Numbers to be predicted are float labels, and NaN is none.
"""

import logging

import torch
from jaxtyping import Bool, Float32, Int, Shaped
from torch import Tensor

logger = logging.getLogger(__name__)


def classes(
    y: Shaped[Tensor, "nodes ..."], out_channels: int | None = None
) -> tuple[Int[Tensor, "nodes ..."], int]:
    """Return labels as integers on the CPU, and how many classes (or binary tasks) there are.

    Args:
        y: One class a node, or a row of binary labels; below zero is unlabelled.
        out_channels: Classes or tasks; by default one more than the largest label, or as many as
            there are columns.

    Raises:
        ValueError: Labels that are no integers, beyond `out_channels`, or of several tasks and not
            binary.

    Example:
        >>> classes(torch.tensor([[2], [-1]]))
        (tensor([ 2, -1]), 3)
    """
    if y.dim() == 2 and y.shape[1] == 1:
        y = y.view(-1)
    if y.dim() == 2 and not (y.is_floating_point() or y.is_complex()):
        return _binary(y.detach().cpu(), out_channels)
    if y.dim() != 1 or y.is_floating_point() or y.is_complex():
        raise ValueError(
            "y must hold one class a node, as integers with -1 for unlabelled: "
            f"got {y.dtype} of shape {tuple(y.shape)}."
        )
    y = y.detach().cpu().long().clamp(min=-1)
    found = int(y.max()) + 1 if len(y) else 0
    count = max(found, 1) if out_channels is None else out_channels
    if found > count:
        too_large = int((y >= count).sum())
        raise ValueError(
            f"labels must lie in 0..{count - 1}: got {too_large} labels up to {found - 1}."
        )
    return y, count


def targets(
    y: Shaped[Tensor, "nodes ..."], out_channels: int | None = None
) -> tuple[Shaped[Tensor, "nodes ..."], int]:
    """Return labels on the CPU, and how many logits a node has: as of `classes`, 1 for numbers.

    Raises:
        ValueError: See `classes` and `numbers`.

    Example:
        >>> targets(torch.tensor([0.5, 1.5]))
        (tensor([0.5000, 1.5000]), 1)
    """
    return (numbers(y), 1) if y.is_floating_point() else classes(y, out_channels)


def numbers(y: Shaped[Tensor, "nodes ..."]) -> Float32[Tensor, " nodes"]:
    """Return numbers to be predicted, one a node, on the CPU; NaN is unlabelled.

    Raises:
        ValueError: There are several a node, or one is infinite.

    Example:
        >>> numbers(torch.tensor([[0.5], [float("nan")]]))
        tensor([0.5000,    nan])
    """
    y = y.view(-1) if y.dim() == 2 and y.shape[1] == 1 else y
    if y.dim() != 1 or y.isinf().any():
        came = f"shape {tuple(y.shape)}" if y.dim() != 1 else "infinite ones"
        raise ValueError(f"numbers to be predicted must be finite or NaN, one a node: got {came}.")
    return y.detach().cpu().float()


def _binary(y: Tensor, out_channels: int | None) -> tuple[Tensor, int]:
    """Check rows of binary labels."""
    if y.shape[1] != (out_channels or y.shape[1]) or not y.shape[1]:
        raise ValueError(f"y must hold {out_channels} labels a node: got {y.shape[1]}.")
    if y.numel() and int(y.max()) > 1:
        raise ValueError(
            "several labels a node must be binary, 0 or 1, with -1 for unlabelled: "
            f"got {int(y.max())}."
        )
    return y.long().clamp(min=-1), y.shape[1]


def is_labelled(y: Shaped[Tensor, "nodes ..."]) -> Bool[Tensor, " nodes"]:
    """Tell which nodes have a label; of several, at least one; of numbers, one that is not NaN.

    Example:
        >>> is_labelled(torch.tensor([[0, -1], [-1, -1]]))
        tensor([ True, False])
    """
    known = ~y.isnan() if y.is_floating_point() else y >= 0
    return known if y.dim() == 1 else known.any(dim=1)


def trainable(
    nodes: Int[Tensor, " train"], y: Shaped[Tensor, "nodes ..."]
) -> Int[Tensor, " labelled"]:
    """Return the nodes that have a label, each once; what has none is never trained on.

    Args:
        nodes: Training nodes.
        y: Labels; below zero is unlabelled.

    Raises:
        ValueError: A node out of range, or no labelled node at all.

    Example:
        >>> trainable(torch.tensor([0, 2]), torch.tensor([1, 0, 0]))
        tensor([0, 2])
    """
    nodes = nodes.detach().cpu().long().view(-1)
    if len(nodes) and not 0 <= int(nodes.min()) <= int(nodes.max()) < len(y):
        raise ValueError(
            f"train_nodes must lie in 0..{len(y) - 1}: got {int(nodes.min())}..{int(nodes.max())}."
        )
    distinct = torch.unique(nodes)
    if len(distinct) < len(nodes):
        logger.warning("%d training nodes are named twice: left out", len(nodes) - len(distinct))
        nodes = distinct
    labelled = nodes.index_select(0, is_labelled(y.index_select(0, nodes)).nonzero().view(-1))
    if not len(labelled):
        raise ValueError(
            f"train_nodes must hold a labelled node: got {len(nodes)} nodes, none with a label."
        )
    if len(labelled) < len(nodes):
        logger.warning("%d training nodes have no label: left out", len(nodes) - len(labelled))
    return labelled
