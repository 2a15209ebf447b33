"""A model that takes tokens: what it must compute, and what it can then do for a whole graph."""

from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from graphattn.graph import CSRGraph
from graphattn.ops.joined import joined_tokens
from graphattn.ops.neighborhood import Direction, Neighborhood, sample_neighborhood
from graphattn.ops.propagate import propagate
from graphattn.ops.row_attention import RowTables

_BLOCK = 4096  # nodes projected at once


@runtime_checkable
class TokenSource(Protocol):
    """What a store gives: a graph, and features of any nodes; a ``TokenStore`` is one.

    Example:
        >>> callable(TokenSource.gather)
        True
    """

    graph: CSRGraph

    @property
    def num_nodes(self) -> int:
        """Number of nodes."""
        ...

    @property
    def direction(self) -> Direction:
        """Where tokens are drawn from."""
        ...

    def gather(self, nodes: Int[Tensor, " rows"]) -> Float[Tensor, "rows contexts channels"]:
        """Returns features of nodes and of their hops."""
        ...

    def gather_own(
        self, nodes: Int[Tensor, " rows"]
    ) -> Float[Tensor, "rows own_hops channels"] | None:
        """Returns own hops of nodes, if there are any."""
        ...

    def gather_pe(self, nodes: Int[Tensor, " rows"]) -> Float[Tensor, "rows pe_channels"] | None:
        """Returns positions of nodes, if there are any."""
        ...


