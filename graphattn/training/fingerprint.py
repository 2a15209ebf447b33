"""Is this checkpoint of this run and this model? Compared before anything of it is used."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxtyping import Shaped
from torch import Tensor, nn

from graphattn.training.errors import CorruptCheckpoint

_ABSENT = object()


def check_fingerprint(folder: Path, saved: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to go on with a run under another configuration.

    Args:
        folder: The run folder, for the message.
        saved: Fingerprint of the checkpoint.
        now: Fingerprint of the run that would go on.

    Raises:
        ValueError: Each differing key, with both values.

    Example:
        >>> check_fingerprint(Path("runs/a"), {"train": {"lr": 0.1}}, {"train": {"lr": 0.2}})
        Traceback (most recent call last):
        ...
        ValueError: runs/a was started with another configuration: train.lr was 0.1 and is 0.2. ...
    """
    # Through JSON and back, so that a tuple equals the list it was saved as.
    before, after = _flat(saved), _flat(json.loads(json.dumps(now)))
    differing = [
        f"{key} was {before.get(key, 'absent')} and is {after.get(key, 'absent')}"
        for key in sorted({*before, *after})
        if before.get(key, _ABSENT) != after.get(key, _ABSENT)
    ]
    if differing:
        raise ValueError(
            f"{folder} was started with another configuration: {'; '.join(differing)}. "
            "Go on with the same one, or choose another folder."
        )


def saved_fingerprint(folder: Path, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fingerprint among what a checkpoint says about itself.

    Raises:
        CorruptCheckpoint: There is none, or it is no mapping.

    Example:
        >>> saved_fingerprint(Path("runs/a/last"), {"fingerprint": {"metric": "accuracy"}})
        {'metric': 'accuracy'}
    """
    saved = about.get("fingerprint")
    if not isinstance(saved, dict):
        raise CorruptCheckpoint(
            f"{folder / 'manifest.json'} must say in keys and values what was trained on: "
            f"got fingerprint {str(saved)[:40]!r}."
        )
    return saved


def load_into(model: nn.Module, weights: Mapping[str, Tensor], folder: Path) -> None:
    """Copy weights into a model, or say which names or shapes differ.

    Raises:
        ValueError: The first five differences, and their number.

    Example:
        >>> import torch
        >>> load_into(nn.Linear(2, 1), {"bias": torch.zeros(1)}, Path("runs/a"))
        Traceback (most recent call last):
        ...
        ValueError: runs/a belongs to another model: weight is [1, 2] in the model and missing ...
    """
    own = {name: _shape(value) for name, value in model.state_dict().items()}
    given = {name: _shape(value) for name, value in weights.items()}
    differing = [
        f"{name} is {own.get(name, 'missing')} in the model and "
        f"{given.get(name, 'missing')} in the checkpoint"
        for name in sorted({*own, *given})
        if own.get(name) != given.get(name)
    ]
    if differing:
        raise ValueError(
            f"{folder} belongs to another model: {'; '.join(differing[:5])} "
            f"({len(differing)} differences). Build the model with the run's own configuration."
        )
    model.load_state_dict(dict(weights))


def digest(values: Shaped[Tensor, "n ..."]) -> str:
    """Return a short hash of node ids or labels, to tell one split or labelling from another.

    Example:
        >>> import torch
        >>> digest(torch.tensor([1, 2])) == digest(torch.tensor([2, 1]))
        False
    """
    return hashlib.sha256(values.cpu().contiguous().numpy().tobytes()).hexdigest()[:16]


def _flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping) and value:
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _shape(value: Any) -> Any:
    return list(value.shape) if isinstance(value, Tensor) else type(value).__name__
