"""The distinct nodes of a batch, in order, and where each token lies among them."""

import threading
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from graphattn.kernels.bitmap import set_bit
from graphattn.kernels.launch import read_only

_KEPT = threading.local()

_Longs = npt.NDArray[np.int64]
_Words = npt.NDArray[np.uint64]


def distinct(ids: _Longs, num_nodes: int) -> tuple[_Longs, _Longs]:
    """Finds the distinct ids among many, as `numpy.unique` does, through a bit a node.

    The bits, and how many come before each word of them, fit into a core's own cache, so that no
    id costs a read of memory; reading all words of 100 million nodes takes a millisecond.

    Args:
        ids: Integers from 0 to ``num_nodes - 1``, any shape.
        num_nodes: Nodes of the graph; this thread keeps a bit and half a bit for each.

    Returns:
        The distinct ids, ascending, ``[rows]``, and the place of each id among them, shaped as
        ``ids``; both int64.

    Raises:
        IndexError: An id is out of range.

    Example:
        >>> nodes, places = distinct(np.array([[7, 2], [2, 9]]), 10)
        >>> nodes.tolist(), places.tolist()
        ([2, 7, 9], [[1, 0], [0, 2]])
    """
    flat = read_only(ids.reshape(-1))
    words = (num_nodes + 63) // 64
    bits, before = getattr(_KEPT, "scratch", (np.zeros(0, np.uint64), np.zeros(0, np.int32)))
    if bits.size < words:
        bits, before = np.zeros(words, np.uint64), np.empty(words, np.int32)
        _KEPT.scratch = bits, before
    places = np.empty(flat.size, np.int64)
    if flat.size and (flat.min() < 0 or flat.max() >= num_nodes):
        raise IndexError(
            f"ids run from 0 to {num_nodes - 1}: got some from {flat.min()} to {flat.max()}."
        )
    count = _mark(flat, bits[:words], before[:words])
    nodes = np.empty(count, np.int64)
    _place(flat, bits[:words], before[:words], nodes, places)
    return nodes, places.reshape(ids.shape)


@njit(cache=True, nogil=True)
def _count_bits(word: Any) -> Any:
    """Counts the bits set in a word; LLVM makes one instruction of it."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    pairs = np.uint64(0x3333333333333333)
    word = (word & pairs) + ((word >> np.uint64(2)) & pairs)
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@njit(cache=True, nogil=True)
def _mark(ids: _Longs, bits: _Words, before: npt.NDArray[np.int32]) -> Any:
    """Sets the bit of each id; counts, for each word, the bits in those before it."""
    for i in range(ids.size):
        set_bit(bits, ids[i])
    count = np.int64(0)
    for word in range(bits.size):
        before[word] = count
        if bits[word] != 0:
            count += _count_bits(bits[word])
    return count


@njit(cache=True, nogil=True)
def _place(
    ids: _Longs, bits: _Words, before: npt.NDArray[np.int32], nodes: _Longs, places: _Longs
) -> None:
    """Lists the ids whose bits are set, and looks up each; then clears the bits."""
    one = np.uint64(1)
    for i in range(ids.size):
        word, bit = ids[i] >> 6, np.uint64(ids[i] & 63)
        place = before[word] + _count_bits(bits[word] & ((one << bit) - one))
        places[i] = place
        nodes[place] = ids[i]
    for place in range(nodes.size):
        bits[nodes[place] >> 6] = np.uint64(0)
