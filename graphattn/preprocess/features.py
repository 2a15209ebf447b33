"""A token store built by many workers: hops in blocks of rows and columns, then shards."""

import os
import shutil
import uuid
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy.lib import format as format_
from torch import Tensor
from tqdm import tqdm

from graphattn.checks import check_least
from graphattn.files import check_space, digest_arrays, read_array, write_array
from graphattn.graph import CSRGraph
from graphattn.ops.propagate import scales
from graphattn.preprocess.engine import Engine
from graphattn.preprocess.grid import Cuts, cells, choose_grid
from graphattn.preprocess.tasks import Block, JoinTask, Range, SpmmTask
from graphattn.sampling.filling import Unfinished
from graphattn.sampling.folder import FolderBuilder
from graphattn.sampling.recipe import Recipe, check_inputs
from graphattn.sampling.store import TokenStore

_ROWS = 1 << 14  # of the features that are cut at once
_FLOAT = np.dtype(np.float32)


def build_store(
    path: Path | str,
    graph: CSRGraph,
    x: Float[Tensor, "nodes channels"],
    *,
    engine: Engine,
    recipe: Recipe | None = None,
    pe: Float[Tensor, "nodes pe_channels"] | None = None,
    shard_rows: int = 65536,
    overwrite: bool = False,
    partitions: int | None = None,
    progress: bool = True,
) -> TokenStore:
    """Makes a folder hold a store, as :meth:`TokenStore.build` does, by many workers.

    Each hop is cut into blocks of columns, and where these are too few for all workers, of rows. A
    worker holds its columns of all nodes and reads the graph of its rows once; nothing is sent from
    worker to worker. What is done, block or shard, survives a kill of whoever, and is not made
    again. The result has the same bits for any engine, number of workers and of partitions, and
    as one process makes it.

    Args:
        path: The folder, as for :meth:`TokenStore.build`; all workers must see it.
        graph: The graph.
        x: Features.
        engine: Who does the work.
        recipe: What is kept; by default two hops, float32.
        pe: Positions, or none.
        shard_rows: Nodes a file.
        overwrite: Replace a store that was made from other inputs or options.
        partitions: Blocks of a hop at least, by default as many as workers; more where the memory
            of a worker asks for it. A build that goes on keeps those of before.
        progress: Show a bar, if there is a terminal.

    Returns:
        The store, memory-mapped.

    Raises:
        ValueError: As for :meth:`TokenStore.build`; or a worker's memory holds not one column.
        OSError: The disk is full or cannot be written, a worker does not see the folder, or a task
            was given up.

    Example:
        >>> import tempfile, torch
        >>> from graphattn.preprocess.local_engine import LocalEngine
        >>> graph = CSRGraph.from_edge_index(torch.tensor([[0], [1]]))
        >>> with LocalEngine(0) as engine:
        ...     build_store(tempfile.mkdtemp(), graph, torch.ones(2, 1), engine=engine).num_contexts
        3
    """
    if partitions is not None:
        check_least(1, partitions=partitions)
    recipe = Recipe() if recipe is None else recipe
    path = Path(path).absolute()
    inputs = check_inputs(graph, x, pe, recipe)
    fill = partial(_fill, engine=engine, partitions=partitions)
    builder = FolderBuilder(path, graph, inputs, recipe, shard_rows, overwrite=overwrite, fill=fill)
    builder.build(progress=progress)
    return TokenStore.open(path)


def _fill(
    store: Unfinished, progress: bool, *, engine: Engine, partitions: int | None = None
) -> None:
    """Makes what is missing: inputs where workers see them, hop after hop, then the shards."""
    place = _place(store.folder / "hops")
    hops = store.hop_names
    features = [name for name in store.missing if not name.startswith("pe-")]
    tables = _Blocks(store, place, hops, choose_grid(store, engine, partitions))
    work = [spmm for step in tables.steps for spmm in step if spmm.name not in store.files]
    new = store.inputs["x"].nbytes + sum(_FLOAT.itemsize * _area(spmm) for spmm in work)
    check_space(store.folder, store.num_bytes() + new)
    with tqdm(
        total=len(work) + len(store.missing),
        desc="token store",
        disable=None if progress else True,
    ) as bar:
        if features:
            _share_features(
                store, [block for block in tables.of["x"] if _name(block) not in store.files]
            )
        if work:
            tables.share_graph()
        for step in tables.steps:
            _run(store, engine, [spmm for spmm in step if spmm.name not in store.files], bar)
        _run(store, engine, [_join(store, place, tables, name) for name in features], bar)
        for name in store.missing:
            names, part = store.shard(name)
            store.write(name, store.inputs[names[0]][part])
            bar.update()


def _run(
    store: Unfinished, engine: Engine, tasks: Sequence[SpmmTask | JoinTask], bar: "tqdm[object]"
) -> None:
    for task, digest in engine.run(tasks):
        store.add(task.name, digest)
        bar.update()


