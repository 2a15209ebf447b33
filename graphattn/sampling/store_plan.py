"""What building a token store will take, from the sizes of graph and features alone."""

from pathlib import Path

import numpy as np

from graphattn.edges import id_dtype
from graphattn.ops.propagation_plan import plan_sizes
from graphattn.plan import PlanStep, disk_rates
from graphattn.sampling.recipe import Recipe

_FLOAT = np.dtype(np.float32)  # in which hops are computed, whatever is kept


def plan_store(
    folder: Path,
    sizes: tuple[int, int, int],
    recipe: Recipe,
    *,
    memory: int,
    held: int,
    shard_rows: int,
) -> list[PlanStep]:
    """Plans what :meth:`TokenStore.build` does; measures this machine for some seconds.

    Args:
        folder: An existing folder on the disk of the store.
        sizes: Nodes, edges and channels.
        recipe: What is kept.
        memory: Bytes that may be used beside those held.
        held: Bytes that the process holds already.
        shard_rows: Nodes of a file of the store.

    Returns:
        The steps.

    Raises:
        ValueError: ``memory`` is too small for one column of the features.

    Example:
        >>> import tempfile
        >>> where = Path(tempfile.gettempdir())
        >>> steps = plan_store(where, (9, 20, 4), Recipe(), memory=10**7, held=0, shard_rows=9)
        >>> [(step.what, step.passes, step.written) for step in steps]
        [('2 hops, all columns at once', 1, 0), ('shards of 3 contexts', 1, 592)]
    """
    nodes, edges, channels = sizes
    rates = writes, reads = disk_rates(folder)
    hop = nodes * channels * _FLOAT.itemsize
    graph = 8 * (nodes + 1) + id_dtype(nodes).itemsize * edges
    steps, hops_on_disk, in_memory = [], 0, recipe.memory(*sizes)
    for side, count in recipe.longest().items():
        if not count:
            continue
        whole = in_memory <= memory
        room = memory if not whole else max(memory, 4 * hop + 64 * nodes + (1 << 23))
        plan = plan_sizes(sizes, _FLOAT, count, memory=room, rates=rates)
        slices = len(plan.slices)
        across = "" if side == "in" else " backwards"
        hops_on_disk += count * hop
        steps.append(
            PlanStep(
                what=f"{count} hops{across}, "
                + ("all columns at once" if slices == 1 else f"{plan.slice_channels} columns each"),
                passes=slices,
                read=slices * (hop + count * graph),
                written=0,
                memory=held + (in_memory if whole else plan.memory),
                seconds=plan.seconds,
                disk=hops_on_disk + plan.disk - count * hop,
            )
        )
    contexts = recipe.num_contexts + (1 + recipe.num_own_hops if recipe.num_own_hops else 0)
    width = np.dtype(recipe.dtype).itemsize
    kept = nodes * channels * contexts * width
    shard = min(nodes, shard_rows) * channels * contexts
    steps.append(
        PlanStep(
            what=f"shards of {contexts} contexts",
            passes=1,
            read=hops_on_disk + hop,
            written=kept + graph,
            memory=held + shard * (2 * width + _FLOAT.itemsize),
            seconds=(kept + graph) * (writes + reads) + (hops_on_disk + hop) * reads,
            disk=hops_on_disk,
        )
    )
    return steps
