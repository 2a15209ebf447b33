"""Local ids: first come first numbered, tree by tree, whatever the map held before."""

import threading

import numpy as np
import pytest

from graphattn.kernels import renumber
from graphattn.kernels.renumber import induce, local_ids


def by_hand(col, picks, offset, trees):
    """The same with dictionaries; trees are lists of nodes, each with its frontier last."""
    ids = [{} for _ in trees]
    n_id = [node for tree in trees for node in tree]
    for tree, known in zip(trees, ids, strict=True):
        for node in tree:
            known.setdefault(node, sum(len(k) for k in ids))
    sources, place = [], 0
    for tree, known in zip(trees, ids, strict=True):
        for _ in tree:
            for pick in picks[offset[place] : offset[place + 1]]:
                node = int(col[pick])
                if node not in known:
                    known[node] = len(n_id)
                    n_id.append(node)
                sources.append(known[node])
            place += 1
    return n_id, sources


def a_hop(seed, trees):
    generator = np.random.default_rng(seed)
    col = generator.integers(40, size=300).astype(np.int32)
    frontier = sum(map(len, trees))
    offset = np.concatenate([[0], np.cumsum(generator.integers(0, 400, frontier))])
    return col, generator.integers(300, size=offset[-1]), offset


def numbered(col, picks, offset, trees):
    n_id = np.array([node for tree in trees for node in tree])
    bounds = np.zeros((2, len(trees) + 1), np.int64)
    bounds[0, 1:] = np.cumsum([len(tree) for tree in trees])
    with local_ids(40) as known:
        nodes, sources = renumber.renumber(col, picks, offset, n_id, bounds, 0, known)
    assert bounds[1, 0] == bounds[0, -1]
    assert bounds[1, -1] == nodes.size
    return nodes.tolist(), sources.tolist()


@pytest.mark.parametrize("trees", [[[3, 1, 20]], [[3], [1], [3]]])
def test_numbers_as_dictionaries_do(trees):
    for seed in range(10):
        hop = a_hop(seed, trees)
        assert numbered(*hop, trees) == by_hand(*hop, trees)


def test_a_full_map_is_emptied(monkeypatch):
    trees = [[5], [6], [5]]
    hop = a_hop(3, trees)
    expected = numbered(*hop, trees)
    rowptr, col = np.array([0, 1, 2]), np.array([1, 0])
    for base in (2**31 - 1, 2**31 - 2000, 2**31 - 60):
        stale = renumber.LocalIds(np.full(40, base - 1, np.int32), base)
        monkeypatch.setattr(renumber._MAPS, "known", stale, raising=False)
        assert numbered(*hop, trees) == expected
        assert renumber._MAPS.known is stale
        stale.base = 2**31 - 1
        assert induce(rowptr, col, np.array([1, 0]))[0].tolist() == [[1, 0], [0, 1]]
        assert stale.base < 100


def test_after_an_error_the_map_is_not_used_again():
    def failing():
        with local_ids(5) as known:
            known.ids[:] = 77
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        failing()
    with local_ids(5) as known:
        assert (known.ids < known.base).all()


def test_each_thread_has_its_own_map_and_keeps_it():
    maps = []

    def twice():
        for _ in range(2):
            with local_ids(5) as known:
                maps.append(known)

    threads = [threading.Thread(target=twice) for _ in range(2)]
    for thread in threads:
        thread.start()
        thread.join()
    assert maps[0] is maps[1]
    assert maps[2] is maps[3]
    assert maps[0] is not maps[2]


def test_more_than_the_map_holds(monkeypatch):
    monkeypatch.setattr(renumber, "_MOST", 40)
    trees = [[5]]
    words = r"may hold 40 nodes: got 1, from which hop 1 draws \d+ edges; give fewer seeds"
    with pytest.raises(ValueError, match=words):
        numbered(*a_hop(0, trees), trees)


def test_induced_edges_of_a_node_that_repeats():
    rowptr, col = np.array([0, 3, 4, 4]), np.array([0, 1, 2, 0])  # 0, 1, 2 -> 0 and 0 -> 1
    edge_index, edges = induce(rowptr, col, np.array([1, 0, 1]))
    assert edge_index.tolist() == [[1, 1, 0, 1], [0, 1, 1, 2]]
    assert edges.tolist() == [3, 0, 1, 3]
