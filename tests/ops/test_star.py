"""Rectified sums: equal to all pairs at once, by the kernel and in blocks."""

import pytest
import torch

from graphattn.ops import star
from graphattn.ops.incidence import plan_incidences, turned


@pytest.mark.parametrize("count", [0, 1, 30])
@pytest.mark.parametrize("block", [4, 1 << 20])
def test_kernel_and_blocks_equal_all_pairs(monkeypatch, count, block):
    monkeypatch.setattr(star, "_NUMBERS", block)
    torch.manual_seed(0)
    index = torch.stack([torch.randint(6, (count,)), torch.randint(4, (count,))])
    plan = turned(plan_incidences(index, 7, 5).plan)  # repeats count once
    pairs = torch.zeros(7, 5, dtype=torch.double)
    pairs[index[0], index[1]] = 1
    u = torch.randn(7, 3, dtype=torch.double, requires_grad=True)
    w = torch.randn(5, 3, dtype=torch.double, requires_grad=True)
    hidden = (u.unsqueeze(1) + w.unsqueeze(0)).relu()
    expected = torch.einsum("nm,nmc->nc", pairs, hidden)
    ours = star.rectified_sums(u, w, plan)
    plain = star.plain_sums(u.detach(), w.detach(), plan)
    for found in (ours, plain):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    factor = torch.randn_like(ours)
    theirs = torch.autograd.grad((expected * factor).sum(), (u, w))
    got = torch.autograd.grad((ours * factor).sum(), (u, w))
    blocks = star.plain_gradients(factor, u.detach(), w.detach(), plan)
    for one, other, third in zip(theirs, got, blocks, strict=True):
        torch.testing.assert_close(other, one, rtol=0, atol=1e-12)
        torch.testing.assert_close(third, one, rtol=0, atol=1e-12)


def test_keeps_no_vector_of_a_pair_and_no_silence_about_nan():
    index = torch.stack([torch.randint(50, (9000,)), torch.randint(40, (9000,))])
    plan = turned(plan_incidences(index, 50, 40).plan)
    u, w = torch.randn(50, 8, requires_grad=True), torch.randn(40, 8, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: kept.append(tensor.numel()) or tensor, lambda tensor: tensor
    ):
        star.rectified_sums(u, w, plan)
    assert sum(kept) <= 4 * 9000 + 90 * 9 + 2
    with torch.no_grad():
        w[0] = torch.nan
    assert star.rectified_sums(u, w, plan).isnan().any()
