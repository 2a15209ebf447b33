"""Propagation against dense matrices: directed graphs, isolated nodes, loops; gradients too."""

import numpy as np
import oracles
import pytest
import torch
from torch.autograd import forward_ad

from graphattn.graph import CSRGraph
from graphattn.ops.propagate import PropagationSteps, propagate


def random_edges(generator, num_nodes, num_edges):
    return torch.randint(num_nodes, (2, num_edges), generator=generator)


CASES = [(1, 0), (1, 1), (7, 0), (12, 9), (40, 60), (40, 400)]  # few edges: isolated nodes


@pytest.mark.parametrize("norm", ["sym", "row"])
@pytest.mark.parametrize(("num_nodes", "num_edges"), CASES)
def test_equals_dense(num_nodes, num_edges, norm):
    generator = torch.Generator().manual_seed(num_edges)
    edges = random_edges(generator, num_nodes, num_edges)  # directed, with loops and repeats
    x = torch.randn(num_nodes, 5, generator=generator, dtype=torch.float64)
    expected = oracles.propagate(edges.t().tolist(), num_nodes, x, 3, norm)
    graph = CSRGraph.from_edge_index(edges, num_nodes)
    assert (propagate(graph, x, 3, norm=norm) - expected).abs().max() <= 1e-12
    single = propagate(graph, x.float(), 3, norm=norm)
    assert single.dtype == torch.float32
    assert (single - expected).abs().max() <= 1e-5
    plain = propagate(graph, x.clone().requires_grad_(), 3, norm=norm)
    assert plain.requires_grad
    assert (plain - expected).abs().max() <= 1e-12


@pytest.mark.parametrize("norm", ["sym", "row"])
def test_gradient_equals_dense(norm):
    generator = torch.Generator().manual_seed(0)
    edges = random_edges(generator, 15, 40)
    graph = CSRGraph.from_edge_index(edges, 15)
    x = torch.randn(15, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(15, 3, 2, generator=generator, dtype=torch.float64)
    (ours,) = torch.autograd.grad((propagate(graph, x, 2, norm=norm) * weight).sum(), x)
    dense = oracles.propagate(edges.t().tolist(), 15, x, 2, norm)
    (theirs,) = torch.autograd.grad((dense * weight).sum(), x)
    assert (ours - theirs).abs().max() <= 1e-12
    assert torch.autograd.gradcheck(lambda x: propagate(graph, x, 2, norm=norm), x)


def test_loops_and_repeats_change_nothing():
    x = torch.randn(3, 2, dtype=torch.float64)
    clean = CSRGraph.from_edge_index(torch.tensor([[0, 1], [1, 2]]), 3)
    dirty = CSRGraph.from_edge_index(torch.tensor([[0, 0, 1, 1, 2], [1, 1, 1, 2, 2]]), 3)
    assert torch.equal(propagate(clean, x, 2), propagate(dirty, x, 2))


def test_isolated_node_keeps_its_features():
    x = torch.randn(3, 2)
    hops = propagate(CSRGraph.from_edge_index(torch.tensor([[0], [1]]), 3), x, 2)
    assert torch.equal(hops[2], x[2].expand(3, 2))


def test_renumbering_renumbers_the_output():
    generator = torch.Generator().manual_seed(1)
    edges = random_edges(generator, 20, 70)
    x = torch.randn(20, 3, generator=generator, dtype=torch.float64)
    order = torch.randperm(20, generator=generator)  # old node order[i] is new node i
    number = order.argsort()
    moved = propagate(CSRGraph.from_edge_index(number[edges], 20), x[order], 2)
    straight = propagate(CSRGraph.from_edge_index(edges, 20), x, 2)
    assert torch.allclose(moved, straight[order], atol=1e-12)


def test_no_gradient_wanted_takes_the_kernel_and_gives_the_same():
    graph = CSRGraph.from_edge_index(torch.tensor([[0, 1], [1, 2]]), 3)
    x = torch.randn(3, 2, requires_grad=True)
    with torch.no_grad():
        result = propagate(graph, x, 2)
    assert not result.requires_grad
    assert torch.allclose(result, propagate(graph, x, 2), atol=1e-6)


def test_many_blocks_give_the_same_bits(monkeypatch):
    generator = torch.Generator().manual_seed(2)
    graph = CSRGraph.from_edge_index(random_edges(generator, 300, 3000), 300)
    x = torch.randn(300, 7, generator=generator)
    once = propagate(graph, x, 2)
    monkeypatch.setattr("graphattn.kernels.propagate.get_num_threads", lambda: 1)
    assert torch.equal(propagate(graph, x, 2), once)


def test_no_hops_and_no_channels():
    graph = CSRGraph.from_edge_index(torch.tensor([[0], [1]]))
    x = torch.randn(2, 3)
    assert torch.equal(propagate(graph, x, 0), x.unsqueeze(1))
    assert propagate(graph, torch.zeros(2, 0), 2).shape == (2, 3, 0)


def test_no_nodes():
    graph = CSRGraph.from_edge_index(torch.zeros(2, 0, dtype=torch.long))
    assert propagate(graph, torch.zeros(0, 4), 2).shape == (0, 3, 4)
    assert PropagationSteps(graph, "sym", np.float64).next(np.zeros((0, 4))).shape == (0, 4)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("x", "options", "error", "words"),
    [
        (torch.zeros(3, 2), {}, ValueError, r"each of the 2 nodes .* got shape \[3, 2\]"),
        (torch.zeros(2, 2), {"num_hops": -1}, ValueError, "0 or more: got num_hops=-1"),
        (torch.zeros(2, 2), {"order": np.array([0, 0])}, ValueError, r"each of the 2 .* 1 of them"),
        (torch.zeros(2, 2), {"order": np.array([0, 2])}, ValueError, "once, int64"),
        (torch.zeros(2, 2), {"order": np.arange(3)}, ValueError, r"got int64 \[3\] with 0"),
    ],
)
def test_errors(x, options, error, words):
    graph = CSRGraph.from_edge_index(torch.tensor([[0], [1]]))
    with pytest.raises(error, match=words):
        propagate(graph, x, **{"num_hops": 1, **options})


