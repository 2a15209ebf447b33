"""Tokens drawn once for all epochs, by many workers."""

import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64
from torch import Tensor
from tqdm import tqdm

from graphattn.checks import check_least
from graphattn.edges import id_dtype
from graphattn.files import check_space, digest_arrays, read_json, write_json
from graphattn.graph import CSRGraph
from graphattn.ops.neighborhood import Direction, Neighborhood, Pool
from graphattn.outputs import lock, output_folder
from graphattn.preprocess.drawn_tokens import FORMAT, DrawnTokens, shard_endings, sound_shard
from graphattn.preprocess.engine import Engine
from graphattn.preprocess.tasks import SampleTask, write_shard
from graphattn.sampling.bottom_k import BottomKSampler
from graphattn.sampling.loader import independent


def draw_tokens(
    path: Path | str,
    graph: Path | str,
    seeds: Int64[Tensor, " seeds"],
    num_samples: int,
    *,
    engine: Engine,
    sampler: Callable[..., Neighborhood] = BottomKSampler(share=1),  # noqa: B008 - frozen
    num_hops: int = 2,
    pool: Pool | None = None,
    direction: Direction = "in",
    seed: int = 0,
    epoch: int = 0,
    block_rows: int = 65536,
    progress: bool = True,
) -> DrawnTokens:
    """Draws the tokens of some seeds into a folder, by many workers, and opens it.

    Each worker maps the graph and draws a block of seeds. The tables have the same bits for any
    engine and number of workers and, beside how they are cut, of blocks. What is drawn survives a
    kill of whoever, and is not drawn again.

    Args:
        path: The folder, new or of an earlier try; all workers must see it.
        graph: Folder of the graph, such as ``graph`` within a token store; likewise.
        seeds: Ids of nodes; those that repeat are drawn for once.
        num_samples: Tokens a seed, itself included.
        engine: Who does the work.
        sampler: Draws for each node by (seed, epoch, node) alone, can be pickled, and is there on
            all machines; a ``BottomKSampler`` draws with ``share=1``.
        num_hops: Steps.
        pool: ``"list"`` or ``"set"``; by default the sampler's own.
        direction: Along which edges.
        seed: Any integer.
        epoch: Another epoch is another draw.
        block_rows: Seeds of a task, and of a file.
        progress: Show a bar, if there is a terminal.

    Returns:
        The tokens, memory-mapped.

    Raises:
        ValueError: A seed is no node, an option is out of its range, or the folder holds something
            else, or tokens drawn with other options (the first that differs is named).
        OSError: The disk is full or cannot be written, a worker does not see the folder, or a task
            was given up.

    Example:
        >>> import tempfile, torch
        >>> from graphattn.preprocess.local_engine import LocalEngine
        >>> folder = Path(tempfile.mkdtemp())
        >>> CSRGraph.from_edge_index(np.array([[0], [1]])).save(folder / "graph")
        >>> with LocalEngine(0) as engine:
        ...     every = torch.arange(2)
        ...     drawn = draw_tokens(folder / "t", folder / "graph", every, 2, engine=engine)
        >>> drawn.gather(torch.tensor([1])).ids.tolist()
        [[1, 0]]
    """
    check_least(1, num_samples=num_samples, block_rows=block_rows)
    path, graph = Path(path).absolute(), Path(graph).absolute()
    known = CSRGraph.load(graph)
    nodes = np.unique(seeds.cpu().numpy())
    if nodes.size and not 0 <= nodes[0] <= nodes[-1] < known.num_nodes:
        raise ValueError(
            f"seeds must be ids from 0 to {known.num_nodes - 1}: got some from {nodes[0]} to "
            f"{nodes[-1]}."
        )
    options: dict[str, Any] = {"num_hops": num_hops, "direction": direction}
    options |= {"seed": int(seed), "epoch": int(epoch)} | ({} if pool is None else {"pool": pool})
    alone = independent(sampler)
    wanted = {"pool": None, **options, "num_samples": num_samples, "block_rows": block_rows}
    wanted |= {"format": FORMAT, "graph": known.digest(), "seeds": digest_arrays(nodes)}
    wanted["sampler"] = getattr(alone, "__qualname__", repr(alone))
    output_folder(path, "the folder of the tokens")
    with lock(path.with_name(f".{path.name}.lock")):
        files = _resume(path, wanted)
        for old in path.glob("run-*"):
            shutil.rmtree(old)
        place = path / f"run-{uuid.uuid4().hex}"
        place.mkdir()
        width = id_dtype(known.num_nodes).itemsize + 2
        check_space(path, nodes.nbytes * 2 + nodes.size * num_samples * width)
        write_shard(place, path / "seeds.npy", nodes)
        write_shard(place, place / "seeds.npy", nodes)
        names = shard_endings(nodes.size, block_rows)
        tasks = [
            SampleTask(
                name=name,
                folder=path,
                place=place,
                graph=graph,
                rows=(number * block_rows, min((number + 1) * block_rows, nodes.size)),
                sampler=alone,
                num_samples=num_samples,
                options=tuple(options.items()),
            )
            for number, name in enumerate(names)
            if name not in files
        ]
        bar = tqdm(engine.run(tasks), "tokens", len(tasks), disable=None if progress else True)
        for task, digest in bar:
            files[task.name] = digest
            write_json(path / "manifest.json", wanted | {"files": files})
        shutil.rmtree(place)
    return DrawnTokens.open(path)


def _resume(path: Path, wanted: dict[str, Any]) -> dict[str, str]:
    """Finds what an earlier try has drawn; refuses a folder that holds anything else."""
    file = path / "manifest.json"
    if not file.is_file():
        if others := sorted(entry.name for entry in path.iterdir()):
            raise ValueError(
                f"{path} must be empty, or hold drawn tokens: got {others[0]} and no "
                "manifest.json; choose another folder."
            )
        write_json(file, wanted | {"files": {}})
        return {}
    found = read_json(file)
    for key, value in wanted.items():
        if found.get(key) != value:
            raise ValueError(
                f"{path} holds what was drawn otherwise ({key}: {found.get(key)!r}, asked "
                f"{value!r}): choose another folder, or delete it."
            )
    files = found.get("files")
    names = _names_in(files)
    return {name: names[name] for name in names if sound_shard(path, name, names) is not None}


def _names_in(files: Any) -> dict[str, str]:
    """The entries of a manifest that may be names of ours."""
    known = files.items() if isinstance(files, dict) else ()
    return {
        name: digest
        for name, digest in known
        if name.endswith(".npy") and name.removesuffix(".npy").isdecimal()
    }
