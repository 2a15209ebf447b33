"""Half-precision numbers in kernels against NumPy and torch, over all bits there are."""

import numpy as np
import torch
from numba import njit

from graphattn.kernels.half import bits_of, narrow, wide

EVERY = np.arange(1 << 16).astype(np.uint16)


@njit
def widen(bits, out):
    for i in range(bits.size):
        out[i] = wide(bits[i])


@njit
def round_off(numbers, out):
    for i in range(numbers.size):
        out[i] = narrow(numbers[i], out[i])


def brain(array):
    """bfloat16 of bits, or bits of float32."""
    if array.dtype == np.uint16:
        return torch.from_numpy(array).view(torch.bfloat16).float().numpy()
    return torch.from_numpy(array).bfloat16().view(torch.uint16).numpy()


def test_every_number_is_read():
    out = np.empty(EVERY.size, np.float32)
    widen(bits_of(EVERY.view(np.float16)), out)
    assert np.array_equal(out, EVERY.view(np.float16).astype(np.float32), equal_nan=True)
    widen(EVERY, out)
    assert np.array_equal(out, brain(EVERY), equal_nan=True)


def test_numbers_are_rounded_to_nearest_even():
    bits = np.random.default_rng(0).integers(1 << 32, size=200_000, dtype=np.uint32)
    halfway = (EVERY.astype(np.uint32) << np.uint32(16)) | np.uint32(0x8000)
    ties = (EVERY.view(np.float16).astype(np.float32).view(np.uint32)) | np.uint32(0x1000)
    numbers = np.concatenate([bits, halfway, ties]).view(np.float32)
    out = np.empty(numbers.size, np.float16)
    round_off(numbers, bits_of(out))
    with np.errstate(over="ignore", invalid="ignore"):
        assert np.array_equal(out, numbers.astype(np.float16), equal_nan=True)
    words = np.empty(numbers.size, np.uint16)
    round_off(numbers, words)
    assert np.array_equal(brain(words), brain(brain(numbers)), equal_nan=True)


def test_whole_numbers_stay():
    single, double = np.float32([1.5]), np.float64([0.1])
    for numbers in (single, double):
        out = np.empty_like(numbers)
        widen(numbers, out)
        round_off(out, numbers)
        assert np.array_equal(out, numbers)
