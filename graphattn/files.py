"""Arrays and JSON on disk, written so that a crash leaves the old file or the new, never half."""

import errno
import hashlib
import json
import math
import os
import shutil
import tokenize
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash
from numpy.lib import format as format_

from graphattn.corrupt import CorruptFile
from graphattn.memory import release

_FORMAT = 1
_ODD = (SyntaxError, OverflowError, TypeError, RecursionError, tokenize.TokenError)  # a header
_CHUNK = 1 << 26  # bytes hashed at once


def digest_arrays(*arrays: npt.NDArray[Any]) -> str:
    """Hashes the values, types and shapes of arrays.

    Args:
        arrays: Any arrays, memory-mapped ones included; read in pieces of 64 MiB.

    Returns:
        32 hexadecimal digits (xxh3, 128 bits; finds accidents, does not stop an adversary).

    Example:
        >>> digest_arrays(np.arange(3)) == digest_arrays(np.arange(3))
        True
    """
    state = xxhash.xxh3_128()
    for array in arrays:
        state.update(f"{array.dtype.str}{array.shape}".encode())
        flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        for start in range(0, flat.size, _CHUNK):
            state.update(flat[start : start + _CHUNK].data)
            release(flat[start : start + _CHUNK])
    return state.hexdigest()


def digest_file(path: Path) -> str:
    """Hashes the bytes of a readable file: 32 hexadecimal digits.

    Example:
        >>> len(digest_file(Path(json.__file__)))
        32
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, xxhash.xxh3_128).hexdigest()


def check_space(folder: Path, needed: int) -> None:
    """Refuses work for which the disk is too small, before it starts.

    Args:
        folder: An existing folder on that disk.
        needed: Bytes that will be written.

    Raises:
        OSError: Fewer than ``needed`` bytes are free (``errno.ENOSPC``).

    Example:
        >>> check_space(Path("."), 0)
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise _too_small(errno.ENOSPC, f"{needed / 1e9:.3g} GB in {folder}", free)


def _too_small(code: int, needed: str, free: int) -> OSError:
    rest = f"{free / 1e9:.3g} GB free: free some space or choose another folder"
    return OSError(code, f"needs {needed}, {rest}")


def write_array(path: Path, array: npt.NDArray[Any]) -> None:
    """Writes one ``.npy`` file: all of it, or nothing.

    Args:
        path: Where the file will stand; an older one is replaced at the end.
        array: Any array without Python objects.

    Raises:
        OSError: The disk is full (``errno.ENOSPC``) or cannot be written; the old file is intact.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a.npy"
        >>> write_array(path, np.arange(3))
        >>> read_array(path).tolist()
        [0, 1, 2]
    """
    partial = path.with_name(f"{path.name}.part")
    try:
        with partial.open("wb") as file:
            if hasattr(os, "posix_fallocate"):  # a full disk is an error here, not a crash later
                os.posix_fallocate(file.fileno(), 0, array.nbytes + 128)
            format_.write_array(file, np.ascontiguousarray(array), allow_pickle=False)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
            needed, free = f"{array.nbytes / 1e9:.3g} GB", shutil.disk_usage(path.parent).free
            raise _too_small(error.errno, f"{needed} for {path}", free) from error
        raise
    sync_folder(path.parent)


def read_array(path: Path, *, mmap: bool = False) -> npt.NDArray[Any]:
    """Reads one ``.npy`` file; never runs code from it.

    Args:
        path: The file.
        mmap: Map the file (copy-on-write) instead of reading it.

    Returns:
        A plain array.

    Raises:
        CorruptFile: It is missing, truncated, or no ``.npy`` file; the message names it.

    Example:
        >>> read_array(Path("none.npy"))
        Traceback (most recent call last):
        ...
        graphattn.corrupt.CorruptFile: none.npy cannot be read as an array ...
    """
    try:
        _check_length(path)
        array = np.load(path, mmap_mode="c" if mmap else None, allow_pickle=False)
    except (OSError, ValueError, EOFError, *_ODD) as error:
        raise _unreadable(path, "an array", error) from error
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{path} holds an archive, not one array: give a .npy file.")
    return np.asarray(array)


