"""Memory is lent again only when nobody can see it."""

import pytest
import torch

from graphattn.sampling.buffers import Buffers


def test_two_at_once_lie_apart():
    buffers = Buffers(most=2)
    one, two = (buffers.take((10, 3), torch.float32).fill_(value) for value in (1, 2))
    assert one.eq(1).all()
    assert two.eq(2).all()


def test_a_view_and_a_gradient_hold_on_to_it():
    buffers = Buffers(most=2)
    rows = buffers.take((4, 2), torch.float32).fill_(3)
    weight = torch.ones(2, requires_grad=True)
    total, view = (rows * weight).sum(), rows[1:]
    del rows
    buffers.take((4, 2), torch.float32).fill_(-1)
    total.backward()
    assert weight.grad.tolist() == [12, 12]
    assert view.eq(3).all()
    del total, view
    where = {buffers.take((4, 2), torch.float32).data_ptr() for _ in range(3)}
    assert len(where) <= 2  # taken again and again


def test_keeps_the_longest_and_no_more():
    buffers = Buffers(most=1)
    small, large = buffers.take((1, 1), torch.float16), buffers.take((100, 10), torch.float32)
    where = large.data_ptr()
    del large, small
    again, other = (buffers.take((100, 10), torch.float32) for _ in range(2))
    assert again.data_ptr() == where
    assert other.data_ptr() != where


@pytest.mark.parametrize("shape", [(0, 3), (5, 0), (2, 3, 4)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_any_shape(shape, dtype):
    rows = Buffers(most=1).take(shape, dtype)
    assert (tuple(rows.shape), rows.dtype) == (shape, dtype)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_pinned():
    assert Buffers(most=1, pinned=True).take((2, 2), torch.float16).is_pinned()
