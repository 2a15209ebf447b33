"""The feed of hypergraphs too large for one step: batches of seeds with what is drawn for them."""

from collections.abc import Generator
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch_geometric.data.hypergraph_data import HyperGraphData

from graphattn.sampling.hypergraph_loader import HypergraphLoader
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
from graphattn.training.options import TokenOptions


class HypergraphFeed:
    """Batches of seeds, each with the part of the hypergraph drawn for it, hop by hop.

    Models are called as those of whole hypergraphs are (`Hypergraph.call`), with the nodes of the
    part; what they give of the seeds counts. Evaluation sees the draws of epoch 0, in batches of
    `eval_batch_size`; with -1 and as many hops as layers it is exact. An incidence that one seed
    brings into a batch is seen by the others, so that with fewer the figures depend on that size.

    Args:
        data: With `x`, `y`, `edge_index`, and `hyperedge_type` and `x_text` if it has them.
        train_nodes: Nodes to train on; unlabelled ones are left out.
        options: `num_hops`, `hyperedges`, `members` and the batch sizes.
        seed: Of the draws and of the order.
        out_channels: Classes or tasks; by default as many as the labels show.
        label_inputs: Training labels that join the features; by default none do.

    Raises:
        ValueError: No labelled node to train on, or nothing is asked to be drawn.

    Example:
        >>> index = torch.tensor([[0, 1, 1, 2], [0, 0, 1, 1]])
        >>> data = HyperGraphData(x=torch.eye(3), y=torch.tensor([0, 1, 1]), edge_index=index)
        >>> options = TokenOptions(hyperedges=2, members=2, batch_size=1)
        >>> feed = HypergraphFeed(data, torch.tensor([0, 2]), options=options)
        >>> feed.steps_per_epoch, next(feed.train_batches(0)).batch_size
        (2, 1)
    """

    def __init__(
        self,
        data: HyperGraphData,
        train_nodes: Int[Tensor, " train"],
        *,
        options: TokenOptions,
        seed: int = 0,
        out_channels: int | None = None,
        label_inputs: LabelInputs | None = None,
    ) -> None:
        if options.hyperedges is None or options.members is None:
            raise ValueError("a HypergraphFeed needs options.hyperedges and members: got none.")
        self._y, self.out_channels = targets(data.y, out_channels)
        self.num_nodes = len(self._y)
        self.train_nodes = trainable(train_nodes, self._y)
        self._options, self._labels = options, label_inputs
        fanout = [(options.hyperedges, options.members)] * options.num_hops
        given: dict[str, Any] = {"batch_size": options.batch_size, "shuffle": True}
        self._loader = HypergraphLoader(data, fanout, self.train_nodes, seed=int(seed), **given)
        trained = len(self.train_nodes) if label_inputs is None else label_inputs.num_trained
        self.steps_per_epoch = -(-trained // options.batch_size)

    def train_batches(self, epoch: int) -> Generator[HyperGraphData, None, None]:
        """Yield the training seeds in the epoch's order, with the epoch's draws."""
        loader, shown = self._loader, None
        if self._labels is not None:
            seeds = self._labels.trained(epoch)
            loader, shown = loader.over(seeds, shuffle=True), self._labels.hiding(seeds)
        loader.set_epoch(epoch)
        for batch in loader:
            yield _showing(batch, shown)

    def forward(self, model: nn.Module, batch: HyperGraphData) -> tuple[Tensor, Tensor]:
        """Return the logits of a batch's seeds and their labels."""
        logits = self._logits(model, batch)
        return logits, self.labels(self.seeds(batch)).to(logits.device)

    def own_loss(self, model: nn.Module, batch: HyperGraphData) -> tuple[Tensor, float] | None:
        """Return the loss that a model has of its own, of a batch, and its weight; or None."""
        if not has_loss(model):
            return None
        y, seeds = self.labels(batch.n_id), torch.arange(batch.batch_size)
        return loss_of(model, self._output(model, batch), y, seeds), float(batch.batch_size)

    def seeds(self, batch: HyperGraphData) -> Tensor:
        """Return the seeds of a batch."""
        seeds: Tensor = batch.n_id[: batch.batch_size]
        return seeds

    @torch.no_grad()
    def predict(
        self, model: nn.Module, nodes: Int[Tensor, " nodes"]
    ) -> Float[Tensor, "nodes classes"]:
        """Return the logits of any nodes in evaluation mode."""
        logits = torch.empty(len(nodes), self.out_channels)
        with evaluating(model):
            for positions, shown in label_groups(self._labels, nodes):
                # A seed is drawn for once in a batch: each node once, and back to its places.
                asked = nodes.index_select(0, positions)
                part, place = torch.unique(asked, return_inverse=True)
                batches = self._loader.over(part, batch_size=self._options.eval_batch_size)
                found = [
                    self._logits(model, _showing(batch, shown)).float().cpu() for batch in batches
                ]
                logits[positions] = torch.cat(found).index_select(0, place)
        return logits

    def labels(self, nodes: Int[Tensor, " nodes"]) -> Shaped[Tensor, "nodes ..."]:
        """Return the labels of any nodes."""
        return self._y.index_select(0, nodes)

    def reset(self, model: nn.Module) -> None:
        """Forget nothing: there is no memory; numbers start from their mean."""
        start_from_mean(model, self._y, self.train_nodes)

    def state_dict(self) -> dict[str, Tensor]:
        """Return nothing: there is no memory."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up a state, which must be empty."""
        if state:
            raise ValueError(f"a hypergraph feed has no state: got {sorted(state)}.")

    def _output(self, model: nn.Module, batch: HyperGraphData) -> Any:
        return Hypergraph.of(batch).call(model, batch.x, device_of(model))

    def _logits(self, model: nn.Module, batch: HyperGraphData) -> Tensor:
        logits = scores_of(self._output(model, batch))
        rows = len(batch.n_id)  # to count nodes, PyG goes through all incidences
        checked_logits(model, logits, rows=rows, out_channels=self.out_channels)
        return logits[: batch.batch_size]


def _showing(batch: HyperGraphData, shown: ShownLabels | None) -> HyperGraphData:
    """Put labels beside the features of a batch, where any are shown."""
    if shown is not None:
        batch.x = torch.cat([batch.x, shown(batch.n_id).to(batch.x)], dim=1)
    return batch
