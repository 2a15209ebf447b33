"""What ends a run beside a wrong argument: a loss that is no number, a torn file, a signal."""

import signal as signals
from pathlib import Path


class NonFiniteLoss(FloatingPointError):  # noqa: N818 - reads as what happened
    """The loss or its gradient became infinite or NaN; the weights of the step before are kept.

    Args:
        what: "loss" or "gradient".
        epoch: Epoch, counted from 0.
        step: Step within the epoch, counted from 0.
        lr: Learning rate of the step.
        seeds: Nodes of the batch (all of them; the message shows the first five).
        out: Run folder whose last good checkpoint is kept, if there is one.

    Example:
        >>> error = NonFiniteLoss("loss", epoch=3, step=0, lr=0.1, seeds=[4, 2], out=None)
        >>> print(error)
        loss is not finite at epoch 3, step 0 (lr 0.1, 2 seeds, first 4, 2). ...
    """

    def __init__(
        self, what: str, *, epoch: int, step: int, lr: float, seeds: list[int], out: Path | None
    ) -> None:
        self.what, self.epoch, self.step, self.lr = what, epoch, step, lr
        self.seeds, self.out = seeds, out
        first = ", ".join(map(str, seeds[:5]))
        kept = f" The last good checkpoint is kept in {out / 'last'}." if out else ""
        super().__init__(
            f"{what} is not finite at epoch {epoch}, step {step} (lr {lr:g}, {len(seeds)} seeds, "
            f"first {first}). Training stopped before the step was taken; "
            f"try a lower lr, clip_norm > 0, or look at these nodes' features.{kept}"
        )


class CorruptCheckpoint(ValueError):  # noqa: N818 - reads as what it is
    """A checkpoint is torn, altered or hostile; nothing of it was used.

    Example:
        >>> raise CorruptCheckpoint("runs/a/last: weights.safetensors has another hash.")
        Traceback (most recent call last):
        ...
        graphattn.training.errors.CorruptCheckpoint: runs/a/last: weights.safetensors has ...
    """


class Interrupted(KeyboardInterrupt):
    """A run was stopped by a signal, after saving where it stood.

    Args:
        signal: Number of the signal.
        out: Run folder, if there is one.
        epoch: Epoch in which it stopped, counted from 0.

    Example:
        >>> Interrupted(2, None, 7).exit_code
        130
    """

    def __init__(self, signal: int, out: Path | None, epoch: int) -> None:
        self.signal, self.out, self.epoch = signal, out, epoch
        how = (
            f"Saved in {out / 'last'}; the same command goes on from there."
            if out
            else "Nothing was saved, because the run has no folder (out)."
        )
        super().__init__(f"Stopped by {signals.Signals(signal).name} in epoch {epoch}. {how}")

    @property
    def exit_code(self) -> int:
        """Return what a shell expects: 128 + the signal (130 for Ctrl-C, 143 for SIGTERM)."""
        return 128 + self.signal


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory was short, of the machine or of a GPU.

    Example:
        >>> is_out_of_memory(MemoryError()), is_out_of_memory(RuntimeError("CUDA out of memory."))
        (True, True)
    """
    text = str(error)
    allocating = "out of memory" in text or "can't allocate memory" in text
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and allocating)
