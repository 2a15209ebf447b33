"""`graphattn tokenize`: build once the folder that token models draw from."""

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

from graphattn.arguments import number_of_bytes
from graphattn.config import RunConfig
from graphattn.memory import memory_limit
from graphattn.parsing import parse, tokenize_parser, without_sections
from graphattn.planning import plan_tokenize
from graphattn.preprocess.engine import Engine
from graphattn.preprocess.local_engine import LocalEngine
from graphattn.preprocess.ray_engine import RayEngine
from graphattn.sampling.manifest import damaged_files
from graphattn.store_building import build_store
from graphattn.task import load_task


def main(argv: Sequence[str]) -> int:
    """Run `graphattn tokenize`: build the folder that token models draw from.

    Example:
        >>> main(["--out", "stores/none"])
        Traceback (most recent call last):
        ...
        ValueError: data.name must be given: got none; ...
    """
    parsed = parse(tokenize_parser(), without_sections(argv, ("data", "tokens")))
    out, memory, plan = (parsed.pop(key, None) for key in ("out", "memory", "plan"))
    repair = bool(parsed.pop("repair", None))
    name, workers, address = (parsed.pop(key, None) for key in ("engine", "workers", "address"))
    if name and (plan or memory is not None):
        raise ValueError(
            f"--plan and --memory are of a build in one process: got them with --engine {name}; "
            "leave --engine out, or say with --workers how many share the memory."
        )
    if repair and plan:
        raise ValueError("--repair rebuilds and --plan writes nothing: got both; leave one out.")
    config = RunConfig.from_mapping(parsed)
    folder = Path(out or config.store.store or f"stores/{config.folder.name.rpartition('-')[0]}")
    config = replace(config, store=replace(config.store, store=str(folder)))
    with memory_limit(None if memory is None else number_of_bytes(memory, "--memory")):
        if plan or memory is not None:
            print(plan_tokenize(config))
        if plan:
            return 0
        with _engine(name, workers, address) as engine:
            return _build(config, engine, repair)


def _engine(
    name: str | None, workers: int | None, address: str | None
) -> AbstractContextManager[Engine | None]:
    if workers is not None and name is None:
        raise ValueError(f"--workers needs --engine local or ray: got {workers} and no engine.")
    if address is not None and name != "ray":
        raise ValueError(f"--address needs --engine ray: got {address} and {name or 'no engine'}.")
    if name is None:
        return nullcontext()
    return LocalEngine(workers) if name == "local" else RayEngine(workers, address=address)


def _build(config: RunConfig, engine: Engine | None, repair: bool) -> int:
    folder = Path(str(config.store.store))
    damaged = damaged_files(folder) if repair else []  # there must be a store
    task = load_task(config.data)
    started = time.perf_counter()
    store = build_store(config, task, engine=engine)
    seconds = time.perf_counter() - started
    if repair:
        print(f"{folder}: {_told(damaged)}")
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(
        f"{folder}: {store.num_nodes:,} nodes, {store.num_contexts} contexts of "
        f"{store.in_channels} channels, {store.num_own_hops} own hops, "
        f"{store.pe_channels} position channels; {size / 1e6:,.1f} MB, {seconds:.1f} s"
    )
    return 0


def _told(damaged: list[str]) -> str:
    if damaged == ["manifest.json"]:
        return "damaged: manifest.json, without which no file can be trusted; all was rebuilt"
    return f"damaged, rebuilt: {', '.join(damaged)}" if damaged else "nothing is damaged"
