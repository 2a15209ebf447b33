"""The adapter on disk, alone and beside LoRA; what cannot be loaded is refused."""

import json

import pytest
import torch
from tiny_transformers import SMALL, attach, logits, make_model, make_words

from graphattn.adapters import SparseGINAdapter, SparseGINConfig


@pytest.mark.parametrize("name", ["llama", "gpt2", "bert", "gemma2"])
def test_saved_and_loaded_it_is_the_same_bit_by_bit(name, tmp_path):
    adapter, words = attach(make_model(name), num_layers=2, layers=(1,)), make_words()
    expected = logits(adapter.model, words)
    adapter.save_pretrained(tmp_path / "a")
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    options = json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    assert options["peft_type"] == "SPARSE_GIN"
    other = SparseGINAdapter.from_pretrained(make_model(name), tmp_path / "a")
    assert other.config == adapter.config
    assert torch.equal(logits(other.model, words), expected)


def test_what_cannot_be_loaded_is_refused_and_leaves_the_model_alone(tmp_path):
    attach(make_model("llama")).save_pretrained(tmp_path)
    model = make_model("gpt2")
    before = list(model.state_dict())
    with pytest.raises(ValueError, match="must hold the weights of an adapter of this model"):
        SparseGINAdapter.from_pretrained(model, tmp_path)
    assert list(model.state_dict()) == before
    path = tmp_path / "adapter_config.json"
    options = json.loads(path.read_text())
    for changed, words in (
        ({**options, "color": 1}, "options of SparseGINConfig must be some of .*: got color"),
        ({**options, "peft_type": "LORA"}, "must have peft_type SPARSE_GIN: got 'LORA'"),
        ({**options, "cutoff": 2.0}, r"cutoff must be in \[0, 1\)"),
    ):
        path.write_text(json.dumps(changed))
        with pytest.raises(ValueError, match=words):
            SparseGINAdapter.from_pretrained(make_model("llama"), tmp_path)
    path.write_text("{")
    with pytest.raises(ValueError, match="must be JSON"):
        SparseGINAdapter.from_pretrained(make_model("llama"), tmp_path)
    path.write_text(json.dumps(options))
    (tmp_path / "adapter_model.safetensors").write_bytes(b"torn")
    with pytest.raises(ValueError, match="must be a safetensors file"):
        SparseGINAdapter.from_pretrained(make_model("llama"), tmp_path)
    with pytest.raises(ValueError, match=r"which has no adapter_config\.json"):
        SparseGINAdapter.from_pretrained(make_model("llama"), tmp_path / "none")


@pytest.mark.parametrize("name", ["llama", "bert"])
def test_beside_lora_both_train_and_both_are_saved(name, tmp_path):
    peft = pytest.importorskip("peft", reason="needs peft: pip install 'graphattn[hf]'")
    words = make_words()
    targets = ["q_proj", "v_proj"] if name == "llama" else ["query", "value"]
    lora = {"r": 2, "target_modules": targets, "modules_to_save": ["sparse_gin"]}
    adapter = attach(make_model(name), scale=0.1)
    first = logits(adapter.model, words)
    model = peft.get_peft_model(adapter.model, peft.LoraConfig(**lora))
    assert torch.equal(logits(model, words), first)
    before = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.05)
    for _ in range(3):
        optimizer.zero_grad()
        model(words).logits.square().mean().backward()
        optimizer.step()
    for part in ("lora_A", "lora_B", "sparse_gin"):
        moved = [not torch.equal(before[n], p) for n, p in model.named_parameters() if n in before]
        names = [n for n in before if part in n]
        assert names
        assert all(m for n, m in zip(before, moved, strict=True) if part in n)
    expected = logits(model, words)
    assert (expected - first).abs().max() > 1e-3
    model.save_pretrained(tmp_path / "both")
    again = SparseGINAdapter.attach(make_model(name), SparseGINConfig(**SMALL)).model
    loaded = peft.PeftModel.from_pretrained(again, tmp_path / "both")
    torch.testing.assert_close(logits(loaded, words), expected, rtol=0, atol=0)
    adapter.save_pretrained(tmp_path / "gin")
    merged = model.merge_and_unload()
    torch.testing.assert_close(logits(merged, words), expected, rtol=0, atol=2e-5)
    alone = SparseGINAdapter.from_pretrained(make_model(name), tmp_path / "gin")
    for ours, theirs in zip(
        alone.trainable_parameters(), adapter.trainable_parameters(), strict=True
    ):
        assert torch.equal(ours, theirs)
    with pytest.raises(TypeError, match="cannot be merged into weights"):
        adapter.merge()


def test_a_peft_model_is_refused():
    peft = pytest.importorskip("peft", reason="needs peft: pip install 'graphattn[hf]'")
    model = peft.get_peft_model(
        make_model("llama"), peft.LoraConfig(r=2, target_modules=["q_proj"])
    )
    with pytest.raises(ValueError, match="attach\\(\\) must come before get_peft_model"):
        SparseGINAdapter.attach(model)