def _share_features(store: Unfinished, blocks: Sequence[Block]) -> None:
    """Writes columns of the features where workers see them, in one pass over the rows."""
    x = store.inputs["x"]
    with ExitStack() as files:
        open_files = []
        for block in blocks:
            file = files.enter_context(block.file.with_name(f"{block.file.name}.part").open("wb"))
            shape = (len(x), block.columns[1] - block.columns[0])
            header = {"descr": x.dtype.str, "fortran_order": False, "shape": shape}
            format_.write_array_header_1_0(file, header)
            open_files.append(file)
        for first in range(0, len(x), _ROWS):
            rows = x[first : first + _ROWS]
            for file, block in zip(open_files, blocks, strict=True):
                file.write(np.ascontiguousarray(rows[:, slice(*block.columns)]).data)
        for file in open_files:
            file.flush()
            os.fsync(file.fileno())
    for block in blocks:
        block.file.with_name(f"{block.file.name}.part").replace(block.file)
        store.add(_name(block), digest_arrays(read_array(block.file, mmap=True)))


def _place(hops: Path) -> Path:
    """Makes a folder for this run; those of earlier ones go, and with them what orphans write."""
    for old in hops.glob("run-*"):
        shutil.rmtree(old)
    place = hops / f"run-{uuid.uuid4().hex}"
    place.mkdir()
    return place


class _Blocks:
    """The blocks of all hops: the tasks that make them, step by step, and where each hop lies."""

    def __init__(
        self, store: Unfinished, place: Path, hops: Iterable[str], grid: tuple[Cuts, Cuts]
    ) -> None:
        self._store, self._place = store, place
        nodes, channels = store.inputs["x"].shape
        whole = (0, nodes), (0, channels)
        columns = [columns for _, columns in cells([0, nodes], grid[1])]
        self.of: dict[str, tuple[Block, ...]] = {
            "x": tuple(
                Block(store.folder / _part("x", (0, nodes), c), (0, nodes), c) for c in columns
            )
        }
        self.sides: list[str] = []
        self.steps: list[list[SpmmTask]] = []
        for name in hops:
            side, hop = name.rstrip("0123456789"), int(name.lstrip("inout"))
            self.sides += [] if side in self.sides else [side]
            if f"hops/{name}.npy" in store.files:  # one process has made it
                self.of[name] = (Block(store.folder / f"hops/{name}.npy", *whole),)
                continue
            sources = self.of["x" if hop == 1 else f"{side}{hop - 1}"]
            tasks = [self._task(name, side, sources, *parts) for parts in cells(*grid)]
            self.of[name] = tuple(
                Block(store.folder / task.name, task.rows, task.columns) for task in tasks
            )
            self.steps += [[] for _ in range(hop - len(self.steps))]
            self.steps[hop - 1] += tasks

    def _task(
        self, name: str, side: str, sources: tuple[Block, ...], rows: Range, columns: Range
    ) -> SpmmTask:
        graph = self._store.graph
        turned = side == "out" and graph.reverse() is not graph
        return SpmmTask(
            name=_part(name, rows, columns),
            folder=self._store.folder,
            place=self._place,
            graph=self._place / "out" if turned else self._store.folder / "graph",
            side=side,
            sources=tuple(b for b in sources if _overlap(b.columns, columns)),
            rows=rows,
            columns=columns,
        )

    def share_graph(self) -> None:
        """Writes graph and scales where all workers see them."""
        self._store.save_graph()
        for side in self.sides:
            graph = self._store.graph if side == "in" else self._store.graph.reverse()
            if graph is not self._store.graph:
                graph.save(self._place / "out")
            pair = scales(graph, self._store.recipe.norm)
            for which, scale in zip(("before", "after"), pair, strict=True):
                write_array(self._place / f"{side}-{which}.npy", scale.astype(np.float32))


def _join(store: Unfinished, place: Path, tables: _Blocks, name: str) -> JoinTask:
    names, part = store.shard(name)
    rows = (part.start, part.stop)
    return JoinTask(
        name=name,
        folder=store.folder,
        place=place,
        recipe=store.recipe,
        sources=tuple(
            tuple(block for block in tables.of[hop] if _overlap(block.rows, rows)) for hop in names
        ),
        rows=rows,
        channels=store.inputs["x"].shape[1],
    )


def _part(table: str, rows: Range, columns: Range) -> str:
    return f"hops/{table}-{rows[0]}-{rows[1]}-{columns[0]}-{columns[1]}.npy"


def _name(block: Block) -> str:
    return f"hops/{block.file.name}"


def _overlap(one: Range, other: Range) -> bool:
    return max(one[0], other[0]) < min(one[1], other[1])


def _area(task: SpmmTask) -> int:
    return (task.rows[1] - task.rows[0]) * (task.columns[1] - task.columns[0])
