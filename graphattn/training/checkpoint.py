"""Checkpoints: a folder written whole or not at all, verified by hash, read without pickle.

A folder holds `weights.safetensors`, `state.pt` (read with `weights_only=True`), where asked for
`best.safetensors`, and `manifest.json` with the hash of each. A kill at any moment leaves the new
folder or the one before.
"""

import hashlib
import io
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import safetensors.torch
import torch
from torch import Tensor, nn

from graphattn.files import check_space, sync_folder
from graphattn.training.errors import CorruptCheckpoint
from graphattn.training.fingerprint import load_into
from graphattn.training.weights import state_of, tensors_of

FORMAT = 1
_WEIGHTS, _BEST, _STATE, _MANIFEST = (
    "weights.safetensors",
    "best.safetensors",
    "state.pt",
    "manifest.json",
)


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds.

    Args:
        weights: Parameters and buffers by name.
        state: Nested plain values and tensors: optimiser, schedule, position, random state.
        best: Parameters and buffers of the best evaluation so far, if there was one.
        about: JSON-able facts to be read without torch: fingerprint, epoch, metric.

    Example:
        >>> Checkpoint({"w": torch.zeros(2)}).best is None
        True
    """

    weights: Mapping[str, Tensor]
    state: Mapping[str, Any] = field(default_factory=dict)
    best: Mapping[str, Tensor] | None = None
    about: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class _Stateful(Protocol):
    def load_state_dict(self, state: dict[str, Tensor]) -> None: ...


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint so that `folder` is always a whole one: the new or the one before.

    Everything is written and synced beside it, then put in its place by renaming.

    Args:
        folder: Where; what is there is replaced.
        checkpoint: What.

    Raises:
        OSError: The disk is full or read-only; what was there is untouched.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp()) / "last"
        >>> save_checkpoint(folder, Checkpoint({"w": torch.ones(2)}, {"epoch": 3}))
        >>> load_checkpoint(folder).state["epoch"]
        3
    """
    recover(folder)
    files = {_WEIGHTS: _tensor_bytes(checkpoint.weights), _STATE: _state_bytes(checkpoint.state)}
    if checkpoint.best is not None:
        files[_BEST] = _tensor_bytes(checkpoint.best)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    manifest = {"format": FORMAT, "sha256": hashes, "about": dict(checkpoint.about)}
    files[_MANIFEST] = json.dumps(manifest, indent=1, sort_keys=True).encode()

    folder.parent.mkdir(parents=True, exist_ok=True)
    check_space(folder.parent, sum(map(len, files.values())))
    fresh = folder.with_name(f"{folder.name}.tmp-{os.getpid()}")
    aside = _aside(folder)
    try:
        fresh.mkdir()
        for name, content in files.items():
            _write_synced(fresh / name, content)
        sync_folder(fresh)
        if folder.exists():
            folder.rename(aside)
        fresh.rename(folder)
        sync_folder(folder.parent)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        recover(folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint after comparing each file with its hash; nothing in it is ever executed.

    Raises:
        FileNotFoundError: There is none.
        CorruptCheckpoint: A file is missing, altered, or holds more than tensors and plain values.

    Example:
        >>> load_checkpoint(Path("nowhere"))
        Traceback (most recent call last):
        ...
        FileNotFoundError: no checkpoint in nowhere: ...
    """
    for attempt in range(_TRIES):
        seen = _identity(folder)
        try:
            manifest = read_manifest(folder)
            files = _verified(_standing(folder), manifest["sha256"])
            break
        except (CorruptCheckpoint, FileNotFoundError):
            # A running training may just have replaced it: then the new one is read.
            if _identity(folder) == seen or attempt == _TRIES - 1:
                raise
    return Checkpoint(
        weights=tensors_of(folder / _WEIGHTS, files[_WEIGHTS]),
        state=state_of(folder / _STATE, files[_STATE]),
        best=tensors_of(folder / _BEST, files[_BEST]) if _BEST in files else None,
        about=manifest["about"],
    )


def load_weights(folder: Path, model: nn.Module, feed: _Stateful | None = None) -> dict[str, Any]:
    """Load a checkpoint's weights into a model, and its codes into the feed that predicts with it.

    Args:
        folder: A run's `best` (or `last`) folder.
        model: A model of the run's configuration; it keeps its device.
        feed: A feed over the run's graph; its codes are replaced.

    Returns:
        What the checkpoint says about itself: fingerprint, epoch, metric.

    Raises:
        FileNotFoundError: There is no checkpoint.
        CorruptCheckpoint: It is altered or torn.
        ValueError: It belongs to a model of another shape.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp()) / "best"
        >>> save_checkpoint(folder, Checkpoint(nn.Linear(2, 2).state_dict(), about={"epoch": 4}))
        >>> load_weights(folder, nn.Linear(2, 2))["epoch"]
        4
    """
    checkpoint = load_checkpoint(folder)
    load_into(model, checkpoint.weights, folder)
    if feed is not None and "feed" in checkpoint.state:
        feed.load_state_dict(checkpoint.state["feed"])
    return dict(checkpoint.about)


def recover(folder: Path) -> None:
    """Put back what a kill between two renames left aside, and clear what a kill left half-written.

    For the one process that writes there; reading needs none of it.

    Example:
        >>> recover(Path("nowhere/last"))
    """
    aside = _aside(folder)
    if aside.exists() and not folder.exists():
        aside.rename(folder)
    shutil.rmtree(aside, ignore_errors=True)
    if folder.parent.exists():
        for torn in folder.parent.glob(f"{folder.name}.tmp-*"):
            shutil.rmtree(torn, ignore_errors=True)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read what a checkpoint says about itself, without reading its tensors.

    Returns:
        `format`, `sha256` by file name, and `about`.

    Raises:
        FileNotFoundError: There is no checkpoint.
        CorruptCheckpoint: The manifest is not one of ours.

    Example:
        >>> read_manifest(Path("nowhere"))
        Traceback (most recent call last):
        ...
        FileNotFoundError: no checkpoint in nowhere: ...
    """
    standing = _standing(folder)
    path = standing / _MANIFEST
    if not standing.exists():
        raise FileNotFoundError(f"no checkpoint in {folder}: train with this folder first.")
    try:
        manifest = json.loads(path.read_bytes())
        hashes, about, version = manifest["sha256"], manifest["about"], manifest["format"]
        known = {_WEIGHTS, _STATE} <= set(hashes) <= {_WEIGHTS, _STATE, _BEST}
        whole = known and isinstance(about, dict) and isinstance(hashes, dict)
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise CorruptCheckpoint(f"{path} is missing or no manifest of ours ({error}).") from error
    if version != FORMAT or not whole:
        raise CorruptCheckpoint(
            f"{path} must name {_WEIGHTS} and {_STATE} in format {FORMAT}: "
            f"got format {version!r} with {sorted(map(str, hashes))}."
        )
    return manifest


