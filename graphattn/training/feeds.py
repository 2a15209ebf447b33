"""The feed of token models: batches of seeds with what is drawn for them.

Like any feed it turns a batch into logits and labels, and predicts for any nodes. The device is the
model's.
"""

from collections.abc import Callable, Generator
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from graphattn.models.token_model import TokenModel
from graphattn.names import foreign
from graphattn.nn.codebook_attention import CodebookAttention
from graphattn.ops.ranks import ALONE, Ranks
from graphattn.sampling.bottom_k import BottomKSampler
from graphattn.sampling.loader import Extracted, TokenBatch, TokenLoader, independent
from graphattn.sampling.store import TokenStore
from graphattn.sampling.widened import WidenedStore
from graphattn.training.feed import checked_logits, checked_sampler, device_of, evaluating
from graphattn.training.label_inputs import LabelInputs, ShownLabels, label_groups
from graphattn.training.labels import classes, trainable
from graphattn.training.options import TokenOptions
from graphattn.training.whole_graph import FullBatchFeed

__all__ = ["FullBatchFeed", "TokenFeed"]

_MOST_TABLES = 4 << 30  # bytes that tables of all nodes may take in prediction


class TokenFeed:
    """Batches of seeds with the tokens drawn for them, for models of LargeGT's form.

    The model is called as `model(rows, ids, mask=, hop=, own=, pe=, seeds=, codes=)`, and with
    `joined=` where `options.adjacency` asks for it. `codes` holds
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
        label_inputs: Training labels that join the features; by default none do.
        extracted: Where the rows of training nodes, and perhaps others, lie side by side.
        ranks: Which process this is of those that train together. Each is given its part of every
            batch, and all keep the same codes.

    Raises:
        ValueError: No labelled node to train on, or labels that are no classes.

    Example:
        >>> from graphattn.graph import CSRGraph
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
        label_inputs: LabelInputs | None = None,
        extracted: Extracted | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        self._y, self.out_channels = classes(y, out_channels)
        if len(self._y) != store.num_nodes:
            raise ValueError(
                f"y must have a label for each node of the store: got {len(self._y)} labels "
                f"for {store.num_nodes} nodes."
            )
        self.num_nodes, self.ranks = store.num_nodes, ranks
        self.train_nodes = trainable(train_nodes, self._y)
        self.codes = torch.full((self.num_nodes,), -1, dtype=torch.int32)
        self._store, self._options, self._seed = store, options, seed
        self._sampler, self._labels = checked_sampler(sampler), label_inputs
        self._extracted = extracted
        self._loader = self._load(store, self.train_nodes, train=True)
        trained = len(self.train_nodes) if label_inputs is None else label_inputs.num_trained
        self.steps_per_epoch = -(-trained // options.batch_size)

    def train_batches(self, epoch: int) -> Generator[TokenBatch, None, None]:
        """Yield the training seeds in the epoch's order, with the epoch's tokens.

        Those whose labels are given as input in the epoch are left out.
        """
        loader = self._loader
        if self._labels is not None:
            seeds = self._labels.trained(epoch)
            loader = self._load(self._showing(self._labels.hiding(seeds)), seeds, train=True)
        loader.set_epoch(epoch)
        yield from loader

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
        logits = torch.empty(len(nodes), self.out_channels)
        for positions, shown in label_groups(self._labels, nodes):
            part = nodes.index_select(0, positions)
            logits[positions] = self._predict(model, self._showing(shown), part)
        return logits

    def _showing(self, shown: ShownLabels | None) -> TokenStore:
        """Return the store, beside whose features labels stand if any are shown."""
        return self._store if shown is None else WidenedStore(self._store, shown, shown.num_columns)

    def _predict(self, model: nn.Module, store: TokenStore, nodes: Tensor) -> Tensor:
        o = self._options
        if isinstance(model, TokenModel) and self._pays_once_for_all(model, len(nodes)):
            size = {"num_samples": o.num_samples, "batch_size": o.eval_batch_size}
            draw = independent(self._sampler)
            return model.inference(store, nodes, draw, pool=o.pool, seed=self._seed, **size)
        with evaluating(model):
            batches = self._load(store, nodes, train=False)
            logits = [self._logits(model, batch).float().cpu() for batch in batches]
        return torch.cat(logits)

    def _pays_once_for_all(self, model: TokenModel, num_nodes: int) -> bool:
        """Tell whether to project each node once: less work than for each batch, and it fits."""
        o = self._options
        a_batch = min(self.num_nodes, min(o.eval_batch_size, num_nodes) * o.num_samples)
        less = a_batch * -(-num_nodes // o.eval_batch_size) > self.num_nodes
        fits = self.num_nodes * model.projected_bytes() <= _MOST_TABLES
        return less and fits and o.num_hops == model.num_hops

    def labels(self, nodes: Int[Tensor, " nodes"]) -> Int[Tensor, "nodes ..."]:
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
        self.codes = fresh.index_copy_(0, nodes, codes.to(torch.int32)).to(self.codes.device)

    def _load(self, store: TokenStore, seeds: Tensor, *, train: bool) -> TokenLoader:
        o, extracted = self._options, self._extracted
        if extracted is not None and (store is not self._store or not extracted.holds(seeds.cpu())):
            extracted = None
        return TokenLoader(
            store,
            seeds,
            num_samples=o.num_samples,
            batch_size=o.batch_size if train else o.eval_batch_size,
            num_hops=o.num_hops,
            pool=o.pool,
            resample=o.resample and train,
            shuffle=train,
            sampler=self._sampler,
            adjacency=o.adjacency,
            num_workers=o.num_workers,
            pin_memory=torch.cuda.is_available(),
            seed=self._seed,
            ranks=self.ranks if train else ALONE,
            extracted=extracted,
        )

    def _logits(self, model: nn.Module, batch: TokenBatch) -> Tensor:
        device = device_of(model)
        self.codes = self.codes.to(device)
        b = batch.to(device)
        joined = {} if b.joined is None else {"joined": b.joined}
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
                **joined,
            )
        return checked_logits(model, logits, rows=len(b.seeds), out_channels=self.out_channels)
