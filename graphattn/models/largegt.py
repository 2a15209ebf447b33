"""LargeGT: attention over sampled 2-hop tokens with 2-hop context, and over a global codebook."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch_geometric.nn import BatchNorm
from torch_geometric.nn.inits import reset

from graphattn.checks import check_choice, check_least
from graphattn.models.token_model import TokenModel
from graphattn.nn.codebook_attention import CodebookAttention
from graphattn.nn.dropout import Dropout
from graphattn.nn.neighborhood_encoder import NeighborhoodEncoder
from graphattn.ops.attention import AttentionWeights
from graphattn.ops.neighborhood import Neighborhood
from graphattn.ops.row_attention import RowTables


class LargeGT(TokenModel):
    r"""The Large Graph Transformer for node-level learning.

    A seed attends to ``K`` nodes drawn from its 2-hop neighbourhood. Each brings its features and
    those of its 1- and 2-hop neighbourhood (:func:`~graphattn.ops.propagate.propagate`), so two
    hops of sampling and two of propagation see four hops. Beside it, the seed attends to a codebook
    of moving averages of all nodes. A head reads both:

    .. math:: \mathrm{logits} = \mathrm{MLP}([\mathrm{local}(S(v))\,;\,\mathrm{global}(x_v, pe_v)])

    What depends on a node and hop only is computed, and dropped out, once a distinct row of the
    batch, not once a token. Otherwise the defaults are the paper's.
    Source: https://arxiv.org/abs/2312.11109, section 3.

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
        direction: ``"in"``: tokens and context from senders. ``"both"``: also from receivers, told
            apart by ``hop_embedding``.
        num_own_hops: With ``L > 0``, the seed also attends to its own features after 0 to ``L``
            hops of propagation, and the head reads their summary
            (:class:`~graphattn.nn.HopTokens`).
        hop_embedding: Whether tokens carry how far they are and which hop of context they hold.
        local: ``"attention"``, the paper's, or ``"gin"``: :class:`~graphattn.nn.GINLocalAttention`,
            which takes ``normalize``, ``aggregators``, ``update_norm`` and ``adjacency``.
        adjacency: Whether the model is told which tokens are joined by an edge.
        normalize: ``"softmax"`` or ``"sigmoid"``, which counts.
        aggregators: See there.
        update_norm: ``"rms"`` or None, which lets counts through.
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
        local: Literal["attention", "gin"] = "attention",
        adjacency: bool = False,
        normalize: Literal["softmax", "sigmoid"] = "softmax",
        aggregators: Sequence[str] = ("sum",),
        update_norm: Literal["rms"] | None = "rms",
        global_channels: int = 64,
        pe_channels: int = 0,
        codebook_size: int = 4096,
        reseed_below: float = 0.0,
        dropout: float = 0.5,
        attention_dropout: float = 0.3,
    ) -> None:
        super().__init__()
        check_choice(("local", "global", "full"), scope=scope)
        check_choice(("tokens", "channels"), hops=hops)
        check_choice(("in", "both"), direction=direction)
        check_least(1, in_channels=in_channels, hidden_channels=hidden_channels)
        check_least(1, out_channels=out_channels, num_hops=num_hops)
        check_least(0, num_own_hops=num_own_hops)
        if num_own_hops and scope == "global":
            raise ValueError("num_own_hops needs the local module: got scope='global'.")
        if direction == "both" and scope != "global" and not hop_embedding:
            raise ValueError(
                "direction='both' needs hop_embedding=True, or senders and receivers look alike: "
                "got hop_embedding=False."
            )
        if scope == "global" and (local, adjacency) != ("attention", False):
            raise ValueError("local and adjacency need the local module: got scope='global'.")
        if pe_channels and scope == "local":
            raise ValueError("pe_channels needs the global module: got scope='local'.")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.scope, self.direction, self.adjacency = scope, direction, adjacency
        self.num_hops, self.num_own_hops, self.pe_channels = num_hops, num_own_hops, pe_channels
        self.num_contexts = 1 + num_hops * (2 if direction == "both" else 1)
        width, head_channels = heads * hidden_channels, 0
        if scope != "global":
            self.neighborhood = NeighborhoodEncoder(
                in_channels,
                hidden_channels,
                self.num_contexts,
                heads=heads,
                num_layers=num_layers,
                hops=hops,
                num_own_hops=num_own_hops,
                hop_embedding=hop_embedding,
                local=local,
                adjacency=adjacency,
                normalize=normalize,
                aggregators=aggregators,
                update_norm=update_norm,
                dropout=dropout,
                attention_dropout=attention_dropout,
            )
            head_channels += self.neighborhood.out_channels
        if scope != "local":
            self.lin_seed = nn.Sequential(
                nn.Linear(in_channels, hidden_channels),
                BatchNorm(hidden_channels, allow_single_element=True),
                nn.ReLU(),
                Dropout(dropout),
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
            reset(module)

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
        joined: Bool[Tensor, "seeds tokens tokens"] | None = None,
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
            joined: ``True`` where an edge goes from the second token to the first; needed iff
                ``adjacency``.

        Returns:
            One logit a class for each seed.

        Raises:
            ValueError: An argument is missing, not wanted, or of another size.
        """
        if rows.size(1) != self.num_contexts or rows.size(2) != self.in_channels:
            raise ValueError(
                f"rows must be [rows, {self.num_contexts}, {self.in_channels}] (contexts, channels)"
                f": got {list(rows.shape)}; direction={self.direction!r} and "
                f"num_hops={self.num_hops} set the contexts."
            )
        x = rows[:, 0].index_select(0, ids[:, 0])
        tokens = (ids, mask, hop, joined)
        return self._classify(self.project(rows), tokens, x, own, pe, seeds, codes)

    def project(self, rows: Float[Tensor, "rows contexts channels"]) -> RowTables | None:
        """Computes what depends on a row alone, for any seed; nothing for ``scope="global"``."""
        return None if self.scope == "global" else self.neighborhood.project(rows)

    def projected_bytes(self) -> int:
        """Tells how many bytes :meth:`project` gives for one row."""
        if self.scope == "global":
            return 0
        return self.neighborhood.projected_bytes()

    def classify(
        self,
        projected: RowTables | None,
        tokens: Neighborhood,
        x: Float[Tensor, "seeds channels"],
        *,
        own: Float[Tensor, "seeds own_hops channels"] | None = None,
        pe: Float[Tensor, "seeds pe_channels"] | None = None,
        joined: Bool[Tensor, "seeds tokens tokens"] | None = None,
    ) -> Float[Tensor, "seeds classes"]:
        """Classifies seeds by the rows that they attend to; ``x`` are their own features."""
        return self._classify(projected, (*tokens, joined), x, own, pe)

    def following(
        self, x: Float[Tensor, "nodes channels"], pe: Float[Tensor, "nodes pe_channels"] | None
    ) -> AbstractContextManager[None]:
        """Within it, each code is the mean of its nodes among ``x``; see the codebook's method."""
        if self.scope == "local":
            return nullcontext()
        return self.codebook.following(self.lin_seed(x), pe)

    @torch.no_grad()
    def token_weights(
        self,
        projected: RowTables | None,
        tokens: Neighborhood,
        x: Float[Tensor, "seeds channels"],
        *,
        own: Float[Tensor, "seeds own_hops channels"] | None = None,
        pe: Float[Tensor, "seeds pe_channels"] | None = None,
        joined: Bool[Tensor, "seeds tokens tokens"] | None = None,
    ) -> list[AttentionWeights]:
        """Gives what :meth:`classify` attends to: tokens by layer, their readout, and the codes.

        The hop is that of the node a token belongs to, in either direction; its context reads
        ``num_hops`` farther. Codes stand for all nodes and have none.
        """
        found = []
        if projected is not None:
            ids, mask, hop = tokens
            hop = torch.where(hop > self.num_hops, hop - self.num_hops, hop)
            given = {"mask": mask, "own": own, "joined": joined}
            found = self.neighborhood.weights(projected, ids, hop=hop, **given)
        if self.scope != "local":
            codes = self.codebook.weights(self.lin_seed(x), pe)
            found.append(AttentionWeights("codebook", codes, None))
        return found

    def _classify(
        self,
        projected: RowTables | None,
        tokens: tuple[Tensor | None, ...],
        x: Tensor,
        own: Tensor | None,
        pe: Tensor | None,
        seeds: Tensor | None = None,
        codes: Tensor | None = None,
    ) -> Tensor:
        parts = []
        ids, mask, hop, joined = tokens
        if projected is not None and ids is not None:
            attend = self.neighborhood.attend
            parts = [attend(projected, ids, mask=mask, hop=hop, own=own, joined=joined)]
        if self.scope != "local":
            parts.append(self.codebook(self.lin_seed(x), pe, seeds=seeds, codes=codes))
        return self.head(torch.cat(parts, dim=1))


def _head(
    in_channels: int, width: int, hidden_channels: int, out_channels: int, dropout: float
) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(in_channels, width),
        BatchNorm(width, allow_single_element=True),
        nn.ReLU(),
        Dropout(dropout),
        nn.Linear(width, hidden_channels),
        BatchNorm(hidden_channels, allow_single_element=True),
        nn.ReLU(),
        Dropout(dropout),
        nn.Linear(hidden_channels, out_channels),
    )
