"""LargeGT: equality with loops, the seven checks of a model, its options, its full-graph form."""

import oracles
import pytest
import torch
from torch_geometric.utils import erdos_renyi_graph

from graphattn.graph import CSRGraph
from graphattn.models.largegt import LargeGT
from graphattn.ops.joined import joined_tokens
from graphattn.ops.neighborhood import sample_neighborhood
from graphattn.ops.propagate import propagate

NODES, CHANNELS, CLASSES, SAMPLES = 24, 6, 3, 5
SMALL = {"global_channels": 4, "codebook_size": 8}


def make_graph(seed: int = 0):
    torch.manual_seed(seed)
    edge_index = erdos_renyi_graph(NODES - 1, 0.12)  # the last node is isolated
    return CSRGraph.from_edge_index(edge_index, num_nodes=NODES), torch.randn(
        NODES, CHANNELS
    ).double()


def make_model(**options) -> LargeGT:
    torch.manual_seed(3)
    model = LargeGT(CHANNELS, 4, CLASSES, heads=2, **SMALL, **options).double()
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_()
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 2.0)
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def make_pe(channels: int):
    if not channels:
        return None
    return torch.linspace(-1, 1, NODES * channels, dtype=torch.double).view(NODES, channels)


def make_batch(graph, x, seeds, *, pe: int = 0):
    tokens = sample_neighborhood(graph, seeds, SAMPLES)
    batch = {"mask": tokens.mask}
    batch["pe"] = make_pe(pe)[seeds] if pe else None
    return propagate(graph, x, 2), tokens.ids, batch


@pytest.mark.parametrize("scope", ["local", "global", "full"])
def test_equals_loops_in_value_and_gradient(scope):
    graph, x = make_graph()
    pe = 0 if scope == "local" else 3
    model = make_model(scope=scope, pe_channels=pe).eval()
    codes = torch.randint(-1, 8, (NODES,))
    if scope != "local":
        model.codebook.count.copy_(torch.bincount(codes[codes >= 0], minlength=8))
    rows, ids, batch = make_batch(graph, x, torch.tensor([0, 7, NODES - 1]), pe=pe)
    rows.requires_grad_()
    ours = model(rows, ids, mask=batch["mask"], pe=batch["pe"])
    named = dict(model.named_buffers()) | dict(model.named_parameters())
    counts = [None if c < 0 else int(c) for c in codes]
    theirs = oracles.largegt(named, rows, ids, batch["mask"], 2, scope, batch["pe"], counts)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)
    inputs = [rows, *model.parameters()]
    weight = torch.randn_like(ours)
    got = torch.autograd.grad((ours * weight).sum(), inputs)
    expected = torch.autograd.grad((theirs * weight).sum(), inputs)
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


OPTIONS = [
    {"scope": "local"},
    {"scope": "global"},
    {"pe_channels": 3},
    {"hops": "channels", "num_layers": 2},
    {"hop_embedding": True, "num_own_hops": 3},
    {"hops": "channels", "hop_embedding": True, "num_own_hops": 2, "scope": "local"},
    {"direction": "both", "hop_embedding": True},
    {"local": "gin", "hops": "channels"},
    {"local": "gin", "normalize": "sigmoid", "update_norm": None, "adjacency": True}
    | {"hop_embedding": True, "num_own_hops": 2, "num_layers": 2, "aggregators": ("sum", "max")},
]


def call(model, graph, x, seeds, codes=None):
    """Draws tokens and gives the model what its options need."""
    both = model.direction == "both"
    tokens = sample_neighborhood(graph, seeds, SAMPLES, direction=model.direction)
    rows = propagate(graph, x, 2)
    if both:
        rows = torch.cat([rows, propagate(graph.reverse(), x, 2)[:, 1:]], dim=1)
    own = propagate(graph, x, model.num_own_hops) if model.num_own_hops else None
    pe = make_pe(model.pe_channels)
    joined = {"joined": joined_tokens(graph, tokens)} if model.adjacency else {}
    return model(
        rows,
        tokens.ids,
        mask=tokens.mask,
        hop=tokens.hop,
        own=None if own is None else own.index_select(0, seeds),
        pe=None if pe is None else pe.index_select(0, seeds),
        seeds=seeds,
        codes=codes,
        **joined,
    )


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_parameter_gets_a_gradient_and_a_batch_of_one_works(options):
    graph, x = make_graph()
    model = make_model(**options)
    codes = torch.full((NODES,), -1, dtype=torch.int32)
    logits = call(model, graph, x, torch.arange(12), codes)
    logits.square().sum().backward()
    for name, p in model.named_parameters():
        assert p.grad is not None and p.grad.abs().sum() > 0, name
    assert call(model, graph, x, torch.tensor([NODES - 1]), codes).isfinite().all()
    model.eval()
    together = call(model, graph, x, torch.arange(NODES))
    for seed in (0, NODES - 1):
        torch.testing.assert_close(call(model, graph, x, torch.tensor([seed]))[0], together[seed])


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_full_graph_form_equals_batches_and_is_differentiable(options):
    graph, x = make_graph()
    model = make_model(**options).eval()
    pe = make_pe(model.pe_channels)
    x.requires_grad_()
    whole = model.node_forward(x, graph.edge_index(), pe=pe, num_samples=SAMPLES, batch_size=7)
    parts = [call(model, graph, x, seeds) for seeds in torch.arange(NODES).split(5)]
    torch.testing.assert_close(whole, torch.cat(parts), rtol=0, atol=1e-10)
    assert torch.autograd.grad(whole.sum(), x)[0].abs().sum() > 0
    few = torch.tensor([NODES - 1, 3, 7])
    some = model.node_forward(x, graph.edge_index(), few, pe=pe, num_samples=SAMPLES, batch_size=2)
    torch.testing.assert_close(some, whole.index_select(0, few), rtol=0, atol=1e-10)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_evaluation_repeats_moves_nothing_and_state_survives(options):
    graph, x = make_graph()
    model = make_model(**options).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first = call(model, graph, x, torch.arange(NODES))
    assert torch.equal(first, call(model, graph, x, torch.arange(NODES)))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    twin = make_model(**options).eval()
    twin.load_state_dict(before)
    assert torch.equal(first, call(twin, graph, x, torch.arange(NODES)))
    twin.reset_parameters()
    changed = [n for n, p in twin.named_parameters() if not torch.equal(p, before[n])]
    assert {n.split(".")[0] for n in changed} == {
        n.split(".")[0] for n, _ in twin.named_parameters()
    }


