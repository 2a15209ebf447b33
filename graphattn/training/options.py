"""The options of a training run: three frozen dataclasses, without torch, so quick to read."""

from dataclasses import dataclass
from math import isfinite
from typing import Literal, get_args

from graphattn.checks import check_choice

Optimizer = Literal["adam", "adamw"]
ScheduleName = Literal["constant", "cosine", "plateau"]
Autocast = Literal["none", "bfloat16"]
Pool = Literal["list", "set"]


@dataclass(frozen=True)
class FitOptions:
    """How a model is fitted: optimiser, schedule, when to stop, how often to save.

    Args:
        optimizer: "adam" (the papers') or "adamw" (decay apart from the gradient).
        lr: Learning rate after the warm-up, per step.
        weight_decay: L2 penalty ("adam") or decoupled decay ("adamw").
        epochs: Passes over the training nodes, at most.
        schedule: "constant"; "cosine" (to zero at the last epoch); "plateau" (halved after ten
            evaluations without a better validation metric).
        warmup: Epochs during which the rate rises linearly to `lr`.
        patience: Evaluations without a better validation metric after which to stop; 0 never stops.
        clip_norm: Largest norm of the whole gradient; 0 does not clip.
        class_weights: Weigh each class by the inverse of its frequency among the training labels.
        label_smoothing: Share of the target spread evenly over the classes, in [0, 1).
        eval_every: Epochs between evaluations on the validation nodes; the last one always counts.
        autocast: "bfloat16" runs the forward in mixed precision.
        compile: Run the forward through `torch.compile`.
        seed: Seed of what the model draws in training (dropout); batches have their feed's seed.
        save_every: Epochs between checkpoints; 0 saves only at the end and when interrupted.
        save_steps: Steps between checkpoints within an epoch; 0 saves none there.
        save_seconds: A checkpoint that falls due sooner than this after the last one is left out,
            which costs nothing but the work since then: a run resumes exactly from any of them.

    Raises:
        ValueError: An option is out of range.

    Example:
        >>> FitOptions(lr=0.01, schedule="cosine").epochs
        30
        >>> FitOptions(epochs=0)
        Traceback (most recent call last):
        ...
        ValueError: epochs must be at least 1: got 0.
    """

    optimizer: Optimizer = "adam"
    lr: float = 5e-3
    weight_decay: float = 0.0
    epochs: int = 30
    schedule: ScheduleName = "constant"
    warmup: int = 0
    patience: int = 0
    clip_norm: float = 0.0
    class_weights: bool = False
    label_smoothing: float = 0.0
    eval_every: int = 1
    autocast: Autocast = "none"
    compile: bool = False
    seed: int = 0
    save_every: int = 1
    save_steps: int = 0
    save_seconds: float = 10.0

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        check_choice(get_args(Optimizer), optimizer=self.optimizer)
        check_choice(get_args(ScheduleName), schedule=self.schedule)
        check_choice(get_args(Autocast), autocast=self.autocast)
        _at_least(1, epochs=self.epochs, eval_every=self.eval_every)
        _at_least(
            0,
            weight_decay=self.weight_decay,
            warmup=self.warmup,
            patience=self.patience,
            clip_norm=self.clip_norm,
            seed=self.seed,
            save_every=self.save_every,
            save_steps=self.save_steps,
            save_seconds=self.save_seconds,
        )
        if not (isfinite(self.lr) and self.lr > 0):
            raise ValueError(f"lr must be a positive number: got {self.lr}.")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing must be in [0, 1): got {self.label_smoothing}.")

    def that_decide(self) -> dict[str, object]:
        """Return the options that decide the weights: all but those that say when to save.

        Example:
            >>> "save_every" in FitOptions().that_decide()
            False
        """
        return {k: v for k, v in vars(self).items() if not k.startswith("save_")}


@dataclass(frozen=True)
class TokenOptions:
    """What is drawn for each seed, and in which batches.

    Args:
        num_samples: Tokens a seed, itself included.
        num_hops: Hops within which tokens are drawn.
        pool: "list" (the paper's: a node in both hops is twice as likely) or "set"; null: the
            sampler's own.
        resample: Draw anew each epoch; False keeps the first draw, as the paper does.
        batch_size: Seeds a training step, of all processes that train together.
        eval_batch_size: Seeds a forward in evaluation.
        adjacency: Tell the model which tokens of a seed are joined by an edge; for LargeGT with
            `model.local gin`.
        num_workers: Threads that draw ahead; changes no bit of the result.
        hyperedges: For models of hypergraphs: how many hyperedges of a node are drawn in each of
            `num_hops` hops, -1 for all; null: no sampling, the whole hypergraph in every step.
        members: How many nodes of a hyperedge are drawn then, -1 for all.

    Raises:
        ValueError: An option is out of range, or one of the last two is given alone.

    Example:
        >>> TokenOptions(num_samples=8).batch_size
        512
    """

    num_samples: int = 20
    num_hops: int = 2
    pool: Pool | None = None
    resample: bool = True
    batch_size: int = 512
    eval_batch_size: int = 1024
    adjacency: bool = False
    num_workers: int = 0
    hyperedges: int | None = None
    members: int | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        drawn = {"hyperedges": self.hyperedges, "members": self.members}
        if (self.hyperedges is None) != (self.members is None):
            raise ValueError(
                "tokens.hyperedges and tokens.members must be given together: got "
                f"{self.hyperedges} and {self.members}."
            )
        for name, count in drawn.items():
            if count is not None and (count < -1 or count == 0):
                raise ValueError(f"tokens.{name} must be at least 1, or -1 for all: got {count}.")
        if self.pool is not None:
            check_choice(get_args(Pool), pool=self.pool)
        _at_least(
            1,
            num_samples=self.num_samples,
            num_hops=self.num_hops,
            batch_size=self.batch_size,
            eval_batch_size=self.eval_batch_size,
        )
        _at_least(0, num_workers=self.num_workers)


@dataclass(frozen=True)
class LabelOptions:
    """What training labels are used for, beside the loss.

    Args:
        label_inputs: Share of the training labels that each epoch gives as input, in [0, 1); the
            loss is taken on the rest. All are given in prediction, but to no node its own. 0: none.
        correct_and_smooth: Judge runs once more after Correct & Smooth: training errors, then
            training labels, are spread over the graph.

    Raises:
        ValueError: The share is out of range.

    Example:
        >>> LabelOptions(label_inputs=1.0)
        Traceback (most recent call last):
        ...
        ValueError: label_inputs must lie in [0, 1): got 1.0.
    """

    label_inputs: float = 0.0
    correct_and_smooth: bool = False

    def __post_init__(self) -> None:
        """Refuse a share that leaves nothing to train on."""
        if not 0 <= self.label_inputs < 1:
            raise ValueError(f"label_inputs must lie in [0, 1): got {self.label_inputs}.")


def _at_least(least: int, **values: float | int) -> None:
    for name, value in values.items():
        if not (isfinite(value) and value >= least):
            raise ValueError(f"{name} must be at least {least}: got {value}.")
