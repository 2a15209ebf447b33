"""Orders of the nodes in which neighbours are near, so that their rows are found in the cache."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import get_num_threads, njit, prange

from graphattn.kernels.launch import LAUNCH, read_only
from graphattn.kernels.random_words import mix

_Ids = npt.NDArray[np.int64]

_PHASES = 8  # parts of a round; units of one part do not see one another move
_SAMPLE = 256  # edges of a unit that are looked at, about
_FULL = 0.02  # share of its edges that a unit gives up for an empty cluster instead of a full one
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def label_order(
    rowptr: _Ids, col: npt.NDArray[Any], capacities: Sequence[int], rounds: int
) -> _Ids:
    """Sorts nodes by clusters of clusters, found by label propagation with bounded sizes.

    On each level all units (nodes first, then the clusters found) take in turn the label that most
    of their edges lead to, unless it is full. A round has eight phases: within one, units choose in
    parallel by the labels before it; then moves are made one after another. So the order does not
    depend on the number of threads. A unit that keeps its label is not asked again.

    Args:
        rowptr: int64 ``[N + 1]``.
        col: Integer ``[E]``.
        capacities: Nodes that a cluster of each level holds at most, ascending.
        rounds: How often units of a level may move.

    Returns:
        int64 ``[N]``, the node of each place; nodes of one cluster by their numbers.

    Example:
        >>> rowptr, col = np.array([0, 1, 2, 3, 4]), np.array([2, 3, 0, 1])  # 0 = 2, 1 = 3
        >>> sorted(map(sorted, label_order(rowptr, col, [2], 3).reshape(2, 2).tolist()))
        [[0, 2], [1, 3]]
    """
    num_nodes = rowptr.size - 1
    order = np.arange(num_nodes)
    unit_of = np.arange(num_nodes, dtype=col.dtype)
    levels = []
    for capacity in capacities:
        unit_of = _cluster(rowptr, col, unit_of, capacity, rounds)
        levels.append(unit_of)
    for labels in levels:  # from the smallest clusters to the largest, each sort stable
        order = order[np.argsort(labels[order], kind="stable")]
    return order


def _cluster(
    rowptr: _Ids, col: npt.NDArray[Any], unit_of: npt.NDArray[Any], capacity: int, rounds: int
) -> npt.NDArray[Any]:
    """Joins units to clusters: a cluster for each node, numbered from 0 on."""
    own_size = np.bincount(unit_of)
    units = own_size.size
    own_volume = np.bincount(unit_of, np.diff(rowptr), units).astype(np.int64)
    size, volume = own_size.copy(), own_volume.copy()
    members = np.argsort(unit_of, kind="stable")
    starts = np.concatenate([[0], np.cumsum(size)])
    graph = read_only(rowptr), read_only(col), starts, members, unit_of
    label = np.arange(units, dtype=col.dtype)
    price = _FULL * (rowptr.size - 1) / (capacity * max(1, col.size))  # of each end of an edge
    asked = np.ones(units, np.bool_)
    phase_of = np.random.default_rng(0).integers(_PHASES, size=units, dtype=np.uint8)
    for turn in range(rounds):
        for phase in range(_PHASES):
            now = np.flatnonzero(asked & (phase_of == phase))
            wanted = np.empty(now.size, label.dtype)
            bounds = np.linspace(0, now.size, 64 * get_num_threads() + 1).astype(np.int64)
            with LAUNCH:
                _want(bounds, now, wanted, *graph, label, volume, price, np.uint64(turn))
            _move(now, wanted, own_size, own_volume, capacity, label, size, volume, asked)
    used = np.zeros(units, col.dtype)
    used[label] = 1
    return (np.cumsum(used, dtype=col.dtype) - 1)[label][unit_of]


@njit(cache=True, nogil=True)
def _move(
    units: _Ids,
    wanted: npt.NDArray[Any],
    own_size: _Ids,
    own_volume: _Ids,
    capacity: int,
    label: npt.NDArray[Any],
    size: _Ids,
    volume: _Ids,
    asked: npt.NDArray[np.bool_],
) -> None:
    """Gives units the labels they want, as long as those have room."""
    for i in range(units.size):
        unit, target = units[i], wanted[i]
        source = label[unit]
        asked[unit] = target != source
        if target != source and size[target] + own_size[unit] <= capacity:
            label[unit] = target
            size[source] -= own_size[unit]
            size[target] += own_size[unit]
            volume[source] -= own_volume[unit]
            volume[target] += own_volume[unit]


@njit(cache=True, nogil=True, parallel=True)
def _want(bounds: _Ids, units: _Ids, wanted: npt.NDArray[Any], *arrays: Any) -> None:
    """Asks for each block of units, in parallel, which label it wants."""
    for block in prange(bounds.size - 1):
        first, last = bounds[block], bounds[block + 1]
        _want_block(units[first:last], wanted[first:last], *arrays)


@njit(cache=True, nogil=True)
def _want_block(
    units: _Ids,
    wanted: npt.NDArray[Any],
    rowptr: _Ids,
    col: npt.NDArray[Any],
    starts: _Ids,
    members: _Ids,
    unit_of: npt.NDArray[Any],
    label: npt.NDArray[Any],
    volume: _Ids,
    price: float,
    key: np.uint64,
) -> None:
    """Counts the labels of each unit in a table of at least twice as many slots."""
    keys = np.full(4 * _SAMPLE, -1, label.dtype)
    counts = np.zeros(keys.size, np.int64)
    used = np.empty(keys.size, np.int64)
    mask = np.uint64(keys.size - 1)
    alone = starts.size - 1 == unit_of.size  # each node is a unit, of its own number
    for place in range(units.size):
        unit = units[place]
        own, edges = label[unit], 0
        for i in range(starts[unit], starts[unit + 1]):
            edges += rowptr[members[i] + 1] - rowptr[members[i]]
        step = edges // _SAMPLE + 1
        skip = found = seen = 0
        for i in range(starts[unit], starts[unit + 1]):
            edge, end = rowptr[members[i]] + skip, rowptr[members[i] + 1]
            while edge < end:
                sender = col[edge] if alone else unit_of[col[edge]]
                edge += step
                seen += 1
                if sender == unit:
                    continue
                other = label[sender]
                slot = (np.uint64(other) * _GOLDEN >> np.uint64(32)) & mask
                while keys[slot] != other and keys[slot] >= 0:
                    slot = (slot + np.uint64(1)) & mask
                if keys[slot] < 0:
                    keys[slot] = other
                    used[found] = slot
                    found += 1
                counts[slot] += 1
            skip = edge - end
        best = own
        highest = -price * seen * (volume[own] - edges)  # of staying, with no edge to its label
        lot = np.uint64(0xFFFFFFFFFFFFFFFF)
        for i in range(found):
            other, count = keys[used[i]], counts[used[i]]
            keys[used[i]], counts[used[i]] = -1, 0
            rest = volume[other] - (edges if other == own else 0)
            score = count - price * seen * rest
            draw = mix(np.uint64(other) ^ key)
            if score > highest or (score == highest and draw > lot):
                best, highest, lot = other, score, draw
        wanted[place] = best


def follow_order(rowptr: _Ids, col: npt.NDArray[Any], order: _Ids) -> tuple[_Ids, npt.NDArray[Any]]:
    """Renumbers the nodes by their places, and leaves each row in the order it was in.

    So whoever sums along a row gets the same bits before and after.

    Args:
        rowptr: int64 ``[N + 1]``.
        col: Integer ``[E]``.
        order: int64 ``[N]``, the node of each place.

    Returns:
        ``rowptr`` and ``col`` of the same graph by places; rows are not sorted.

    Example:
        >>> rowptr, col = np.array([0, 2, 2, 2]), np.array([1, 2])
        >>> [part.tolist() for part in follow_order(rowptr, col, np.array([2, 0, 1]))]
        [[0, 0, 2, 2], [2, 0]]
    """
    place = np.empty(order.size, col.dtype)
    place[order] = np.arange(order.size, dtype=col.dtype)
    starts = np.zeros(order.size + 1, np.int64)
    np.cumsum(np.diff(rowptr)[order], out=starts[1:])
    out = np.empty(col.size, col.dtype)
    bounds = np.searchsorted(starts, np.linspace(0, col.size, 8 * get_num_threads() + 1)[1:-1])
    bounds = np.concatenate([[0], np.minimum(bounds, order.size), [order.size]])
    with LAUNCH:
        _follow(read_only(rowptr), read_only(col), read_only(order), place, starts, bounds, out)
    return starts, out


@njit(cache=True, nogil=True, parallel=True)
def _follow(
    rowptr: _Ids,
    col: npt.NDArray[Any],
    order: _Ids,
    place: npt.NDArray[Any],
    starts: _Ids,
    bounds: _Ids,
    out: npt.NDArray[Any],
) -> None:
    for block in prange(bounds.size - 1):
        for row in range(bounds[block], bounds[block + 1]):
            start, old = starts[row], rowptr[order[row]]
            for i in range(starts[row + 1] - start):
                out[start + i] = place[col[old + i]]
