"""What is measured: a function of features and edges, with the inputs that belong to each edge."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric import nn as pyg
from torch_geometric.data import Data
from torch_geometric.nn import MessagePassing

from graphattn.diagnostics.balls import EdgeRows

_TARGETS_ONLY = (pyg.SAGEConv, pyg.GATConv, pyg.GATv2Conv, pyg.GINConv, pyg.GINEConv, pyg.EdgeConv)
_EDGE_INPUTS = ("edge_weight", "edge_attr")


class Subject:
    """A model and the graph on which it is measured; it runs on the whole graph or on a part.

    Args:
        forward: A module or function ``f(x, edge_index)`` that gives one row a node. It is also
            given ``edge_weight``, ``edge_attr`` (where the data has them) and ``batch`` (the number
            of the ball) if its signature names them. If it names ``seeds``, it is given their ids
            and gives a row for each of these only.
        data: Has ``x`` and ``edge_index``.
        edge_inputs: Which inputs of edges are passed on.

    Raises:
        ValueError: ``x`` or ``edge_index`` is missing or of the wrong shape.
        TypeError: ``x`` is not of a float type, or ``forward`` cannot be called.
    """

    is_hypergraph: bool = False

    def __init__(
        self,
        forward: Callable[..., Tensor],
        data: Data,
        *,
        edge_inputs: Sequence[str] = _EDGE_INPUTS,
    ) -> None:
        x, edge_index = features_of(forward, data), data.edge_index
        assert edge_index is not None
        if edge_index.numel() and not 0 <= int(edge_index.min()) <= int(edge_index.max()) < len(x):
            raise ValueError(
                f"data.edge_index must hold ids of the {len(x)} rows of data.x: got "
                f"{int(edge_index.min())} to {int(edge_index.max())}."
            )
        self.forward, self.x, self.edge_index = forward, x, edge_index
        self.model = forward if isinstance(forward, nn.Module) else None
        call = self.model.forward if self.model is not None else forward
        named = set(inspect.signature(call).parameters)
        self.edge_inputs = {
            name: data[name].detach()
            for name in edge_inputs
            if name in named
            and isinstance(data.get(name), Tensor)
            and getattr(self.model, f"supports_{name}", True)
        }
        self.takes_batch = "batch" in named
        self.takes_seeds = "seeds" in named
        self.takes_trim = "num_sampled_nodes_per_hop" in named

    @property
    def num_nodes(self) -> int:
        """Number of nodes."""
        return self.x.size(0)

    def counts(self) -> dict[str, int]:
        """Its size, for reports."""
        return {"num_nodes": self.num_nodes, "num_edges": int(self.edge_index.size(1))}

    def rows(self) -> EdgeRows:
        """The edges by target, for balls."""
        return EdgeRows(self.edge_index, self.num_nodes)

    def whole(self, x: Tensor, seeds: Tensor | None = None) -> Tensor:
        """Runs the model on the whole graph; for ``seeds`` only, if it takes them."""
        return self.on(x, self.edge_index, torch.arange(self.edge_index.size(1)), seeds=seeds)

    def on(
        self,
        x: Tensor,
        edge_index: Tensor,
        numbers: Tensor,
        *,
        batch: Tensor | None = None,
        trim: tuple[list[int], list[int]] | None = None,
        seeds: Tensor | None = None,
    ) -> Tensor:
        """Runs the model on a part of the graph.

        Args:
            x: Features of the part's nodes.
            edge_index: Its edges.
            numbers: Their numbers in the whole graph.
            batch: The ball of each node; by default all in one.
            trim: How many nodes and edges each hop adds, for models that leave out what no later
                layer reads.
            seeds: The nodes a row is wanted of; by default all. Only if ``takes_seeds``.

        Returns:
            The output, ``[nodes, channels]``.

        Raises:
            ValueError: The output has another shape.
        """
        options: dict[str, Any] = {
            name: value[numbers.to(value.device)] for name, value in self.edge_inputs.items()
        }
        if trim is not None:
            options |= {"num_sampled_nodes_per_hop": trim[0], "num_sampled_edges_per_hop": trim[1]}
        elif self.takes_batch:
            every = x.new_zeros(x.size(0), dtype=torch.long)
            options["batch"] = every if batch is None else batch.to(x.device)
        if self.takes_seeds:
            options["seeds"] = torch.arange(x.size(0)) if seeds is None else seeds
        out = self.forward(x, edge_index.to(x.device), **options)
        wanted = len(options["seeds"]) if self.takes_seeds else x.size(0)
        if out.dim() != 2 or (trim is None and out.size(0) != wanted):
            raise ValueError(
                f"the model must give [nodes, channels], a row a node: got {list(out.shape)} for "
                f"{wanted} nodes."
            )
        return out


def features_of(forward: Callable[..., Any], data: Data) -> Tensor:
    """Takes the features out of what is to be measured.

    Raises:
        ValueError: ``x`` or ``edge_index`` is missing.
        TypeError: ``x`` is not of a float type, or ``forward`` cannot be called.

    Example:
        >>> data = Data(x=torch.ones(2, 1), edge_index=torch.tensor([[0], [1]]))
        >>> features_of(lambda x, edge_index: x, data).shape
        torch.Size([2, 1])
    """
    if not callable(forward):
        raise TypeError(f"model_or_forward must be callable: got {type(forward).__name__}.")
    x, edge_index = data.get("x"), data.get("edge_index")
    if x is None or edge_index is None:
        missing = "x" if x is None else "edge_index"
        raise ValueError(f"influence needs data.x and data.edge_index: got no {missing}.")
    if not x.is_floating_point() or x.dim() != 2:
        raise TypeError(
            f"data.x must be [nodes, channels] of a float type: got {list(x.shape)}, {x.dtype}."
        )
    return x.detach()


@contextmanager
def undisturbed(model: nn.Module | None) -> Iterator[None]:
    """Sets a model to evaluation and leaves it, its buffers and the random state as they were.

    Layers that keep the edges of their first call (``cached=True``) forget them meanwhile.
    """
    modules = list(model.modules()) if model is not None else []
    training = [module.training for module in modules]
    buffers = [(b, b.detach().clone()) for b in model.buffers()] if model is not None else []
    kept = [
        (module, name, getattr(module, name))
        for module in modules
        if isinstance(module, MessagePassing)
        for name in ("cached", "_cached_edge_index", "_cached_adj_t", "_cached_x")
        if hasattr(module, name)
    ]
    try:
        for module, name, _ in kept:
            setattr(module, name, False if name == "cached" else None)
        if model is not None:
            model.eval()
        with torch.random.fork_rng(), torch.enable_grad():
            yield
    finally:
        for module, was in zip(modules, training, strict=True):
            module.training = was
        for module, name, value in kept:
            setattr(module, name, value)
        with torch.no_grad():
            for buffer, was_buffer in buffers:
                buffer.copy_(was_buffer)


def hops_read(subject: Subject, run: Callable[[], Any]) -> int:
    """Counts the hops that PyG layers propagate over in one run; 0 where there are none.

    Args:
        subject: What is measured.
        run: Runs it once.

    Returns:
        One for each call of a layer, or its ``K``.
    """
    count = [0]

    def called(module: nn.Module, *_: Any) -> None:
        hops = getattr(module, "K", 1)
        count[0] += hops if isinstance(hops, int) else 1

    layers = (
        [m for m in subject.model.modules() if isinstance(m, MessagePassing)]
        if (subject.model is not None)
        else []
    )
    hooks = [layer.register_forward_hook(called) for layer in layers]
    try:
        with torch.no_grad():
            run()
    finally:
        for hook in hooks:
            hook.remove()
    return count[0]


def reads_degrees(subject: Subject) -> bool:
    """Tells whether a layer may read more of an edge's source than its value, as GCN's norm does.

    Args:
        subject: What is measured.

    Returns:
        False where all layers are of kinds of PyG that sum, average or attend over the edges into
        a node and read nothing else.
    """
    modules = subject.model.modules() if subject.model is not None else ()
    layers = [module for module in modules if isinstance(module, MessagePassing)]
    return not layers or any(type(layer) not in _TARGETS_ONLY for layer in layers)
