"""SparseGINAdapter in tiny random models: identity, messages, causality, padding, checkpoints."""

import ast
import copy
import itertools
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_transformers import (
    CAUSAL,
    ENCODERS,
    LENGTH,
    SMALL,
    attach,
    logits,
    make_model,
    make_words,
    padded,
    turn_on,
)
from transformers import LlamaConfig, LlamaForCausalLM

from graphattn import adapters
from graphattn.adapters import SparseGINAdapter, SparseGINConfig
from graphattn.adapters import attention_backend as backend


@pytest.mark.parametrize("name", [*CAUSAL, *ENCODERS])
def test_identity_at_the_start_and_after_detach(name):
    for attention in ("eager",) if name == "gemma2" else ("sdpa", "eager"):
        model, words, mask = make_model(name, attention), make_words(), padded()
        keys, before = list(model.state_dict()), logits(model, words, mask)
        adapter = SparseGINAdapter.attach(model, SparseGINConfig(**SMALL))
        assert torch.equal(logits(model, words, mask), before)
        assert [key for key in model.state_dict() if ".sparse_gin." not in key] == keys
        trained = {id(p) for p in model.parameters() if p.requires_grad}
        assert trained == {id(p) for p in adapter.trainable_parameters()}
        assert not any(module.training for module in model.modules())
        changed = logits(turn_on(adapter).model, words, mask)
        assert (changed - before)[mask.bool()].abs().max() > 1e-3
        with adapter.disabled():
            assert torch.equal(logits(model, words, mask), before)
        assert torch.equal(logits(model, words, mask), changed)
        adapter.detach()
        assert torch.equal(logits(model, words, mask), before)
        assert list(model.state_dict()) == keys
        assert model.config._attn_implementation == attention
        assert all(p.requires_grad for p in model.parameters())
        for module in model.modules():
            assert not module._forward_hooks
            assert not module._forward_pre_hooks
            assert not hasattr(module, backend.READER)


@pytest.mark.parametrize("name", CAUSAL)
def test_the_future_has_no_say(name):
    model = attach(make_model(name), cutoff=0.0).model  # an edge wherever the model may look
    words = make_words()
    changed = words.clone()
    changed[:, 8] = (changed[:, 8] - 3 + 1) % 37 + 3
    before, after = logits(model, words), logits(model, changed)
    assert torch.equal(before[:, :8], after[:, :8])
    assert not torch.equal(before[:, 8:], after[:, 8:])


@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_mix_both_ways_unless_causal_is_asked_for(name):
    words = make_words()
    for causal in ("auto", True):
        adapter = attach(make_model(name), causal=causal)
        with adapter.recording():
            logits(adapter.model, words)
        _, target, source = adapter.edges(0).ends
        assert (source < target).any()
        assert (source > target).any() == (causal == "auto")


def test_messages_flow_between_tokens_and_not_through_self_loops():
    words = make_words(batch=1)
    for adjacency, flows in (("attention", True), ("diagonal", False), ("shuffled", True)):
        adapter = attach(make_model("llama"), adjacency=adjacency, cutoff=0.0)
        kept = {}
        module = adapter.layers[0].trained()
        handle = module.register_forward_pre_hook(lambda _, args, kept=kept: kept.update(at=args))
        logits(adapter.model, words)
        handle.remove()
        u, graph, rounds = kept["at"]
        assert (graph[0, 0, LENGTH - 1, 0] > 0) == flows
        changed = u.clone()
        changed[:, 0] += 1.0
        with torch.no_grad():
            moved = module(changed, graph)[0, -1] - module(u, graph)[0, -1]
        assert bool(moved.abs().max() > 1e-3) == flows
        assert rounds is None or len(rounds) == 1


