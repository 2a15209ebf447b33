"""The feed of models that take the whole graph, or hypergraph, at once."""

import warnings
from collections.abc import Generator

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.data.hypergraph_data import HyperGraphData

from graphattn.graph import CSRGraph
from graphattn.names import foreign
from graphattn.training.feed import checked_logits, device_of, evaluating
from graphattn.training.hypergraph_call import (
    Hypergraph,
    has_loss,
    loss_of,
    scores_of,
    start_from_mean,
)
from graphattn.training.label_inputs import LabelInputs, ShownLabels, label_groups
from graphattn.training.labels import targets, trainable
from graphattn.training.precision import check_sparse_autocast


class FullBatchFeed:
    """The whole graph in every step, for models `model(x, adjacency) -> logits [nodes, classes]`.

    The graph enters as a sparse CSR tensor whose row i lists the nodes that send to i (the
    transposed form PyG's layers take), several times faster on a CPU than an edge list; a model
    with a true attribute `wants_edge_index` gets `edge_index` instead. Of `HyperGraphData` a model
    is called as `graphattn.training.hypergraph_call.call_model` says. Where `y` are numbers, NaN
    for unlabelled, there is one score a node.

    Args:
        data: PyG data with `x`, `y` and `edge_index`; or `HyperGraphData`.
        train_nodes: Nodes to train on; unlabelled ones are left out.
        out_channels: Classes or binary tasks; by default as many as the labels show.
        label_inputs: Training labels that join the features; by default none do.

    Raises:
        ValueError: No labelled node to train on, or labels that are no classes.

    Example:
        >>> from torch_geometric.nn import GCNConv
        >>> data = Data(x=torch.eye(3), y=torch.tensor([0, 1, 1]),
        ...             edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
        >>> feed = FullBatchFeed(data, torch.tensor([0, 1]))
        >>> feed.predict(GCNConv(3, 2), torch.tensor([2])).shape
        torch.Size([1, 2])
    """

    def __init__(
        self,
        data: Data,
        train_nodes: Int[Tensor, " train"],
        *,
        out_channels: int | None = None,
        label_inputs: LabelInputs | None = None,
    ) -> None:
        if not isinstance(data.x, Tensor) or not isinstance(data.y, Tensor):
            raise ValueError(f"data must hold x and y as tensors: got keys {list(data.keys())}.")
        self._graph: CSRGraph | None = None
        self._hypergraph: Hypergraph | None = None
        if isinstance(data, HyperGraphData):
            self._hypergraph = Hypergraph.of(data)
        else:
            self._graph = CSRGraph.from_data(data)
        self._x, self.num_nodes = data.x, len(data.x)
        self._y, self.out_channels = targets(data.y, out_channels)
        self.train_nodes = trainable(train_nodes, self._y)
        self._labels, self.steps_per_epoch = label_inputs, 1
        self._inputs: dict[tuple[torch.device, bool], tuple[Tensor, Tensor]] = {}
        self._autocast_works = False

    def train_batches(self, epoch: int) -> Generator[Tensor, None, None]:
        """Yield the training nodes, once; those whose labels are given as input are left out."""
        yield self.train_nodes if self._labels is None else self._labels.trained(epoch)

    def forward(self, model: nn.Module, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of the training nodes and their labels."""
        shown = None if self._labels is None else self._labels.hiding(batch)
        logits = self._all_logits(model, shown)
        nodes = batch.to(logits.device)
        return logits.index_select(0, nodes), self.labels(batch).to(logits.device)

    def own_loss(self, model: nn.Module, batch: Tensor) -> tuple[Tensor, float] | None:
        """Return the loss that a model of hypergraphs has of its own and its weight, or None."""
        if self._hypergraph is None or not has_loss(model):
            return None
        output = self._hypergraph.call(model, self._x, device_of(model))
        return loss_of(model, output, self._y, batch), float(len(batch))

    def seeds(self, batch: Tensor) -> Tensor:
        """Return the training nodes."""
        return batch

    @torch.no_grad()
    def predict(
        self, model: nn.Module, nodes: Int[Tensor, " nodes"]
    ) -> Float[Tensor, "nodes classes"]:
        """Return the logits of any nodes, from one forward in evaluation mode.

        With label inputs, training nodes take two more, in which their own labels are hidden.
        """
        groups = label_groups(self._labels, nodes)
        logits = torch.empty(len(nodes), self.out_channels)
        with evaluating(model):
            for positions, shown in groups:
                of_all = self._all_logits(model, shown).float().cpu()
                logits[positions] = of_all.index_select(0, nodes.index_select(0, positions))
        return logits

    def labels(self, nodes: Int[Tensor, " nodes"]) -> Shaped[Tensor, "nodes ..."]:
        """Return the labels of any nodes."""
        return self._y.index_select(0, nodes)

    def reset(self, model: nn.Module) -> None:
        """Forget nothing: the whole graph has no memory; numbers start from their mean."""
        start_from_mean(model, self._y, self.train_nodes)

    def state_dict(self) -> dict[str, Tensor]:
        """Return nothing: the whole graph has no memory."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up a state, which must be empty."""
        if state:
            raise ValueError(f"a full-batch feed has no state: got {sorted(state)}.")

    def _all_logits(self, model: nn.Module, shown: ShownLabels | None) -> Tensor:
        if self._graph is None:
            return self._hypergraph_logits(model, shown)
        device, edges = device_of(model), bool(getattr(model, "wants_edge_index", False))
        if (device, edges) not in self._inputs:
            adjacency = self._graph.edge_index() if edges else _sparse(self._graph)
            self._inputs[device, edges] = (self._x.to(device), adjacency.to(device))
        x, adjacency = self._inputs[device, edges]
        if shown is not None:
            x = torch.cat([x, shown(torch.arange(self.num_nodes)).to(x)], dim=1)
        if not edges and torch.is_autocast_enabled(device.type) and not self._autocast_works:
            check_sparse_autocast(getattr(model, "_orig_mod", model), x.size(1))
            self._autocast_works = True
        with foreign(getattr(model, "_orig_mod", model), "the model"):
            logits = model(x, adjacency)
        return checked_logits(model, logits, rows=self.num_nodes, out_channels=self.out_channels)

    def _hypergraph_logits(self, model: nn.Module, shown: ShownLabels | None) -> Tensor:
        assert self._hypergraph is not None
        x = self._x
        if shown is not None:
            x = torch.cat([x, shown(torch.arange(self.num_nodes)).to(x)], dim=1)
        logits = scores_of(self._hypergraph.call(model, x, device_of(model)))
        return checked_logits(model, logits, rows=self.num_nodes, out_channels=self.out_channels)


def _sparse(graph: CSRGraph) -> Tensor:
    size = (graph.num_nodes, graph.num_nodes)
    rowptr = torch.tensor(graph.rowptr, dtype=torch.int64)
    col = torch.tensor(graph.col, dtype=torch.int64)
    # A CSRGraph is validated already, and that the layout is in beta is no news to the user.
    unchecked = torch.sparse.check_sparse_tensor_invariants(False)  # type: ignore[no-untyped-call]
    with warnings.catch_warnings(), unchecked:
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(rowptr, col, torch.ones(graph.num_edges), size=size)
