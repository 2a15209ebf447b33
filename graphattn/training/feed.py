"""What the loop asks of a feed, and what every feed does alike: evaluation, precision, checks."""

import logging
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from graphattn.names import foreign, import_path
from graphattn.ops.neighborhood import Neighborhood, sample_neighborhood
from graphattn.sampling.bottom_k import BottomKSampler
from graphattn.training.options import FitOptions

logger = logging.getLogger(__name__)


@runtime_checkable
class Split(Protocol):
    """Three sets of nodes, each a vector of int64 ids.

    Example:
        >>> sorted(name for name in vars(Split) if not name.startswith("_"))
        ['test', 'train', 'val']
    """

    @property
    def train(self) -> Tensor:
        """Nodes to train on."""
        ...

    @property
    def val(self) -> Tensor:
        """Nodes to choose by."""
        ...

    @property
    def test(self) -> Tensor:
        """Nodes to judge by, once."""
        ...


@runtime_checkable
class Feed(Protocol):
    """What `fit` asks of a feed; batches depend on (seed, epoch) only.

    Attributes:
        num_nodes: Nodes of the graph.
        out_channels: Classes.
        train_nodes: Labelled nodes that are trained on.
        steps_per_epoch: Batches `train_batches` yields.

    Example:
        >>> callable(Feed.forward)
        True
    """

    num_nodes: int
    out_channels: int
    train_nodes: Tensor
    steps_per_epoch: int

    def train_batches(self, epoch: int) -> Generator[Any, None, None]:
        """Yield the batches of an epoch, the same ones however often it is asked."""
        ...

    def forward(self, model: nn.Module, batch: Any) -> tuple[Tensor, Tensor]:
        """Return the logits of a batch's seeds and their labels, on the model's device."""
        ...

    def seeds(self, batch: Any) -> Tensor:
        """Return the nodes that a batch trains on."""
        ...

    def predict(self, model: nn.Module, nodes: Tensor) -> Tensor:
        """Return the logits of any nodes, on the CPU, in evaluation mode, without gradient."""
        ...

    def labels(self, nodes: Tensor) -> Tensor:
        """Return the labels of any nodes, on the CPU; below zero is unlabelled."""
        ...

    def reset(self, model: nn.Module) -> None:
        """Forget what earlier training left in the feed, and in the model about its nodes."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """Return what the feed carries from step to step."""
        ...

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up a state that `state_dict` gave."""
        ...


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode for a block, and each part back as it was afterwards.

    Example:
        >>> model = nn.Dropout()
        >>> with evaluating(model):
        ...     print(model.training)
        False
        >>> model.training
        True
    """
    training = [part for part in model.modules() if part.training]
    model.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True


def device_of(model: nn.Module) -> torch.device:
    """Return where a model's parameters lie.

    Example:
        >>> device_of(nn.Linear(1, 1))
        device(type='cpu')
    """
    first = next(model.parameters(), None)
    return torch.device("cpu") if first is None else first.device


def autocast(device: torch.device, options: FitOptions) -> torch.autocast:
    """Return the precision of a run's forward, in training and in prediction alike.

    Example:
        >>> with autocast(torch.device("cpu"), FitOptions(autocast="bfloat16")):
        ...     print((torch.ones(1, 1) @ torch.ones(1, 1)).dtype)
        torch.bfloat16
    """
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=options.autocast == "bfloat16")


def checked_logits(
    model: nn.Module, logits: Any, *, rows: int, out_channels: int
) -> Shaped[Tensor, "rows classes"]:
    """Return what a model gave, if it is a logit of each class for each node.

    Args:
        model: For the message.
        logits: What its forward returned.
        rows: Nodes it was asked for.
        out_channels: Classes.

    Raises:
        TypeError: It is no tensor of floating numbers.
        ValueError: It is of another shape.

    Example:
        >>> checked_logits(nn.Linear(1, 3), torch.zeros(5, 3), rows=5, out_channels=2)
        Traceback (most recent call last):
        ...
        ValueError: the model torch.nn...Linear must return [5, 2] (nodes, classes): got [5, 3].
    """
    right, named = [rows, out_channels], import_path(getattr(model, "_orig_mod", model))
    if not isinstance(logits, Tensor) or not logits.is_floating_point():
        kind = logits.dtype if isinstance(logits, Tensor) else type(logits).__name__
        raise TypeError(f"the model {named} must return a float tensor {right}: got {kind}.")
    if list(logits.shape) != right:
        raise ValueError(
            f"the model {named} must return {right} (nodes, classes): got {list(logits.shape)}."
        )
    return logits


def checked_sampler(sampler: Callable[..., Any]) -> Callable[..., Neighborhood]:
    """Return a sampler that checks what it drew, so that a wrong draw is told as what it is.

    Args:
        sampler: Any function of `sample_neighborhood`'s form; our own are returned as they are.

    Raises:
        TypeError: When it is called: what it drew is no `Neighborhood` of tensors.
        ValueError: When it is called: what it drew is of another shape, or leaves the graph.

    Example:
        >>> checked_sampler(sample_neighborhood) is sample_neighborhood
        True
    """
    if sampler is sample_neighborhood or isinstance(sampler, BottomKSampler):
        return sampler
    named = import_path(sampler)

    @wraps(sampler)
    def draw(graph: Any, seeds: Tensor, num_samples: int, **options: Any) -> Neighborhood:
        with foreign(sampler, "the sampler"):
            drawn = sampler(graph, seeds, num_samples, **options)
        if not isinstance(drawn, Neighborhood):
            raise TypeError(
                f"the sampler {named} must return a Neighborhood (ids, mask, hop): "
                f"got {type(drawn).__name__}."
            )
        right = (len(seeds), num_samples)
        kinds = {"ids": torch.int64, "mask": torch.bool, "hop": torch.int64}
        for (name, part), kind in zip(drawn._asdict().items(), kinds.values(), strict=True):
            tensor = isinstance(part, Tensor)
            if not tensor or part.shape != right or part.dtype != kind:
                came = f"{part.dtype} {list(part.shape)}" if tensor else type(part).__name__
                raise ValueError(
                    f"the sampler {named} must return {name} as {kind} {list(right)} "
                    f"(seeds, samples): got {came}."
                )
        inside = (drawn.ids >= 0) & (drawn.ids < graph.num_nodes)
        if not (inside.all() and drawn.mask[:, 0].all() and (drawn.ids[:, 0] == seeds).all()):
            raise ValueError(
                f"the sampler {named} must return ids in 0..{graph.num_nodes - 1} with the seeds "
                "in column 0, not masked: got others."
            )
        return drawn

    if hasattr(sampler, "independent"):
        draw.independent = checked_sampler(sampler.independent)  # type: ignore[attr-defined]
    return draw
