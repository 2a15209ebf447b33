"""Where a row is entered, whatever the guess; the lowest ranks stand in `test_bottom_k.py`."""

import numpy as np
import pytest

from graphattn.kernels.lowest_ranks import enter_row


@pytest.mark.parametrize("low", [0, 3, 10, 19, 20])
def test_a_row_is_entered_at_the_first_rank_from_any_guess(low):
    generator = np.random.default_rng(low)
    rows = [np.flatnonzero(generator.random(20) < 0.4) for _ in range(3)]
    col, (start, stop) = np.concatenate(rows), np.cumsum([len(row) for row in rows])[:2]
    wanted = start + np.searchsorted(rows[1], low)
    for place in range(start, stop + 1):
        assert enter_row(col, start, stop, place, low) == wanted
