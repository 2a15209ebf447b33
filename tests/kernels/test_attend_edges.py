"""Attention along edges on plain arrays: threads change nothing, extreme scores stay finite."""

import numpy as np
import pytest
from numba import get_num_threads, set_num_threads

from graphattn.kernels.attend_edges import attend_edges, attend_edges_backward
from graphattn.kernels.edge_attention import order_edges

HEADS, SIZE, NODES = 2, 5, 300


def make(num_edges, dtype=np.float64):
    generator = np.random.default_rng(0)
    row, col = (generator.integers(NODES - 1, size=num_edges).astype(np.int32) for _ in "rc")
    nodes = [generator.standard_normal((NODES, HEADS, SIZE)).astype(dtype) for _ in "qkvg"]
    none = np.empty((NODES, HEADS, 0), dtype), np.empty((num_edges, 0), dtype)
    scale = np.array([0.5, 2.0], dtype)
    return (row, col, *order_edges(row, NODES), *order_edges(col, NODES)), nodes, none, scale


def run(num_edges, is_sigmoid, factor=1.0, dtype=np.float64):
    (row, col, ptr, perm, t_ptr, t_perm), (q, k, v, grad), none, scale = make(num_edges, dtype)
    weights, out = np.empty((num_edges, HEADS), dtype), np.empty_like(q)
    scale = scale * dtype(factor)
    attend_edges(ptr, perm, col, q, k, v, *none, scale, is_sigmoid, weights, out)
    scores = np.zeros_like(weights)
    found = (*(np.empty_like(q) for _ in "qkv"), none[0], np.empty((NODES, HEADS), dtype))
    attend_edges_backward(
        ptr, perm, col, t_ptr, t_perm, row, q, k, v, *none, scale, is_sigmoid, weights, grad,
        scores, found,
    )  # fmt: skip
    return weights, out, scores, *found


@pytest.mark.parametrize("is_sigmoid", [False, True])
def test_threads_change_no_bit(is_sigmoid):
    before = get_num_threads()
    many = run(6000, is_sigmoid)
    try:
        set_num_threads(1)
        one = run(6000, is_sigmoid)
    finally:
        set_num_threads(before)
    assert all(np.array_equal(a, b) for a, b in zip(many, one, strict=True))


@pytest.mark.parametrize("is_sigmoid", [False, True])
def test_extreme_scores_stay_finite(is_sigmoid):
    for dtype in (np.float32, np.float64):
        assert all(np.isfinite(part).all() for part in run(500, is_sigmoid, 1e6, dtype))


@pytest.mark.parametrize("is_sigmoid", [False, True])
def test_no_edges_give_zero(is_sigmoid):
    assert not any(part.any() for part in run(0, is_sigmoid))