def test_it_acts_on_the_residual_between_attention_and_feed_forward():
    adapter = attach(make_model("llama"), backend="eager")
    layer, kept = adapter.model.model.layers[0], {}
    layer.register_forward_pre_hook(lambda _, args: kept.update(h=args[0]))
    layer.register_forward_hook(lambda _, args, out: kept.update(out=out))
    layer.sparse_gin.register_forward_hook(
        lambda _, args, delta: kept.update(u=args[0], delta=delta)
    )
    layer.self_attn.o_proj.register_forward_hook(lambda _, args, out: kept.update(attention=out))
    logits(adapter.model, make_words())
    torch.testing.assert_close(kept["u"], kept["h"] + kept["attention"], rtol=0, atol=1e-6)
    after = kept["u"] + kept["delta"]
    with torch.no_grad():
        expected = after + layer.mlp(layer.post_attention_layernorm(after))
    torch.testing.assert_close(kept["out"], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "side"),
    [
        *itertools.product(("llama", "qwen3", "gpt2", "gemma3"), ("left", "right")),
        *itertools.product(("bert", "modernbert"), ("right",)),  # their positions are absolute
    ],
)
def test_padding_has_no_say(name, side):
    model, words, mask = attach(make_model(name), cutoff=0.0).model, make_words(), padded(side)
    place = {"position_ids": (mask.cumsum(1) - 1).clamp(min=0)} if name in CAUSAL else {}
    out = logits(model, words, mask, **place)
    changed = torch.where(mask.bool(), words, 39 - words % 30)
    assert torch.equal(logits(model, changed, mask, **place)[mask.bool()], out[mask.bool()])
    alone = logits(model, words[:1, mask[0].bool()])
    torch.testing.assert_close(out[0, mask[0].bool()], alone[0], rtol=0, atol=2e-5)


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("name", ["llama", "gpt2", "bert", "gemma3"])
def test_gradient_checkpoints_change_no_gradient(name, reentrant):
    found = []
    for checkpointed in (False, True):
        model = make_model(name).train()
        adapter = attach(model)
        if checkpointed:
            name = "activation_checkpointing_enable"  # as transformers 5.20 and later call it
            enable = getattr(model, name, None) or model.gradient_checkpointing_enable
            enable({"use_reentrant": reentrant})
        model.enable_input_require_grads()
        torch.manual_seed(0)
        model(make_words(), use_cache=False).logits.square().mean().backward()
        found.append([p.grad for p in adapter.trainable_parameters()])
        assert all(p.grad is None for n, p in model.named_parameters() if "sparse_gin" not in n)
    for plain, again in zip(*found, strict=True):
        assert torch.equal(plain, again)
    assert all(grad.abs().sum() > 0 for grad in found[0])


def test_edges_and_density_are_those_of_the_recorded_pass():
    adapter = attach(make_model("llama"), layers=(1,), cutoff=0.0)
    with pytest.raises(RuntimeError, match="edges are kept where asked for"):
        adapter.edges(1)
    with adapter.recording():
        logits(adapter.model, make_words())
    assert adapter.density() == [(LENGTH + 1) / (2 * LENGTH)]  # all pairs of the causal half
    with pytest.raises(ValueError, match=r"layer must be one with an adapter \(1\): got 0"):
        adapter.edges(0)


def test_it_follows_the_layer_in_type_and_mode_and_can_be_copied():
    model = make_model("llama", dtype=torch.bfloat16).train()
    adapter = attach(model, scale_init=(0.0, 0.4))
    assert all(p.dtype == torch.bfloat16 for p in adapter.trainable_parameters())
    assert adapter.layers[1].trained().training
    out = model(make_words()).logits
    out.float().square().mean().backward()
    assert all(p.grad.isfinite().all() for p in adapter.trainable_parameters())
    twin = copy.deepcopy(model.eval())
    assert torch.equal(logits(twin, make_words()), logits(model, make_words()))
    with torch.no_grad():
        twin.model.layers[0].sparse_gin.scale.fill_(3.0)
    assert not torch.equal(logits(twin, make_words()), logits(model, make_words()))


def test_scales_are_linear_in_depth():
    config = LlamaConfig(
        hidden_size=32, intermediate_size=32, num_hidden_layers=3, num_attention_heads=4
    )
    config.vocab_size = 40
    model = LlamaForCausalLM(config)
    adapter = SparseGINAdapter.attach(model, SparseGINConfig(scale_init=(0.0, 0.5), **SMALL))
    scales = [layer.trained().scale.item() for layer in adapter.layers]
    assert scales == pytest.approx([0.0, 0.25, 0.5])


def test_importing_needs_neither_transformers_nor_peft():
    code = "import sys, graphattn; print('transformers' in sys.modules, 'peft' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.split() == ["False", "False"]
    for path in Path(adapters.__file__).parent.glob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            assert getattr(node, "module", "") not in ("transformers", "peft")
            names = {alias.name for alias in getattr(node, "names", [])}
            assert not names & {"transformers", "peft"}