def test_renumbering_the_nodes_renumbers_the_output():
    graph, x = make_graph()
    model = make_model(scope="local").eval()
    rows, ids, batch = make_batch(graph, x, torch.arange(NODES))
    order = torch.randperm(NODES)
    place = torch.empty_like(order).scatter_(0, order, torch.arange(NODES))
    again = model(
        rows.index_select(0, order),
        place.index_select(0, ids.flatten()).view_as(ids),
        mask=batch["mask"],
    )
    torch.testing.assert_close(again, model(rows, ids, mask=batch["mask"]))


def test_training_moves_the_codebook_and_counts_only_visited_nodes():
    graph, x = make_graph()
    model = make_model()
    codes = torch.full((NODES,), -1, dtype=torch.int32)
    for _ in range(3):
        call(model, graph, x, torch.arange(10), codes)
    assert (codes[:10] >= 0).all() and (codes[10:] == -1).all()
    assert model.codebook.count.sum() == 10


def test_row_normalised_propagation_and_no_nodes():
    graph, x = make_graph()
    model = make_model(scope="local").eval()
    tokens = sample_neighborhood(graph, torch.arange(NODES), SAMPLES)
    rows = propagate(graph, x, 2, norm="row")
    expected = model(rows, tokens.ids, mask=tokens.mask)
    whole = model.node_forward(x, graph.edge_index(), num_samples=SAMPLES, norm="row")
    torch.testing.assert_close(whole, expected, rtol=0, atol=1e-10)
    nothing = torch.zeros(2, 0, dtype=torch.long)
    assert model.node_forward(x[:0], nothing).shape == (0, CLASSES)


def test_bfloat16_autocast_stays_finite():
    graph, x = make_graph()
    model = make_model(num_own_hops=2).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = call(model, graph, x.float() * 100, torch.arange(NODES))
    logits.float().square().sum().backward()
    assert logits.isfinite().all()
    assert all(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("options", [{}, OPTIONS[4]], ids=str)
def test_compiles_without_a_graph_break(options, unchecked):
    graph, x = make_graph()
    model = make_model(**options)
    codes = torch.full((NODES,), -1, dtype=torch.int32)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    torch.manual_seed(0)
    call(compiled, graph, x, torch.arange(10), codes).sum().backward()
    model.eval()
    torch.testing.assert_close(
        call(compiled, graph, x, torch.arange(10)), call(model, graph, x, torch.arange(10))
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scope": "both"}, "scope must be one of local, global, full: got 'both'"),
        ({"hops": "rows"}, "hops must be one of tokens, channels: got 'rows'"),
        ({"direction": "out"}, "direction must be one of in, both: got 'out'"),
        ({"num_hops": 0}, "num_hops must be at least 1: got num_hops=0"),
        ({"scope": "global", "num_own_hops": 2}, "num_own_hops needs the local module"),
        ({"scope": "local", "pe_channels": 2}, "pe_channels needs the global module"),
        ({"direction": "both"}, "direction='both' needs hop_embedding=True"),
        ({"local": "gnn"}, "local must be one of attention, gin: got 'gnn'"),
        ({"adjacency": True}, "options of local='gin': got True, softmax, .* local='attention'"),
        ({"local": "gin", "scope": "global"}, "local and adjacency need the local module"),
    ],
)
def test_bad_options_fail_at_construction(options, words, unchecked):
    with pytest.raises(ValueError, match=words):
        LargeGT(CHANNELS, 4, CLASSES, **options)


def test_bad_batches_say_what_would_be_right():
    rows, ids = torch.randn(9, 3, CHANNELS), torch.zeros(2, 4, dtype=torch.long)
    with pytest.raises(ValueError, match=r"rows must be \[rows, 3, 6\]"):
        LargeGT(CHANNELS, 4, CLASSES)(rows[:, :2], ids)
    with pytest.raises(ValueError, match="hop must be given: hop_embedding=True"):
        LargeGT(CHANNELS, 4, CLASSES, hop_embedding=True)(rows, ids)
    with pytest.raises(ValueError, match="joined must be given exactly when adjacency is: got no"):
        LargeGT(CHANNELS, 4, CLASSES, local="gin", adjacency=True)(rows, ids)
    with pytest.raises(ValueError, match="own must hold 3 hops"):
        LargeGT(CHANNELS, 4, CLASSES, num_own_hops=2)(rows, ids)
