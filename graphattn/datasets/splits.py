"""Splits: which nodes train, validate and test, made or read, and checked in one place."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int64
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch_geometric.data import Data

from graphattn.datasets.validation import count_nodes

logger = logging.getLogger(__name__)

PARTS = ("train", "val", "test")


@dataclass(frozen=True, eq=False)
class Split:
    """The node ids of one split, each part sorted, no node in two parts.

    Attributes:
        train: ids of the nodes trained on.
        val: ids of the nodes chosen by; may be empty.
        test: ids of the nodes reported on; may be empty.

    Example:
        >>> split = Split.from_indices([3, 0], [1], [2], num_nodes=4)
        >>> split.train.tolist(), split.masks(4)[0].tolist()
        ([0, 3], [True, False, False, True])
    """

    train: Int64[Tensor, " train"]
    val: Int64[Tensor, " val"]
    test: Int64[Tensor, " test"]

    @classmethod
    def from_indices(
        cls, train: ArrayLike, val: ArrayLike, test: ArrayLike, *, num_nodes: int
    ) -> "Split":
        """Checks lists of node ids and makes a split of them.

        Args:
            train: node ids; an id listed twice counts once, with a note in the log.
            val: node ids.
            test: node ids.
            num_nodes: the ids run from 0 to num_nodes - 1.

        Returns:
            The split.

        Raises:
            ValueError: an id is out of range or not whole, or a node is in two parts.
        """
        named = zip(PARTS, (train, val, test), strict=True)
        parts = [_unique_ids(name, ids, num_nodes) for name, ids in named]
        for i, j in ((0, 1), (0, 2), (1, 2)):
            both = np.intersect1d(parts[i], parts[j], assume_unique=True)
            if len(both):
                raise ValueError(
                    f"The parts of a split must not overlap: {len(both)} nodes are in both "
                    f"{PARTS[i]} and {PARTS[j]} (first: {both[:5].tolist()}); "
                    f"remove them from one of the two."
                )
        return cls(*(torch.from_numpy(ids) for ids in parts))

    def masks(self, num_nodes: int) -> tuple[Tensor, Tensor, Tensor]:
        """The same split as three boolean masks (train, val, test) of num_nodes entries."""
        masks = torch.zeros(3, num_nodes, dtype=torch.bool)
        for mask, ids in zip(masks, (self.train, self.val, self.test), strict=True):
            mask[ids] = True
        return masks[0], masks[1], masks[2]


def splits(data: Data) -> list[Split]:
    """The splits that `train_mask`, `val_mask` and `test_mask` of a data set describe.

    Args:
        data: with boolean masks `[nodes]` or `[nodes, splits]`; a one-column mask serves all
            splits; a missing `val_mask` or `test_mask` is an empty part. Nodes with label -1 are
            taken out of every part, with a note in the log.

    Returns:
        One Split a column, each with a training part that is not empty.

    Raises:
        ValueError: no train_mask, a mask of wrong type or size, overlapping parts, or a training
            part without a labelled node.

    Example:
        >>> from graphattn.datasets.bundled import karate
        >>> [len(split.train) for split in splits(karate())]
        [4]
    """
    num_nodes = count_nodes(data)
    masks = {name: _mask(data, f"{name}_mask", num_nodes) for name in PARTS}
    if masks["train"] is None:
        raise ValueError(
            "A split needs data.train_mask: got none; make one with "
            "graphattn.datasets.splits.random_split(data.y).masks(data.num_nodes)."
        )
    count = max(mask.size(1) for mask in masks.values() if mask is not None)
    labelled = data.y >= 0 if isinstance(data.y, Tensor) else torch.ones(num_nodes).bool()
    return [_column(masks, column, count, labelled) for column in range(count)]


def random_split(
    y: Int64[Tensor, " nodes"],
    fractions: Sequence[float] = (0.5, 0.25, 0.25),
    *,
    stratify: bool = True,
    seed: int = 0,
) -> Split:
    """Cuts the labelled nodes at random into train, validation and test parts.

    Args:
        y: labels; nodes with -1 are in no part.
        fractions: shares of train, val and test, in [0, 1]; what they leave is in no part.
        stratify: cut every class by itself, so that all parts have the same mix of classes
            (sizes rounded per class); otherwise cut all nodes at once.
        seed: of this draw alone; no global generator is touched.

    Returns:
        The split.

    Raises:
        ValueError: fractions are not three shares with a sum of at most 1, or the training part
            would be empty.

    Example:
        >>> split = random_split(torch.tensor([0, 0, 0, 0, 1, 1, 1, 1]), (0.5, 0.25, 0.25))
        >>> len(split.train), len(split.val), len(split.test)
        (4, 2, 2)
    """
    shares = np.asarray(fractions, dtype=np.float64)
    if shares.shape != (3,) or not (shares >= 0).all() or not shares.sum() <= 1 + 1e-9:
        raise ValueError(
            f"fractions are the shares of train, val and test: got {tuple(fractions)}; "
            "give three numbers >= 0 with a sum of at most 1."
        )
    labels = y.cpu().numpy()
    generator = np.random.default_rng(seed)
    order = generator.permutation(np.flatnonzero(labels >= 0))
    groups = [order[labels[order] == c] for c in np.unique(labels[order])] if stratify else [order]
    parts: list[list[NDArray[np.int64]]] = [[], [], []]
    for group in groups:
        cuts = np.rint(np.cumsum(shares) * len(group)).astype(np.int64)
        for part, ids in zip(parts, np.split(group, cuts)[:3], strict=True):
            part.append(ids)
    joined = [np.concatenate(part) if part else np.empty(0, np.int64) for part in parts]
    if not len(joined[0]):
        raise ValueError(
            f"The training part must not be empty: got a share of {shares[0]} of {len(order)} "
            "labelled nodes; raise fractions[0] or label more nodes."
        )
    return Split.from_indices(*joined, num_nodes=len(labels))


def _unique_ids(name: str, ids: ArrayLike, num_nodes: int) -> NDArray[np.int64]:
    array = np.asarray(ids)
    if array.size == 0:
        return np.empty(0, dtype=np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ValueError(
            f"{name} must be a list of whole node ids: got shape {list(array.shape)}, "
            f"type {array.dtype}."
        )
    wrong = np.flatnonzero((array < 0) | (array >= num_nodes))
    if len(wrong):
        first = ", ".join(f"{name}[{i}]={array[i]}" for i in wrong[:5])
        raise ValueError(
            f"Split ids must lie in 0..{num_nodes - 1}: got {first}; "
            f"{len(wrong)} such ids in {name}."
        )
    unique = np.unique(array.astype(np.int64))
    if len(unique) < len(array):
        logger.warning(
            "split: %d ids of %s are listed twice and count once", len(array) - len(unique), name
        )
    return unique


def _mask(data: Data, name: str, num_nodes: int) -> Bool[Tensor, "nodes splits"] | None:
    mask = data.get(name)
    if mask is None:
        return None
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        kind = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise ValueError(
            f"{name} must be a boolean tensor: got {kind}; make one from ids with "
            "Split.from_indices(train, val, test, num_nodes=...).masks(num_nodes)."
        )
    if mask.dim() not in (1, 2) or mask.size(0) != num_nodes:
        raise ValueError(
            f"{name} must be [{num_nodes}] or [{num_nodes}, splits], one row a node: "
            f"got {list(mask.shape)}."
        )
    return mask.view(num_nodes, -1)


def _column(
    masks: dict[str, Tensor | None], column: int, count: int, labelled: Bool[Tensor, " nodes"]
) -> Split:
    parts = []
    for name, mask in masks.items():
        if mask is None:
            parts.append(np.empty(0, dtype=np.int64))
            continue
        if mask.size(1) not in (1, count):
            raise ValueError(
                f"All masks must have the same number of splits: got {mask.size(1)} columns in "
                f"{name}_mask, {count} in another; give {count} columns, or one for all."
            )
        chosen = mask[:, column if mask.size(1) > 1 else 0]
        lost = int((chosen & ~labelled).sum())
        if lost:
            logger.warning(
                "split %d: %d nodes of %s have no label (-1) and are left out", column, lost, name
            )
        parts.append((chosen & labelled).nonzero().view(-1).numpy())
    split = Split.from_indices(*parts, num_nodes=len(labelled))
    if not len(split.train):
        raise ValueError(
            f"The training part must not be empty: got split {column} with no labelled node in "
            "train_mask; mark the nodes to train on."
        )
    return split
