"""An archive of OGB, unpacked: plain files of known kinds only, all of them or nothing."""

import logging
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from graphattn.datasets.npz import CorruptDataset
from graphattn.datasets.ogb_table import OgbSpec
from graphattn.files import check_space
from graphattn.outputs import output_folder

_LOG = logging.getLogger(__name__)
_TOPS = ("raw", "split", "mapping")
_ENDINGS = (".gz", ".npz", ".txt", ".md", ".csv")
_PIECE = 1 << 20
_MOST_FILES = 10_000
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


def unpack_ogb(archive: Path, spec: OgbSpec, root: Path, *, progress: bool = True) -> Path:
    """Unpack a data set's archive under a root, as `ogb` would lay it out.

    Only `RELEASE_v<n>.txt` and tables, archives and notes in `raw`, `split` and `mapping` are
    taken; what else there is, such as pickled files, is left out.

    Args:
        archive: As downloaded.
        spec: Which data set it is of.
        root: Where `ogbn_arxiv` or the like will stand.
        progress: Show a bar, if there is a terminal.

    Returns:
        That folder.

    Raises:
        ValueError: The folder exists.
        CorruptDataset: The archive is torn or hostile (a path that leads out of it, a link, more
            bytes than such a data set has); nothing is left of it.
        OSError: The disk is too small or cannot be written.

    Example:
        >>> from graphattn.datasets.ogb_table import OGB
        >>> unpack_ogb(Path("none.zip"), OGB["ogbn-mag"], Path("."))
        Traceback (most recent call last):
        ...
        ValueError: none.zip is needed: there is no such file.
    """
    if not archive.is_file():
        raise ValueError(f"{archive} is needed: there is no such file.")
    output_folder(root, "root")
    folder, work = root / spec.folder, root / f".{spec.folder}.unpacking"
    if folder.exists():
        raise ValueError(f"{folder} exists: nothing is overwritten; move it away first.")
    if work.exists() and not (work / ".unpacking").is_file():
        raise ValueError(f"{work} is needed to unpack, and nothing was unpacked there; move it.")
    try:
        with zipfile.ZipFile(archive) as opened:
            members = _members(opened, spec)
            size = sum(member.file_size for member in members.values())
            check_space(root, size)
            shutil.rmtree(work, ignore_errors=True)  # of an attempt that was interrupted
            work.mkdir()
            (work / ".unpacking").touch()
            with tqdm(
                total=size, desc=archive.name, unit="B", disable=None if progress else True
            ) as bar:
                for place, member in members.items():
                    _write(opened, member, work / place, bar)
    except _BROKEN as error:
        shutil.rmtree(work, ignore_errors=True)
        raise CorruptDataset(f"{archive} is no sound archive ({error}); fetch it again.") from error
    (work / ".unpacking").unlink()
    work.rename(folder)
    return folder


def _members(opened: zipfile.ZipFile, spec: OgbSpec) -> dict[str, zipfile.ZipInfo]:
    """Chooses what is taken, by its place under the folder; refuses the archive as a whole."""
    found: dict[str, zipfile.ZipInfo] = {}
    entries = opened.infolist()
    most = int(4e9 * spec.gigabytes) + 10**9
    total = sum(entry.file_size for entry in entries)
    if len(entries) > _MOST_FILES or total > most:
        raise CorruptDataset(
            f"{opened.filename} must hold at most {_MOST_FILES:,} files of {most / 1e9:.3g} GB: "
            f"got {len(entries):,} of {total / 1e9:.3g} GB."
        )
    for entry in entries:
        path, kind = PurePosixPath(entry.filename), stat.S_IFMT(entry.external_attr >> 16)
        odd = not path.name or path.is_absolute() or ".." in path.parts
        odd = odd or "\\" in entry.orig_filename or "\0" in entry.orig_filename
        if odd or kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise CorruptDataset(
                f"{opened.filename} must hold plain files below one folder: "
                f"got {entry.orig_filename[:80]!r}."
            )
        if entry.is_dir():
            continue
        inner = PurePosixPath(*path.parts[1:])
        is_release = inner.name.startswith("RELEASE_v") and len(inner.parts) == 1
        known = inner.parts[:1] and inner.parts[0] in _TOPS and inner.suffix in _ENDINGS
        if not known and not is_release:
            _LOG.info("%s: %s is left out", opened.filename, path)
            continue
        if str(inner) in found:
            raise CorruptDataset(f"{opened.filename} holds {inner} twice.")
        found[str(inner)] = entry
    if not any(place.startswith("raw/") for place in found):
        raise CorruptDataset(f"{opened.filename} must hold raw files: got none.")
    return found


def _write(opened: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path, bar: tqdm) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with opened.open(member) as source, path.open("wb") as file:
        while piece := source.read(_PIECE):
            file.write(piece)
            bar.update(len(piece))
