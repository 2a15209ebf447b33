"""Batches: what is in them, and that workers, sizes and order change no bit of them."""

import dataclasses
import functools
import inspect
import threading

import numpy as np
import pytest
import torch

from graphattn.graph import CSRGraph
from graphattn.ops.neighborhood import sample_neighborhood
from graphattn.sampling.bottom_k import BottomKSampler
from graphattn.sampling.loader import TokenBatch, TokenLoader
from graphattn.sampling.store import TokenStore


@pytest.fixture(scope="module")
def store():
    generator = np.random.default_rng(0)
    graph = CSRGraph.from_edge_index(generator.integers(200, size=(2, 800)), 200)
    x = torch.from_numpy(generator.standard_normal((200, 4))).float()
    return TokenStore.in_memory(graph, x, num_own_hops=2, pe=torch.randn(200, 3))


OPTIONS = {"num_samples": 6, "batch_size": 32, "seed": 5}


def same(one, two):
    parts = [(getattr(one, f.name), getattr(two, f.name)) for f in dataclasses.fields(one)]
    return all((a is None and b is None) or torch.equal(a, b) for a, b in parts)


@pytest.mark.parametrize(
    ("sampler", "pool"),
    [(BottomKSampler(), None), (sample_neighborhood, None), (sample_neighborhood, "set")],
)
def test_holds_what_store_and_sampler_say(store, sampler, pool):
    seeds, y = torch.arange(0, 200, 2), torch.arange(200) % 7
    loader = TokenLoader(store, seeds, y=y, sampler=sampler, pool=pool, **OPTIONS)
    batches = list(loader)
    assert len(batches) == len(loader) == 4
    assert torch.equal(torch.cat([batch.seeds for batch in batches]), seeds)
    for batch in batches:
        options = {} if pool is None else {"pool": pool}
        tokens = sampler(store.graph, batch.seeds, 6, seed=5, epoch=0, **options)
        assert torch.equal(batch.mask, tokens.mask)
        assert torch.equal(batch.hop, tokens.hop)
        assert torch.equal(batch.rows[batch.ids], store.features[tokens.ids])
        assert torch.equal(batch.own, store.own[batch.seeds])
        assert torch.equal(batch.pe, store.pe[batch.seeds])
        assert torch.equal(batch.y, y[batch.seeds])
        assert len(batch.rows) == len(tokens.ids.unique())  # each distinct node once


@pytest.mark.parametrize("num_workers", [1, 2, 3])
def test_workers_change_no_bit(store, num_workers):
    for epoch in (0, 3):
        loaders = [
            TokenLoader(store, torch.arange(200), shuffle=True, num_workers=n, **OPTIONS)
            for n in (0, num_workers)
        ]
        for loader in loaders:
            loader.set_epoch(epoch)
        assert all(same(a, b) for a, b in zip(*loaders, strict=True))


def test_folder_and_memory_give_the_same_batches(store, tmp_path):
    folder = TokenStore.build(
        tmp_path / "s",
        store.graph,
        store.features[:, 0],
        num_own_hops=2,
        pe=store.pe,
        shard_rows=33,
        progress=False,
    )
    loaders = [TokenLoader(s, torch.arange(200), shuffle=True, **OPTIONS) for s in (store, folder)]
    assert all(same(a, b) for a, b in zip(*loaders, strict=True))


def test_the_fastest_sampler_is_the_default(store):
    assert TokenLoader(store, torch.arange(3), **OPTIONS).sampler == BottomKSampler()


@pytest.mark.parametrize(
    ("sampler", "resample"),
    [(BottomKSampler(share=1), True), (BottomKSampler(), False), (sample_neighborhood, True)],
)
def test_batch_size_changes_no_seed(store, sampler, resample):
    def tokens(batch_size):
        options = {**OPTIONS, "batch_size": batch_size, "sampler": sampler, "resample": resample}
        loader = TokenLoader(store, torch.arange(200), **options)
        return torch.cat([batch.rows[batch.ids] for batch in loader])

    assert torch.equal(tokens(1), tokens(200))
    assert torch.equal(tokens(7), tokens(200))


def drawn(loader, epoch):
    loader.set_epoch(epoch)
    return torch.cat([batch.rows[batch.ids][:, :, 0] for batch in loader])


@pytest.mark.parametrize("sampler", [BottomKSampler(share=1), sample_neighborhood])
def test_epochs_draw_anew_or_not(store, sampler):
    fresh = TokenLoader(store, torch.arange(200), sampler=sampler, **OPTIONS)
    fixed = TokenLoader(store, torch.arange(200), sampler=sampler, resample=False, **OPTIONS)
    assert not torch.equal(drawn(fresh, 0), drawn(fresh, 1))
    assert torch.equal(drawn(fresh, 1), drawn(fresh, 1))
    assert torch.equal(drawn(fixed, 0), drawn(fixed, 1))
    assert torch.equal(drawn(fixed, 9), drawn(fresh, 0))


def test_order_depends_on_seed_and_epoch_only(store):
    def order(epoch, **options):
        loader = TokenLoader(store, torch.arange(200), shuffle=True, **{**OPTIONS, **options})
        loader.set_epoch(epoch)
        return torch.cat([batch.seeds for batch in loader])

    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = order(0)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(first.sort().values, torch.arange(200))
    assert torch.equal(first, order(0, batch_size=11, num_samples=3))
    assert not torch.equal(first, order(1))
    assert not torch.equal(first, order(0, seed=-6))


