"""Ctrl-C and SIGTERM: noted at once, acted on where the run's state is whole."""

import signal as signals
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_HEEDED = (signals.SIGINT, signals.SIGTERM)


class Stop(Exception):  # noqa: N818 - not an error
    """A signal arrived, and the run's state is whole.

    Args:
        signal: Its number.

    Example:
        >>> Stop(15).signal
        15
    """

    def __init__(self, signal: int) -> None:
        self.signal = signal
        super().__init__(signal)


class StopWatch:
    """Catches the two signals for a block; a step in progress is finished first.

    Training asks `requested` between steps. Within `pausable()`, where weights stand still, a
    signal raises `Stop` at once. A second signal is not waited for: it raises KeyboardInterrupt.
    Outside the main thread Python delivers no signals, and nothing is caught.

    Args:
        alone: Whether no other process waits for this one; otherwise `pausable()` does nothing, for
            a stop is agreed upon between steps.

    Example:
        >>> with StopWatch() as watch:
        ...     watch.requested is None
        True
    """

    def __init__(self, *, alone: bool = True) -> None:
        self._alone = alone
        self.requested: int | None = None
        self._pausable = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> "StopWatch":
        """Begin to catch."""
        if threading.current_thread() is threading.main_thread():
            for number in _HEEDED:
                self._before[number] = signals.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        """Give the signals back to who had them."""
        for number, handler in self._before.items():
            if handler is not None:  # None: installed by another language, out of Python's reach
                signals.signal(number, handler)  # type: ignore[arg-type]

    @contextmanager
    def pausable(self) -> Iterator[None]:
        """Let a signal end the block at once, by raising `Stop`."""
        if self.requested is not None and self._alone:
            raise Stop(self.requested)
        self._pausable = self._alone
        try:
            yield
        finally:
            self._pausable = False

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.requested is not None:
            raise KeyboardInterrupt
        self.requested = number
        if self._pausable:
            raise Stop(number)
