"""What `graphattn tokenize` will take: from raw files to the token store, before any work."""

import shutil
from pathlib import Path

from graphattn.config import RunConfig
from graphattn.datasets.ogb_plan import GraphSize, plan_cache
from graphattn.datasets.ogb_table import OGB
from graphattn.memory import held_memory, usable_memory
from graphattn.outputs import output_folder
from graphattn.plan import Plan, PlanStep
from graphattn.sampling.recipe import Recipe
from graphattn.sampling.store_plan import plan_store
from graphattn.task import load_task

_SHARD_ROWS = 65_536  # as TokenStore.build has it
_REVERSED = 56  # bytes for each edge while the reverse of every edge is added


def plan_tokenize(config: RunConfig) -> Plan:
    """Plan what `graphattn tokenize` does; measures rates of this machine for some seconds.

    Nothing is written but trial files, removed at once. Of OGB's data sets only sizes and the
    first rows are read; others are loaded, as they are held in memory anyway.

    Args:
        config: Says which data and what is kept; `tokens.store` is the folder.

    Returns:
        The plan, within the limit of :func:`~graphattn.memory.memory_limit`.

    Raises:
        ValueError: The limit is too small for one column of the features, or see `load_task`.
        OSError: A folder cannot be written.

    Example:
        >>> import tempfile
        >>> from graphattn.config import DataOptions, StoreOptions
        >>> store = StoreOptions(store=f"{tempfile.mkdtemp()}/store")
        >>> plan_tokenize(RunConfig(DataOptions("karate"), store=store)).steps[0].what
        '2 hops, all columns at once'
    """
    data, kept = config.data, config.store
    recipe = Recipe(
        config.tokens.num_hops, kept.num_own_hops, kept.norm, kept.direction, kept.dtype
    )
    parent = output_folder(Path(str(kept.store)).absolute().parent, "the folder of the store")
    parent.mkdir(parents=True, exist_ok=True)
    held = held_memory()
    steps: list[PlanStep] = []
    if data.name in OGB:
        steps, size = plan_cache(OGB[data.name], data.root, data.options.get("cache"), held)
    else:
        task = load_task(data)
        held = held_memory()
        size = GraphSize(task.graph.num_nodes, task.graph.num_edges, task.x.size(1))
    if data.undirected and data.name in OGB:
        steps.append(
            PlanStep(
                what="the reverse of every edge",
                passes=1,
                read=4 * size.num_edges,
                written=0,
                memory=held + _REVERSED * size.num_edges,
                seconds=2e-7 * size.num_edges,
            )
        )
        size = size._replace(num_edges=2 * size.num_edges)
    more = plan_store(
        parent, size, recipe, memory=usable_memory(), held=held, shard_rows=_SHARD_ROWS
    )
    steps += more
    written = sum(step.written for step in steps)
    return Plan(steps, kept=written, free=shutil.disk_usage(parent).free)
