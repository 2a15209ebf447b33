"""The two feeds: the whole graph at once, or the tokens of a batch of seeds.

Each yields batches, turns one into logits and labels, and predicts for any nodes. The device is the
model's.
"""

import warnings
from collections.abc import Callable, Generator
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch_geometric.data import Data

from graphattn.graph import CSRGraph
from graphattn.models.token_model import TokenModel
from graphattn.names import foreign
from graphattn.nn.codebook_attention import CodebookAttention
from graphattn.sampling.bottom_k import BottomKSampler
from graphattn.sampling.loader import TokenBatch, TokenLoader, independent
from graphattn.sampling.store import TokenStore
from graphattn.training.feed import (
    checked_logits,
    checked_sampler,
    classes,
    device_of,
    evaluating,
    trainable,
)
from graphattn.training.options import TokenOptions
from graphattn.training.precision import check_sparse_autocast

_MOST_TABLES = 4 << 30  # bytes that tables of all nodes may take in prediction


class FullBatchFeed:
    """The whole graph in every step, for models `model(x, adjacency) -> logits [nodes, classes]`.

    The graph enters as a sparse CSR tensor whose row i lists the nodes that send to i (the
    transposed form PyG's layers take), several times faster on a CPU than an edge list; a model
    with a true attribute `wants_edge_index` gets `edge_index` instead.

    Args:
        data: PyG data with `x`, `y` and `edge_index`.
        train_nodes: Nodes to train on; unlabelled ones are left out.
        out_channels: Classes; by default one more than the largest label.

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
    ) -> None:
        if not isinstance(data.x, Tensor) or not isinstance(data.y, Tensor):
            raise ValueError(f"data must hold x and y as tensors: got keys {list(data.keys())}.")
        self._graph = CSRGraph.from_data(data)
        self._x = data.x
        self._y, self.out_channels = classes(data.y, out_channels)
        self.num_nodes = self._graph.num_nodes
        self.train_nodes = trainable(train_nodes, self._y)
        self.steps_per_epoch = 1
        self._inputs: dict[tuple[torch.device, bool], tuple[Tensor, Tensor]] = {}
        self._autocast_works = False

    def train_batches(self, epoch: int) -> Generator[Tensor, None, None]:
        """Yield the training nodes, once."""
        yield self.train_nodes

    def forward(self, model: nn.Module, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of the training nodes and their labels."""
        logits = self._all_logits(model)
        nodes = batch.to(logits.device)
        return logits.index_select(0, nodes), self.labels(batch).to(logits.device)

    def seeds(self, batch: Tensor) -> Tensor:
        """Return the training nodes."""
        return batch

    @torch.no_grad()
    def predict(
        self, model: nn.Module, nodes: Int[Tensor, " nodes"]
    ) -> Float[Tensor, "nodes classes"]:
        """Return the logits of any nodes, from one forward in evaluation mode."""
        with evaluating(model):
            return self._all_logits(model).float().cpu().index_select(0, nodes)

    def labels(self, nodes: Int[Tensor, " nodes"]) -> Int[Tensor, " nodes"]:
        """Return the labels of any nodes."""
        return self._y.index_select(0, nodes)

    def reset(self, model: nn.Module) -> None:
        """Forget nothing: the whole graph has no memory."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return nothing: the whole graph has no memory."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up a state, which must be empty."""
        if state:
            raise ValueError(f"a full-batch feed has no state: got {sorted(state)}.")

    def _all_logits(self, model: nn.Module) -> Tensor:
        device, edges = device_of(model), bool(getattr(model, "wants_edge_index", False))
        if (device, edges) not in self._inputs:
            adjacency = self._graph.edge_index() if edges else _sparse(self._graph)
            self._inputs[device, edges] = (self._x.to(device), adjacency.to(device))
        if not edges and torch.is_autocast_enabled(device.type) and not self._autocast_works:
            check_sparse_autocast(getattr(model, "_orig_mod", model), self._x.size(1))
            self._autocast_works = True
        with foreign(getattr(model, "_orig_mod", model), "the model"):
            logits = model(*self._inputs[device, edges])
        return checked_logits(model, logits, rows=self.num_nodes, out_channels=self.out_channels)


