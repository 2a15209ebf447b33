"""The networks on hypergraphs: shapes, oracles, renumbering, gradients, state, and their errors."""

import pytest
import torch
from hypergraph_cases import make, same, uneven
from hypergraph_oracle import allset_transformer, edhnn, transformer_conv

from graphattn.hypergraph import Incidence
from graphattn.models.allset_transformer import AllSetTransformer, classifier
from graphattn.models.edhnn import EDHNN
from graphattn.models.hcha import HCHA
from graphattn.models.hypergraph_transformer import HypergraphTransformer

CHANNELS, HIDDEN, CLASSES, TYPES = 5, 8, 3, 2
MODELS = {
    "transformer": lambda: HypergraphTransformer(CHANNELS, HIDDEN, CLASSES, num_layers=2, heads=2),
    "typed": lambda: HypergraphTransformer(CHANNELS, HIDDEN, CLASSES, num_types=TYPES, heads=2),
    "typed-batch": lambda: HypergraphTransformer(
        CHANNELS, HIDDEN, CLASSES, num_types=TYPES, norm="batch", self_loops=False
    ),
    "allset": lambda: AllSetTransformer(CHANNELS, HIDDEN, CLASSES, num_layers=2, heads=2),
    "edhnn": lambda: EDHNN(CHANNELS, HIDDEN, CLASSES, num_layers=3),
    "edhnn-bare": lambda: EDHNN(CHANNELS, HIDDEN, CLASSES, self_loops=False, classifier_layers=1),
    "hcha": lambda: HCHA(CHANNELS, HIDDEN, CLASSES),
}
NO_BATCH = [name for name in MODELS if name != "typed-batch"]


def given(name, made):
    types = {"hyperedge_type": torch.arange(made.num_hyperedges) % TYPES}
    return types if name.startswith("typed") else {}


def looped(made):
    """The dense matrix of nodes by hyperedges, with each node's own beside them."""
    return torch.cat([made.to_dense(), torch.eye(made.num_nodes)], dim=1).bool()


def parameters(part):
    return dict(part.named_parameters())


@pytest.mark.parametrize("name", MODELS)
def test_logits_of_every_node_from_an_incidence_or_an_index(name):
    made, model = make(7, 5, 18), uneven(MODELS[name]())
    x = torch.randn(7, CHANNELS).double()
    out = model(x, made, **given(name, made))
    assert out.shape == (7, CLASSES)
    index = made.hyperedge_index()
    again = model(x, index, num_hyperedges=made.num_hyperedges, **given(name, made))
    torch.testing.assert_close(again, out, rtol=0, atol=0)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert torch.equal(model(x, made, **given(name, made)), out)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    twin = uneven(MODELS[name]())
    twin.reset_parameters()
    assert not torch.equal(twin.double().eval()(x, made, **given(name, made)), out)
    twin.load_state_dict(before)
    assert torch.equal(twin(x, made, **given(name, made)), out)


