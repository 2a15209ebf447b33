"""Random hypergraphs, and the checks that every layer on hypergraphs must pass."""

import pytest
import torch
from torch_geometric.nn import Sequential

from graphattn.hypergraph import Incidence

SIZES = [(7, 5, 18), (6, 6, 20), (12, 3, 25), (5, 9, 12), (3, 2, 1)]


def make(num_nodes, num_hyperedges, count, seed=0):
    """Random incidences; the last node is isolated and the last hyperedge empty."""
    torch.manual_seed(seed)
    nodes = torch.randint(num_nodes - 1, (count,))
    edges = torch.randint(num_hyperedges - 1, (count,))
    return Incidence.from_hyperedge_index(torch.stack([nodes, edges]), num_nodes, num_hyperedges)


def uneven(layer):
    """In double precision, with larger weights than at the start, in evaluation."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in layer.double().parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
        for name, buffer in layer.named_buffers():
            if "running" in name:
                buffer.copy_(torch.rand_like(buffer) + 0.5)
    return layer.eval()


def same(ours, theirs, inputs, atol=1e-10):
    """Values and gradients agree."""
    torch.testing.assert_close(ours, theirs, rtol=0, atol=atol)
    factor = torch.randn_like(ours)
    got = torch.autograd.grad((ours * factor).sum(), inputs, allow_unused=True)
    expected = torch.autograd.grad((theirs * factor).sum(), inputs, allow_unused=True)
    for one, other in zip(got, expected, strict=True):
        both = [torch.zeros_like(ours[0, 0]) if grad is None else grad for grad in (one, other)]
        torch.testing.assert_close(*torch.broadcast_tensors(*both), rtol=0, atol=atol)


def check_layer(layer, made, x, **of_hyperedges):
    """Everything but the oracle; ``of_hyperedges`` has one row a hyperedge."""
    out = layer(x, made, **of_hyperedges)
    index = made.hyperedge_index()
    count = {"num_hyperedges": made.num_hyperedges}
    # An index in any order, with repeats, is the same hypergraph.
    messy = torch.cat([index, index[:, ::2]], dim=1)
    messy = messy[:, torch.randperm(messy.size(1))]
    for given in (index, messy, messy.int()):
        torch.testing.assert_close(layer(x, given, **count, **of_hyperedges), out, rtol=0, atol=0)
    # Renumbering nodes and hyperedges renumbers the output and nothing else.
    nodes, edges = torch.randperm(made.num_nodes), torch.randperm(made.num_hyperedges)
    moved = torch.stack([nodes.argsort()[messy[0]], edges.argsort()[messy[1]]])
    others = {name: part[edges] for name, part in of_hyperedges.items()}
    renumbered = layer(x[nodes], moved, **count, **others)
    torch.testing.assert_close(renumbered, out[nodes], rtol=0, atol=1e-12)
    # Only nodes that share a hyperedge with one feel it change.
    one = int(index[0, 0])
    change = torch.zeros_like(x)
    change[one] = 1.0
    felt = (layer(x + change, made, **of_hyperedges) != out).any(1)
    dense = made.to_dense()
    shares = (dense @ dense.t())[one] > 0
    assert not felt[~shares].any()
    assert felt[one]
    # Two evaluations are the same and move no buffer; weights go there and back.
    before = {name: buffer.clone() for name, buffer in layer.named_buffers()}
    assert torch.equal(layer(x, made, **of_hyperedges), out)
    assert all(torch.equal(before[name], buffer) for name, buffer in layer.named_buffers())
    state = {name: part.clone() for name, part in layer.state_dict().items()}
    layer.reset_parameters()
    assert not torch.equal(layer(x, made, **of_hyperedges), out)
    layer.load_state_dict(state)
    assert torch.equal(layer(x, made, **of_hyperedges), out)
    # Every parameter has a gradient in training.
    layer.train()
    layer.zero_grad()
    layer(x, made, **of_hyperedges).square().sum().backward()
    layer.eval()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert (parameter.grad != 0).any(), name
    layer.load_state_dict(state)


def check_extremes(make_layer, channels, make_others):
    """One node, nothing at all, huge features, bf16, and float32 beside float64."""
    layer = uneven(make_layer())
    one = Incidence.from_hyperedge_index(torch.tensor([[0], [0]]))
    nothing = Incidence.from_hyperedge_index(torch.zeros(2, 0, dtype=torch.long), 4, 2)
    for made in (one, nothing):
        x = torch.randn(made.num_nodes, channels, dtype=torch.double, requires_grad=True)
        others = make_others(made.num_hyperedges, torch.double)
        out = layer(x, made, **others)
        out.sum().backward()
        assert out.shape[0] == made.num_nodes
        assert out.isfinite().all()
        assert x.grad is None or x.grad.isfinite().all()
    made = make(40, 20, 120)
    x, others = torch.randn(40, channels).double(), make_others(20, torch.double)
    exact = layer(x, made, **others)
    assert layer(x * 1e7, made, **others).isfinite().all()
    for dtype, bound in ((torch.float32, 1e-5), (torch.bfloat16, 3e-2)):
        layer.to(dtype)
        narrow = {
            name: part.to(dtype) if part.is_floating_point() else part
            for name, part in others.items()
        }
        out = layer(x.to(dtype), made, **narrow)
        layer.double()
        assert out.dtype == dtype
        assert out.isfinite().all()
        assert (out - exact).norm() <= bound * exact.norm()


def check_compiles(layer, made, x, **of_hyperedges):
    """Traces whole, from an index and from an ``Incidence``, forth and back."""
    index = torch.cat([made.hyperedge_index()] * 2, dim=1)
    parameters = [x, *layer.parameters()]
    options = {**of_hyperedges, "num_hyperedges": made.num_hyperedges}
    for backend, given in (("eager", made), ("aot_eager", index)):
        torch._dynamo.reset()
        compiled = torch.compile(layer, fullgraph=True, backend=backend)
        same(compiled(x, given, **options), layer(x, given, **options), parameters, 1e-9)


def check_stands_in_for_pyg(make_layer, channels):
    """Called as PyG's ``HypergraphConv`` is, with channels found out in the first call."""
    index = torch.tensor([[0, 1, 2, 1, 2, 3], [0, 0, 0, 1, 1, 1]])
    stack = Sequential("x, hyperedge_index", [(make_layer(channels), "x, hyperedge_index -> x")])
    assert stack(torch.randn(5, channels), index).shape[0] == 5
    layer = make_layer(-1)
    out = layer(torch.randn(5, channels), index)
    assert layer.in_channels == channels
    assert out.isfinite().all()
    heads = ", heads=2" if layer.heads == 2 else ""
    assert repr(layer) == f"{type(layer).__name__}({channels}, {layer.out_channels}{heads})"


def check_errors(layer, x):
    """Ids and shapes, by their words; ``x`` has 5 rows."""
    wrong = {
        "node id 9 at incidence 1 but x has 5 rows": [[0, 9], [0, 1]],
        "node id -1 at incidence 0: negative id": [[-1, 0], [0, 1]],
        "hyperedge id -2 at incidence 1: negative id": [[0, 0], [0, -2]],
    }
    for said, index in wrong.items():
        with pytest.raises(ValueError, match=said):
            layer(x, torch.tensor(index), num_hyperedges=2)
    with pytest.raises(ValueError, match="hyperedge id 2 at incidence 0 but num_hyperedges=2"):
        layer(x, torch.tensor([[0], [2]]), num_hyperedges=2)
    with pytest.raises(ValueError, match=r"\(node, hyperedge\); got \[3, 2\]: transpose it"):
        layer(x, torch.zeros(3, 2, dtype=torch.long), num_hyperedges=2)
    with pytest.raises(TypeError, match=r"got float32: use \.long\(\)"):
        layer(x, torch.zeros(2, 3), num_hyperedges=2)
    with pytest.raises(ValueError, match="one row for each of the 4 nodes of the Incidence: got 5"):
        layer(x, Incidence.from_lists([[0, 3]]))
