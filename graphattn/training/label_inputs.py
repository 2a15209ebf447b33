"""Training labels as input features, so given that no node sees its own where it is judged."""

import numpy as np
import torch
from jaxtyping import Float, Int, Int64, Shaped
from torch import Tensor

from graphattn.training.labels import classes, trainable


class ShownLabels:
    """The labels that one forward may see, as columns: one a class or task, zero if not shown.

    Args:
        y: Label of each node, below zero where it is not shown; or a row of binary ones.
        num_columns: Classes or tasks.

    Example:
        >>> ShownLabels(torch.tensor([1, -1]), 2)(torch.tensor([1, 0])).tolist()
        [[0.0, 0.0], [0.0, 1.0]]
    """

    def __init__(self, y: Shaped[Tensor, "nodes ..."], num_columns: int) -> None:
        self._y, self.num_columns = y, num_columns

    def __call__(self, nodes: Int64[Tensor, " rows"]) -> Float[Tensor, "rows columns"]:
        """Return the columns of some nodes: 1 at the class; of binary labels 1 and -1."""
        y = self._y.index_select(0, nodes).long()
        if y.dim() == 2:
            return torch.where(y < 0, 0, 2 * y - 1).float()
        columns = torch.zeros(len(nodes), self.num_columns)
        shown = (y >= 0).nonzero().view(-1)
        columns[shown, y.index_select(0, shown)] = 1.0
        return columns


class LabelInputs:
    """Who is shown which training labels, and who is trained on.

    In each epoch a share of the training nodes, drawn anew, have their labels given as input; the
    loss is taken on the others, whose labels nobody is shown. In prediction all training labels
    are given, but to a training node itself: it is predicted while a half of the training labels
    that holds its own is hidden. Labels of validation and test nodes are never shown.

    Source: Shi et al. 2021 (UniMP), https://arxiv.org/abs/2009.03509; Wang et al. 2021,
    https://arxiv.org/abs/2103.13355.

    Args:
        y: Class of each node, or a row of binary labels; below zero is unlabelled.
        train_nodes: Nodes to train on; unlabelled ones are left out.
        share: Of the training labels, given in each epoch, in (0, 1).
        out_channels: Classes or tasks; by default as found in `y`.
        seed: Of the draws.

    Raises:
        ValueError: The share is out of range, or leaves no label to give or none to train on.

    Example:
        >>> labels = LabelInputs(torch.tensor([0, 1, 1, 0]), torch.arange(3), 0.4)
        >>> trained = labels.trained(epoch=0)
        >>> len(trained), int(labels.hiding(trained)(torch.arange(4)).sum())
        (2, 1)
    """

    def __init__(
        self,
        y: Shaped[Tensor, "nodes ..."],
        train_nodes: Int[Tensor, " train"],
        share: float,
        *,
        out_channels: int | None = None,
        seed: int = 0,
    ) -> None:
        if not 0 < share < 1:
            raise ValueError(f"label_inputs must lie in (0, 1) to be used: got {share}.")
        y, self.num_columns = classes(y, out_channels)
        self._nodes, self._seed = trainable(train_nodes, y), int(seed)
        given = round(share * len(self._nodes))
        self.num_trained = len(self._nodes) - given
        if not 0 < given < len(self._nodes):
            raise ValueError(
                "label_inputs must leave a training label to give and one to train on: "
                f"got {share} of {len(self._nodes)}."
            )
        self._shown = torch.full(y.shape, -1, dtype=torch.int32)
        self._shown[self._nodes] = y.index_select(0, self._nodes).to(torch.int32)
        self._half = torch.full((len(y),), -1, dtype=torch.int8)
        order = torch.from_numpy(self._generator(0).permutation(len(self._nodes)))
        self._half[self._nodes.index_select(0, order)] = (torch.arange(len(order)) % 2).to(
            torch.int8
        )

    def trained(self, epoch: int) -> Int64[Tensor, " trained"]:
        """Return the nodes that are trained on in an epoch; those left out have their label given.

        Args:
            epoch: 0 or more; the answer depends on (seed, epoch) only.
        """
        order = self._generator(1, epoch).permutation(len(self._nodes))
        chosen = torch.from_numpy(np.sort(order[: self.num_trained]))
        return self._nodes.index_select(0, chosen)

    def hiding(self, nodes: Int[Tensor, " hidden"]) -> ShownLabels:
        """Return all training labels but those of some nodes."""
        shown = self._shown.clone()
        shown[nodes.cpu()] = -1
        return ShownLabels(shown, self.num_columns)

    def groups(
        self, nodes: Int[Tensor, " nodes"]
    ) -> list[tuple[Int64[Tensor, " part"], ShownLabels]]:
        """Cut nodes to predict for by what may be shown to them.

        Args:
            nodes: Any nodes.

        Returns:
            Positions in `nodes`, and the labels shown to them: at most three pairs, none empty.
        """
        half, parts = self._half.index_select(0, nodes.cpu()), []
        for number in (-1, 0, 1):
            positions = (half == number).nonzero().view(-1)
            if len(positions):
                hidden = (self._half == number).nonzero().view(-1) if number >= 0 else nodes[:0]
                parts.append((positions, self.hiding(hidden)))
        return parts

    def _generator(self, *purpose: int) -> np.random.Generator:
        return np.random.default_rng([self._seed & 0xFFFFFFFFFFFFFFFF, 0x6C61, *purpose])


def label_groups(
    label_inputs: LabelInputs | None, nodes: Int[Tensor, " nodes"]
) -> list[tuple[Int64[Tensor, " part"], ShownLabels | None]]:
    """Return the groups of `LabelInputs.groups`, or without label inputs all nodes as one.

    Example:
        >>> label_groups(None, torch.tensor([7, 5]))
        [(tensor([0, 1]), None)]
    """
    if label_inputs is None:
        return [(torch.arange(len(nodes)), None)] if len(nodes) else []
    return [*label_inputs.groups(nodes)]
