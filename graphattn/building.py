"""From a config and a task to the things that are trained: model, token store, feed."""

import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from graphattn.config import RunConfig, known_keys
from graphattn.datasets.ogb_table import OGB
from graphattn.keys import check_keys
from graphattn.kinds import (
    HYPERGRAPH_SIZES,
    check_drawn,
    check_kind,
    check_metric,
    hypergraph_sizes,
    takes_hypergraph,
)
from graphattn.names import find, foreign
from graphattn.ops.ranks import ALONE, Ranks
from graphattn.sampling.bottom_k import BottomKSampler
from graphattn.sampling.loader import Extracted
from graphattn.sampling.store import TokenStore
from graphattn.short_names import MODELS, SAMPLERS
from graphattn.smoothing import refuse_smoothing
from graphattn.task import Task
from graphattn.training.feed import Feed
from graphattn.training.feeds import FullBatchFeed, TokenFeed
from graphattn.training.hypergraph_feed import HypergraphFeed
from graphattn.training.label_inputs import LabelInputs
from graphattn.training.precision import check_sparse_autocast

logger = logging.getLogger(__name__)

# Sizes that follow from data and tokens; a model takes those of them that it has.
_SIZES = ("in_channels", "out_channels")
_TOKEN_SIZES = ("num_hops", "num_own_hops", "direction", "pe_channels", "adjacency")
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
    more = _TOKEN_SIZES if takes_tokens(name) else ()
    return {*options, *_SIZES, *more, *(HYPERGRAPH_SIZES if takes_hypergraph(name) else ())}


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
        "in_channels": input_channels(config, task),
        "out_channels": task.num_classes,
        "num_hops": config.tokens.num_hops,
        "num_own_hops": config.store.num_own_hops,
        "direction": config.store.direction,
        "pe_channels": pe_channels,
        "adjacency": config.tokens.adjacency,
        **hypergraph_sizes(task),
    }
    check_kind(config.model, task)
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


def check_run(config: RunConfig, task: Task, ranks: Ranks = ALONE) -> None:
    """Refuse what could not be run, before anything is built or written.

    Raises:
        ValueError: Sampler, metric, device, precision or an option of the model is wrong, or
            several ranks are to train a model of the whole graph.
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
    if not ranks.alone and not takes_tokens(config.model):
        raise ValueError(
            "model.name must be a model of tokens, such as largegt, to be trained on several ranks:"
            f" got {config.model}, which takes the whole graph, on {ranks.size} ranks."
        )
    build_sampler(config)
    check_kind(config.model, task)
    check_metric(task)
    check_drawn(config, task)
    if task.y.dim() == 2 and task.metric != "rocauc" and task.metric not in OGB:
        raise ValueError(
            f"data.metric must be rocauc or {task.options.name}: got {task.metric}, which judges "
            f"one label a node; got {task.num_classes} labels a node."
        )
    if config.labels.correct_and_smooth:
        refuse_smoothing(task)
    pe_channels = 0 if config.store.pe == "none" else config.store.pe_channels
    model = build_model(config, task, seed=0, pe_channels=pe_channels)
    sparse = not takes_tokens(config.model) and not getattr(model, "wants_edge_index", False)
    if sparse and config.train.autocast != "none":
        check_sparse_autocast(model, input_channels(config, task))


def input_channels(config: RunConfig, task: Task) -> int:
    """Return how many numbers a model is given of each node: features, and labels if any are.

    Example:
        >>> from graphattn.config import DataOptions
        >>> from graphattn.task import load_task
        >>> from graphattn.training.options import LabelOptions
        >>> config = RunConfig(DataOptions("karate"), labels=LabelOptions(label_inputs=0.5))
        >>> input_channels(config, load_task(config.data))
        36
    """
    return task.x.size(1) + (task.num_classes if config.labels.label_inputs else 0)


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


def build_feed(
    config: RunConfig,
    task: Task,
    train_nodes: Tensor,
    *,
    seed: int,
    store: TokenStore | None,
    extracted: Extracted | None = None,
    ranks: Ranks = ALONE,
) -> Feed:
    """Make what feeds a model: tokens from a store where there is one, else the whole graph.

    Rows that were extracted are read where they lie for all seeds they hold.

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
    classes, labels = task.num_classes, None
    if share := config.labels.label_inputs:
        labels = LabelInputs(task.y, train_nodes, share, out_channels=classes, seed=seed)
    if store is None and config.tokens.hyperedges is not None:
        given: dict[str, Any] = {"out_channels": classes, "label_inputs": labels, "seed": seed}
        return HypergraphFeed(task.data, train_nodes, options=config.tokens, **given)
    if store is None:
        return FullBatchFeed(task.data, train_nodes, out_channels=classes, label_inputs=labels)
    device = device_of(config)
    if (
        extracted is None
        and device.type == "cuda"
        and store.num_bytes < torch.cuda.mem_get_info(device)[0] // 2
    ):
        store = store.to(device)  # batches are gathered where they are used
    return TokenFeed(
        store,
        task.y,
        train_nodes,
        options=config.tokens,
        seed=seed,
        out_channels=classes,
        sampler=build_sampler(config),
        label_inputs=labels,
        extracted=extracted,
        ranks=ranks,
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
