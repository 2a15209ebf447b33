"""What an unfinished token store still needs, and how one process makes it: hops, then shards."""

import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from graphattn.files import check_space, digest_arrays, read_array, write_array, write_json
from graphattn.graph import CSRGraph
from graphattn.memory import release, usable_memory
from graphattn.ops.out_of_core import propagate_to
from graphattn.ops.propagation_plan import plan_propagation
from graphattn.sampling.manifest import shard_names
from graphattn.sampling.recipe import Recipe

_LOG = logging.getLogger(__name__)

Arrays = dict[str, npt.NDArray[Any]]


@dataclass
class Unfinished:
    """A store that is being made: from what, which files are there, and which are missing.

    Args:
        folder: Where the files are put; ``hops`` in it is deleted when the store is finished.
        graph: The graph.
        inputs: ``"x"`` and perhaps ``"pe"``, float32, one row a node.
        recipe: The options.
        wanted: The manifest, but for the files.
        files: Finished files, shards and others, and their hashes.

    Example:
        >>> graph = CSRGraph.from_edge_index(np.array([[0], [1]]))
        >>> wanted = {"parameters": {"shard_rows": 1}, "shapes": {"features": [2, 3, 1]}}
        >>> store = Unfinished(Path(), graph, {"x": np.ones((2, 1), "f4")}, Recipe(), wanted, {})
        >>> store.missing, store.shard("features-00001.npy")
        (['features-00000.npy', 'features-00001.npy'], (['x', 'in1', 'in2'], slice(1, 2, None)))
    """

    folder: Path
    graph: CSRGraph
    inputs: Arrays
    recipe: Recipe
    wanted: dict[str, Any]
    files: dict[str, str]
    _has_graph: bool = field(default=False, init=False)

    @property
    def missing(self) -> list[str]:
        """The shards that are not there yet."""
        return [name for name in shard_names(self.wanted) if name not in self.files]

    @property
    def hop_names(self) -> list[str]:
        """The hops that the missing shards are made of, hop after hop."""
        if all(name.startswith("pe-") for name in self.missing):
            return []
        features, own = self.recipe.hop_names()
        return sorted(set(features + own) - {"x"}, key=lambda name: (len(name), name))

    def shard(self, name: str) -> tuple[list[str], slice]:
        """Tells which tables a shard lays side by side, and which of their rows."""
        table, number = name.removesuffix(".npy").split("-")
        rows = int(self.wanted["parameters"]["shard_rows"])
        start = int(number) * rows
        part = slice(start, min(start + rows, self.graph.num_nodes))
        if table == "pe":
            return ["pe"], part
        features, own = self.recipe.hop_names()
        return (features if table == "features" else own), part

    def num_bytes(self) -> int:
        """Counts the bytes of graph and missing shards."""
        shapes, shard_rows = self.wanted["shapes"], self.wanted["parameters"]["shard_rows"]
        size = self.graph.rowptr.nbytes + self.graph.col.nbytes
        for name in self.missing:
            shape = shapes[name.split("-")[0]]
            width = 4 if name.startswith("pe-") else np.dtype(self.recipe.dtype).itemsize
            size += width * min(shard_rows, shape[0]) * int(np.prod(shape[1:]))
        return int(size)

    def write(self, name: str, array: npt.NDArray[Any]) -> None:
        """Writes a file, and says in the journal that it is there.

        Raises:
            OSError: The disk is full or cannot be written.
        """
        write_array(self.folder / name, array)
        self.add(name, digest_arrays(array))

    def add(self, name: str, digest: str) -> None:
        """Says in the journal that a file is there, with this hash."""
        self.files[name] = digest
        self.record()

    def record(self) -> None:
        """Writes the journal: what is made, and which files of it are there."""
        write_json(self.folder / "journal.json", self.wanted | {"files": self.files})

    def save_graph(self) -> None:
        """Writes the graph into ``graph``, once."""
        if not self._has_graph:
            self.graph.save(self.folder / "graph")
            self._has_graph = True

    def finish(self) -> None:
        """Writes graph and manifest, and clears away what only the work needed."""
        self.save_graph()
        shutil.rmtree(self.folder / "hops")
        self.files = {name: self.files[name] for name in shard_names(self.wanted)}
        write_json(self.folder / "manifest.json", self.wanted | {"files": self.files})
        (self.folder / "journal.json").unlink()


Fill = Callable[[Unfinished, bool], None]
"""Makes all that is missing of a store; shows a bar where the second argument is true."""


def fill_here(store: Unfinished, progress: bool, *, memory: int | None = None) -> None:
    """Writes the hops and shards that are missing, in this process.

    Args:
        store: What is to be made.
        progress: Show a bar, if there is a terminal.
        memory: Bytes that propagation may use, by default what may be used in all; where hops would
            take more they are computed in slices of columns, by way of the disk.

    Raises:
        OSError: The disk is full or cannot be written.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / "hops").mkdir()
        >>> graph = CSRGraph.from_edge_index(np.array([[0], [1]]))
        >>> wanted = {"parameters": {"shard_rows": 2}, "shapes": {"features": [2, 3, 1]}}
        >>> store = Unfinished(folder, graph, {"x": np.ones((2, 1), "f4")}, Recipe(), wanted, {})
        >>> fill_here(store, False)
        >>> store.missing
        []
    """
    memory = usable_memory() if memory is None else memory
    recipe, x = store.recipe, store.inputs["x"]
    missing, hops = store.missing, store.hop_names
    known = {"x": x}
    for name in hops:
        if f"hops/{name}.npy" in store.files:
            known[name] = read_array(store.folder / f"hops/{name}.npy", mmap=True)
    check_space(store.folder, store.num_bytes() + (1 + len(hops) - len(known)) * x.nbytes)
    with tqdm(
        total=len(hops) + len(missing), desc="token store", disable=None if progress else True
    ) as bar:
        bar.update(len(known) - 1)
        if hops and recipe.memory(x.shape[0], store.graph.num_edges, x.shape[1]) > memory:
            known |= _spread_on_disk(store, memory, progress)
            bar.update(len(hops))
        elif hops:
            for name, hop in recipe.compute(store.graph, x, known):
                store.write(f"hops/{name}.npy", hop)
                known[name] = read_array(store.folder / f"hops/{name}.npy", mmap=True)
                bar.update()
        for name in missing:
            names, part = store.shard(name)
            if names == ["pe"]:
                store.write(name, store.inputs["pe"][part])
            else:
                store.write(name, _side_by_side(recipe, [known[hop][part] for hop in names]))
            bar.update()


def _spread_on_disk(store: Unfinished, memory: int, progress: bool) -> Arrays:
    """Computes all hops without ever holding one; says first what it will take."""
    known: Arrays = {}
    x, recipe = store.inputs["x"], store.recipe
    for side, hops in recipe.longest().items():
        if hops:
            graph = store.graph if side == "in" else store.graph.reverse()
            folder = store.folder / "hops" / side
            plan = plan_propagation(folder, graph, x, hops, memory=memory)
            _LOG.warning("features need more memory than there is: %s", plan)
            spread = propagate_to(
                folder, graph, x, hops, memory=memory, norm=recipe.norm, progress=progress
            )
            known |= {f"{side}{hop}": array for hop, array in enumerate(spread, 1)}
    return known


def _side_by_side(recipe: Recipe, rows_of_hops: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    shard = recipe.interleave(rows_of_hops)
    for block in rows_of_hops:
        release(block)
    return shard
