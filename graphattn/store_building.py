"""From a config and a task to the token store of a run: in memory, or in its folder."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphattn.config import RunConfig
from graphattn.files import digest_arrays, read_array
from graphattn.ops.neighborhood import Neighborhood
from graphattn.ops.positions import positions
from graphattn.ops.ranks import ALONE, Ranks
from graphattn.preprocess.engine import Engine
from graphattn.preprocess.features import build_store as by_workers
from graphattn.sampling.extract import ExtractedTokens, extract_tokens
from graphattn.sampling.manifest import differences
from graphattn.sampling.recipe import Recipe, check_inputs
from graphattn.sampling.store import TokenStore
from graphattn.task import Task

logger = logging.getLogger(__name__)


def build_store(
    config: RunConfig, task: Task, *, write: bool = True, engine: Engine | None = None
) -> TokenStore:
    """Make what tokens are drawn from, in memory or in the folder `tokens.store`.

    Args:
        config: Says what is kept.
        task: Graph and features.
        write: Whether the folder may be built; without, it is read where it holds just this.
        engine: Who builds the folder; by default this process.

    Raises:
        ValueError: The positions are of the wrong size, or the folder holds another store.
        OSError: The disk is full or read-only.

    Example:
        >>> from graphattn.config import DataOptions
        >>> from graphattn.task import load_task
        >>> config = RunConfig(DataOptions("karate"))
        >>> build_store(config, load_task(config.data)).features.shape
        torch.Size([34, 3, 34])
    """
    kept, pe = config.store, _positions(config, task)
    recipe = Recipe(
        config.tokens.num_hops, kept.num_own_hops, kept.norm, kept.direction, kept.dtype
    )
    if kept.store is not None and not write:
        opened = _opened(Path(kept.store), task, pe, recipe)
        if opened is not None:
            return opened
    if kept.store is None or not write:
        return TokenStore.in_memory(task.graph, task.x, **recipe.as_dict(), pe=pe)
    if engine is not None:
        return by_workers(kept.store, task.graph, task.x, engine=engine, recipe=recipe, pe=pe)
    return TokenStore.build(Path(kept.store), task.graph, task.x, **recipe.as_dict(), pe=pe)


def extracted_rows(
    config: RunConfig,
    task: Task,
    store: TokenStore,
    sampler: Callable[..., Neighborhood],
    *,
    seed: int,
    ranks: Ranks = ALONE,
) -> ExtractedTokens | None:
    """Lay side by side, in `<store>-rows`, what the nodes of all splits read, if that is asked for.

    Args:
        config: Says whether.
        task: Whose splits.
        store: Where rows come from.
        sampler: Who draws the tokens.
        seed: Of the draws; each has a folder of its own.
        ranks: Which process this is of those that train together; the first one extracts.

    Returns:
        The rows; None where none are to be extracted.

    Raises:
        ValueError: Tokens are drawn anew in each epoch, or labels join the features.
        OSError: The disk is full or cannot be written.

    Example:
        >>> from graphattn.config import DataOptions
        >>> from graphattn.task import load_task
        >>> config = RunConfig(DataOptions("karate"))
        >>> task = load_task(config.data)
        >>> extracted_rows(config, task, build_store(config, task), len, seed=0) is None
        True
    """
    if not config.store.extract:
        return None
    if config.tokens.resample or config.labels.label_inputs:
        raise ValueError(
            "tokens.extract needs tokens.resample false and train.label_inputs 0, because the rows "
            f"are of one draw and of the store alone: got {config.tokens.resample} and "
            f"{config.labels.label_inputs:g}."
        )
    seeds = torch.cat(
        [ids for split in task.splits for ids in (split.train, split.val, split.test)]
    )
    kept, o = Path(str(config.store.store)), config.tokens
    folder = kept.with_name(f"{kept.name}-rows") / f"seed{seed}"
    options: dict[str, Any] = {"num_hops": o.num_hops, "pool": o.pool, "sampler": sampler}
    with ranks.first_before_others():
        return extract_tokens(folder, store, seeds, o.num_samples, seed=seed, **options)


def positions_file(config: RunConfig) -> Path | None:
    """Return the file that the positions of a run are read from, if they are read from one.

    Raises:
        ValueError: There is no such file.

    Example:
        >>> from graphattn.config import DataOptions
        >>> positions_file(RunConfig(DataOptions("karate"))) is None
        True
    """
    if not config.store.pe.endswith(".npy"):
        return None
    if not Path(config.store.pe).is_file():
        raise ValueError(f"tokens.pe must be a .npy file that exists: got {config.store.pe}.")
    return Path(config.store.pe)


def _opened(folder: Path, task: Task, pe: Tensor | None, recipe: Recipe) -> TokenStore | None:
    if not folder.exists():
        return None
    store = TokenStore.open(folder, verify=True)
    arrays = check_inputs(task.graph, task.x, pe, recipe)
    inputs = {name: digest_arrays(array) for name, array in arrays.items()}
    wanted = {"parameters": recipe.as_dict(), "inputs": {"graph": task.graph.digest(), **inputs}}
    others = differences(store.manifest, wanted)
    if not others:
        return store
    logger.warning("%s holds others (%s): tokens are kept in memory", folder, "; ".join(others))
    return None


def _positions(config: RunConfig, task: Task) -> Tensor | None:
    name: Any = config.store.pe
    if name == "none":
        return None
    file = positions_file(config)
    if file is None:
        return positions(task.graph, name, config.store.pe_channels).float()
    array = read_array(file)
    nodes = task.graph.num_nodes
    if array.ndim != 2 or len(array) != nodes or not np.isfinite(array).all():
        raise ValueError(
            f"tokens.pe must hold finite numbers [{nodes}, channels]: "
            f"got {list(array.shape)} in {name}."
        )
    return torch.from_numpy(np.array(array, dtype=np.float32))
