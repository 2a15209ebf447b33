"""GINLocalAttention: the seven checks of a layer, its biases, and that it counts."""

import pytest
import torch
from gin_oracle import gin_attention

from graphattn.nn.gin_local_attention import GINLocalAttention

SEEDS, TOKENS, ROWS, CHANNELS, HEADS = 3, 5, 9, 4, 2
OPTIONS = [
    {},
    {"normalize": "sigmoid", "update_norm": None, "num_layers": 2},
    {"num_types": 3, "aggregators": ("sum", "max")},
    {"adjacency": True, "normalize": "sigmoid"},
    {"adjacency": True, "num_types": 3, "num_layers": 2},
]


def make_layer(**options) -> GINLocalAttention:
    torch.manual_seed(0)
    layer = GINLocalAttention(CHANNELS, heads=HEADS, dropout=0.0, **options).double().eval()
    with torch.no_grad():
        for parameter in layer.parameters():  # so that attention is uneven
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return layer


def make_input(layer):
    torch.manual_seed(1)
    x = torch.randn(ROWS, CHANNELS, dtype=torch.double, requires_grad=True)
    index = torch.randint(ROWS, (SEEDS, TOKENS))
    mask = torch.rand(SEEDS, TOKENS) < 0.7
    mask[:, 0] = True
    mask[0, 1:] = False  # a seed with no other token
    given = {"mask": mask}
    if layer.type_embedding is not None:
        given["types"] = torch.randint(3, (SEEDS, TOKENS))
    if layer.adjacency:
        given["relation"] = torch.randint(3, (SEEDS, TOKENS, TOKENS))
    return x, index, given


def by_loops(layer, x, index, *, mask, types=None, relation=None):
    """One seed, one layer, one pair of tokens after the other."""
    p = dict(layer.named_parameters())
    read = []
    for b in range(SEEDS):
        tokens = [layer.lin_residual(layer.lin_in(x[i])) for i in index[b]]
        if types is not None:
            pairs = zip(tokens, types[b], strict=True)
            tokens = [t + p["type_embedding.weight"][kind] for t, kind in pairs]
        alive = [j for j in range(TOKENS) if mask[b, j]]
        for number, norm in enumerate(layer.norms):
            rows = [norm(t) for t in tokens]
            added = []
            for head in range(HEADS):  # the oracle's bias is one for all heads
                column = number * HEADS + head
                incoming = []
                for i in range(TOKENS):
                    entries = []
                    for j in alive:
                        bias = 0.0
                        if types is not None:
                            kind = types[b, i] * 3 + types[b, j]
                            bias = bias + p["type_bias.weight"][kind, column]
                        if relation is not None:
                            bias = bias + p["relation_bias.weight"][relation[b, i, j], column]
                        entries.append((j, bias, 1.0, None))
                    incoming.append(entries)
                own = dict(layer.layers[number].named_parameters())
                out = own.pop("lin_out.weight")
                each = gin_attention(
                    own,
                    rows,
                    rows,
                    incoming,
                    heads=HEADS,
                    normalize=layer.normalize,
                    aggregators=layer.layers[number].options.aggregators,
                )
                part = slice(head * CHANNELS, (head + 1) * CHANNELS)
                added.append(each[:, part] @ out[:, part].t())
            tokens = [t + a for t, a in zip(tokens, sum(added), strict=True)]
        tokens = [layer.norm_out(t) for t in tokens]
        others = alive[1:]
        if others:
            shares = torch.stack([layer.lin_score(tokens[j])[0] for j in others]).softmax(0)
            read.append(tokens[0] + sum(s * tokens[j] for s, j in zip(shares, others, strict=True)))
        else:
            read.append(tokens[0])
    return torch.stack(read)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_equals_loops_in_value_and_gradient(options):
    layer = make_layer(**options)
    x, index, given = make_input(layer)
    ours, theirs = layer(x, index, **given), by_loops(layer, x, index, **given)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)
    inputs = [x, *layer.parameters()]
    weight = torch.randn_like(ours)
    got = torch.autograd.grad((ours * weight).sum(), inputs)
    expected = torch.autograd.grad((theirs * weight).sum(), inputs)
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-9)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_rows_padding_batches_and_state(options):
    layer = make_layer(**options)
    x, index, given = make_input(layer)
    out = layer(x, index, **given)
    order = torch.randperm(ROWS)
    place = order.argsort()
    assert (layer(x[order], place[index], **given) - out).abs().max() < 1e-12
    other = torch.where(given["mask"], index, torch.randint(ROWS, index.shape))
    assert (layer(x, other, **given) - out).abs().max() < 1e-12
    one = {name: value[1:2] for name, value in given.items()}
    assert (layer(x, index[1:2], **one) - out[1]).abs().max() < 1e-12
    assert torch.equal(layer(x, index, **given), out)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    twin = make_layer(**options)
    twin.reset_parameters()
    assert not torch.equal(twin(x, index, **given), out)
    twin.load_state_dict(before)
    assert torch.equal(twin(x, index, **given), out)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_weights_are_shares_and_are_those_of_the_seed(options):
    layer = make_layer(**options)
    x, index, given = make_input(layer)
    *layers, readout = layer.weights(layer.project(x), index, **given)
    assert len(layers) == len(layer.layers)
    for weights in layers:
        assert weights.shape == (SEEDS, HEADS, TOKENS)
        assert (weights.sum(-1) - 1).abs().max() < 1e-12
        assert weights[~given["mask"].unsqueeze(1).expand_as(weights)].abs().sum() == 0
    assert readout[0].sum() == 0 and (readout[1:].sum(-1) - 1).abs().max() < 1e-12


def test_sigmoid_counts_joined_tokens_and_softmax_does_not():
    """A seed beside two and beside three equal joined tokens, all others apart and equal."""
    x = torch.ones(1, CHANNELS, dtype=torch.double)
    index = torch.zeros(1, 6, dtype=torch.long)
    relation = torch.full((2, 6, 6), 2)
    relation[:, 0, 0], relation[0, 0, 1:3], relation[1, 0, 1:4] = 0, 1, 1
    for normalize, update_norm, differs in (("sigmoid", None, True), ("softmax", "rms", False)):
        layer = make_layer(adjacency=True, normalize=normalize, update_norm=update_norm)
        torch.nn.init.normal_(layer.relation_bias.weight)
        two, three = (layer(x, index, relation=r.unsqueeze(0)) for r in relation)
        assert bool((two - three).abs().max() > 1e-3) is differs


def test_wrong_arguments():
    x, index = torch.randn(ROWS, CHANNELS), torch.zeros(2, 3, dtype=torch.long)
    with pytest.raises(ValueError, match="types must be given exactly when num_types > 0: got no"):
        GINLocalAttention(CHANNELS, num_types=2)(x, index)
    with pytest.raises(ValueError, match="relation must be given exactly when adjacency is: got s"):
        GINLocalAttention(CHANNELS)(x, index, relation=torch.zeros(2, 3, 3, dtype=torch.long))
    with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\)"):
        GINLocalAttention(CHANNELS, dropout=1.0)
