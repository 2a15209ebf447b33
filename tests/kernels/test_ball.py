"""Balls by breadth-first search beside a search with sets."""

import numpy as np
import pytest

from graphattn.diagnostics import hop_sets
from graphattn.graph import CSRGraph
from graphattn.kernels.ball import ball, ball_edges


def by_sets(edges: np.ndarray, seed: int, hops: int) -> list[set[int]]:
    found, seen = [{seed}], {seed}
    for _ in range(hops):
        fresh = {int(u) for u, v in edges.T if int(v) in found[-1]} - seen
        seen |= fresh
        found.append(fresh)
    return found


@pytest.mark.parametrize("draw", range(5))
def test_hop_sets_are_exact_and_disjoint(draw: int) -> None:
    generator = np.random.default_rng(draw)
    edges = generator.integers(0, 40, (2, 60))
    graph = CSRGraph.from_edge_index(edges, 45)
    for seed in (0, 7, 44):
        found = hop_sets(graph, seed, 5)
        assert [set(hop.tolist()) for hop in found] == by_sets(edges, seed, 5)
        assert sum(hop.size for hop in found) == len(set().union(*(h.tolist() for h in found)))


def test_a_ball_larger_than_its_first_memory() -> None:
    star = np.stack([np.arange(1, 300), np.zeros(299, np.int64)])
    near, far = hop_sets(CSRGraph.from_edge_index(star), 0, 1)
    assert near.tolist() == [0]
    assert sorted(far.tolist()) == list(range(1, 300))


def test_edges_are_those_of_the_induced_subgraph() -> None:
    edges = np.random.default_rng(0).integers(0, 30, (2, 80))
    graph = CSRGraph.from_edge_index(edges)
    place = np.full(graph.num_nodes, -1, np.int64)
    nodes, starts = ball(graph.rowptr, graph.col, 3, 2, place)
    rows, sources, positions = ball_edges(graph.rowptr, graph.col, nodes, starts[3], place)
    targets = np.repeat(nodes, np.diff(rows))
    kept = {(u, v) for u, v in graph.edge_index().numpy().T.tolist() if {u, v} <= set(nodes)}
    assert set(zip(nodes[sources].tolist(), targets.tolist(), strict=True)) == kept
    assert graph.col[positions].tolist() == nodes[sources].tolist()


@pytest.mark.parametrize(("seed", "hops", "said"), [(3, 1, "seed must be"), (0, -1, "max_hops")])
def test_refused(seed: int, hops: int, said: str) -> None:
    graph = CSRGraph.from_edge_index(np.array([[0, 1], [1, 2]]))
    with pytest.raises(ValueError, match=said):
        hop_sets(graph, seed, hops)
