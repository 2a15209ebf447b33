"""Where a run writes: folders and files that are looked at before any work, and locks on them."""

import shutil
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

from filelock import FileLock


def output_folder(path: Path, key: str) -> Path:
    """Make a folder that will be written to, or say at once why that cannot be.

    Args:
        path: The folder; what is missing above it is made too.
        key: The option that named it, for the message.

    Returns:
        The path.

    Raises:
        ValueError: A file stands in its place, or above it.
        OSError: It cannot be made or written.

    Example:
        >>> output_folder(Path(tempfile.__file__), "out")
        Traceback (most recent call last):
        ...
        ValueError: out must be a folder: got ...tempfile.py, which is a file.
    """
    there = next((p for p in (path, *path.parents) if p.exists() or p.is_symlink()), Path())
    if not there.is_dir():
        kind = "a file" if there.is_file() else "no folder"
        above = "" if there == path else f": {there}"
        raise ValueError(f"{key} must be a folder: got {path}{above}, which is {kind}.")
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise _unwritable(path, key, error) from error
    return path


def output_file(path: Path, key: str, endings: Sequence[str]) -> Path:
    """Make the folder of a file that will be written, or say at once why that cannot be.

    Args:
        path: The file; an older one is left as it is.
        key: The option that named it, for the message.
        endings: What its name may end in.

    Returns:
        The path.

    Raises:
        ValueError: Its name ends in something else, or it is a folder.
        OSError: Its folder cannot be made or written.

    Example:
        >>> output_file(Path("a.txt"), "out", (".csv", ".npy"))
        Traceback (most recent call last):
        ...
        ValueError: out must end in .csv or .npy: got a.txt.
    """
    if path.suffix not in endings:
        raise ValueError(f"{key} must end in {' or '.join(endings)}: got {path}.")
    if path.is_dir():
        raise ValueError(f"{key} must be a file: got {path}, which is a folder.")
    output_folder(path.parent, f"the folder of {key}")
    return path


def lock(path: Path, *, timeout: float = -1) -> FileLock:
    """Return a lock on a file of its own, which stays empty; a file that holds anything is not it.

    Args:
        path: The file; made by the lock where it is missing.
        timeout: Seconds to wait for another process; below 0 waits for ever.

    Raises:
        ValueError: The file holds something, so that somebody else has use for it.

    Example:
        >>> lock(Path(tempfile.__file__))
        Traceback (most recent call last):
        ...
        ValueError: ...tempfile.py is needed as an empty lock file: got one of ... bytes; ...
    """
    size = path.lstat().st_size if path.exists() or path.is_symlink() else 0
    if size:
        raise ValueError(
            f"{path} is needed as an empty lock file: got one of {size} bytes; "
            "move it away, or choose another folder."
        )
    return FileLock(path, timeout=timeout)


def _unwritable(path: Path, key: str, error: OSError) -> OSError:
    reason = (error.strerror or str(error)).lower()
    return type(error)(f"{key} cannot be written: {path}: {reason}; choose another folder.")


def delete_folder(folder: Path, marks: Collection[str]) -> None:
    """Delete a folder, the files that mark it as ours last: after a kill it is still known.

    Args:
        folder: A folder that was found to be ours.
        marks: Names of those files, at its top.

    Raises:
        OSError: Something in it cannot be deleted.

    Example:
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / "manifest.json").touch()
        >>> delete_folder(folder, ["manifest.json"])
        >>> folder.exists()
        False
    """
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name not in marks:
            entry.unlink()
    shutil.rmtree(folder)
