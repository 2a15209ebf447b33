"""Kernels along edges beside loops, and the same bits for any number of threads."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from numba import get_num_threads, set_num_threads

from graphattn.kernels.edge_attention import (
    add_ends,
    edge_dots,
    edge_normalize,
    edge_shift,
    edge_sums,
    order_edges,
)


def make(num_edges=6000, num_nodes=200):
    generator = np.random.default_rng(0)
    row, col = (generator.integers(num_nodes - 1, size=num_edges) for _ in "rc")
    q, k = (generator.standard_normal((num_nodes, 2, 3)) for _ in "qk")
    return row, col, *order_edges(row, num_nodes), q, k


def softmax(ptr, perm, scores, weights):
    edge_shift(ptr, perm, scores, weights)
    np.exp(weights, out=weights)
    edge_normalize(ptr, perm, weights)


def test_order_keeps_equal_edges_in_order():
    row, _, ptr, perm, *_ = make()
    assert np.array_equal(perm, np.argsort(row, kind="stable"))
    assert np.array_equal(np.diff(ptr), np.bincount(row, minlength=200))


def test_products_softmax_and_sums_equal_loops():
    row, col, ptr, perm, q, k = make(60, 9)
    scores, weights, out = np.empty((60, 2)), np.empty((60, 2)), np.empty_like(q)
    edge_dots(ptr, perm, col, q, k, scores)
    softmax(ptr, perm, scores, weights)
    edge_sums(ptr, perm, col, weights, k, out)
    total, expected = np.zeros((9, 2)), np.zeros_like(q)
    for e in range(60):
        assert np.allclose(scores[e], [q[row[e], h] @ k[col[e], h] for h in (0, 1)])
        total[row[e]] += np.exp(scores[e])
    for e in range(60):
        assert np.allclose(weights[e], np.exp(scores[e]) / total[row[e]])
        expected[row[e]] += weights[e][:, None] * k[col[e]]
    assert np.allclose(out, expected)
    assert not out[-1].any()  # no edge ends there


def test_threads_change_no_bit_and_neither_does_the_cache(tmp_path):
    """In a process that compiles, and in one that finds all in the cache."""
    code = "import test_edge_attention; print(*test_edge_attention.bits())"
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    done = [
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            cwd=Path(__file__).parent, env=env, check=True, capture_output=True, text=True,
        ).stdout.split()
        for _ in "ab"
    ]  # fmt: skip
    assert len({*done[0], *done[1]}) == 1
    assert len(done[0]) == 2


def bits():
    """Hashes what one thread and what all threads make of the same edges."""
    _, col, ptr, perm, q, k = make()

    def run():
        scores, weights, out = np.empty((6000, 2)), np.empty((6000, 2)), np.empty_like(q)
        edge_dots(ptr, perm, col, q, k, scores)
        softmax(ptr, perm, scores, weights)
        edge_sums(ptr, perm, col, weights, k, out)
        numbers = np.empty((q.shape[0], 2, 1))
        edge_sums(ptr, perm, col, weights, k[:, :, :1].copy(), numbers)
        add_ends(ptr, perm, col, q[:, :, 0].copy(), k[:, :, 0].copy(), scores)
        return scores, weights, out, numbers

    before, many = get_num_threads(), run()
    try:
        set_num_threads(1)
        one = run()
    finally:
        set_num_threads(before)
    return [
        hashlib.sha256(b"".join(a.tobytes() for a in found)).hexdigest() for found in (many, one)
    ]
