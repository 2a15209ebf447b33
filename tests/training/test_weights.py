"""Weights of others: whatever the bytes, tensors or a refusal, and nothing is run."""

import os
import pickle

import numpy as np
import pytest
import safetensors.torch
import torch

from graphattn.training.errors import CorruptCheckpoint
from graphattn.training.weights import read_weights, state_of


def test_both_formats_and_both_wrappings(tmp_path):
    weights = {"weight": torch.arange(6.0).view(2, 3)}
    safetensors.torch.save_file(weights, tmp_path / "a.safetensors")
    torch.save(weights, tmp_path / "b.pt")
    torch.save({"model_state_dict": weights, "lr": 0.1}, tmp_path / "c.pth")
    for name in ("a.safetensors", "b.pt", "c.pth"):
        assert torch.equal(read_weights(tmp_path / name)["weight"], weights["weight"])
    with pytest.raises(ValueError, match="got nothing"):
        torch.save({}, tmp_path / "d.pt")
        read_weights(tmp_path / "d.pt")
    with pytest.raises(CorruptCheckpoint, match=r"must hold a dictionary: got list"):
        torch.save([1], tmp_path / "e.pt")
        read_weights(tmp_path / "e.pt")


class _Hostile:
    def __reduce__(self):
        return os.mkdir, ("hacked",)


def test_random_and_damaged_bytes_are_refused_as_corrupt(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    torch.save({"weight": torch.ones(3)}, "a.pt")
    whole = (tmp_path / "a.pt").read_bytes()
    plain = pickle.dumps({"weight": [1, 2, {"a": _Hostile()}]})
    refused = 0
    for _ in range(150):
        content = bytearray(whole if generator.random() < 0.5 else plain)
        for at in generator.integers(0, len(content), 4):
            content[at] = generator.integers(256)
        cut = bytes(content[: generator.integers(len(content) + 1)])
        for damaged in (cut, generator.bytes(40)):
            try:
                state_of(tmp_path / "a.pt", damaged)
            except CorruptCheckpoint:
                refused += 1
    assert refused > 250
    assert not (tmp_path / "hacked").exists()
