"""Random walks, many at once: plain, with restarts, and with the two biases of node2vec."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import get_num_threads, njit

from graphattn.kernels.launch import read_only, run_chunks
from graphattn.kernels.random_words import below, key_words, mix, stream

_BLOCK = 64  # walks that take a step together, so that what they wait for comes together
_TRIALS = 32  # refused proposals, at least, after which all neighbours are weighed
_WEIGHED = 4  # neighbours that are weighed in the time of a proposal, at most
_GOLDEN = 0x9E3779B97F4A7C15  # 2**64 by the golden ratio
_RESTART, _STAY = -1, -2  # instead of an edge

_Nodes = npt.NDArray[Any]
_Longs = npt.NDArray[np.int64]
_Words = npt.NDArray[np.uint64]


def walk(
    rowptr: npt.NDArray[np.int64],
    col: npt.NDArray[Any],
    starts: npt.NDArray[np.int64],
    walk_length: int,
    bias: tuple[float, float],
    restart: float,
    key: tuple[int, int],
) -> npt.NDArray[np.int64]:
    """Walks from each start along its row, then along the rows of where it comes.

    The draw of a walk is made of hashes of (seed, epoch, start, which of the walks from that
    start it is, step, counter).

    Args:
        rowptr: int64 ``[N + 1]``, where the row of each node starts in ``col``.
        col: Integer ``[E]``, where one may go from each node, sorted in each row.
        starts: int64 ``[B]``; may repeat.
        walk_length: Steps.
        bias: p and q of node2vec, both positive; (1, 1) for none.
        restart: Probability of going back to the start instead of a step.
        key: Seed and epoch, any integers; their lowest 64 bits count.

    Returns:
        int64 ``[B, walk_length + 1]``, the start in column 0; a node with an empty row is not left,
        save by a restart.

    Raises:
        ValueError: A start is no node.

    Example:
        >>> rowptr, col = np.array([0, 1, 2, 2]), np.array([1, 2], dtype=np.int32)  # 0 -> 1 -> 2
        >>> walk(rowptr, col, np.array([0]), 3, (1.0, 1.0), 0.0, (0, 0)).tolist()
        [[0, 1, 2, 2]]
    """
    num_nodes = rowptr.size - 1
    if starts.size and (starts.min() < 0 or starts.max() >= num_nodes):
        bad = starts[(starts < 0) | (starts >= num_nodes)]
        raise ValueError(
            f"start must be ids from 0 to {num_nodes - 1}: got {bad[:5].tolist()}"
            f"{' and more' if bad.size > 5 else ''}, {bad.size} such ids."
        )
    walks = np.empty((starts.size, walk_length + 1), np.int64)
    walks[:, 0] = starts
    weights = np.array([1.0 / bias[0], 1.0, 1.0 / bias[1]])
    arrays = (
        read_only(rowptr),
        read_only(col),
        _turns(starts),
        weights,
        restart,
        key_words(*key),
        walks,
    )
    num_chunks = min(get_num_threads(), starts.size // _BLOCK)  # waking threads has its cost
    run_chunks(_walk_some, num_chunks, *arrays)
    return walks


def _turns(starts: _Longs) -> _Longs:
    """Numbers the walks from one node, in their order: 0, 1, 2, ..."""
    order = np.argsort(starts, kind="stable")
    ordered = starts[order]
    first = np.searchsorted(ordered, ordered)
    turns = np.empty(starts.size, np.int64)
    turns[order] = np.arange(starts.size) - first
    return turns


@njit(cache=True, nogil=True)
def _walk_some(
    chunk: int,
    num_chunks: int,
    rowptr: _Longs,
    col: _Nodes,
    turns: _Longs,
    weights: npt.NDArray[np.float64],
    restart: float,
    key: _Words,
    walks: _Longs,
) -> None:
    """Walks one of ``num_chunks`` equal parts, block by block, each block step by step."""
    first = chunk * turns.size // num_chunks
    last = (chunk + 1) * turns.size // num_chunks
    names = np.empty(_BLOCK, np.uint64)
    before = np.empty(_BLOCK, np.int64)  # where a walk came from, -1 at its start
    rows, sizes = np.empty(_BLOCK, np.int64), np.empty(_BLOCK, np.int64)
    edges = np.empty(_BLOCK, np.int64)
    for start in range(first, last, _BLOCK):
        block = walks[start : min(start + _BLOCK, last)]
        for i in range(block.shape[0]):
            names[i] = mix(stream(key, block[i, 0]) + np.uint64(turns[start + i]))
            before[i] = -1
        for step in range(walks.shape[1] - 1):
            for i in range(block.shape[0]):
                node = block[i, step]
                rows[i] = rowptr[node]
                sizes[i] = rowptr[node + 1] - rows[i]
            for i in range(block.shape[0]):
                name = mix(names[i] ^ np.uint64(step + 1))
                if restart > 0.0 and _unit(name, np.uint64(0)) < restart:
                    edges[i] = _RESTART
                elif sizes[i] == 0:
                    edges[i] = _STAY
                else:
                    row = (rows[i], sizes[i])
                    edges[i] = rows[i] + _draw(rowptr, col, row, before[i], weights, name)
            for i in range(block.shape[0]):
                before[i] = block[i, step]
                if edges[i] >= 0:
                    block[i, step + 1] = col[edges[i]]
                elif edges[i] == _STAY:
                    block[i, step + 1] = block[i, step]
                else:
                    block[i, step + 1] = block[i, 0]
                    before[i] = -1


@njit(cache=True, nogil=True)
def _draw(
    rowptr: _Longs,
    col: _Nodes,
    row: tuple[int, int],
    back: int,
    weights: npt.NDArray[np.float64],
    name: np.uint64,
) -> np.int64:
    """Draws a place in a row that starts at ``row[0]`` and holds ``row[1]`` nodes."""
    if back < 0 or (weights[0] == 1.0 and weights[2] == 1.0):
        drawn, _ = below(name, np.uint64(1), np.uint64(row[1]))
        return np.int64(drawn)
    known = col[rowptr[back] : rowptr[back + 1]]
    return _turn(col[row[0] : row[0] + row[1]], known, back, weights, name)


@njit(cache=True, nogil=True)
def _turn(
    row: _Nodes,
    known: _Nodes,
    back: int,
    weights: npt.NDArray[np.float64],
    name: np.uint64,
) -> np.int64:
    """Draws a place in ``row`` in proportion to weight: back, near where it came from, or further.

    Proposals are refused in proportion to what they lack of the largest weight; after some, all
    are weighed, which gives the same law, since each proposal is a draw of its own.
    """
    largest = weights.max()
    counter = np.uint64(1)
    for _ in range(max(_TRIALS, row.size // _WEIGHED)):
        drawn, counter = below(name, counter, np.uint64(row.size))
        counter += np.uint64(1)
        threshold = _unit(name, counter) * largest
        if threshold < _weight(row[drawn], known, back, weights):
            return np.int64(drawn)
    total = 0.0
    for i in range(row.size):
        total += _weight(row[i], known, back, weights)
    rest = _unit(name, counter + np.uint64(1)) * total
    last = np.int64(0)
    for i in range(row.size):
        weight = _weight(row[i], known, back, weights)
        last = np.int64(i) if weight > 0.0 else last
        rest -= weight
        if rest < 0.0:
            break
    return last


@njit(cache=True, nogil=True)
def _weight(node: int, known: _Nodes, back: int, weights: npt.NDArray[np.float64]) -> float:
    """1/p for the node before, 1 for what can be reached from it in a step, 1/q for the rest."""
    if node == back:
        return weights[0]
    place = np.searchsorted(known, node)
    if place < known.size and known[place] == node:
        return weights[1]
    return weights[2]


@njit(cache=True, nogil=True)
def _unit(name: np.uint64, counter: np.uint64) -> float:
    """Draws from [0, 1) with 53 bits."""
    word = mix(name + counter * np.uint64(_GOLDEN))
    return np.float64(word >> np.uint64(11)) * 2.0**-53
