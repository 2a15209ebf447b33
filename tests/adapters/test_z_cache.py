"""Decoding with a cache: equal to one pass, in steps, in beams, in copies; else refused."""

import copy
import itertools

import pytest
import torch
from tiny_transformers import (
    CAUSAL,
    WINDOW,
    attach,
    logits,
    make_model,
    make_words,
)
from transformers import DynamicCache, StaticCache


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *itertools.product(CAUSAL, ({}, {"num_layers": 2})),
        *itertools.product((name for name in CAUSAL if name != "phi"), ({"position": "layer"},)),
    ],
)
def test_decoding_with_a_cache_equals_one_pass(name, options):
    model, words = attach(make_model(name), **options).model, make_words(tokens=2 * WINDOW + 2)
    whole, cache, steps = logits(model, words, use_cache=False), None, []
    for start, stop in ((0, 5), (5, 8), *((i, i + 1) for i in range(8, words.size(1)))):
        with torch.no_grad():
            out = model(words[:, start:stop], past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        steps.append(out.logits)
    torch.testing.assert_close(torch.cat(steps, 1), whole, rtol=0, atol=2e-5)


@pytest.mark.parametrize("beams", [1, 3])
def test_generation_equals_that_without_a_cache(beams):
    model = attach(make_model("llama"), scale=2.0).model
    words, mask = make_words(tokens=6), torch.ones(2, 6, dtype=torch.long)
    mask[0, :2] = 0
    found = [
        model.generate(
            words,
            attention_mask=mask,
            max_new_tokens=6,
            min_new_tokens=6,
            num_beams=beams,
            do_sample=False,
            use_cache=use_cache,
        )
        for use_cache in (True, False)
    ]
    assert torch.equal(*found)


def test_a_copied_or_cropped_cache_goes_on_as_its_own():
    model, words = attach(make_model("llama")).model, make_words()
    whole = logits(model, words)
    with torch.no_grad():
        cache = model(words[:, :6], use_cache=True).past_key_values
        copied = copy.deepcopy(cache)
        copied.crop(-2)  # leaves the first untouched
        late = model(words[:, 4:], past_key_values=copied).logits
        rest = model(words[:, 6:], past_key_values=cache).logits
    torch.testing.assert_close(rest, whole[:, 6:], rtol=0, atol=2e-5)
    torch.testing.assert_close(late, whole[:, 4:], rtol=0, atol=2e-5)
    cache.batch_select_indices(torch.tensor([1]))
    cache.batch_repeat_interleave(2)
    cache.crop(-6)
    with torch.no_grad():
        again = model(words[1:, 6:].expand(2, -1), past_key_values=cache).logits
    torch.testing.assert_close(again, whole[1:, 6:].expand(2, -1, -1), rtol=0, atol=2e-5)
    cache.reset()
    with torch.no_grad():
        anew = model(words, past_key_values=cache).logits
    torch.testing.assert_close(anew, whole, rtol=0, atol=2e-5)


def test_a_cache_the_adapter_has_not_seen_is_refused():
    adapter = attach(make_model("llama"))
    model, words = adapter.model, make_words()
    with adapter.disabled(), torch.no_grad():
        cache = model(words[:, :6], use_cache=True).past_key_values
    with pytest.raises(RuntimeError, match="got 6 tokens in the cache, of which it saw 0"):
        model(words[:, 6:], past_key_values=cache)
    fixed = StaticCache(config=model.config, max_cache_len=16)
    with pytest.raises(ValueError, match="got StaticLayer; right would be DynamicCache"):
        model(words, past_key_values=fixed)
    assert isinstance(cache, DynamicCache)
