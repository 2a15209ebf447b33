"""Bits against a Python set."""

import numpy as np

from graphattn.kernels.bitmap import clear_bits, has_bit, set_bit, set_bits


def test_bits_are_a_set():
    bits = np.zeros(4, np.uint64)
    nodes = np.array([200, 0, 63, 64, 127, 128, 255])
    set_bits(bits, nodes, 1, 6)
    set_bit(bits, 255)
    expected = {0, 63, 64, 127, 128, 255}
    assert {i for i in range(256) if has_bit(bits, i)} == expected
    clear_bits(bits, nodes, 1, 3)
    assert {i for i in range(256) if has_bit(bits, i)} == {64, 127, 128, 255}
    clear_bits(bits, nodes, 2, 5, shift=64)
    assert not bits[1:3].any()
    assert has_bit(bits, 255)
