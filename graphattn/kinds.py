"""Which models go with which data, graphs or hypergraphs, and the sizes that follow from it."""

from graphattn.config import RunConfig
from graphattn.hypergraph import Incidence
from graphattn.names import find
from graphattn.short_names import MODELS
from graphattn.task import Task
from graphattn.training.metrics import OF_NUMBERS, metric_by_name

HYPERGRAPH_SIZES = ("num_types", "struct_channels", "text_channels")


def takes_hypergraph(name: str) -> bool:
    """Whether a model is called with an `Incidence`, as one of hypergraphs.

    Args:
        name: A name of `MODELS`, or an import path.

    Example:
        >>> takes_hypergraph("hypergraph_transformer"), takes_hypergraph("gcn")
        (True, False)
    """
    return bool(getattr(find(name, MODELS, "model.name")[0], "takes_hypergraph", False))


def hypergraph_sizes(task: Task) -> dict[str, int | None]:
    """Return the sizes that a model of hypergraphs takes from the data, as far as it has them.

    Example:
        >>> from graphattn.config import DataOptions
        >>> from graphattn.task import load_task
        >>> hypergraph_sizes(load_task(DataOptions("southern_women")))
        {'num_types': None, 'struct_channels': 18, 'text_channels': None}
    """
    types, text = task.hyperedge_type, task.x_text
    return {
        "num_types": None if types is None else int(types.amax()) + 1 if len(types) else 0,
        "struct_channels": task.x.size(1),
        "text_channels": None if text is None else text.size(1),
    }


def check_metric(task: Task) -> None:
    """Refuse a metric that does not judge what is to be predicted: classes, tasks or numbers.

    Raises:
        ValueError: It does not, or no metric has that name.

    Example:
        >>> from graphattn.config import DataOptions
        >>> from graphattn.task import load_task
        >>> check_metric(load_task(DataOptions("karate", metric="spearman")))
        Traceback (most recent call last):
        ...
        ValueError: data.metric must judge classes, which karate has: got spearman.
    """
    metric_by_name(task.metric)
    numbers = task.y.is_floating_point()
    if numbers != (task.metric in OF_NUMBERS):
        raise ValueError(
            f"data.metric must judge {'numbers' if numbers else 'classes'}, which "
            f"{task.options.title} has: got {task.metric}."
        )


def check_drawn(config: RunConfig, task: Task) -> None:
    """Refuse to draw hyperedges where there are none.

    Raises:
        ValueError: The data are a graph.

    Example:
        >>> from graphattn.config import DataOptions
        >>> from graphattn.task import load_task
        >>> config = RunConfig(DataOptions("karate"))
        >>> check_drawn(config, load_task(config.data))
    """
    if config.tokens.hyperedges is not None and not isinstance(task.structure, Incidence):
        raise ValueError(
            f"tokens.hyperedges is for hypergraphs: {task.options.title} is a graph; leave it out."
        )


def check_kind(name: str, task: Task) -> None:
    """Refuse a model of graphs for a hypergraph, and the other way round.

    Args:
        name: A name of `MODELS`, or an import path.
        task: The data set.

    Raises:
        ValueError: They do not go together.

    Example:
        >>> from graphattn.config import DataOptions
        >>> from graphattn.task import load_task
        >>> check_kind("gcn", load_task(DataOptions("southern_women")))
        Traceback (most recent call last):
        ...
        ValueError: model.name must be a model of hypergraphs (hypergraph_transformer, ...
    """
    model = find(name, MODELS, "model.name")[0]
    if getattr(model, "sees_no_edges", False):
        return
    hypergraph, title = isinstance(task.structure, Incidence), task.options.title
    if takes_hypergraph(name) and not hypergraph:
        raise ValueError(
            f"model.name must be a model of graphs for {title}, which is a graph: got {name}, a "
            "model of hypergraphs."
        )
    if hypergraph and not takes_hypergraph(name):
        known = ", ".join(key for key in MODELS if takes_hypergraph(key))
        raise ValueError(
            f"model.name must be a model of hypergraphs ({known}) or mlp for {title}, which is "
            f"one: got {name}; --data.clique SIZE makes a graph of it."
        )
