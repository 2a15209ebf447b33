"""Where adapters sit: named for unknown architectures; errors say what would be right."""

import sys

import pytest
import torch
from tiny_transformers import attach, logits, make_model, make_words
from torch import nn

from graphattn.adapters import Site, SparseGINAdapter, SparseGINConfig


def test_sites_name_the_modules_of_an_unknown_architecture():
    model = make_model("llama")
    model.config.model_type = "unheard"
    with pytest.raises(ValueError, match="no sites are known for the architecture 'unheard'"):
        SparseGINAdapter.attach(model)
    site = Site("self_attn", "input_layernorm", "self_attn", layers="model.layers")
    expected = logits(attach(make_model("llama")).model, make_words())
    assert torch.equal(logits(attach(model, sites=site).model, make_words()), expected)
    for wrong in (Site("attn", None, "attn"), Site("self_attn", "ln", "mlp", "model.layers")):
        with pytest.raises(ValueError, match="sites must name modules of"):
            SparseGINAdapter.attach(make_model("llama"), SparseGINConfig(sites=wrong))


def test_errors_say_what_would_be_right(monkeypatch):
    model = make_model("llama")
    with pytest.raises(TypeError, match=r"model must be a Hugging Face model, .*: got Linear"):
        SparseGINAdapter.attach(nn.Linear(1, 1))
    with pytest.raises(ValueError, match="layers must be some of 0 to 1: got 2"):
        SparseGINAdapter.attach(model, SparseGINConfig(layers=(2,)))
    adapter = SparseGINAdapter.attach(model)
    with pytest.raises(ValueError, match="model must have no Sparse-GIN adapter: got one"):
        SparseGINAdapter.attach(model)
    model.set_attn_implementation("sdpa")
    with pytest.raises(RuntimeError, match="attention implementation was changed after attach"):
        model(make_words())
    adapter.detach()
    with pytest.raises(ValueError, match='position="layer" needs attention and feed-forward'):
        SparseGINAdapter.attach(make_model("phi"), SparseGINConfig(position="layer"))
    with pytest.raises(ValueError, match="needs scores that are not capped"):
        SparseGINAdapter.attach(make_model("gemma2"), SparseGINConfig(backend="chunked"))
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r"pip install 'graphattn\[hf\]'"):
        SparseGINAdapter.attach(make_model("llama"))
