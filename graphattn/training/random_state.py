"""A run's own place in torch's global random stream, so that dropout neither sees nor moves it."""

import numpy as np
import torch
from torch import Tensor


class RandomState:
    """Swaps the run's random state in for a block, and the caller's back afterwards.

    Args:
        seed: Where the run's stream begins.
        device: Its CUDA generator is swapped too, if it has one; no other device is touched.
        rank: Which process it is of those that train together; each has a stream of its own.

    Example:
        >>> state, before = RandomState(0, torch.device("cpu")), torch.get_rng_state()
        >>> with state:
        ...     first = torch.rand(1)
        >>> torch.equal(torch.get_rng_state(), before)
        True
    """

    def __init__(self, seed: int, device: torch.device, *, rank: int = 0) -> None:
        if rank:  # torch's generator on the CPU hears the lowest 32 bits only
            seed = int(np.random.SeedSequence([seed, rank]).generate_state(1)[0])
        self._device = device
        self._inside = False
        self._outer: dict[str, Tensor] = {}
        self._own = {"cpu": torch.Generator().manual_seed(seed).get_state()}
        if device.type == "cuda":
            self._own["cuda"] = torch.Generator(device).manual_seed(seed).get_state()

    def __enter__(self) -> None:
        """Put the run's state in force."""
        self._outer = self._current()
        self._set(self._own)
        self._inside = True

    def __exit__(self, *_: object) -> None:
        """Remember the run's state, and put the caller's back."""
        self._own = self._current()
        self._set(self._outer)
        self._inside = False

    def state_dict(self) -> dict[str, Tensor]:
        """Return where the run's stream stands."""
        return self._current() if self._inside else self._own

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up a place that `state_dict` gave; a device it does not name begins at the seed."""
        self._own = {**self._own, **{k: v for k, v in state.items() if k in self._own}}

    def _current(self) -> dict[str, Tensor]:
        states = {"cpu": torch.get_rng_state()}
        if self._device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(self._device)
        return states

    def _set(self, states: dict[str, Tensor]) -> None:
        torch.set_rng_state(states["cpu"])
        if self._device.type == "cuda":
            torch.cuda.set_rng_state(states["cuda"], self._device)
