"""The backward steps of the fused engine beside plain NumPy."""

import numpy as np
import pytest

from graphattn.kernels.influence import ROWS_AT_ONCE, add_up, gate, spread_back


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_spread_back_is_the_transposed_product(dtype: type) -> None:
    generator = np.random.default_rng(0)
    matrix = generator.random((4, 7)) * (generator.random((4, 7)) < 0.5)
    target, source = np.nonzero(matrix)
    starts = np.concatenate([[0], np.cumsum((matrix != 0).sum(1))])
    weight = matrix[target, source].astype(dtype)
    grad = generator.standard_normal((4, 5)).astype(dtype)
    out = np.ones((7, 5), dtype)
    spread_back(starts, source, np.arange(source.size), weight, grad, out)
    np.testing.assert_allclose(out, 1 + matrix.T @ grad, rtol=1e-5)


def test_gate_opens_the_units_of_each_node() -> None:
    generator = np.random.default_rng(0)
    is_open = generator.random((6, 11)) < 0.5
    scale, nodes = generator.random(11), np.array([5, 0, 2])
    grad = generator.standard_normal((3, 4, 11))
    expected = grad * (is_open[nodes] * scale)[:, None]
    gate(np.packbits(is_open, axis=1, bitorder="little"), scale, nodes, grad)
    np.testing.assert_array_equal(grad, expected)


@pytest.mark.parametrize("width", [3, ROWS_AT_ONCE // 2 - 1, ROWS_AT_ONCE + 5])
def test_add_up_adds_the_own_product_of_the_first_rows(width: int) -> None:
    generator = np.random.default_rng(0)
    grad, matrix = generator.standard_normal((10, 4)), generator.standard_normal((4, width))
    own_grad, own = generator.standard_normal((6, 3)), generator.standard_normal((3, width))
    scale, memory = generator.random(width), np.empty(2 * max(ROWS_AT_ONCE, width))
    product = grad @ matrix
    plain = (np.abs(product) @ scale).reshape(5, 2).sum(1)
    found = add_up(grad, matrix, own_grad, own[:0].reshape(0, 0), scale, 2, memory)
    np.testing.assert_allclose(found, plain, rtol=1e-12)
    product[:6] += own_grad @ own
    expected = (np.abs(product) @ scale).reshape(5, 2).sum(1)
    found = add_up(grad, matrix, own_grad, own, scale, 2, memory)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