def _check_length(path: Path) -> None:
    """Refuses a header that promises more than the file holds, before memory is asked for."""
    with path.open("rb") as file:
        if file.peek(6)[:6] != format_.MAGIC_PREFIX:
            return  # np.load says what it is
        old = format_.read_magic(file) == (1, 0)
        read = format_.read_array_header_1_0 if old else format_.read_array_header_2_0
        shape, _, dtype = read(file)
        needed = file.tell() + math.prod(shape) * dtype.itemsize
        found = os.fstat(file.fileno()).st_size
    if needed > found or min(shape, default=0) < 0:
        raise ValueError(f"shape {shape} takes {needed} bytes, the file has {found}")


def _unreadable(path: Path, what: str, error: Exception) -> CorruptFile:
    reason = getattr(error, "strerror", None) or error
    return CorruptFile(f"{path} cannot be read as {what} ({reason}): build or fetch it again.")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes one JSON file: all of it, or nothing.

    Args:
        path: Where the file will stand.
        content: What JSON can hold.

    Raises:
        OSError: The disk is full or cannot be written.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a.json"
        >>> write_json(path, {"format": 1})
        >>> read_json(path)
        {'format': 1}
    """
    partial = path.with_name(f"{path.name}.part")
    with partial.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=2, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    sync_folder(path.parent)


def read_json(path: Path) -> dict[str, Any]:
    """Reads one JSON object.

    Args:
        path: The file.

    Returns:
        The object.

    Raises:
        CorruptFile: It is missing or holds no JSON object; the message names it.

    Example:
        >>> read_json(Path("none.json"))
        Traceback (most recent call last):
        ...
        graphattn.corrupt.CorruptFile: none.json cannot be read as JSON ...
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable(path, "JSON", error) from error
    if not isinstance(content, dict):
        raise CorruptFile(f"{path} must hold one JSON object: got {type(content).__name__}.")
    return content


def write_arrays(
    folder: Path, name: str, arrays: Mapping[str, npt.NDArray[Any]], facts: Mapping[str, int]
) -> None:
    """Writes arrays that belong together; what describes them, ``<name>.json``, comes last.

    Args:
        folder: Made if missing.
        name: Of the description.
        arrays: Each becomes ``<key>.npy``.
        facts: Kept in the description.

    Raises:
        OSError: The disk is full or cannot be written.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_arrays(folder, "a", {"ids": np.arange(2)}, {"count": 2})
        >>> read_arrays(folder, "a", ["ids"])[1]["count"]
        2
    """
    folder.mkdir(parents=True, exist_ok=True)
    check_space(folder, sum(array.nbytes for array in arrays.values()))
    for key, array in arrays.items():
        write_array(folder / f"{key}.npy", array)
    digest = digest_arrays(*arrays.values())
    write_json(folder / f"{name}.json", {"format": _FORMAT, "digest": digest, **facts})


def read_arrays(
    folder: Path, name: str, keys: Sequence[str], *, mmap: bool = False
) -> tuple[list[npt.NDArray[Any]], dict[str, Any]]:
    """Reads what :func:`write_arrays` wrote, and checks its hash.

    Args:
        folder: Where it is.
        name: Of the description.
        keys: Of the arrays, in the order they were written.
        mmap: Map the arrays instead of reading them.

    Returns:
        The arrays, and their description.

    Raises:
        ValueError: It is of another format, or (CorruptFile) a file is missing or damaged.

    Example:
        >>> read_arrays(Path("nowhere"), "a", [])
        Traceback (most recent call last):
        ...
        graphattn.corrupt.CorruptFile: nowhere...a.json cannot be read as JSON ...
    """
    facts = read_json(folder / f"{name}.json")
    if facts.get("format") != _FORMAT:
        raise ValueError(
            f"{folder / name}.json must be of format {_FORMAT}: got {facts.get('format')!r}; "
            "save it again."
        )
    arrays = [read_array(folder / f"{key}.npy", mmap=mmap) for key in keys]
    if digest_arrays(*arrays) != facts.get("digest"):
        raise CorruptFile(
            f"{', '.join(f'{key}.npy' for key in keys)} in {folder} are damaged: "
            f"their hash is not the one in {name}.json; save them again."
        )
    return arrays, facts


def sync_folder(folder: Path) -> None:
    """Makes renames within an existing folder survive a power cut, where the system can.

    Example:
        >>> sync_folder(Path("."))
    """
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
