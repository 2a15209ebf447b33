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


@pytest.mark.parametrize(
    ("x", "options", "error", "words"),
    [
        (torch.zeros(3, 2), {}, ValueError, r"each of the 2 nodes .* got shape \[3, 2\]"),
        (torch.zeros(2, 2), {"num_hops": -1}, ValueError, "0 or more: got num_hops=-1"),
        (torch.zeros(2, 2, dtype=torch.float16), {}, TypeError, "float32 or float64: got"),
    ],
)
def test_errors(x, options, error, words):
    graph = CSRGraph.from_edge_index(torch.tensor([[0], [1]]))
    with pytest.raises(error, match=words):
        propagate(graph, x, **{"num_hops": 1, **options})


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