def test_a_pass_keeps_the_epoch_it_began_with(store):
    loader = TokenLoader(store, torch.arange(200), shuffle=True, **OPTIONS)
    running = iter(loader)
    first = next(running)
    loader.set_epoch(1)
    rest = [first, *running]
    assert torch.equal(torch.cat([b.seeds for b in rest]).sort().values, torch.arange(200))


def test_left_early_no_thread_stays(store):
    before = threading.active_count()
    for _ in TokenLoader(store, torch.arange(200), num_workers=2, **OPTIONS):
        break
    assert threading.active_count() == before


def test_error_in_a_worker_reaches_the_caller(store):
    def failing(graph, seeds, num_samples, **options):
        raise RuntimeError("no luck")

    loader = TokenLoader(store, torch.arange(200), sampler=failing, num_workers=2, **OPTIONS)
    with pytest.raises(RuntimeError, match="no luck"):
        list(loader)


def test_any_sampler_and_direction(store):
    told = []

    def sampler(graph, seeds, num_samples, **options):
        told.append(options)
        return sample_neighborhood(graph, seeds, num_samples, **options)

    both = TokenStore.in_memory(store.graph, torch.eye(200), direction="both")
    batch = next(iter(TokenLoader(both, torch.arange(9), sampler=sampler, pool="set", **OPTIONS)))
    wanted = {"num_hops": 2, "pool": "set", "direction": "both", "seed": 5, "epoch": 0}
    assert told == [wanted]
    tokens = functools.partial(sample_neighborhood, store.graph, torch.arange(9), 6)(**wanted)
    assert torch.equal(batch.hop, tokens.hop)
    assert batch.hop.max() > 2


def test_batch_of_one_and_no_seeds(store):
    (batch,) = TokenLoader(store, torch.tensor([7]), **OPTIONS)
    assert batch.ids.shape == (1, 6)
    assert batch.y is None
    for workers in (0, 2):
        loader = TokenLoader(store, torch.zeros(0).long(), num_workers=workers, **OPTIONS)
        assert list(loader) == []
        assert len(loader) == 0


def test_batch_moves_whole(store):
    (batch,) = TokenLoader(store, torch.tensor([7]), **OPTIONS)
    moved = batch.to("meta")
    assert isinstance(moved, TokenBatch)
    assert {part.device.type for part in vars(moved).values() if part is not None} == {"meta"}
    assert same(batch.to(torch.device("cpu")), batch)


def test_seed_of_a_numpy_type(unchecked, store):
    for seed in (-1, 7):
        ours, theirs = (
            TokenLoader(store, torch.arange(50), shuffle=True, **OPTIONS | {"seed": number})
            for number in (seed, np.int64(seed))
        )
        assert all(same(one, two) for one, two in zip(ours, theirs, strict=True))


def test_only_what_leaves_the_cpu_is_copied_behind_its_back(store, monkeypatch):
    (batch,) = TokenLoader(store, torch.tensor([7]), **OPTIONS)
    asked = []
    real = torch.Tensor.to

    def spy(self, device, *, non_blocking):
        asked.append(non_blocking)
        return real(self, device, non_blocking=non_blocking)

    monkeypatch.setattr(torch.Tensor, "to", spy)
    batch.to("cpu")
    batch.to("meta")
    assert asked == [False] * (len(asked) // 2) + [True] * (len(asked) // 2)


def test_batches_kept_are_not_written_over(store):
    loader = TokenLoader(store, torch.arange(200), num_workers=1, **OPTIONS)
    kept = list(loader)
    copies = [batch.rows.clone() for batch in kept]
    for _ in loader:
        pass
    assert all(torch.equal(batch.rows, copy) for batch, copy in zip(kept, copies, strict=True))


def test_memory_of_a_batch_serves_the_next(store):
    loader = TokenLoader(store, torch.arange(200), **OPTIONS)
    where = set()
    for batch in loader:
        where.add(batch.rows.data_ptr())
        del batch
    assert len(where) <= 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_seeds_and_labels_of_a_gpu(store):
    seeds, y = torch.arange(50), torch.arange(200) % 7
    ours = TokenLoader(store, seeds, y=y, shuffle=True, **OPTIONS)
    theirs = TokenLoader(store, seeds.cuda(), y=y.cuda(), shuffle=True, **OPTIONS)
    for one, two in zip(ours, theirs, strict=True):
        assert same(one, two)
        assert same(two.to("cuda").to("cpu"), one)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_samples": 0}, "num_samples must be at least 1: got num_samples=0"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"num_workers": -1}, "num_workers must be at least 0"),
        ({"seeds": torch.tensor([0, 200, -4])}, r"from 0 to 199: got \[200, -4\], 2 such seeds"),
        ({"y": torch.zeros(3)}, "y must have one row for each of the 200 nodes: got 3"),
    ],
)
def test_errors(store, options, words):
    options = {"seeds": torch.arange(3), **OPTIONS, **options}
    with pytest.raises(ValueError, match=words):
        TokenLoader(store, options.pop("seeds"), **options)


def test_options_are_keywords():
    parameters = inspect.signature(TokenLoader).parameters
    positional = [n for n, p in parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert positional == ["store", "seeds"]