class TokenModel(nn.Module):
    """A model for node-level learning on tokens: rows that each seed attends to.

    Besides ``forward``, which takes the fields of a ``TokenBatch``, it says in two steps what it
    computes, so that what depends on a row alone is computed once for a whole graph.

    Example:
        >>> TokenModel.takes_tokens
        True
    """

    takes_tokens = True
    num_hops: int
    num_own_hops: int
    direction: Literal["in", "both"]
    adjacency: bool = False  # whether classify is given which tokens are joined, as ``joined``

    @abstractmethod
    def project(self, rows: Float[Tensor, "rows contexts channels"]) -> RowTables | None:
        """Computes what depends on a row alone, as many table rows for each; or nothing."""

    @abstractmethod
    def projected_bytes(self) -> int:
        """Tells how many bytes :meth:`project` gives for one row."""

    @abstractmethod
    def classify(
        self,
        projected: RowTables | None,
        tokens: Neighborhood,
        x: Float[Tensor, "seeds channels"],
        *,
        own: Float[Tensor, "seeds own_hops channels"] | None = None,
        pe: Float[Tensor, "seeds pe_channels"] | None = None,
    ) -> Float[Tensor, "seeds classes"]:
        """Computes logits from projected rows; ``x`` are the features of the seeds themselves."""

    def following(
        self, x: Float[Tensor, "nodes channels"], pe: Float[Tensor, "nodes pe_channels"] | None
    ) -> AbstractContextManager[None]:
        """Within it, what the model keeps of all nodes is that of ``x``; most keep nothing."""
        return nullcontext()

    def node_forward(
        self,
        x: Float[Tensor, "nodes channels"],
        edge_index: Int[Tensor, "2 edges"],
        seeds: Int[Tensor, " seeds"] | None = None,
        *,
        pe: Float[Tensor, "nodes pe_channels"] | None = None,
        sampler: Callable[..., Neighborhood] = sample_neighborhood,
        num_samples: int = 20,
        pool: Literal["list", "set"] | None = None,
        norm: Literal["sym", "row"] = "sym",
        seed: int = 0,
        batch_size: int = 1024,
        follow: bool = False,
    ) -> Float[Tensor, "rows classes"]:
        """Classifies nodes of a graph, differentiably in ``x``: what influence is measured of.

        Propagation runs inside; the tokens are fixed by ``seed``, as a loader of the same seed and
        sampler draws them in evaluation. Call it in evaluation mode to measure a trained model.

        Args:
            x: Node features.
            edge_index: Edges, sources then targets.
            seeds: Ids of the nodes to classify; by default all. For few of many, only the rows
                that they attend to are computed.
            pe: Positions; needed iff ``pe_channels > 0``.
            sampler: Any function of the form of :func:`~graphattn.sample_neighborhood`.
            num_samples: Tokens a node, itself included.
            pool: See :func:`~graphattn.sample_neighborhood`; None: the sampler's own.
            norm: Propagation, as of the store the model was trained on.
            seed: Fixes the tokens.
            batch_size: How many nodes are attended to at once; bounds memory without gradients.
            follow: Let a codebook stand for the nodes of ``x``, as it does in training up to its
                inertia, instead of those of its buffers: the influence of all nodes passes
                through it then.

        Returns:
            One logit a class for each seed.

        Raises:
            ValueError: ``edge_index`` is no graph over the rows of ``x``; or ``follow`` in training
                mode.
        """
        graph = CSRGraph.from_edge_index(edge_index, num_nodes=x.size(0))
        rows = propagate(graph, x, self.num_hops, norm=norm)
        if self.direction == "both":
            received = propagate(graph.reverse(), x, self.num_hops, norm=norm)
            rows = torch.cat([rows, received[:, 1:]], dim=1)
        own = propagate(graph, x, self.num_own_hops, norm=norm) if self.num_own_hops else None
        nodes = torch.arange(graph.num_nodes) if seeds is None else seeds.cpu()
        tokens = sampler(
            graph,
            nodes,
            num_samples,
            num_hops=self.num_hops,
            direction=self.direction,
            seed=seed,
            **({} if pool is None else {"pool": pool}),
        )
        joined = self._joined(graph, tokens)
        if seeds is not None:
            read, ids = torch.unique(tokens.ids, return_inverse=True)
            rows, tokens = rows.index_select(0, read.to(x.device)), tokens._replace(ids=ids)
        projected = self.project(rows)
        logits = []
        with self.following(x, pe) if follow else nullcontext():
            for places in torch.split(torch.arange(nodes.numel()), batch_size):
                drawn = Neighborhood(*(table.index_select(0, places) for table in tokens))
                drawn = Neighborhood(*(table.to(x.device) for table in drawn))
                here = nodes.index_select(0, places).to(x.device)
                of_own, of_pe = (
                    table if table is None else table.index_select(0, here) for table in (own, pe)
                )
                of_x, beside = x.index_select(0, here), {"own": of_own, "pe": of_pe}
                beside |= {k: t.index_select(0, places).to(x.device) for k, t in joined.items()}
                logits.append(self.classify(projected, drawn, of_x, **beside))
        return torch.cat(logits)

    @torch.no_grad()
    def inference(
        self,
        store: TokenSource,
        seeds: Int[Tensor, " seeds"] | None = None,
        sampler: Callable[..., Neighborhood] = sample_neighborhood,
        *,
        num_samples: int = 20,
        pool: Literal["list", "set"] | None = None,
        seed: int = 0,
        batch_size: int = 1024,
    ) -> Float[Tensor, "seeds classes"]:
        """Classifies many seeds: what depends on a node alone is computed once for the whole graph.

        The same logits as batch by batch, in evaluation mode, of the same tokens. Needs memory for
        ``4 * heads * hidden_channels`` numbers for each row of the store.

        Args:
            store: A :class:`~graphattn.sampling.TokenStore`, or what has its methods.
            seeds: Ids of nodes; by default all.
            sampler: Any function of the form of :func:`~graphattn.sample_neighborhood`.
            num_samples: Tokens a seed, itself included.
            pool: See :func:`~graphattn.sample_neighborhood`; None: the sampler's own.
            seed: Fixes the tokens.
            batch_size: Seeds attended to at once.

        Returns:
            One logit a class for each seed, on the CPU.
        """
        training, weight = [m for m in self.modules() if m.training], next(self.parameters())
        device, dtype = weight.device, weight.dtype
        self.eval()
        try:
            projected = self._project_all(store, device, dtype)
            nodes = torch.arange(store.num_nodes) if seeds is None else seeds.cpu()
            logits = []
            for part in torch.split(nodes, batch_size):
                drawn = sampler(
                    store.graph,
                    part,
                    num_samples,
                    num_hops=self.num_hops,
                    direction=store.direction,
                    seed=seed,
                    epoch=0,
                    **({} if pool is None else {"pool": pool}),
                )
                joined = {k: t.to(device) for k, t in self._joined(store.graph, drawn).items()}
                drawn = Neighborhood(*(table.to(device) for table in drawn))
                own, pe = (
                    table if table is None else table.to(device, dtype)
                    for table in (store.gather_own(part), store.gather_pe(part))
                )
                x = store.gather(part)[:, 0].to(device, dtype)
                of_part = self.classify(projected, drawn, x, own=own, pe=pe, **joined)
                logits.append(of_part.float().cpu())
        finally:
            for module in training:
                module.training = True
        return torch.cat(logits)

    def _joined(self, graph: CSRGraph, tokens: Neighborhood) -> dict[str, Tensor]:
        """Which tokens are joined, as the argument of :meth:`classify`, if the model is told."""
        return {"joined": joined_tokens(graph, tokens)} if self.adjacency else {}

    def _project_all(
        self, store: TokenSource, device: torch.device, dtype: torch.dtype
    ) -> RowTables | None:
        """Projects the rows of all nodes, block by block, into one pair of tables."""
        tables: RowTables | None = None
        done = 0
        for block in torch.split(torch.arange(store.num_nodes), _BLOCK):
            part = self.project(store.gather(block).to(device, dtype))
            if part is None:
                return None
            if tables is None:
                rows = store.num_nodes * (part.residual.size(0) // block.numel())
                tables = RowTables(*(_empty(rows, table) for table in part))
            for table, of_part in zip(tables, part, strict=True):
                table[done : done + of_part.size(0)] = of_part
            done += part.residual.size(0)
        return tables


def _empty(rows: int, like: Tensor) -> Tensor:
    if like.device.type != "cpu" or like.dtype == torch.bfloat16:
        return like.new_empty(rows, like.size(1))
    # numpy asks for huge pages, PyTorch does not: random reads are up to 1.7 times as fast.
    return torch.from_numpy(np.empty((rows, like.size(1)), like.numpy().dtype))
