"""From a config and a task to the things that are trained: model, token store, feed."""

import inspect
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from graphattn.config import MODELS, SAMPLERS, RunConfig, known_keys
from graphattn.files import digest_arrays, read_array
from graphattn.keys import check_keys
from graphattn.names import find, foreign
from graphattn.ops.positions import positions
from graphattn.sampling.bottom_k import BottomKSampler
from graphattn.sampling.manifest import differences
from graphattn.sampling.recipe import Recipe, check_inputs
from graphattn.sampling.store import TokenStore
from graphattn.task import Task
from graphattn.training.feed import Feed
from graphattn.training.feeds import FullBatchFeed, TokenFeed
from graphattn.training.metrics import metric_by_name
from graphattn.training.precision import check_sparse_autocast

logger = logging.getLogger(__name__)

# Sizes that follow from data and tokens; a model takes those of them that it has.
_SIZES = ("in_channels", "out_channels")
_TOKEN_SIZES = ("num_hops", "num_own_hops", "direction", "pe_channels")
DEFAULTS = {"hidden_channels": 64}  # where a model has no default of its own


def takes_tokens(name: str) -> bool:
    """Whether a model is fed sampled tokens, rather than the whole graph at once.

    Args:
        name: A name of `MODELS`, or an import path.

    Example:
        >>> takes_tokens("largegt"), takes_tokens("gcn")
        (True, False)
    """
    return bool(getattr(find(name, MODELS, "model.name")[0], "takes_tokens", False))


def filled_in(name: str) -> set[str]:
    """Return the arguments of a model that follow from the data, or belong to its short name.

    Example:
        >>> sorted(filled_in("gcn"))
        ['conv', 'in_channels', 'out_channels']
    """
    _, options = find(name, MODELS, "model.name")
    return {*options, *_SIZES, *(_TOKEN_SIZES if takes_tokens(name) else ())}


