"""Sets of small integers as one bit each, cleaned by those who set them."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

Words = npt.NDArray[np.uint64]


@njit(cache=True, nogil=True)
def has_bit(bits: Words, index: Any) -> bool:
    """Tells whether a bit is set."""
    return (bits[index >> 6] >> np.uint64(index & 63)) & np.uint64(1) != 0


@njit(cache=True, nogil=True)
def set_bit(bits: Words, index: Any) -> None:
    """Sets one bit."""
    bits[index >> 6] |= np.uint64(1) << np.uint64(index & 63)


@njit(cache=True, nogil=True)
def set_bits(bits: Words, nodes: npt.NDArray[Any], start: int, stop: int) -> None:
    """Sets the bits of ``nodes[start:stop]``."""
    for i in range(start, stop):
        set_bit(bits, np.int64(nodes[i]))


@njit(cache=True, nogil=True)
def clear_bits(bits: Words, nodes: npt.NDArray[Any], start: int, stop: int, shift: int = 0) -> None:
    """Clears the words in which the bits ``shift + nodes[start:stop]`` are."""
    for i in range(start, stop):
        bits[(shift + nodes[i]) >> 6] = np.uint64(0)