@pytest.mark.parametrize("name", MODELS)
def test_renumbering_moves_the_output_and_nothing_else(name):
    made, model = make(9, 6, 22), uneven(MODELS[name]())
    x, types = torch.randn(9, CHANNELS).double(), given(name, made)
    nodes, edges = torch.randperm(9), torch.randperm(6)
    index = made.hyperedge_index()
    moved = torch.stack([nodes.argsort()[index[0]], edges.argsort()[index[1]]])
    others = {key: part[edges] for key, part in types.items()}
    out = model(x[nodes], moved, num_hyperedges=6, **others)
    torch.testing.assert_close(out, model(x, made, **types)[nodes], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_learns_and_the_extremes_are_finite(name):
    made, model = make(9, 6, 22), uneven(MODELS[name]())
    model.train()
    model(torch.randn(9, CHANNELS).double(), made, **given(name, made)).square().sum().backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert (parameter.grad != 0).any(), key
    model.eval()
    for small in (Incidence.from_lists([[0]]), make(3, 2, 0)):
        x = torch.full((small.num_nodes, CHANNELS), 1e6).double()
        assert model(x, small, **given(name, small)).isfinite().all()


def test_the_transformer_is_its_layers_between_two_maps():
    made, model = make(7, 5, 18), uneven(MODELS["typed"]())
    x = torch.randn(7, CHANNELS, dtype=torch.double, requires_grad=True)
    types = given("typed", made)["hyperedge_type"]
    (layer,) = model.layers
    own = torch.cat([types, torch.full((7,), TYPES)])
    h = torch.relu(x @ model.lin_in.weight.t() + model.lin_in.bias)
    h, _ = transformer_conv(parameters(layer), {}, h, looped(made), layer.seed[own], heads=2)
    expected = h @ model.lin_out.weight.t() + model.lin_out.bias
    same(model(x, made, hyperedge_type=types), expected, [x, *model.parameters()])


def test_allset_is_its_layers_and_an_mlp():
    made, model = make(7, 5, 18), uneven(MODELS["allset"]())
    x = torch.randn(7, CHANNELS, dtype=torch.double, requires_grad=True)
    h = x
    for layer in model.layers:
        h, _ = allset_transformer(parameters(layer), h, looped(made), heads=2)
    same(model(x, made), model.classifier(h), [x, *model.parameters()])


def test_edhnn_repeats_one_layer_with_restart():
    made, model = make(7, 5, 18), uneven(MODELS["edhnn"]())
    x = torch.randn(7, CHANNELS, dtype=torch.double, requires_grad=True)
    p = parameters(model.layer)
    p["mlp2.0.weight"] = torch.cat([p["lin_node.weight"], p["lin_hyperedge.weight"]], dim=1)
    p["mlp2.0.bias"] = p["lin_node.bias"]
    p["mlp2.2.weight"], p["mlp2.2.bias"] = p["lin_message.weight"], p["lin_message.bias"]
    first = h = torch.relu(x @ model.lin_in.weight.t() + model.lin_in.bias)
    for _ in range(3):
        h = torch.relu(edhnn(p, h, first, looped(made), aggr="mean", alpha=0.5))
    same(model(x, made), model.classifier(h), [x, *model.parameters()])


def test_hcha_is_the_rule_of_the_paper():
    made, model = make(7, 5, 18), uneven(MODELS["hcha"]())
    x = torch.randn(7, CHANNELS, dtype=torch.double)
    matrix = looped(made).double()
    degree, size = matrix.sum(1), matrix.sum(0).clamp(min=1)
    mean = (matrix / degree[:, None]) @ (matrix / size).t()
    h = x
    for number, layer in enumerate(model.layers):
        h = torch.relu(h) if number else h
        h = mean @ (h @ layer.lin.weight.t()) + layer.bias
    torch.testing.assert_close(model(x, made), h, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", NO_BATCH)
def test_a_node_feels_only_what_its_layers_reach(name):
    chain = Incidence.from_lists([[i, i + 1] for i in range(9)])
    model, x = uneven(MODELS[name]()), torch.randn(10, CHANNELS).double()
    changed = x.clone()
    changed[0] += 1.0
    types = given(name, chain)
    felt = (model(changed, chain, **types) != model(x, chain, **types)).any(1)
    reach = getattr(model, "num_layers")  # noqa: B009 - the attribute is what is tested
    assert felt[: reach + 1].all()
    assert not felt[reach + 1 :].any()


@pytest.mark.parametrize(
    ("make_model", "words"),
    [
        (lambda: HypergraphTransformer(4, 10, 2, heads=4), "heads=4, hidden_channels=10"),
        (lambda: HypergraphTransformer(4, 8, 2, num_layers=0), "num_layers must be at least 1"),
        (lambda: HypergraphTransformer(4, 8, 2, norm="group"), "norm must be one of batch, layer"),
        (lambda: AllSetTransformer(4, 10, 2, heads=4), "heads must divide hidden_channels"),
        (lambda: AllSetTransformer(4, 8, 2, classifier_layers=0), "classifier_layers must be at"),
        (lambda: EDHNN(4, 8, 2, num_layers=0), "num_layers must be at least 1"),
        (lambda: EDHNN(4, 8, 2, alpha=2.0), "alpha is a share"),
        (lambda: HCHA(4, 8, 2, num_layers=0), "num_layers must be at least 1"),
    ],
)
def test_wrong_options(make_model, words):
    with pytest.raises(ValueError, match=words):
        make_model()


def test_types_must_be_given_where_there_are_some():
    made, x = make(7, 5, 18), torch.randn(7, CHANNELS).double()
    with pytest.raises(ValueError, match="exactly when num_types is: got none"):
        uneven(MODELS["typed"]())(x, made)
    with pytest.raises(ValueError, match="exactly when num_types is: got some"):
        uneven(MODELS["transformer"]())(x, made, hyperedge_type=torch.zeros(5).long())
    with pytest.raises(ValueError, match=r"hyperedge_type must be in \[0, 2\): got 2"):
        uneven(MODELS["typed"]())(x, made, hyperedge_type=torch.full((5,), 2))


def test_a_classifier_of_three_maps():
    assert [type(part).__name__ for part in classifier(4, 2, num_layers=2, dropout=0.1)] == [
        *("Linear", "ReLU", "LayerNorm", "Dropout", "Linear"),
    ]
