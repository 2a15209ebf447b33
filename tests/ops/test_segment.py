"""Segment attention: equal to a dense mask, the same in any blocks, and small in memory."""

import pytest
import torch
from hypergraph_oracle import attend

from graphattn.hypergraph import Incidence
from graphattn.ops import incidence as sorting
from graphattn.ops.incidence import plan_incidences
from graphattn.ops.segment import segment_attention

HEADS, SIZE = 2, 3


def make(num_nodes, num_hyperedges, count, seed=0):
    """Random incidences; the last node is isolated and the last hyperedge empty."""
    torch.manual_seed(seed)
    index = torch.stack(
        [torch.randint(num_nodes - 1, (count,)), torch.randint(num_hyperedges - 1, (count,))]
    )
    return Incidence.from_hyperedge_index(index, num_nodes, num_hyperedges)


def make_inputs(made, reduce, dtype=torch.double):
    rows, cols = made.num_hyperedges, made.num_nodes
    if reduce == "node":
        rows, cols = cols, rows
    q, k, v = (torch.randn(count, HEADS, SIZE, dtype=dtype) for count in (rows, cols, cols))
    return [part.requires_grad_() for part in (q * 2, k * 2, v)]


@pytest.mark.parametrize("reduce", ["hyperedge", "node"])
@pytest.mark.parametrize("chunk_size", [None, 1, 3, 16, 17, 170])
@pytest.mark.parametrize("sizes", [(7, 5, 18), (6, 6, 20), (30, 4, 60)])
def test_equals_a_dense_mask_in_value_and_gradient(reduce, chunk_size, sizes):
    made = make(*sizes)
    q, k, v = make_inputs(made, reduce)
    ours = segment_attention(q, k, v, made, reduce, chunk_size=chunk_size)
    mask = made.to_dense().bool()
    theirs = attend(q, k, v, mask if reduce == "hyperedge" else mask.t(), SIZE**-0.5)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    factor = torch.randn_like(ours)
    got = torch.autograd.grad((ours * factor).sum(), (q, k, v))
    expected = torch.autograd.grad((theirs * factor).sum(), (q, k, v))
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("reduce", ["hyperedge", "node"])
@pytest.mark.parametrize("chunk_size", [None, 2])
def test_gradcheck_of_both_orders(reduce, chunk_size):
    made = make(5, 4, 9)
    inputs = make_inputs(made, reduce)

    def run(*parts):
        return segment_attention(*parts, made, reduce, scale=0.7, chunk_size=chunk_size)

    assert torch.autograd.gradcheck(run, inputs)
    assert torch.autograd.gradgradcheck(run, inputs, fast_mode=True)


@pytest.mark.parametrize("chunk_size", [None, 4])
def test_dropout_leaves_weights_out_and_raises_the_others(chunk_size):
    made = Incidence.from_lists([range(2000)])
    q, k = torch.zeros(1, 1, 2, dtype=torch.double), torch.zeros(2000, 1, 2, dtype=torch.double)
    v = torch.ones(2000, 1, 1, dtype=torch.double).expand(-1, -1, 2).clone().requires_grad_()
    options = {"dropout": 0.25, "chunk_size": 500 if chunk_size else None}
    torch.manual_seed(3)
    out = segment_attention(q, k, v, made, training=True, **options)
    (grad,) = torch.autograd.grad(out[..., 0].sum(), v)
    weights = grad[:, 0, 0] * 2000
    assert set(weights.round(decimals=9).tolist()) == {0.0, round(4 / 3, 9)}
    assert abs((weights == 0).double().mean() - 0.25) < 0.04
    torch.testing.assert_close(out[0, 0, 0], grad[:, 0, 0].sum())
    still = segment_attention(q, k, v, made, training=False, **options)
    torch.testing.assert_close(still, torch.ones_like(still))


def test_gradcheck_with_dropout():
    made = make(5, 4, 9)
    inputs = make_inputs(made, "hyperedge")

    def run(*parts):
        torch.manual_seed(0)
        return segment_attention(*parts, made, dropout=0.5, training=True, chunk_size=2)

    assert torch.autograd.gradcheck(run, inputs)
    assert torch.autograd.gradgradcheck(run, inputs, fast_mode=True)


@pytest.mark.parametrize("chunk_size", [None, 5])
def test_repeats_in_an_index_count_once(chunk_size):
    made = make(7, 5, 18)
    index = made.hyperedge_index()
    shuffled = torch.cat([index, index[:, ::2], index[:, :3]], dim=1)
    shuffled = shuffled[:, torch.randperm(shuffled.size(1))]
    plan = plan_incidences(shuffled, 7, 5)
    assert torch.equal(shuffled, index[:, plan.place.long()])
    q, k, v = make_inputs(made, "hyperedge")
    results = []
    for given in (made, plan):
        out = segment_attention(q, k, v, given, chunk_size=chunk_size)
        results.append((out, *torch.autograd.grad(out.square().sum(), (q, k, v))))
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("count", [0, 1, 40])
def test_both_ways_to_sort_agree(count):
    torch.manual_seed(0)
    index = torch.stack([torch.randint(6, (count,)), torch.randint(4, (count,))])
    kernel = sorting._sort(index, 6, 4, "")
    plain = sorting._sorted_by_torch(index, 6, 4)
    distinct = int(kernel[2][-1])
    for place, (one, other) in enumerate(zip(kernel, plain, strict=True)):
        assert one.dtype == other.dtype
        stop = distinct if place in (0, 1, 3) else None
        assert torch.equal(one[:stop], other[:stop])


