"""The cache of raw files: built once beside nobody's files, resumed after a kill, opened."""

import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import Timeout

from graphattn.datasets.npz import CorruptDataset
from graphattn.datasets.ogb_raw import RawFolder
from graphattn.datasets.ogb_steps import steps
from graphattn.datasets.ogb_table import OgbSpec
from graphattn.datasets.public_raw import RawFiles
from graphattn.datasets.public_table import PublicSpec
from graphattn.files import digest_arrays, read_array, read_json, sync_folder, write_json
from graphattn.outputs import delete_folder, lock, output_folder

_LOG = logging.getLogger(__name__)
_FORMAT = 1
Plan = Callable[[Any], Mapping[str, Callable[[Any, Path, dict[str, Any]], dict[str, Any]]]]
_MARKS = ("journal.json", "journal.json.part", "manifest.json")


def cache_folder(spec: OgbSpec | PublicSpec, source: Path, cache: str | Path | None = None) -> Path:
    """Return where a data set is cached: a folder for each place raw files were read from.

    Args:
        spec: Which data set.
        source: Folder that holds `raw` and `split`.
        cache: Folder of all caches; by default that of the variable GRAPHATTN_CACHE, else
            `graphattn` under XDG_CACHE_HOME or `~/.cache`.

    Example:
        >>> from graphattn.datasets.ogb_table import OGB
        >>> cache_folder(OGB["ogbn-arxiv"], Path("/data/ogbn_arxiv"), "/tmp/c").name
        'ogbn_arxiv-...'
    """
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(cache or os.environ.get("GRAPHATTN_CACHE") or Path(home) / "graphattn")
    place = hashlib.sha256(os.fsencode(source.absolute())).hexdigest()
    return folder.absolute() / f"{spec.folder}-{place[:8]}"


class CacheBuilder:
    """Builds one cache folder; every finished step survives a kill, and is checked before reuse.

    Work goes on in ``.<name>.building``, with a journal of the finished steps; the finished folder
    is then renamed. ``.<name>.lock`` lets one process build while others wait.

    Args:
        path: The cache folder.
        raw: What it is made of; only read.
        plan: Gives the steps from raw files to arrays, in order; by default those of OGB's.

    Example:
        >>> from graphattn.datasets.ogb_table import OGB
        >>> raw = RawFolder(Path("nowhere"), OGB["ogbn-arxiv"])
        >>> CacheBuilder(Path("cache"), raw).is_current()
        False
    """

    def __init__(
        self,
        path: Path,
        raw: RawFolder | RawFiles,
        plan: Plan | None = None,
    ) -> None:
        self._path, self._raw, self._plan = path, raw, plan
        self._work = path.with_name(f".{path.name}.building")
        self._old = path.with_name(f".{path.name}.replaced")

    def is_current(self) -> bool:
        """Whether the folder holds a cache, of the raw files as they are now or of lost ones."""
        if not (self._path / "manifest.json").is_file():
            return False
        manifest = read_manifest(self._path, self._raw.spec)
        now = self._raw.stat()
        return not now or manifest["raw"] == now

    def build(self) -> None:
        """Make the folder hold the cache: does nothing, resumes or builds.

        Raises:
            ValueError: A raw file is missing or wrong, or a folder of ours holds something else.
            CorruptDataset: A raw file is torn.
            OSError: The disk is full, or cannot be written; an older cache is intact.
        """
        output_folder(self._path.parent, "the cache folder (GRAPHATTN_CACHE)")
        only_one = lock(self._path.with_name(f".{self._path.name}.lock"))
        try:
            only_one.acquire(timeout=0)
        except Timeout:
            _LOG.info("another process builds %s: waiting for it", self._path)
            only_one.acquire()
        try:
            if not self.is_current():
                _check_ours(self._path)  # before any work
                self._fill()
                self._publish()
            _remove(self._old)  # a kill right after publishing left it
        finally:
            only_one.release()

    def _fill(self) -> None:
        stat = self._raw.stat()
        journal = self._resume(stat)
        done: dict[str, dict[str, Any]] = journal["done"]
        facts = {key: value for step in done.values() for key, value in step["facts"].items()}
        plan: Plan = self._plan or steps
        for name, step in plan(self._raw).items():
            if name in done:
                continue
            _LOG.info("%s: reading its %s", self._raw.spec.name, name)
            self._raw.sha256.clear()
            shutil.rmtree(self._work / "buckets", ignore_errors=True)
            found = step(self._raw, self._work, facts)
            files = found.pop("files", {})
            facts |= found
            done[name] = {"files": files, "facts": found, "sha256": dict(self._raw.sha256)}
            write_json(self._work / "journal.json", journal)
        if self._raw.stat() != stat:
            raise ValueError(
                f"{self._raw.folder} has changed while it was read: let nothing write to it."
            )
        files = {name: value for step in done.values() for name, value in step["files"].items()}
        manifest = {
            "format": _FORMAT,
            "name": self._raw.spec.name,
            "source": str(self._raw.folder.absolute()),
            "raw": stat,
            "sha256": {k: v for step in done.values() for k, v in step["sha256"].items()},
            "files": files,
            "sizes": {name: (self._work / name).stat().st_size for name in files},
            "facts": facts,
        }
        write_json(self._work / "manifest.json", manifest)
        (self._work / "journal.json").unlink()

    def _resume(self, stat: dict[str, list[int]]) -> dict[str, Any]:
        """Finds the steps that an earlier attempt has finished, of the same raw files."""
        _check_ours(self._work)
        head = {"format": _FORMAT, "raw": stat}
        journal: dict[str, Any] = {}
        if (self._work / "journal.json").is_file():
            try:
                journal = read_json(self._work / "journal.json")
            except ValueError:
                journal = {}
        if {key: journal.get(key) for key in head} != head:
            _remove(self._work)
            journal = head | {"done": {}}
        self._work.mkdir(exist_ok=True)
        sound: dict[str, Any] = {}
        for name, step in journal["done"].items():  # what follows a lost step is done again
            if not all(_is_sound(self._work / f, d) for f, d in step["files"].items()):
                break
            if name == "graph" and not (self._work / "graph" / "graph.json").is_file():
                break
            sound[name] = step
        journal["done"] = sound
        write_json(self._work / "journal.json", journal)
        return journal

    def _publish(self) -> None:
        _remove(self._old)
        if self._path.exists():
            self._path.rename(self._old)
        self._work.rename(self._path)
        sync_folder(self._path.parent)


