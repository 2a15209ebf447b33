"""A token store on disk: how its folder is built, resumed after a crash, repaired and opened."""

import logging
import re
from functools import partial
from pathlib import Path
from typing import Any

from filelock import Timeout

from graphattn.files import digest_arrays, read_json, sync_folder
from graphattn.graph import CSRGraph
from graphattn.outputs import delete_folder, lock, output_folder
from graphattn.sampling.filling import Arrays, Fill, Unfinished, fill_here
from graphattn.sampling.manifest import (
    FORMAT,
    damaged_files,
    differences,
    is_sound,
    read_manifest,
    shard_names,
)
from graphattn.sampling.recipe import Recipe

_LOG = logging.getLogger(__name__)

_MARKS = ("journal.json", "journal.json.part", "manifest.json")  # of a folder that we made
_OURS = re.compile(  # all that a build can leave in one
    r"(journal|manifest)\.json(\.part)?|graph|hops|(features|own|pe)-\d{5,}\.npy(\.part)?"
)
_PARTS = re.compile(r"hops/((x|(in|out)\d+)(-\d+){4}|(in|out)\d+)\.npy")  # kept after a kill, too


class FolderBuilder:
    """Builds one store folder; every finished file survives a kill, and is checked before reuse.

    Work goes on in ``.<name>.building``, with a journal of the finished files and their hashes;
    the finished folder is then renamed to ``<path>``, and an older one meanwhile to
    ``.<name>.replaced``. ``.<name>.lock`` lets one process build while others wait.

    Args:
        path: The store's folder.
        graph: The graph.
        inputs: ``"x"`` and perhaps ``"pe"``, float32, one row a node.
        recipe: The options.
        shard_rows: Rows of a shard.
        overwrite: Replace a store that was made from other inputs or options.
        memory: Bytes that propagation may use; where hops would take more they are computed in
            slices of columns, by way of the disk.
        fill: Makes what is missing; by default this process does.

    Raises:
        ValueError: ``shard_rows`` is below 1.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> graph = CSRGraph.from_edge_index(np.array([[0], [1]]))
        >>> path = Path(tempfile.mkdtemp()) / "store"
        >>> FolderBuilder(path, graph, {"x": np.ones((2, 1), "f4")}, Recipe(), 4).build()
        >>> read_manifest(path)["shapes"]["features"]
        [2, 3, 1]
    """

    def __init__(
        self,
        path: Path,
        graph: CSRGraph,
        inputs: Arrays,
        recipe: Recipe,
        shard_rows: int,
        *,
        overwrite: bool = False,
        memory: int | None = None,
        fill: Fill | None = None,
    ) -> None:
        if shard_rows < 1:
            raise ValueError(f"shard_rows must be at least 1: got shard_rows={shard_rows}.")
        self._path, self._graph, self._inputs, self._recipe = path, graph, inputs, recipe
        self._overwrite = overwrite
        self._fill: Fill = partial(fill_here, memory=memory) if fill is None else fill
        self._work = path.with_name(f".{path.name}.building")
        self._old = path.with_name(f".{path.name}.replaced")
        self._wanted: dict[str, Any] = {
            "format": FORMAT,
            "parameters": recipe.as_dict() | {"shard_rows": shard_rows},
            "inputs": {"graph": graph.digest()}
            | {name: digest_arrays(array) for name, array in sorted(inputs.items())},
            "shapes": _shapes(recipe, inputs),
        }

    def build(self, *, progress: bool = False) -> None:
        """Makes the folder hold what is wanted: does nothing, repairs, resumes or builds.

        Args:
            progress: Show a bar, if there is a terminal.

        Raises:
            ValueError: The folder, or one used beside it, holds something else than a token store,
                or a store made from other inputs or options that is not to be overwritten.
            OSError: The disk is full or cannot be written; an older store is intact.
        """
        output_folder(self._path.parent, "the folder of the store")
        only_one = lock(self._path.with_name(f".{self._path.name}.lock"))
        try:
            only_one.acquire(timeout=0)
        except Timeout:
            _LOG.info("another process builds %s: waiting for it", self._path)
            only_one.acquire()
        try:
            _check_ours(self._work)
            _check_ours(self._old)
            if self._is_current():
                _remove(self._old)  # a kill right after publishing left it
            else:
                store = self._resume()
                self._fill(store, progress)
                store.finish()
                self._publish()
        finally:
            only_one.release()

    def _is_current(self) -> bool:
        """Whether the folder holds all that is wanted; a damaged one is taken apart for repair."""
        if not self._path.exists() or (self._path.is_dir() and not any(self._path.iterdir())):
            return False
        if not (self._path / "manifest.json").is_file():
            raise ValueError(
                f"{self._path} exists and is no token store: choose an empty or new folder."
            )
        try:
            manifest = read_manifest(self._path)
        except ValueError as error:
            _check_ours(self._path)
            _LOG.warning("%s Building it anew.", error)
            return False
        if self._wanted != {name: manifest[name] for name in self._wanted}:
            if not self._overwrite:
                raise ValueError(
                    f"{self._path} is a store made from other inputs or options ("
                    f"{'; '.join(differences(manifest, self._wanted))}): "
                    "choose another folder, or delete it."
                )
            _check_ours(self._path)
            _LOG.info("%s was made from other inputs or options: it is built anew", self._path)
            return False
        damaged = damaged_files(self._path)
        if damaged:
            _LOG.warning("%s: damaged, rebuilt: %s", self._path, ", ".join(damaged))
            _remove(self._work)
            self._path.rename(self._work)
        return not damaged

    def _resume(self) -> Unfinished:
        """Finds what an earlier attempt has finished; drops what is damaged or of other inputs."""
        journal: dict[str, Any] = {}
        for name in ("journal.json", "manifest.json"):
            try:
                journal = journal or read_json(self._work / name)
            except ValueError:
                continue
        if any(journal.get(name) != value for name, value in self._wanted.items()):
            _remove(self._work)
            journal = {}
        self._work.mkdir(exist_ok=True)
        mine = set(shard_names(self._wanted))
        files = {
            name: journal["files"][name]
            for name in journal.get("files", {})
            if (name in mine or _PARTS.fullmatch(name)) and is_sound(self._work, journal, name)
        }
        store = Unfinished(self._work, self._graph, self._inputs, self._recipe, self._wanted, files)
        store.record()  # first of all: it marks the folder as ours
        (self._work / "hops").mkdir(exist_ok=True)
        return store

    def _publish(self) -> None:
        """Puts the finished folder in its place; the older one goes only after that."""
        _remove(self._old)
        if self._path.exists():
            self._path.rename(self._old)
        self._work.rename(self._path)
        sync_folder(self._path.parent)
        _remove(self._old)