def model_options(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return all options of a model: the given ones, and the defaults of its signature.

    Args:
        name: A name of `MODELS`, or an import path.
        given: Options by name.

    Raises:
        ValueError: An option is unknown, follows from the data, or is missing.

    Example:
        >>> model_options("mlp", {"num_layers": 3})["dropout"]
        0.5
        >>> model_options("mlp", {"num_layer": 3})
        Traceback (most recent call last):
        ...
        ValueError: unknown key model.num_layer: did you mean model.num_layers?
    """
    model, _ = find(name, MODELS, "model.name")
    if not callable(model):
        raise ValueError(f"model.name must be a class or function: got {name!r}.")
    filled, parameters = filled_in(name), inspect.signature(model).parameters.values()
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters)
    named = [p for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    own = [p for p in named if p.name not in filled]
    known = [f"model.{p.name}" for p in own] + known_keys()
    free = ("model.",) if open_ended else ()
    check_keys([f"model.{key}" for key in given], known, free=free, model=name)
    options: dict[str, Any] = {}
    for p in own:
        default = DEFAULTS.get(p.name, p.empty) if p.default is p.empty else p.default
        options[p.name] = given.get(p.name, default)
        if options[p.name] is p.empty:
            raise ValueError(f"model.{p.name} must be given for {name}: got none.")
    return {**options, **{key: given[key] for key in given if key not in options}}


def build_model(config: RunConfig, task: Task, *, seed: int, pe_channels: int = 0) -> nn.Module:
    """Make the model of a run, its weights drawn from the run's seed alone.

    Args:
        config: Names the model and its options.
        task: Gives the sizes.
        seed: Of the weights; torch's own generator is left as it was.
        pe_channels: Channels of the positions it will be given.

    Raises:
        ValueError: An option is unknown or out of range.
        TypeError: The name stands for something that makes no module.

    Example:
        >>> from graphattn.config import DataOptions
        >>> from graphattn.task import load_task
        >>> config = RunConfig(DataOptions("karate"), model="gcn")
        >>> type(build_model(config, load_task(config.data), seed=0)).__name__
        'GNN'
    """
    make, preset = find(config.model, MODELS, "model.name")
    sizes = {
        "in_channels": task.x.size(1),
        "out_channels": task.num_classes,
        "num_hops": config.tokens.num_hops,
        "num_own_hops": config.store.num_own_hops,
        "direction": config.store.direction,
        "pe_channels": pe_channels,
    }
    taken = inspect.signature(make).parameters.keys() & filled_in(config.model)
    given = {**{key: sizes[key] for key in taken if key in sizes}, **preset}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        options = model_options(config.model, config.model_options)
        try:
            with foreign(config.model if config.model not in MODELS else make, "model.name"):
                model = make(**given, **options)
        except TypeError as error:
            raise TypeError(f"model.name={config.model} cannot be made: {error}") from error
    if not isinstance(model, nn.Module):
        raise TypeError(f"model.name must make a torch module: {config.model} gave {type(model)}.")
    if config.model not in MODELS and not hasattr(model, "wants_edge_index"):
        # What most PyG models take; one that takes a sparse matrix says wants_edge_index = False.
        vars(model)["wants_edge_index"] = True
    return model.to(device_of(config))


def check_run(config: RunConfig, task: Task) -> None:
    """Refuse what could not be run, before anything is built or written.

    Raises:
        ValueError: Sampler, metric, device, precision or an option of the model is wrong.
        TypeError: The model's name stands for something that makes no module.

    Example:
        >>> from graphattn.config import DataOptions
        >>> from graphattn.task import load_task
        >>> config = RunConfig(DataOptions("karate"), device="abacus")
        >>> check_run(config, load_task(config.data))
        Traceback (most recent call last):
        ...
        ValueError: device must be one that this machine has: got 'abacus'.
    """
    build_sampler(config)
    metric_by_name(task.metric)
    pe_channels = 0 if config.store.pe == "none" else config.store.pe_channels
    model = build_model(config, task, seed=0, pe_channels=pe_channels)
    sparse = not takes_tokens(config.model) and not getattr(model, "wants_edge_index", False)
    if sparse and config.train.autocast != "none":
        check_sparse_autocast(model, task.x.size(1))


def device_of(config: RunConfig) -> torch.device:
    """Return the device of a run: the named one, or by default a GPU where there is one.

    Raises:
        ValueError: There is no such device.

    Example:
        >>> from graphattn.config import DataOptions
        >>> device_of(RunConfig(DataOptions("karate"), device="cpu"))
        device(type='cpu')
    """
    if config.device != "auto":
        try:
            return torch.empty(0, device=config.device).device
        except (RuntimeError, AssertionError) as error:
            raise ValueError(
                f"device must be one that this machine has: got {config.device!r}."
            ) from error
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def build_store(config: RunConfig, task: Task, *, write: bool = True) -> TokenStore:
    """Make what tokens are drawn from, in memory or in the folder `tokens.store`.

    Args:
        config: Says what is kept.
        task: Graph and features.
        write: Whether the folder may be built; without, it is read where it holds just this.

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
    return TokenStore.build(Path(kept.store), task.graph, task.x, **recipe.as_dict(), pe=pe)


def build_feed(
    config: RunConfig, task: Task, train_nodes: Tensor, *, seed: int, store: TokenStore | None
) -> Feed:
    """Make what feeds a model: tokens from a store where there is one, else the whole graph.

    Raises:
        ValueError: No training node has a label.

    Example:
        >>> from graphattn.config import DataOptions
        >>> from graphattn.task import load_task
        >>> config = RunConfig(DataOptions("karate"), model="gcn")
        >>> task = load_task(config.data)
        >>> build_feed(config, task, task.splits[0].train, seed=0, store=None).steps_per_epoch
        1
    """
    if store is None:
        return FullBatchFeed(task.data, train_nodes, out_channels=task.num_classes)
    device = device_of(config)
    if device.type == "cuda" and store.num_bytes < torch.cuda.mem_get_info(device)[0] // 2:
        store = store.to(device)  # batches are gathered where they are used
    return TokenFeed(
        store,
        task.y,
        train_nodes,
        options=config.tokens,
        seed=seed,
        out_channels=task.num_classes,
        sampler=build_sampler(config),
    )


def build_sampler(config: RunConfig) -> Callable[..., Any]:
    """Find who draws the tokens of a run.

    Raises:
        ValueError: `tokens.sampler` is neither a short name nor an import path.

    Example:
        >>> from graphattn.config import DataOptions
        >>> build_sampler(RunConfig(DataOptions("karate")))
        BottomKSampler(share=None, permute_every=10)
    """
    sampler: Callable[..., Any] = find(config.store.sampler, SAMPLERS, "tokens.sampler")[0]
    return BottomKSampler(share=config.store.share) if sampler is BottomKSampler else sampler


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
    store, arrays = TokenStore.open(folder), check_inputs(task.graph, task.x, pe, recipe)
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
