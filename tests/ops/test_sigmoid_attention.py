"""Attention by sigmoids in blocks beside all scores at once: values, gradients of any order."""

import pytest
import torch

from graphattn.ops import sigmoid_attention as ops


@pytest.mark.parametrize("chunk", [1, 40, 10_000])  # a row, some rows, several heads at a time
@pytest.mark.parametrize("masked", [None, "some", "all"])
@pytest.mark.parametrize("is_causal", [False, True])
def test_blocks_equal_all_scores_at_once(chunk, masked, is_causal, monkeypatch):
    monkeypatch.setattr(ops, "_CHUNK", chunk)
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 3, 7, 4, dtype=torch.double, requires_grad=True) for _ in "qkv")
    mask = None if masked is None else torch.rand(2, 7) > (0.3 if masked == "some" else 1.0)

    def run(q, k, v):
        return ops.sigmoid_attention(q, k, v, mask, is_causal=is_causal)

    weights = 1 / (1 + torch.exp(-(q @ k.mT) / 2))
    weights = weights * torch.ones(7, 7).tril() if is_causal else weights
    weights = weights if mask is None else weights * mask[:, None, None]
    torch.testing.assert_close(run(q, k, v), weights @ v, rtol=0, atol=1e-12)
    assert torch.autograd.gradcheck(run, (q, k, v), fast_mode=True)
    assert torch.autograd.gradgradcheck(run, (q, k, v), fast_mode=True)


def test_no_tokens_and_large_scores():
    none = torch.zeros(1, 2, 0, 4, requires_grad=True)
    ops.sigmoid_attention(none, none, none).sum().backward()
    assert none.grad.shape == none.shape
    big = torch.full((1, 1, 2, 4), 1e4, requires_grad=True)
    out = ops.sigmoid_attention(big, torch.cat([big[:, :, :1], -big[:, :, 1:]], dim=2), big)
    out.sum().backward()
    assert torch.equal(out.detach(), torch.full_like(out, 1e4))
    assert big.grad.isfinite().all()