def _check_ours(folder: Path) -> None:
    """Refuses a folder that no build can have left, before anything in it is touched."""
    if not folder.is_symlink() and not folder.exists():
        return
    if not folder.is_symlink() and folder.is_dir():
        names = {entry.name for entry in folder.iterdir()}
        others = sorted(name for name in names if not _OURS.fullmatch(name))
        if not names or (names & set(_MARKS) and not others):
            return
        if names & set(_MARKS):
            raise ValueError(
                f"{folder} holds what no build of a token store made: got {others[0]!r} "
                f"({len(others)} in all); move it away or choose another path."
            )
    raise ValueError(
        f"{folder} is needed to build the token store, and no build made it: got neither "
        "journal.json nor manifest.json in it; move it away or choose another path."
    )


def _remove(folder: Path) -> None:
    """Deletes a folder of ours."""
    if folder.exists():
        _check_ours(folder)
        delete_folder(folder, _MARKS)


def _shapes(recipe: Recipe, inputs: Arrays) -> dict[str, list[int]]:
    rows, channels = inputs["x"].shape
    shapes = {"features": [rows, recipe.num_contexts, channels]}
    if recipe.num_own_hops:
        shapes["own"] = [rows, 1 + recipe.num_own_hops, channels]
    if "pe" in inputs:
        shapes["pe"] = list(inputs["pe"].shape)
    return shapes
