"""Tensors from files that may be torn or hostile: read without ever running what they hold."""

import io
import pickle
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from graphattn.training.errors import CorruptCheckpoint

_UNREADABLE = (
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
    OverflowError,
    struct.error,
)
_INSIDE = ("state_dict", "model_state_dict")  # where trainers keep the weights beside other things


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the weights of a model from one file.

    Args:
        path: `.safetensors`; or what `torch.save` wrote of a `state_dict`, or of a dictionary that
            holds one as `state_dict` or `model_state_dict`.

    Returns:
        Parameters and buffers by name, on the CPU.

    Raises:
        ValueError: There is no such file, or it holds no weights.
        CorruptCheckpoint: It is torn, or holds more than tensors and plain values.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a.pt"
        >>> torch.save(torch.nn.Linear(2, 1).state_dict(), path)
        >>> sorted(read_weights(path))
        ['bias', 'weight']
    """
    if not path.is_file():
        raise ValueError(f"ckpt must be a file of weights that exists: got {path}.")
    content = path.read_bytes()
    if path.suffix == ".safetensors":
        return tensors_of(path, content)
    state: Any = state_of(path, content)
    for key in _INSIDE:
        if isinstance(state.get(key), Mapping):
            state = state[key]
    odd = [key for key, value in state.items() if not isinstance(value, Tensor)]
    if odd or not state:
        found = f"{type(state[odd[0]]).__name__} {odd[0]!r}" if odd else "nothing"
        raise ValueError(f"{path} must hold a state_dict, tensors by name: got {found}.")
    return dict(state)


def tensors_of(path: Path, content: bytes) -> dict[str, Tensor]:
    """Return the tensors of a file in the safetensors format.

    Args:
        path: For the message.
        content: Its bytes.

    Raises:
        CorruptCheckpoint: They are something else.

    Example:
        >>> tensors_of(Path("a"), safetensors.torch.save({"w": torch.ones(1)}))
        {'w': tensor([1.])}
    """
    try:
        return safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        raise CorruptCheckpoint(f"{path} holds no tensors: {error}.") from error


def state_of(path: Path, content: bytes) -> dict[str, Any]:
    """Return the dictionary that `torch.save` wrote.

    Args:
        path: For the message.
        content: Its bytes.

    Raises:
        CorruptCheckpoint: They are torn, no dictionary, or hold more than tensors and plain values.

    Example:
        >>> state_of(Path("a.pt"), b"torn")
        Traceback (most recent call last):
        ...
        graphattn.training.errors.CorruptCheckpoint: a.pt is refused: ...
    """
    try:
        with warnings.catch_warnings():  # that of another protocol says nothing of the file
            warnings.simplefilter("ignore")
            state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise CorruptCheckpoint(
            f"{path} is refused: it is torn, or holds more than tensors and plain values."
        ) from error
    if not isinstance(state, dict):
        raise CorruptCheckpoint(f"{path} must hold a dictionary: got {type(state).__name__}.")
    return state
