"""`graphattn tokenize`: build once the folder that token models draw from."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from graphattn.arguments import number_of_bytes
from graphattn.config import RunConfig
from graphattn.memory import memory_limit
from graphattn.parsing import parse, tokenize_parser, without_sections
from graphattn.planning import plan_tokenize
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
    config = RunConfig.from_mapping(parsed)
    folder = Path(out or config.store.store or f"stores/{config.folder.name.rpartition('-')[0]}")
    config = replace(config, store=replace(config.store, store=str(folder)))
    with memory_limit(None if memory is None else number_of_bytes(memory, "--memory")):
        if plan or memory is not None:
            print(plan_tokenize(config))
        return 0 if plan else _build(config)


def _build(config: RunConfig) -> int:
    folder = Path(str(config.store.store))
    task = load_task(config.data)
    started = time.perf_counter()
    store = build_store(config, task)
    seconds = time.perf_counter() - started
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(
        f"{folder}: {store.num_nodes:,} nodes, {store.num_contexts} contexts of "
        f"{store.in_channels} channels, {store.num_own_hops} own hops, "
        f"{store.pe_channels} position channels; {size / 1e6:,.1f} MB, {seconds:.1f} s"
    )
    return 0
