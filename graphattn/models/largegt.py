"""LargeGT: attention over sampled 2-hop tokens with 2-hop context, and over a global codebook."""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch_geometric.nn import BatchNorm

from graphattn.graph import CSRGraph
from graphattn.nn.codebook_attention import CodebookAttention
from graphattn.nn.hop_tokens import HopTokens
from graphattn.nn.local_attention import LocalAttention, ProjectedRows
from graphattn.ops.neighborhood import sample_neighborhood
from graphattn.ops.propagate import propagate


class LargeGT(nn.Module):
    r"""The Large Graph Transformer for node-level learning.

    A seed attends to ``K`` nodes drawn from its 2-hop neighbourhood. Each brings its features and
    those of its 1- and 2-hop neighbourhood (:func:`~graphattn.ops.propagate.propagate`), so two
    hops of sampling and two of propagation see four hops. Beside it, the seed attends to a codebook
    of moving averages of all nodes. A head reads both:

    .. math:: \mathrm{logits} = \mathrm{MLP}([\mathrm{local}(S(v))\,;\,\mathrm{global}(x_v, pe_v)])

    What depends on a node and hop only is computed once a distinct row of the batch, not once a
    token. The defaults are the paper's. Source: https://arxiv.org/abs/2312.11109, section 3.

    Args:
        in_channels: Channels of ``x``.
        hidden_channels: Channels of a token and of each head.
        out_channels: Number of classes.
        heads: Number of heads.
        num_layers: Number of attention layers of the local module.
        scope: Which modules exist: ``"local"``, ``"global"`` or both (``"full"``).
        hops: ``"tokens"``: each hop of a node is a token of its own, three a node, as in the paper.
            ``"channels"``: one token a node, its hops side by side; nine times less attention.
        num_hops: Hops of sampling, and of context that each token carries.
        direction: ``"in"``: context from senders. ``"both"``: also from receivers, as more hops.
        num_own_hops: With ``L > 0``, the seed also attends to its own features after 0 to ``L``
            hops of propagation, and the head reads their summary
            (:class:`~graphattn.nn.HopTokens`).
        hop_embedding: Whether tokens carry how far they are and which hop of context they hold.
        global_channels: Channels of a node in the codebook, without its position.
        pe_channels: Channels of the position ``pe``, 0 for none.
        codebook_size: Number of codes.
        reseed_below: See :class:`~graphattn.nn.CodebookAttention`; 0 is the paper's.
        dropout: Dropout of the input and output networks.
        attention_dropout: Dropout around the attention block.

    Raises:
        ValueError: An option is none of those named, or a size is out of its range.

    Example:
        >>> import torch
        >>> model = LargeGT(8, 16, 3, scope="local")
        >>> rows = torch.randn(50, 3, 8)                   # 50 distinct nodes: x, 1 hop, 2 hops
        >>> ids = torch.randint(50, (4, 10))               # 4 seeds, 10 tokens each, seed first
        >>> model(rows, ids).shape
        torch.Size([4, 3])
    """

    takes_tokens = True

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        *,
        heads: int = 2,
        num_layers: int = 1,
        scope: Literal["local", "global", "full"] = "full",
        hops: Literal["tokens", "channels"] = "tokens",
        num_hops: int = 2,
        direction: Literal["in", "both"] = "in",
        num_own_hops: int = 0,
        hop_embedding: bool = False,
        global_channels: int = 64,
        pe_channels: int = 0,
        codebook_size: int = 4096,
        reseed_below: float = 0.0,
        dropout: float = 0.5,
        attention_dropout: float = 0.3,
    ) -> None:
        super().__init__()
        _check_choice("scope", scope, ("local", "global", "full"))
        _check_choice("hops", hops, ("tokens", "channels"))
        _check_choice("direction", direction, ("in", "both"))
        _check_sizes(in_channels, hidden_channels, out_channels, num_hops, num_own_hops)
        if num_own_hops and scope == "global":
            raise ValueError(
                "num_own_hops needs the local module: got scope='global' with "
                f"num_own_hops={num_own_hops}; take scope='local' or 'full'."
            )
        if pe_channels and scope == "local":
            raise ValueError(
                "pe_channels needs the global module: got scope='local' with "
                f"pe_channels={pe_channels}; take scope='global' or 'full'."
            )
        self.in_channels, self.out_channels = in_channels, out_channels
        self.scope, self.hops, self.direction = scope, hops, direction
        self.num_hops, self.num_own_hops, self.hop_embedding = num_hops, num_own_hops, hop_embedding
        self.pe_channels = pe_channels
        self.num_contexts = 1 + num_hops * (2 if direction == "both" else 1)
        width = heads * hidden_channels
        head_channels = 0
        if scope != "global":
            split = self.num_contexts if hops == "channels" else 1
            self.lin_tokens = nn.Sequential(
                nn.Linear(in_channels * split, hidden_channels),
                nn.ReLU(),
                nn.Dropout(dropout),
                nn.Linear(hidden_channels, hidden_channels),
            )
            self.local = LocalAttention(
                hidden_channels,
                heads=heads,
                num_layers=num_layers,
                num_types=self._num_types(),
                dropout=attention_dropout,
            )
            head_channels += width
        if num_own_hops:
            self.own_hops = HopTokens(in_channels, hidden_channels, num_own_hops, dropout=dropout)
            head_channels += hidden_channels
        if scope != "local":
            self.lin_seed = nn.Sequential(
                nn.Linear(in_channels, hidden_channels),
                BatchNorm(hidden_channels, allow_single_element=True),
                nn.ReLU(),
                nn.Dropout(dropout),
                nn.Linear(hidden_channels, hidden_channels),
            )
            self.codebook = CodebookAttention(
                hidden_channels,
                head_channels=hidden_channels,
                heads=heads,
                global_channels=global_channels,
                pe_channels=pe_channels,
                codebook_size=codebook_size,
                reseed_below=reseed_below,
            )
            head_channels += width
        self.head = _head(head_channels, width, hidden_channels, out_channels, dropout)

    def reset_parameters(self) -> None:
        """Draws all weights and codes anew."""
        for module in self.children():
            parts = module if isinstance(module, nn.Sequential) else (module,)
            for part in parts:
                reset = getattr(part, "reset_parameters", None)
                if callable(reset):
                    reset()

    def forward(
        self,
        rows: Float[Tensor, "rows contexts channels"],
        ids: Int[Tensor, "seeds tokens"],
        *,
        mask: Bool[Tensor, "seeds tokens"] | None = None,
        hop: Int[Tensor, "seeds tokens"] | None = None,
        own: Float[Tensor, "seeds own_hops channels"] | None = None,
        pe: Float[Tensor, "seeds pe_channels"] | None = None,
        seeds: Int[Tensor, " seeds"] | None = None,
        codes: Int[Tensor, " nodes"] | None = None,
    ) -> Float[Tensor, "seeds classes"]:
        """Classifies seeds; the arguments are the fields of a ``TokenBatch``.

        Args:
            rows: The distinct nodes of the batch: features, then those of each hop of context.
            ids: The tokens of each seed as rows of ``rows``; column 0 is the seed.
            mask: ``True`` where a token exists; column 0 must.
            hop: How far each token is from its seed; needed iff ``hop_embedding``.
            own: The seeds' features after 0 to ``num_own_hops`` hops; needed iff that is above 0.
            pe: Positions of the seeds; needed iff ``pe_channels > 0``.
            seeds: Ids of the seeds in the graph; needed with ``codes``.
            codes: The code of every node of the graph, -1 where none yet. In training mode it is
                changed in place. Without it the codebook counts by moving averages.

        Returns:
            One logit a class for each seed.

        Raises:
            ValueError: An argument is missing, not wanted, or of another size.
        """
        self._check(rows, hop, own)
        seed_rows = ids[:, 0]
        return self._classify(
            None if self.scope == "global" else self._project(rows),
            rows[:, 0].index_select(0, seed_rows),
            ids,
            mask=mask,
            hop=hop,
            own=own,
            pe=pe,
            seeds=seeds,
            codes=codes,
        )

    def node_forward(
        self,
        x: Float[Tensor, "nodes channels"],
        edge_index: Int[Tensor, "2 edges"],
        *,
        pe: Float[Tensor, "nodes pe_channels"] | None = None,
        num_samples: int = 20,
        pool: Literal["list", "set"] = "list",
        seed: int = 0,
        batch_size: int = 1024,
    ) -> Float[Tensor, "nodes classes"]:
        """Classifies every node of a graph, differentiably in ``x``; for influence, small graphs.

        Propagation runs inside; the tokens are fixed by ``seed``, as a loader of the same seed
        draws them in evaluation. Call it in evaluation mode to measure a trained model.

        Args:
            x: Node features.
            edge_index: Edges, sources then targets.
            pe: Positions; needed iff ``pe_channels > 0``.
            num_samples: Tokens a node, itself included.
            pool: See :func:`~graphattn.sample_neighborhood`.
            seed: Fixes the tokens.
            batch_size: How many nodes are attended to at once; bounds memory without gradients.

        Returns:
            One logit a class for each node.

        Raises:
            ValueError: ``edge_index`` is no graph over the rows of ``x``.
        """
        graph = CSRGraph.from_edge_index(edge_index, num_nodes=x.size(0))
        rows = propagate(graph, x, self.num_hops)
        if self.direction == "both":
            received = propagate(graph.reverse(), x, self.num_hops)
            rows = torch.cat([rows, received[:, 1:]], dim=1)
        own = propagate(graph, x, self.num_own_hops) if self.num_own_hops else None
        nodes = torch.arange(graph.num_nodes)
        tokens = sample_neighborhood(
            graph,
            nodes,
            num_samples,
            num_hops=self.num_hops,
            pool=pool,
            direction=self.direction,
            seed=seed,
        )
        projected = None if self.scope == "global" else self._project(rows)
        logits = []
        for part in torch.split(nodes.to(x.device), batch_size):
            ids, mask, hop = (table.to(x.device).index_select(0, part) for table in tokens)
            logits.append(
                self._classify(
                    projected,
                    x.index_select(0, part),
                    ids,
                    mask=mask,
                    hop=hop if self.hop_embedding else None,
                    own=None if own is None else own.index_select(0, part),
                    pe=None if pe is None else pe.index_select(0, part),
                    seeds=part,
                )
            )
        return torch.cat(logits)

    def _classify(
        self,
        projected: ProjectedRows | None,
        x: Tensor,
        ids: Tensor,
        *,
        mask: Tensor | None = None,
        hop: Tensor | None = None,
        own: Tensor | None = None,
        pe: Tensor | None = None,
        seeds: Tensor | None = None,
        codes: Tensor | None = None,
    ) -> Tensor:
        parts = []
        if projected is not None:
            own_tokens = None
            if own is not None:
                own_tokens, summary = self.own_hops(own)
                parts.append(summary)
            parts.insert(0, self._attend(projected, ids, mask, hop, own_tokens))
        if self.scope != "local":
            parts.append(self.codebook(self.lin_seed(x), pe, seeds=seeds, codes=codes))
        return self.head(torch.cat(parts, dim=1))

    def _project(self, rows: Tensor) -> ProjectedRows:
        """Computes once a row what does not depend on who attends to it."""
        flat = rows.flatten(1) if self.hops == "channels" else rows.flatten(0, 1)
        return self.local.project(self.lin_tokens(flat))

    def _attend(
        self,
        projected: ProjectedRows,
        ids: Tensor,
        mask: Tensor | None,
        hop: Tensor | None,
        own_tokens: Tensor | None,
    ) -> Tensor:
        split = 1 if self.hops == "channels" else self.num_contexts
        context = torch.arange(split, device=ids.device)
        index = (ids.unsqueeze(-1) * split + context).flatten(1)
        if mask is not None:
            mask = mask.repeat_interleave(split, dim=1)
        types = None
        if self.hop_embedding and hop is not None:
            types = (hop.unsqueeze(-1) * split + context).flatten(1)
        elif own_tokens is not None:
            types = torch.zeros_like(index)
        if own_tokens is not None:
            num_seeds, num_own, _ = own_tokens.shape
            added = torch.arange(num_seeds * num_own, device=ids.device).view(num_seeds, num_own)
            index = torch.cat([index, added + projected.key.size(0)], dim=1)
            own_projected = self.local.project(own_tokens.flatten(0, 1))
            projected = ProjectedRows(
                *(torch.cat(pair) for pair in zip(projected, own_projected, strict=True))
            )
            if mask is not None:
                mask = torch.cat([mask, mask.new_ones(num_seeds, num_own)], dim=1)
            first = self._num_types() - num_own
            kinds = torch.arange(first, first + num_own, device=ids.device).expand(num_seeds, -1)
            types = torch.cat([types, kinds], dim=1) if types is not None else kinds
        return self.local.attend(projected, index, mask=mask, types=types)

    def _num_types(self) -> int:
        """Counts kinds of tokens: (hop of token, hop of context), then the seed's own hops."""
        kinds = 0
        if self.hop_embedding:
            kinds = self.num_contexts * (1 if self.hops == "channels" else self.num_contexts)
        elif self.num_own_hops:
            kinds = 1
        return kinds + (self.num_own_hops + 1 if self.num_own_hops else 0)

    def _check(self, rows: Tensor, hop: Tensor | None, own: Tensor | None) -> None:
        if rows.size(1) != self.num_contexts or rows.size(2) != self.in_channels:
            raise ValueError(
                f"rows must be [rows, {self.num_contexts}, {self.in_channels}] (contexts, channels)"
                f": got {list(rows.shape)}; direction={self.direction!r} and "
                f"num_hops={self.num_hops} set the contexts."
            )
        if self.hop_embedding and hop is None:
            raise ValueError("hop must be given: hop_embedding=True, got no hop of the tokens.")
        expected = self.num_own_hops + 1 if self.num_own_hops else 0
        got = 0 if own is None else own.size(1)
        if got != expected:
            raise ValueError(
                f"own must hold {expected} hops of each seed for num_own_hops={self.num_own_hops}: "
                f"got {got}."
            )


def _head(
    in_channels: int, width: int, hidden_channels: int, out_channels: int, dropout: float
) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(in_channels, width),
        BatchNorm(width, allow_single_element=True),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(width, hidden_channels),
        BatchNorm(hidden_channels, allow_single_element=True),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden_channels, out_channels),
    )


def _check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}: got {value!r}.")


def _check_sizes(
    in_channels: int, hidden_channels: int, out_channels: int, num_hops: int, num_own_hops: int
) -> None:
    for name, size, least in (
        ("in_channels", in_channels, 1),
        ("hidden_channels", hidden_channels, 1),
        ("out_channels", out_channels, 1),
        ("num_hops", num_hops, 1),
        ("num_own_hops", num_own_hops, 0),
    ):
        if size < least:
            raise ValueError(f"{name} must be at least {least}: got {name}={size}.")
