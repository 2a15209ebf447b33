"""Extracted rows: the batches of the plain loader, whatever happened while they were written."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from graphattn.experiment import run_experiment
from graphattn.files import write_array
from graphattn.graph import CSRGraph
from graphattn.parsing import parse_run
from graphattn.sampling.extract import ExtractedTokens, extract_tokens
from graphattn.sampling.loader import TokenLoader
from graphattn.sampling.store import TokenStore

SEEDS = torch.arange(0, 200, 3)
OPTIONS: dict[str, Any] = {"num_samples": 7, "seed": 3}


def _store(seed: int = 0, **options: Any) -> TokenStore:
    random = torch.Generator().manual_seed(seed)
    edges = torch.randint(0, 200, (2, 1500), generator=random)
    graph = CSRGraph.from_edge_index(edges, num_nodes=200)
    return TokenStore.in_memory(graph, torch.randn(200, 5, generator=random), **options)


def _assert_equal(store: TokenStore, extracted: ExtractedTokens) -> None:
    options: dict[str, Any] = {**OPTIONS, "batch_size": 16, "shuffle": True, "resample": False}
    plain = TokenLoader(store, SEEDS, y=torch.arange(200), **options)
    quick = TokenLoader(store, SEEDS, y=torch.arange(200), extracted=extracted, **options)
    for epoch in (0, 1):
        plain.set_epoch(epoch)
        quick.set_epoch(epoch)
        for a, b in zip(plain, quick, strict=True):
            for field in fields(a):
                x, y = getattr(a, field.name), getattr(b, field.name)
                assert (x is None) == (y is None)
                assert x is None or (x.dtype == y.dtype and torch.equal(x, y))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("own", [0, 2])
def test_batches_have_the_bits_of_the_plain_loader(tmp_path: Path, dtype: Any, own: int) -> None:
    store = _store(dtype=dtype, num_own_hops=own, pe=torch.randn(200, 2) if own else None)
    extracted = extract_tokens(tmp_path / "e", store, SEEDS, memory=20_000, **OPTIONS)
    assert len(list((tmp_path / "e").glob("rows-*.npy"))) > 2
    _assert_equal(store, extracted)


def test_another_store_or_draw_is_refused(tmp_path: Path) -> None:
    extracted = extract_tokens(tmp_path / "e", _store(), SEEDS, **OPTIONS)
    with pytest.raises(ValueError, match="store"):
        extract_tokens(tmp_path / "e", _store(1), SEEDS, **OPTIONS)
    with pytest.raises(ValueError, match="seed: 3, asked 4"):
        extract_tokens(tmp_path / "e", _store(), SEEDS, num_samples=7, seed=4)
    options: dict[str, Any] = {"batch_size": 4, "extracted": extracted}
    with pytest.raises(ValueError, match="num_samples: 7, asked 6"):
        TokenLoader(_store(), SEEDS, num_samples=6, seed=3, resample=False, **options)
    with pytest.raises(ValueError, match="resample=True"):
        TokenLoader(_store(), SEEDS, **OPTIONS, **options)
    loader = TokenLoader(_store(), torch.tensor([1]), resample=False, **OPTIONS, **options)
    with pytest.raises(ValueError, match=r"got \[1\]"):
        list(loader)


def test_a_damaged_shard_alone_is_made_again(tmp_path: Path) -> None:
    store, folder = _store(), tmp_path / "e"
    extract_tokens(folder, store, SEEDS, memory=20_000, **OPTIONS)
    before = {file.name: file.stat().st_ino for file in folder.glob("*.npy")}
    raw = bytearray((folder / "rows-00001.npy").read_bytes())
    raw[-1] ^= 1
    (folder / "rows-00001.npy").write_bytes(raw)
    _assert_equal(store, extract_tokens(folder, store, SEEDS, **OPTIONS))
    after = {file.name: file.stat().st_ino for file in folder.glob("*.npy")}
    assert all(before[name] == after[name] for name in before if "-00001" not in name)


def test_goes_on_after_a_stop_at_any_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, real = _store(), write_array
    for stop in (1, 4, 6):
        left = [stop]

        def write(*args: Any, left: list[int] = left) -> None:
            left[0] -= 1
            if not left[0]:
                raise KeyboardInterrupt
            real(*args)

        folder = tmp_path / str(stop)
        with monkeypatch.context() as patch:
            patch.setattr("graphattn.sampling.extract.write_array", write)
            with pytest.raises(KeyboardInterrupt):
                extract_tokens(folder, store, SEEDS, memory=20_000, **OPTIONS)
        _assert_equal(store, extract_tokens(folder, store, SEEDS, **OPTIONS))


def test_a_run_on_extracted_rows_ends_in_the_same_weights(tmp_path: Path) -> None:
    command = ["--data.name", "karate", "--train.epochs", "3", "--train.batch_size", "5"]
    command += ["--tokens.resample", "false", "--model.hidden_channels", "8"]
    kept = ["--tokens.store", str(tmp_path / "store")]
    results = [
        run_experiment(parse_run([*command, *more, "--out", str(tmp_path / name)]))
        for name, more in (("plain", []), ("rows", [*kept, "--tokens.extract", "true"]))
    ]
    assert list((tmp_path / "store-rows" / "seed0").glob("rows-*.npy"))
    one, two = (
        load_file(tmp_path / name / "split0-seed0" / "last" / "weights.safetensors")
        for name in ("plain", "rows")
    )
    assert all(one[key].equal(two[key]) for key in one)
    assert results[0].fits[0].test == results[1].fits[0].test
    again = [*command, *kept, "--tokens.extract", "true", "--tokens.resample", "true"]
    with pytest.raises(ValueError, match=r"tokens.extract needs tokens.resample false"):
        run_experiment(parse_run([*again, "--out", str(tmp_path / "anew")]))
    with pytest.raises(ValueError, match=r"tokens.extract needs tokens.store"):
        parse_run([*command, "--tokens.extract", "true"])
