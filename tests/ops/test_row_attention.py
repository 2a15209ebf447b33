"""attend_rows: chunks, masks of dropout and threads change nothing that they should not."""

import numpy as np
import pytest
import torch
from oracles import dropout_factors
from torch.nn import functional as F

from graphattn.ops import row_attention
from graphattn.ops.attention import token_attention, weighted_readout
from graphattn.ops.row_attention import BlockWeights, RowTables, attend_rows

SEEDS, TOKENS, ROWS, HIDDEN, HEADS, TYPES = 13, 7, 20, 12, 3, 4


def make_input(dtype=torch.double):
    def draw(*shape):
        return torch.randn(*shape, dtype=dtype).requires_grad_()

    tables = RowTables(draw(ROWS, 3 * HIDDEN), draw(ROWS, HIDDEN))
    weights = BlockWeights(draw(HIDDEN, HIDDEN), *(draw(HIDDEN) for _ in range(4)))
    index = torch.randint(ROWS, (SEEDS, TOKENS))
    mask = torch.rand(SEEDS, TOKENS) < 0.7
    mask[:, 0], mask[2, 1:] = True, False
    types = torch.randint(TYPES, (SEEDS, TOKENS))
    return tables, weights, index, mask, types, draw(TYPES, 3 * HIDDEN)


def attend_plainly(tables, weights, index, mask, types=None, shifts=None, factors=(1.0, 1.0)):
    """The same with PyTorch's operations on all tokens; ``factors`` stand for dropout."""
    qkv, residual = (table[index] for table in tables)
    q, k, v = qkv.chunk(3, dim=-1)
    if shifts is not None:
        of_k, of_v, of_residual = shifts[types].chunk(3, dim=-1)
        k, v, residual = k + of_k, v + of_v, residual + of_residual
    gathered = F.linear(token_attention(q, k, v, HEADS, mask=mask), weights.out, weights.out_bias)
    tokens = (residual + gathered * factors[0]) * factors[1]
    tokens = F.layer_norm(tokens, (HIDDEN,), weights.scale, weights.shift)
    others = tokens[:, 1:]
    return tokens[:, 0] + weighted_readout(others @ weights.score, others, mask=mask[:, 1:])


def gradients(out, tables, weights, *more):
    weight = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    return torch.autograd.grad((out * weight).sum(), [*tables, *weights, *more])


@pytest.mark.parametrize("chunk", [1, 3 * TOKENS * HIDDEN, 1 << 19])
@pytest.mark.parametrize("typed", [False, True])
def test_equals_plain_operations(monkeypatch, chunk, typed):
    torch.manual_seed(1)
    monkeypatch.setattr(row_attention, "_CHUNK", chunk)
    tables, weights, index, mask, types, shifts = make_input()
    kinds = {"types": types, "shifts": shifts} if typed else {}
    ours = attend_rows(tables, index, weights, heads=HEADS, mask=mask, **kinds)
    plain = attend_plainly(tables, weights, index, mask, **kinds)
    torch.testing.assert_close(ours, plain, rtol=0, atol=1e-11)
    more = [shifts] if typed else []
    pairs = zip(
        gradients(ours, tables, weights, *more),
        gradients(plain, tables, weights, *more),
        strict=True,
    )
    for got, expected in pairs:
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("chunk", [1, 1 << 19])
def test_drops_by_the_masks_of_its_key_in_both_passes(monkeypatch, chunk):
    torch.manual_seed(2)
    monkeypatch.setattr(row_attention, "_CHUNK", chunk)
    tables, weights, index, mask, _, _ = make_input()
    torch.manual_seed(3)
    key = int(torch.randint(1 << 62, (1,)))
    torch.manual_seed(3)
    ours = attend_rows(tables, index, weights, heads=HEADS, mask=mask, dropout=0.3)
    factors = dropout_factors(key, round(0.3 * 65536), SEEDS * TOKENS, HIDDEN)
    factors = [torch.from_numpy(f).view(SEEDS, TOKENS, HIDDEN) for f in factors]
    plain = attend_plainly(tables, weights, index, mask, factors=factors)
    torch.testing.assert_close(ours, plain, rtol=0, atol=1e-11)
    for got, expected in zip(
        gradients(ours, tables, weights), gradients(plain, tables, weights), strict=True
    ):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-11)


def test_the_masks_keep_the_share_asked_for_independently():
    shares = []
    for key in range(40):
        first, second = (f > 0 for f in dropout_factors(key, round(0.3 * 65536), 50, 64))
        shares.append([first.mean(), second.mean(), (first & second).mean()])
        assert not np.array_equal(first[0], first[1])
    mean = np.mean(shares, axis=0)  # of 128,000 draws: standard error .0013
    np.testing.assert_allclose(mean, [0.7, 0.7, 0.49], atol=0.006)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_threads_change_no_bit(monkeypatch, dtype):
    monkeypatch.setattr("graphattn.kernels.readout._FEW", 1)
    monkeypatch.setattr("graphattn.kernels.scatter._FEW", 1)
    results = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            torch.manual_seed(4)
            tables, weights, index, mask, types, shifts = make_input(dtype)
            out = attend_rows(
                tables, index, weights, heads=HEADS, mask=mask, types=types, shifts=shifts,
                dropout=0.5,
            )  # fmt: skip
            results.append([out, *gradients(out, tables, weights, shifts)])
    finally:
        torch.set_num_threads(before)
    for one, two in zip(*results, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0)


def test_takes_no_seed_and_one_token():
    tables, weights, *_ = make_input()
    none = attend_rows(tables, torch.empty(0, 5, dtype=torch.long), weights, heads=HEADS)
    assert none.shape == (0, HIDDEN)
    alone = attend_rows(tables, torch.tensor([[3]]), weights, heads=HEADS)
    mask = torch.ones(1, 1, dtype=torch.bool)
    torch.testing.assert_close(alone, attend_plainly(tables, weights, torch.tensor([[3]]), mask))
    assert all(torch.isfinite(grad).all() for grad in gradients(alone, tables, weights))


def test_keeps_no_tensor_of_all_tokens():
    tables, weights, index, mask, _, _ = make_input()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: kept.append(t.numel()) or t, lambda t: t
    ):
        attend_rows(tables, index, weights, heads=HEADS, mask=mask)
    assert max(kept) == max(t.numel() for t in (*tables, *weights))
