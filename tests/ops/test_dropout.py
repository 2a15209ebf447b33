"""Dropout: shares, factors, and what is left alone."""

import math

import pytest
import torch

from graphattn.nn.dropout import Dropout
from graphattn.ops.dropout import fast_dropout


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("p", [1e-4, 0.1, 0.5, 0.9, 1 - 1e-4])
def test_as_many_are_dropped_as_asked_and_the_others_grow(p, dtype):
    torch.manual_seed(0)
    n = 1 << 20
    out = fast_dropout(torch.ones(n, dtype=dtype), p)
    dropped = int((out == 0).sum())
    assert abs(dropped - n * p) < 5 * math.sqrt(n * p * (1 - p)) + n * 2**-17
    factor = torch.tensor(1 / (1 - round(p * 2**16) / 2**16), dtype=dtype)
    assert torch.equal(out.unique(), torch.stack([torch.zeros_like(factor), factor]))


def test_numbers_side_by_side_and_one_after_the_other_are_independent():
    torch.manual_seed(0)
    kept = (fast_dropout(torch.ones(1 << 16, 8), 0.3) > 0).double()
    for other in (kept[:, 1:], kept[1:, :-1], kept[:-1, :-1].flip(0)):
        one = kept[: len(other), : other.size(1)]
        correlation = torch.corrcoef(torch.stack([one.reshape(-1), other.reshape(-1)]))[0, 1]
        assert abs(float(correlation)) < 5 / math.sqrt(one.numel())


def test_gradient_is_that_of_the_numbers_kept():
    x = torch.randn(7, 3, dtype=torch.double, requires_grad=True)
    torch.manual_seed(3)
    out = fast_dropout(x, 0.4)
    (grad,) = torch.autograd.grad(out.sum(), x)
    factor = 2**16 / (2**16 - round(0.4 * 2**16))
    assert torch.equal(grad, (out != 0).double() * factor)

    def again(x):
        torch.manual_seed(3)
        return fast_dropout(x, 0.4)

    assert torch.autograd.gradcheck(again, x) and torch.autograd.gradgradcheck(again, x)


def test_the_seed_says_which():
    torch.manual_seed(5)
    one, other = (fast_dropout(torch.ones(100), 0.5) for _ in range(2))
    torch.manual_seed(5)
    assert torch.equal(fast_dropout(torch.ones(100), 0.5), one)
    assert not torch.equal(one, other)


def test_at_the_ends_and_out_of_training():
    x = torch.randn(5, 3)
    assert torch.equal(fast_dropout(x, 0.5, training=False), x)
    assert torch.equal(fast_dropout(x, 0.0), x)
    assert torch.equal(fast_dropout(x, 1.0), torch.zeros(5, 3))
    assert fast_dropout(x[:0], 0.5).shape == (0, 3)
    assert fast_dropout(x.t(), 0.5).shape == (3, 5)
    assert fast_dropout(torch.tensor(2.0), 0.5).item() in (0.0, 4.0)
    layer = Dropout(0.5)
    assert set(layer(torch.ones(64)).tolist()) == {0.0, 2.0}
    assert torch.equal(layer.eval()(x), x)


@pytest.mark.parametrize("p", [-0.1, 1.1])
def test_shares_that_are_none_are_refused(p):
    with pytest.raises(ValueError, match="probability has to be between 0 and 1"):
        fast_dropout(torch.ones(2), p)


def test_compiles_whole():
    layer = torch.compile(Dropout(0.5), fullgraph=True, backend="aot_eager")
    assert set(layer(torch.ones(256)).tolist()) == {0.0, 2.0}