def read_manifest(folder: Path, spec: OgbSpec | PublicSpec) -> dict[str, Any]:
    """Read what a cache says of itself, and look whether its files are of the right length.

    Args:
        folder: Of the cache.
        spec: Which data set it must hold.

    Raises:
        CorruptDataset: It is damaged; the message names what.

    Example:
        >>> from graphattn.datasets.ogb_table import OGB
        >>> read_manifest(Path("nowhere"), OGB["ogbn-arxiv"])
        Traceback (most recent call last):
        ...
        graphattn.datasets.npz.CorruptDataset: nowhere...manifest.json cannot be read as JSON ...
    """
    try:
        manifest = read_json(folder / "manifest.json")
    except ValueError as error:
        raise CorruptDataset(f"{error} Delete {folder} to build it anew.") from error
    parts = [manifest.get(key) for key in ("raw", "files", "sizes", "facts", "sha256")]
    head = (manifest.get("format"), manifest.get("name"))
    if head != (_FORMAT, spec.name) or not all(isinstance(part, dict) for part in parts):
        raise CorruptDataset(
            f"{folder} must be the cache of {spec.name} in format {_FORMAT}: got {head[1]!r} in "
            f"{head[0]!r}; delete it to build it anew."
        )
    for name, size in manifest["sizes"].items():
        path = folder / Path(name).name
        found = path.stat().st_size if path.is_file() else "none"
        if found != size:
            raise CorruptDataset(
                f"{path} must be of {size} bytes: got {found}; delete {folder} to build it anew."
            )
    return manifest


def check_cache(folder: Path, spec: OgbSpec | PublicSpec) -> None:
    """Read every array of a cache and compare its hash; that of the graph is compared when opened.

    Args:
        folder: Of the cache.
        spec: Which data set it must hold.

    Raises:
        CorruptDataset: One is damaged.

    Example:
        >>> from graphattn.datasets.ogb_table import OGB
        >>> check_cache(Path("nowhere"), OGB["ogbn-arxiv"])
        Traceback (most recent call last):
        ...
        graphattn.datasets.npz.CorruptDataset: nowhere...manifest.json cannot be read as JSON ...
    """
    for name, digest in read_manifest(folder, spec)["files"].items():
        if not _is_sound(folder / Path(name).name, digest):
            raise CorruptDataset(
                f"{folder / name} is damaged: its hash is not the one in manifest.json; "
                f"delete {folder} to build it anew."
            )


def _is_sound(path: Path, digest: str) -> bool:
    try:
        return digest_arrays(read_array(path, mmap=True)) == digest
    except ValueError:
        return False


def _check_ours(folder: Path) -> None:
    """Refuses a folder that no build can have left, before anything in it is touched."""
    there = folder.is_symlink() or folder.exists()
    if there and (folder.is_symlink() or not folder.is_dir()):
        raise ValueError(f"{folder} is needed as a folder of the cache; move it away.")
    names = {entry.name for entry in folder.iterdir()} if there else set()
    if names and not names & set(_MARKS):
        raise ValueError(
            f"{folder} is needed for the cache, and no build made it: got neither journal.json nor "
            "manifest.json in it; move it away or choose another GRAPHATTN_CACHE."
        )


def _remove(folder: Path) -> None:
    """Deletes a folder of ours."""
    if folder.exists():
        _check_ours(folder)
        delete_folder(folder, _MARKS)
