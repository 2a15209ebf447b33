"""An adapter on disk: two files named and keyed as peft does, holding the adapter alone."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

PEFT_TYPE = "SPARSE_GIN"
_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."


def write_adapter(
    folder: Path, options: Mapping[str, Any], weights: Mapping[str, Tensor], *, base: str | None
) -> None:
    """Writes ``adapter_config.json`` and ``adapter_model.safetensors``.

    Args:
        folder: Made if it is missing.
        options: As JSON can hold them.
        weights: By path in the base model.
        base: Name or path of the base model.

    Example:
        >>> import tempfile, torch
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_adapter(folder, {"seed": 1}, {"a.sparse_gin.w": torch.ones(1)}, base="gpt2")
        >>> read_adapter(folder)
        ({'seed': 1}, {'a.sparse_gin.w': tensor([1.])})
    """
    folder.mkdir(parents=True, exist_ok=True)
    about = {"peft_type": PEFT_TYPE, "base_model_name_or_path": base}
    text = json.dumps({**about, **options}, indent=2, sort_keys=True)
    (folder / _CONFIG).write_text(f"{text}\n", encoding="utf-8")
    keyed = {_PREFIX + name: tensor.detach().contiguous() for name, tensor in weights.items()}
    safetensors.torch.save_file(keyed, folder / _WEIGHTS, metadata={"format": "pt"})


def read_adapter(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Reads what :func:`write_adapter` wrote.

    Args:
        folder: Where the two files lie.

    Returns:
        Options, and weights by path in the base model, on the CPU.

    Raises:
        ValueError: A file is missing, torn, or of another kind of adapter.
    """
    for name in (_CONFIG, _WEIGHTS):
        if not (folder / name).is_file():
            raise ValueError(
                f"an adapter's folder must hold {_CONFIG} and {_WEIGHTS}: got {folder}, which has "
                f"no {name}."
            )
    try:
        options = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{folder / _CONFIG} must be JSON: got {error}.") from error
    kind = options.pop("peft_type", None) if isinstance(options, dict) else None
    if kind != PEFT_TYPE:
        raise ValueError(f"{folder / _CONFIG} must have peft_type {PEFT_TYPE}: got {kind!r}.")
    options.pop("base_model_name_or_path", None)
    try:
        weights = safetensors.torch.load_file(folder / _WEIGHTS)
    except (safetensors.SafetensorError, OSError) as error:
        raise ValueError(f"{folder / _WEIGHTS} must be a safetensors file: got {error}.") from error
    if wrong := [name for name in weights if not name.startswith(_PREFIX)]:
        raise ValueError(f"names of weights must begin with {_PREFIX}: got {wrong[0]}.")
    return options, {name.removeprefix(_PREFIX): tensor for name, tensor in weights.items()}
