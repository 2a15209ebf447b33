"""Networks of heads in chunks beside PyTorch's operations: values, gradients of any order."""

import pytest
import torch

from graphattn.ops import head_mlp as ops


def make(scaled):
    torch.manual_seed(0)
    shapes = [(11, 2, 3), (2, 3, 5), (2, 5), (2, 5, 4), (2, 4)] + [(2, 5)] * scaled
    tensors = [torch.randn(shape, dtype=torch.double, requires_grad=True) for shape in shapes]
    return tensors + [None] * (6 - len(tensors))


@pytest.mark.parametrize("act", ["silu", "relu", "gelu", "identity"])
@pytest.mark.parametrize("scaled", [True, False])
def test_chunks_equal_plain_operations_in_value_and_gradient(act, scaled, monkeypatch):
    monkeypatch.setattr(ops, "_CHUNK", 40)  # four rows
    z, *weights = make(scaled)
    ours = ops.head_mlp(z, *weights, act)
    plain = ops.plain_head_mlp(z.transpose(0, 1), *weights, act).transpose(0, 1)
    torch.testing.assert_close(ours, plain, rtol=0, atol=1e-12)
    inputs, factor = [t for t in (z, *weights) if t is not None], torch.randn_like(ours)
    grads = torch.autograd.grad((ours * factor).sum(), inputs)
    expected = torch.autograd.grad((plain * factor).sum(), inputs)
    for got, want in zip(grads, expected, strict=True):
        torch.testing.assert_close(got, want, rtol=0, atol=1e-12)


def test_second_derivatives():
    z, *weights = make(True)

    def run(*inputs):
        return ops.head_mlp(*inputs, "silu")

    assert torch.autograd.gradcheck(run, (z, *weights), fast_mode=True)
    assert torch.autograd.gradgradcheck(run, (z, *weights), fast_mode=True)


def test_nothing_of_the_hidden_width_is_kept():
    z, *weights = make(True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: kept.append(tuple(t.shape)) or t, lambda t: t
    ):
        ops.head_mlp(z, *weights, "silu")
    assert sorted(kept) == sorted(tuple(t.shape) for t in (z, *weights))


def test_no_rows():
    z, *weights = make(True)
    out = ops.head_mlp(z[:0], *weights, "gelu")
    out.sum().backward()
    assert out.shape == (0, 2, 4)
    assert not weights[0].grad.any()