_TRIES = 20


def _standing(folder: Path) -> Path:
    return folder if folder.exists() or not _aside(folder).exists() else _aside(folder)


def _identity(folder: Path) -> tuple[Path, int] | None:
    """Tell one checkpoint in a folder from the next: where it stands, and which file it is."""
    path = _standing(folder) / _MANIFEST
    try:
        return path, path.stat().st_ino
    except OSError:
        return None


def _aside(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.aside")


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _tensor_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    # A clone each: safetensors refuses tensors that share memory, as tied weights do.
    own = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    return safetensors.torch.save(own)


def _state_bytes(state: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    return buffer.getvalue()


def _verified(folder: Path, hashes: Mapping[str, str]) -> dict[str, bytes]:
    contents = {}
    for name, expected in hashes.items():
        path = folder / name
        try:
            contents[name] = path.read_bytes()
        except FileNotFoundError as error:
            raise CorruptCheckpoint(f"{path} is missing: the checkpoint is torn.") from error
        found = hashlib.sha256(contents[name]).hexdigest()
        if found != expected:
            raise CorruptCheckpoint(
                f"{path} was altered after it was written: its sha256 is {found[:12]}..., its "
                f"manifest says {str(expected)[:12]}.... Use another copy, or train anew."
            )
    return contents
