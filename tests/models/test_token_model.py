"""TokenModel.inference, by LargeGT: logits as batch by batch, from one projection of all rows."""

import pytest
import torch

from graphattn.graph import CSRGraph
from graphattn.models import token_model
from graphattn.models.largegt import LargeGT
from graphattn.ops.neighborhood import sample_neighborhood
from graphattn.sampling.bottom_k import BottomKSampler
from graphattn.sampling.loader import TokenLoader
from graphattn.sampling.store import TokenStore

NODES, CHANNELS = 60, 6


def make_store(**options) -> TokenStore:
    torch.manual_seed(0)
    graph = CSRGraph.from_edge_index(torch.randint(NODES - 1, (2, 200)), NODES)
    return TokenStore.in_memory(graph, torch.randn(NODES, CHANNELS), **options)


def make_model(**options) -> LargeGT:
    torch.manual_seed(1)
    return LargeGT(CHANNELS, 8, 3, global_channels=4, codebook_size=16, **options)


@pytest.mark.parametrize(
    ("model_options", "store_options"),
    [
        ({}, {}),
        ({"scope": "local"}, {}),
        ({"scope": "global"}, {}),
        ({"hops": "channels", "num_layers": 2}, {}),
        ({"hop_embedding": True, "direction": "both"}, {"direction": "both"}),
        ({"num_own_hops": 3}, {"num_own_hops": 3}),
        ({"pe_channels": 2}, {"pe": torch.rand(NODES, 2)}),
        ({"num_own_hops": 1}, {"num_own_hops": 1, "dtype": "float16"}),
    ],
)
@pytest.mark.parametrize("sampler", [sample_neighborhood, BottomKSampler().independent])
def test_equals_batch_by_batch(monkeypatch, model_options, store_options, sampler):
    monkeypatch.setattr(token_model, "_BLOCK", 16)
    store, model = make_store(**store_options), make_model(**model_options)
    seeds = torch.randperm(NODES)[:37]
    ours = model.inference(store, seeds, sampler, num_samples=7, seed=3, batch_size=10)
    assert model.training  # as it was
    model.eval()
    with torch.no_grad():
        loader = TokenLoader(
            store, seeds, num_samples=7, batch_size=9, seed=3, sampler=sampler, resample=False
        )
        batches = []
        for b in loader:
            own = None if b.own is None else b.own.float()
            batches.append(model(b.rows.float(), b.ids, mask=b.mask, hop=b.hop, own=own, pe=b.pe))
    torch.testing.assert_close(ours, torch.cat(batches), rtol=0, atol=1e-5)


def test_takes_all_nodes_by_default_and_none():
    store, model = make_store(), make_model()
    assert model.inference(store, num_samples=4).shape == (NODES, 3)
    assert model.inference(store, torch.arange(0), num_samples=4).shape == (0, 3)


def test_moves_no_code():
    store, model = make_store(), make_model()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model.inference(store, num_samples=4)
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, before[name]), name


@pytest.mark.parametrize("hops", ["tokens", "channels"])
def test_knows_the_size_of_what_it_projects(hops):
    store, model = make_store(), make_model(hops=hops)
    tables = model.project(store.features)
    assert tables is not None
    size = sum(table.numel() * table.element_size() for table in tables)
    assert size == NODES * model.projected_bytes()