class TokenFeed:
    """Batches of seeds with the tokens drawn for them, for models of LargeGT's form.

    The model is called as `model(rows, ids, mask=, hop=, own=, pe=, seeds=, codes=)`. `codes` holds
    the codebook entry last given to each node (-1 before the first); it lives here, outside the
    model, moves only in training, and is saved for the training nodes. Evaluation always sees the
    tokens of epoch 0, so that it gives the same answer twice.

    Args:
        store: Features and graph that tokens are drawn from.
        y: Class of each node; below zero is unlabelled.
        train_nodes: Nodes to train on; unlabelled ones are left out.
        options: How many tokens, from where, in which batches.
        seed: Seed of the draws and of the order.
        out_channels: Classes; by default one more than the largest label.
        sampler: Draws the tokens; any function of `sample_neighborhood`'s form.

    Raises:
        ValueError: No labelled node to train on, or labels that are no classes.

    Example:
        >>> graph = CSRGraph.from_edge_index(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
        >>> store = TokenStore.in_memory(graph, torch.eye(3))
        >>> feed = TokenFeed(store, torch.tensor([0, 1, 1]), torch.tensor([0, 2]),
        ...                  options=TokenOptions(num_samples=2))
        >>> batch = next(feed.train_batches(0))
        >>> batch.ids.shape
        torch.Size([2, 2])
    """

    def __init__(
        self,
        store: TokenStore,
        y: Shaped[Tensor, "nodes ..."],
        train_nodes: Int[Tensor, " train"],
        *,
        options: TokenOptions = TokenOptions(),  # noqa: B008 - frozen
        seed: int = 0,
        out_channels: int | None = None,
        sampler: Callable[..., Any] = BottomKSampler(),  # noqa: B008 - frozen
    ) -> None:
        self._y, self.out_channels = classes(y, out_channels)
        if len(self._y) != store.num_nodes:
            raise ValueError(
                f"y must have a label for each node of the store: got {len(self._y)} labels "
                f"for {store.num_nodes} nodes."
            )
        self.num_nodes = store.num_nodes
        self.train_nodes = trainable(train_nodes, self._y)
        self.codes = torch.full((self.num_nodes,), -1, dtype=torch.int32)
        self._store, self._options, self._seed = store, options, seed
        self._sampler = checked_sampler(sampler)
        self._loader = self._load(self.train_nodes, train=True)
        self.steps_per_epoch = len(self._loader)

    def train_batches(self, epoch: int) -> Generator[TokenBatch, None, None]:
        """Yield the training seeds in the epoch's order, with the epoch's tokens."""
        self._loader.set_epoch(epoch)
        yield from self._loader

    def forward(self, model: nn.Module, batch: TokenBatch) -> tuple[Tensor, Tensor]:
        """Return the logits of a batch's seeds and their labels."""
        labels = self.labels(batch.seeds.cpu())
        logits = self._logits(model, batch)
        return logits, labels.to(logits.device)

    def seeds(self, batch: TokenBatch) -> Tensor:
        """Return the seeds of a batch."""
        return batch.seeds

    @torch.no_grad()
    def predict(
        self, model: nn.Module, nodes: Int[Tensor, " nodes"]
    ) -> Float[Tensor, "nodes classes"]:
        """Return the logits of any nodes in evaluation mode; projects rows once where that pays."""
        if not len(nodes):
            return torch.empty(0, self.out_channels)
        o = self._options
        if isinstance(model, TokenModel) and self._pays_once_for_all(model, len(nodes)):
            size = {"num_samples": o.num_samples, "batch_size": o.eval_batch_size}
            draw = independent(self._sampler)
            return model.inference(self._store, nodes, draw, pool=o.pool, seed=self._seed, **size)
        with evaluating(model):
            batches = self._load(nodes, train=False)
            logits = [self._logits(model, batch).float().cpu() for batch in batches]
        return torch.cat(logits)

    def _pays_once_for_all(self, model: TokenModel, num_nodes: int) -> bool:
        """Tell whether to project each node once: less work than for each batch, and it fits."""
        o = self._options
        a_batch = min(self.num_nodes, min(o.eval_batch_size, num_nodes) * o.num_samples)
        less = a_batch * -(-num_nodes // o.eval_batch_size) > self.num_nodes
        fits = self.num_nodes * model.projected_bytes() <= _MOST_TABLES
        return less and fits and o.num_hops == model.num_hops

    def labels(self, nodes: Int[Tensor, " nodes"]) -> Int[Tensor, " nodes"]:
        """Return the labels of any nodes."""
        return self._y.index_select(0, nodes)

    def reset(self, model: nn.Module) -> None:
        """Forget all codes, here and in the model's histograms of them, which must agree."""
        self.codes.fill_(-1)
        for part in model.modules():
            if isinstance(part, CodebookAttention):
                part.forget_counts()

    def state_dict(self) -> dict[str, Tensor]:
        """Return the training nodes and their codes: no other node ever has one."""
        nodes = self.train_nodes
        codes = self.codes.index_select(0, nodes.to(self.codes.device)).cpu()
        return {"nodes": nodes.clone(), "codes": codes.clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up codes that `state_dict` gave, of the same graph."""
        nodes, codes = state.get("nodes"), state.get("codes")
        if nodes is None or codes is None or nodes.shape != codes.shape:
            raise ValueError(f"a token feed's state is nodes and codes: got {sorted(state)}.")
        if len(nodes) and not 0 <= int(nodes.min()) <= int(nodes.max()) < self.num_nodes:
            raise ValueError(
                f"the state's codes must belong to this graph of {self.num_nodes} nodes: "
                f"got node {int(nodes.max())}."
            )
        fresh = torch.full((self.num_nodes,), -1, dtype=torch.int32)
        fresh.index_copy_(0, nodes, codes.to(torch.int32))
        self.codes = fresh.to(self.codes.device)

    def _load(self, seeds: Tensor, *, train: bool) -> TokenLoader:
        o = self._options
        return TokenLoader(
            self._store,
            seeds,
            num_samples=o.num_samples,
            batch_size=o.batch_size if train else o.eval_batch_size,
            num_hops=o.num_hops,
            pool=o.pool,
            resample=o.resample and train,
            shuffle=train,
            sampler=self._sampler,
            num_workers=o.num_workers,
            pin_memory=torch.cuda.is_available(),
            seed=self._seed,
        )

    def _logits(self, model: nn.Module, batch: TokenBatch) -> Tensor:
        device = device_of(model)
        self.codes = self.codes.to(device)
        b = batch.to(device)
        with foreign(getattr(model, "_orig_mod", model), "the model"):
            logits = model(
                b.rows.float(),
                b.ids,
                mask=b.mask,
                hop=b.hop,
                own=None if b.own is None else b.own.float(),
                pe=b.pe,
                seeds=b.seeds,
                codes=self.codes,
            )
        return checked_logits(model, logits, rows=len(b.seeds), out_channels=self.out_channels)


def _sparse(graph: CSRGraph) -> Tensor:
    size = (graph.num_nodes, graph.num_nodes)
    rowptr = torch.tensor(graph.rowptr, dtype=torch.int64)
    col = torch.tensor(graph.col, dtype=torch.int64)
    # A CSRGraph is validated already, and that the layout is in beta is no news to the user.
    unchecked = torch.sparse.check_sparse_tensor_invariants(False)  # type: ignore[no-untyped-call]
    with warnings.catch_warnings(), unchecked:
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(rowptr, col, torch.ones(graph.num_edges), size=size)
