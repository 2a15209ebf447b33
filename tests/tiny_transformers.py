"""Tiny random models of Hugging Face: two layers, 32 channels, four heads, 40 words."""

import pytest
import torch

from graphattn.adapters import SparseGINAdapter, SparseGINConfig

transformers = pytest.importorskip(
    "transformers", reason="needs transformers: pip install 'graphattn[hf]'"
)

CAUSAL = ("llama", "mistral", "qwen2", "qwen3", "phi", "gpt2", "gemma2", "gemma3")
ENCODERS = ("bert", "roberta", "modernbert")
CHUNKED = tuple(name for name in (*CAUSAL, *ENCODERS) if name != "gemma2")  # caps its scores

WINDOW, LENGTH = 6, 12
SMALL = {"hidden_dim": 8, "dropout": 0.0}
_SIZES = {"num_attention_heads": 4, "vocab_size": 40, "hidden_size": 32, "num_hidden_layers": 2}
_MORE = {"intermediate_size": 48, "max_position_embeddings": 64}
_NO_ENDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
_DECODER = {**_SIZES, **_MORE, **_NO_ENDS, "num_key_value_heads": 2}
_ENCODER = {**_SIZES, **_MORE, "attention_probs_dropout_prob": 0.0, "hidden_dropout_prob": 0.0}
_GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 40, "n_positions": 64}
_GPT2 |= {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, **_NO_ENDS}
_LOCAL = {"local_attention": 2 * WINDOW, "global_attn_every_n_layers": 2}
_LOCAL |= {"cls_token_id": 1, "sep_token_id": 2}
_MODELS = {
    "bert": ("Bert", "MaskedLM", _ENCODER),
    "gemma2": ("Gemma2", "CausalLM", {**_DECODER, "head_dim": 8, "sliding_window": WINDOW}),
    "gpt2": ("GPT2", "LMHeadModel", _GPT2),
    "llama": ("Llama", "CausalLM", _DECODER),
    "mistral": ("Mistral", "CausalLM", {**_DECODER, "sliding_window": WINDOW}),
    "modernbert": ("ModernBert", "MaskedLM", {**_SIZES, **_MORE, **_NO_ENDS, **_LOCAL}),
    "phi": ("Phi", "CausalLM", _DECODER),
    "qwen2": ("Qwen2", "CausalLM", _DECODER),
    "qwen3": ("Qwen3", "CausalLM", {**_DECODER, "head_dim": 16}),
    "roberta": ("Roberta", "MaskedLM", _ENCODER),
}


def make_model(name, attention=None, dtype=torch.float32):
    """A model in evaluation mode, with larger weights than at the start: attention is uneven."""
    attention = attention or ("eager" if name == "gemma2" else "sdpa")
    torch.manual_seed(0)
    if name == "gemma3":
        sizes = {**_DECODER, "head_dim": 8, "sliding_window": WINDOW}
        config = transformers.Gemma3TextConfig(**sizes)
        kind = transformers.Gemma3ForCausalLM
    else:
        family, task, sizes = _MODELS[name]
        config = getattr(transformers, f"{family}Config")(**sizes)
        kind = getattr(transformers, f"{family}{'' if task == 'LMHeadModel' else 'For'}{task}")
    model = kind._from_config(config, attn_implementation=attention, dtype=dtype).eval()
    with torch.no_grad():
        for path, weight in model.named_parameters():
            if weight.dim() == 2:
                weight.mul_(6.0 if "embed" not in path and "wte" not in path else 2.0)
    return model


def make_words(batch=2, tokens=LENGTH, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, 40, (batch, tokens), generator=generator)


def turn_on(adapter, scale=0.5):
    """Gives the adapter an effect, as training would."""
    with torch.no_grad():
        for layer in adapter.layers:
            layer.trained().scale.fill_(scale)
    return adapter


def attach(model, scale=0.5, **options):
    torch.manual_seed(1)
    adapter = SparseGINAdapter.attach(model, SparseGINConfig(**{**SMALL, **options}))
    return turn_on(adapter, scale)


@torch.no_grad()
def logits(model, words, mask=None, **options):
    return model(words, attention_mask=mask, **options).logits


def padded(side="left", size=3):
    mask = torch.ones(2, LENGTH, dtype=torch.long)
    mask[0, slice(0, size) if side == "left" else slice(LENGTH - size, LENGTH)] = 0
    return mask
