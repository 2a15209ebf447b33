"""Random integers that are hashes of what they are for, so that a draw is the same anywhere.

What is drawn with them is recorded in results: none of these functions ever changes.
"""

import numpy as np
import numpy.typing as npt
from numba import njit


def key_words(*numbers: int) -> npt.NDArray[np.uint64]:
    """Takes the lowest 64 bits of each number, whatever its sign and integer type.

    Example:
        >>> key_words(-1, 2**64 + 3).tolist()
        [18446744073709551615, 3]
    """
    return np.array([int(number) & 0xFFFFFFFFFFFFFFFF for number in numbers], np.uint64)


@njit(cache=True, nogil=True)
def mix(word: np.uint64) -> np.uint64:
    """Scrambles 64 bits: the finaliser of SplitMix64 (Steele et al. 2014)."""
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


@njit(cache=True, nogil=True)
def stream(key: npt.NDArray[np.uint64], node: int) -> np.uint64:
    """Names the random stream of one node: a hash of (seed, epoch, node)."""
    golden = np.uint64(0x9E3779B97F4A7C15)
    word = mix(key[0] + golden)
    word = mix((word ^ key[1]) + golden)
    return mix((word ^ np.uint64(node)) + golden)


@njit(cache=True, nogil=True)
def below(name: np.uint64, counter: np.uint64, bound: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Draws an unbiased integer below ``bound`` (Lemire 2019, https://arxiv.org/abs/1805.10941)."""
    low32 = np.uint64(0xFFFFFFFF)
    half = np.uint64(32)
    threshold = np.uint64(0)
    while True:
        counter += np.uint64(1)
        word = mix(name + counter * np.uint64(0x9E3779B97F4A7C15))
        low = word * bound
        if low >= bound:  # almost always
            break
        if threshold == 0:
            threshold = (~bound + np.uint64(1)) % bound
        if low >= threshold:
            break
    # The upper 64 bits of word * bound, from four products of 32 bits.
    a, b, c, d = word >> half, word & low32, bound >> half, bound & low32
    middle = a * d + ((b * d) >> half)
    carry = (middle & low32) + b * c
    return a * c + (middle >> half) + (carry >> half), counter
