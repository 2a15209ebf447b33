"""Which output channels are followed for each seed: all, or some drawn by what they weigh."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt

from graphattn.diagnostics.engines import Engine, Picks
from graphattn.diagnostics.selection import Measurement

_FLOOR = 0.1  # share of the draws that is spread evenly, so that no channel counts too much

_Ids = npt.NDArray[np.int64]


def draw_channels(
    run: Measurement, engine: Engine, channels: Literal["all"] | int, pilot: _Ids, seed: int
) -> Callable[[_Ids], Picks]:
    """Makes the function that says which channels to follow for some seeds.

    A pilot measures each channel's mass. A channel c then is drawn with probability p(c), nine
    tenths in proportion to that, and counts 1 / p(c), so sums over channels are unbiased.

    Args:
        run: What is measured.
        engine: By which.
        channels: How many are drawn for each seed, with repetition; or all.
        pilot: Seeds of the pilot.
        seed: Of the draws; that for a node depends on it and the node only.

    Returns:
        From seeds to their channels.
    """
    every = run.channels
    if channels == "all" or channels >= every:
        return lambda seeds: Picks.every(seeds.size, every)
    mass = np.zeros(every)
    for channel in range(every):
        one = Picks(np.full((pilot.size, 1), channel), np.ones((pilot.size, 1)))
        mass[channel] = sum(
            found.influence.sum() + np.nan_to_num(found.outside)
            for found in engine.measure(pilot, one)
        )
    total = mass.sum()
    even = np.full(every, 1.0 / every)
    chance = even if total <= 0 else (1 - _FLOOR) * mass / total + _FLOOR * even
    ends = np.cumsum(chance)

    def draw(seeds: _Ids) -> Picks:
        at = np.stack([np.random.default_rng([seed, node]).random(channels) for node in seeds])
        ids = np.minimum(np.searchsorted(ends, at * ends[-1], side="right"), every - 1)
        return Picks(ids, 1.0 / (channels * chance[ids]))

    return draw
