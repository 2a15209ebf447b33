"""Fused attention in chunks reads the graph that the weights give."""

import pytest
import torch
from tiny_transformers import CHUNKED, attach, logits, make_model, make_words, padded

from graphattn.adapters import attention_backend as backend


@pytest.mark.parametrize("options", [{}, {"mode": "per_head", "cutoff": 0.3}, {"num_layers": 2}])
@pytest.mark.parametrize("name", CHUNKED)
def test_backends_agree(name, options):
    words, found = make_words(), []
    for kind, mask in (("eager", padded()), ("chunked", padded())):
        adapter = attach(make_model(name), backend=kind, **options)
        with adapter.recording():
            found.append(logits(adapter.model, words, mask)[mask.bool()])
        assert all(0 < density < 1 for density in adapter.density())
    torch.testing.assert_close(*found, rtol=0, atol=1e-5)
    whole = [logits(attach(make_model(name), backend=b).model, words) for b in ("eager", "chunked")]
    torch.testing.assert_close(*whole, rtol=0, atol=1e-5)


def test_edges_are_listed_where_the_matrix_would_be_large(monkeypatch):
    model, words = attach(make_model("llama"), num_layers=2).model, make_words()
    expected = logits(model, words, padded())
    monkeypatch.setattr(backend, "_EDGES_FROM", 1)
    found = logits(model, words, padded())
    torch.testing.assert_close(found[padded().bool()], expected[padded().bool()], rtol=0, atol=1e-5)
    with torch.no_grad():
        cache = model(words[:, :7], use_cache=True).past_key_values
        rest = model(words[:, 7:], past_key_values=cache).logits
    torch.testing.assert_close(rest, logits(model, words)[:, 7:], rtol=0, atol=1e-5)


def test_gradient_reaches_attention_only_where_asked_for():
    words = make_words()
    found = {}
    for kind in ("eager", "chunked"):
        for detach in (True, False):
            adapter = attach(make_model("llama"), backend=kind, detach_adjacency=detach)
            adapter.model(words).logits.square().mean().backward()
            grads = torch.cat([p.grad.flatten() for p in adapter.trainable_parameters()])
            found[kind, detach] = grads
    for detach in (True, False):
        a, b = found["eager", detach], found["chunked", detach]
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4 * a.abs().max().item())
    assert not torch.allclose(found["eager", True], found["eager", False], rtol=1e-3)
