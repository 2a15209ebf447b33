"""The 2-hop sampler: only what theory allows, as often as theory says, whatever the threads."""

import os
import subprocess
import sys

import numba
import numpy as np
import oracles
import pytest
import torch
from scipy.stats import chi2

from graphattn.graph import CSRGraph
from graphattn.sampling.neighborhood import sample_neighborhood


def random_graph(seed):
    """A random directed graph of at most 60 nodes, sparse or dense, with loops and repeats."""
    generator = np.random.default_rng(seed)
    num_nodes = int(generator.integers(2, 61))
    num_edges = int(num_nodes * generator.uniform(0.5, 6.0))
    edges = generator.integers(num_nodes, size=(2, num_edges))
    if seed % 2:
        edges = np.concatenate([edges, edges[::-1]], axis=1)
    return edges, num_nodes


@pytest.mark.parametrize("num_hops", [1, 2, 3])
@pytest.mark.parametrize("pool", ["list", "set"])
@pytest.mark.parametrize("seed", range(6))
def test_only_what_the_pool_holds(seed, pool, num_hops):
    edges, num_nodes = random_graph(seed)
    graph = CSRGraph.from_edge_index(edges, num_nodes)
    for num_samples in (1, 2, 8, 200):  # the last is more than any pool has
        table = sample_neighborhood(
            graph, torch.arange(num_nodes), num_samples, pool=pool, num_hops=num_hops, seed=seed
        )
        for node in range(num_nodes):
            times, distance = oracles.pool_of(edges.T.tolist(), num_nodes, node, num_hops, pool)
            ids, mask, hop = (part[node].tolist() for part in table)
            size = min(num_samples - 1, sum(times.values()))
            assert ids[0] == node
            assert mask == [True] * (1 + size) + [False] * (num_samples - 1 - size)
            assert ids[1 + size :] == [node] * (num_samples - 1 - size)
            assert hop == [0] + [distance[i] for i in ids[1 : 1 + size]] + [0] * (
                num_samples - 1 - size
            )
            assert all(ids[1 : 1 + size].count(i) <= times[i] for i in ids[1 : 1 + size])
            if num_samples == 200:  # the pool is taken whole
                assert sorted(ids[1 : 1 + size]) == sorted(
                    i for i, count in times.items() for _ in range(count)
                )


@pytest.mark.parametrize("pool", ["list", "set"])
def test_frequencies_agree_with_theory(pool):
    """20 graphs, 20,000 draws of one seed each; the chi-square of drawing without replacement.

    Drawing k of n pool positions, a node that stands m times in the pool is drawn m k / n times
    on average, and counts of two nodes covary as in a multivariate hypergeometric law, whose
    covariance is (n - k) / (n - 1) times the multinomial one. So Pearson's statistic divided by
    that factor is chi-square with one degree of freedom less than there are nodes.
    """
    draws, graphs = 20_000, 20
    values = []
    for number in range(100, 100 + graphs):
        edges, num_nodes = random_graph(number)
        graph = CSRGraph.from_edge_index(edges, num_nodes)
        pools = [oracles.pool_of(edges.T.tolist(), num_nodes, v, 2, pool)[0] for v in range(num_nodes)]
        node = max(range(num_nodes), key=lambda v: len(pools[v]))
        nodes, times = np.array(sorted(pools[node].items())).T
        size = int(times.sum())
        take = max(1, size // 3)
        counts = np.zeros(num_nodes)
        for epoch in range(draws):
            ids = sample_neighborhood(
                graph, torch.tensor([node]), 1 + take, pool=pool, seed=number, epoch=epoch
            ).ids
            np.add.at(counts, ids[0, 1:].numpy(), 1)
        expected = draws * take * times / size
        factor = (size - take) / (size - 1)
        statistic = ((counts[nodes] - expected) ** 2 / expected).sum() / factor
        assert counts.sum() == draws * take
        values.append(chi2.sf(statistic, len(nodes) - 1) if len(nodes) > 1 else 1.0)
    assert min(values) * graphs > 1e-3
