"""NeighborhoodEncoder: own hops and hop embeddings against loops; the rest through LargeGT."""

import pytest
import torch
from oracles import local_attention, under

from graphattn.nn import NeighborhoodEncoder

ROWS, CONTEXTS, CHANNELS, HIDDEN, SEEDS, TOKENS, OWN = 7, 3, 4, 5, 3, 4, 2


def make(**options) -> NeighborhoodEncoder:
    torch.manual_seed(0)
    encoder = NeighborhoodEncoder(CHANNELS, HIDDEN, CONTEXTS, **options).double().eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return encoder


def make_batch():
    mask = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 1]]).bool()
    ids, hop = torch.randint(ROWS, (SEEDS, TOKENS)), torch.randint(CONTEXTS, (SEEDS, TOKENS))
    rows = torch.randn(ROWS, CONTEXTS, CHANNELS, dtype=torch.double)
    return rows, ids, mask, hop, torch.randn(SEEDS, OWN + 1, CHANNELS, dtype=torch.double)


@pytest.mark.parametrize("hops", ["tokens", "channels"])
@pytest.mark.parametrize("hop_embedding", [False, True])
def test_own_hops_join_the_tokens_with_kinds_of_their_own(hops, hop_embedding):
    encoder = make(hops=hops, hop_embedding=hop_embedding, num_own_hops=OWN)
    rows, ids, mask, hop, own = make_batch()
    split = CONTEXTS if hops == "tokens" else 1
    flat = rows.reshape(ROWS * split, -1)
    own_tokens, summary = encoder.own_hops(own)
    table = torch.cat([encoder.lin_rows(flat), own_tokens.flatten(0, 1)])
    index, types, wide = [], [], []
    for s in range(SEEDS):
        pairs = [(t, c) for t in range(TOKENS) for c in range(split)]
        own_rows = [flat.size(0) + s * (OWN + 1) + i for i in range(OWN + 1)]
        index.append([int(ids[s, t]) * split + c for t, c in pairs] + own_rows)
        first = CONTEXTS * split if hop_embedding else 1
        kinds = [int(hop[s, t]) * split + c if hop_embedding else 0 for t, c in pairs]
        types.append(kinds + [first + i for i in range(OWN + 1)])
        wide.append([bool(mask[s, t]) for t, _ in pairs] + [True] * (OWN + 1))
    loops = local_attention(
        under(dict(encoder.named_parameters()), "attention."),
        table, torch.tensor(index), torch.tensor(wide), heads=2, types=torch.tensor(types),
    )  # fmt: skip
    ours = encoder.attend(encoder.project(rows), ids, mask=mask, hop=hop, own=own)
    expected = torch.cat([loops, summary], dim=1)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-10)


def test_every_parameter_receives_a_gradient_and_is_drawn_anew():
    encoder = make(num_own_hops=OWN, hop_embedding=True)
    rows, ids, mask, hop, own = make_batch()
    encoder.attend(
        encoder.project(rows), ids, mask=mask, hop=hop, own=own
    ).square().sum().backward()
    before = {name: p.clone() for name, p in encoder.named_parameters()}
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())
    encoder.reset_parameters()
    weights = [n for n, p in encoder.named_parameters() if torch.equal(p, before[n])]
    assert weights == []


def test_errors_say_what_would_be_right():
    rows, ids, *_ = make_batch()
    encoder = make(hop_embedding=True)
    with pytest.raises(ValueError, match="hop must be given: hop_embedding=True"):
        encoder.attend(encoder.project(rows), ids)
    encoder = make(num_own_hops=OWN)
    with pytest.raises(ValueError, match="own must hold 3 hops of each seed"):
        encoder.attend(encoder.project(rows), ids)