def test_keeps_no_vector_of_an_incidence():
    made = make(300, 200, 30_000)
    q, k, v = make_inputs(made, "hyperedge", torch.float32)
    for chunk_size in (None, 1000):
        kept = {}

        def keep(tensor, kept=kept):
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            segment_attention(q, k, v, made, chunk_size=chunk_size)
        numbers = made.num_incidences * HEADS + (200 + 2 * 300) * HEADS * SIZE
        indices = 4 * made.num_incidences + 502
        assert sum(kept.values()) <= 4 * (numbers + indices + 200 * HEADS * SIZE)


def test_the_same_in_every_run_and_for_huge_scores():
    made = make(300, 20, 5000)
    q, k, v = make_inputs(made, "hyperedge", torch.float32)
    for chunk_size in (None, 100):
        out = segment_attention(q * 1e7, k, v, made, chunk_size=chunk_size)
        assert out.isfinite().all()
        runs = []
        for _ in range(2):
            out = segment_attention(q, k, v, made, chunk_size=chunk_size)
            runs.append((out, *torch.autograd.grad(out.square().sum(), (q, k, v))))
        assert all(torch.equal(one, other) for one, other in zip(*runs, strict=True))


def test_half_precision_is_widened():
    made = make(30, 20, 100)
    inputs = [part.detach() for part in make_inputs(made, "node")]
    exact = segment_attention(*inputs, made, "node")
    narrow = segment_attention(*(part.bfloat16() for part in inputs), made, "node")
    assert narrow.dtype == torch.bfloat16
    assert (narrow - exact).norm() <= 2e-2 * exact.norm()


def test_nothing_to_gather_gives_zeros():
    made = Incidence.from_hyperedge_index(torch.zeros(2, 0, dtype=torch.long), 3, 2)
    q, k, v = make_inputs(made, "hyperedge")
    for chunk_size in (None, 4):
        out = segment_attention(q, k, v, made, chunk_size=chunk_size)
        assert torch.equal(out, torch.zeros(2, HEADS, SIZE, dtype=torch.double))
        grads = torch.autograd.grad(out.sum(), (q, k, v))
        assert all((grad == 0).all() for grad in grads)


@pytest.mark.parametrize("chunk_size", [None, 7])
def test_compiles_whole(unchecked, chunk_size):
    made = make(20, 10, 50)
    inputs = make_inputs(made, "hyperedge")
    index = torch.cat([made.hyperedge_index()] * 2, dim=1)

    def run(q, k, v, index):
        plan = plan_incidences(index, 20, 10)
        return segment_attention(q, k, v, plan, chunk_size=chunk_size)

    torch._dynamo.reset()
    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    ours, theirs = compiled(*inputs, index), run(*inputs, index)
    torch.testing.assert_close(ours, theirs)
    got = torch.autograd.grad(ours.square().sum(), inputs)
    expected = torch.autograd.grad(theirs.square().sum(), inputs)
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_errors_by_their_words():
    made = make(5, 4, 9)
    q, k, v = make_inputs(made, "hyperedge")
    with pytest.raises(ValueError, match="chunk_size must be a positive int or None: got -1"):
        segment_attention(q, k, v, made, chunk_size=-1)
    with pytest.raises(ValueError, match="reduce must be one of hyperedge, node: got 'up'"):
        segment_attention(q, k, v, made, "up")
    with pytest.raises(ValueError, match=r"dropout must lie in \[0, 1\): got dropout=1"):
        segment_attention(q, k, v, made, dropout=1.0)
    with pytest.raises(ValueError, match=r"q must have 5 rows and k and v 4, .* got 4 and 5"):
        segment_attention(q, k, v, made, "node")
    index = torch.tensor([[0, 9], [0, 2]])
    with pytest.raises(ValueError, match="node id 9 at incidence 1 but x has 5 rows"):
        plan_incidences(index, 5)
    with pytest.raises(ValueError, match="hyperedge id 2 needs hyperedge_attr with >= 3 rows, got"):
        plan_incidences(index, 10, 2, rows_of="hyperedge_attr")
    with pytest.raises(ValueError, match=r"x must have one row for each of the 5 nodes .* got 6"):
        plan_incidences(made, 6)
    with pytest.raises(ValueError, match=r"num_hyperedges must count the 4 hyperedges .* got 3"):
        plan_incidences(made, 5, 3)