def test_types_that_cannot_be_summed():
    graph = CSRGraph.from_edge_index(torch.tensor([[0], [1]]))
    for dtype in (np.int64, torch.int32, np.uint16, torch.complex64):
        with pytest.raises(TypeError, match=r"torch.bfloat16, float32 or float64: got"):
            PropagationSteps(graph, "sym", dtype)


# Rounding a number costs at most 2**-11 (float16) or 2**-8 (bfloat16) of it; two roundings a hop.
HALVES = [(torch.float16, 2**-10), (torch.bfloat16, 2**-7)]


@pytest.mark.parametrize("norm", ["sym", "row"])
@pytest.mark.parametrize(("dtype", "error"), HALVES)
@pytest.mark.parametrize(("num_nodes", "num_edges"), CASES)
def test_half_precision(num_nodes, num_edges, dtype, error, norm):
    generator = torch.Generator().manual_seed(num_edges)
    edges = random_edges(generator, num_nodes, num_edges)
    x = torch.randn(num_nodes, 5, generator=generator).to(dtype)
    expected = oracles.propagate(edges.t().tolist(), num_nodes, x.double(), 3, norm)
    graph = CSRGraph.from_edge_index(edges, num_nodes)
    out = propagate(graph, x, 3, norm=norm)
    assert out.dtype == dtype
    assert torch.equal(out[:, 0], x)
    bound = error * torch.arange(4)[:, None] * expected.abs().max()
    assert ((out - expected).abs() <= 2 * bound).all()
    plain = propagate(graph, x.clone().requires_grad_(), 3, norm=norm)
    assert plain.dtype == dtype
    assert ((plain - expected).abs() <= 2 * bound).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("norm", ["sym", "row"])
def test_an_order_changes_no_bit(dtype, norm):
    generator = torch.Generator().manual_seed(3)
    graph = CSRGraph.from_edge_index(random_edges(generator, 90, 700), 100)
    x = torch.randn(100, 7, generator=generator, dtype=torch.float64).to(dtype)
    expected = propagate(graph, x, 2, norm=norm)
    for order in (np.arange(100)[::-1].copy(), np.random.default_rng(0).permutation(100)):
        assert torch.equal(propagate(graph, x, 2, norm=norm, order=order), expected)
    followed = propagate(graph, x.double().requires_grad_(), 1, order=order)
    assert followed.requires_grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_same_bits_for_any_number_of_threads(dtype):
    generator = torch.Generator().manual_seed(4)
    graph = CSRGraph.from_edge_index(random_edges(generator, 300, 3000), 300)
    x = torch.randn(300, 7, generator=generator).to(dtype)
    before, results = torch.get_num_threads(), []
    order = np.random.default_rng(0).permutation(300)
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            results += [propagate(graph, x, 2), propagate(graph, x, 2, order=order)]
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(result, results[0]) for result in results)


def test_steps_are_reused_for_other_widths_and_in_place():
    generator = torch.Generator().manual_seed(5)
    graph = CSRGraph.from_edge_index(random_edges(generator, 40, 200), 40)
    steps = PropagationSteps(graph, "sym", torch.bfloat16, order=np.arange(40)[::-1].copy())
    for channels in (3, 8):
        x = torch.randn(40, channels, generator=generator).bfloat16()
        expected = propagate(graph, x, 2)
        hop = x.view(torch.uint16).numpy().copy()
        for k in (1, 2):
            assert steps.next(hop, out=hop) is hop
            assert np.array_equal(hop, expected[:, k].contiguous().view(torch.uint16).numpy())
    wide = np.asfortranarray(x.view(torch.uint16).numpy())  # columns apart: copied first
    once = steps.next(wide)
    assert np.array_equal(once, expected[:, 1].contiguous().view(torch.uint16).numpy())


@pytest.mark.parametrize("norm", ["sym", "row"])
def test_forward_derivative_and_transforms_equal_dense(norm):
    edges = random_edges(torch.Generator().manual_seed(2), 9, 30)
    graph = CSRGraph.from_edge_index(edges, 9)
    x, tangent = torch.randn(2, 9, 3, dtype=torch.float64)
    matrix = propagate(graph, torch.eye(9, dtype=torch.float64), 2, norm=norm)  # [9, hops, 9]
    expected = torch.einsum("nhm,mc->nhc", matrix, tangent)

    def run(x):
        return propagate(graph, x, 2, norm=norm)

    with forward_ad.dual_level():
        out = forward_ad.unpack_dual(run(forward_ad.make_dual(x, tangent)))
    torch.testing.assert_close(out.tangent, expected)
    torch.testing.assert_close(torch.func.jvp(run, (x,), (tangent,))[1], expected)
    pair = torch.stack([x, tangent])
    torch.testing.assert_close(torch.func.vmap(run)(pair), torch.stack([run(x), expected]))
