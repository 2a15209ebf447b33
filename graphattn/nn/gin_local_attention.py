"""GIN-attention among the tokens of each seed, read out at the seed: a local module that counts."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.nn.inits import reset

from graphattn.checks import check_least
from graphattn.nn.gin_attention import GINAttention
from graphattn.ops.attention import readout_weights, weighted_readout
from graphattn.ops.dropout import fast_dropout
from graphattn.ops.row_attention import RowTables

_RELATIONS = 3  # tokens of one node, of joined nodes, of nodes apart


class GINLocalAttention(nn.Module):
    r"""Lets the tokens of each seed attend by GIN-attention and reads the result at the seed.

    It stands where :class:`~graphattn.nn.LocalAttention` does:

    .. math::
        T &= W_r W_e x, \qquad
        T \leftarrow T + \mathrm{drop}(\mathrm{GIN}_l(\mathrm{LN}(T);\; b_l)) \\
        \mathrm{out} &= T_0 + \sum_{i \ge 1} \mathrm{softmax}_i(w^\top T_i)\, T_i,
            \quad T \leftarrow \mathrm{LN}(T)

    The bias :math:`b_l` on the scores is learned for each head: one number for each pair of kinds
    of tokens, and, where edges between the tokens are known, one for tokens of one node, of joined
    nodes and of nodes apart. With sigmoid weights, sums and no norm in the update, a token can so
    count its neighbours, where softmax sees only shares.

    Source: https://arxiv.org/abs/2501.02393 in the local module of https://arxiv.org/abs/2312.11109.

    Args:
        in_channels: Channels of a row, and of each head.
        heads: Number of heads.
        num_layers: Number of attention layers.
        num_types: Number of kinds of tokens; 0 for none.
        adjacency: Whether edges between the tokens are given.
        normalize: "softmax" or "sigmoid".
        aggregators: As of :class:`~graphattn.nn.GINAttention`.
        update_norm: "rms" or None, in the update of a head; "rms" forgets counts.
        dropout: Share of what a layer adds that is dropped in training.

    Raises:
        ValueError: A size is below 1, or an option is unknown or out of range.

    Example:
        >>> x, index = torch.randn(100, 16), torch.randint(100, (8, 5))
        >>> GINLocalAttention(16, heads=2, normalize="sigmoid")(x, index).shape
        torch.Size([8, 32])
    """

    def __init__(
        self,
        in_channels: int,
        *,
        heads: int = 2,
        num_layers: int = 1,
        num_types: int = 0,
        adjacency: bool = False,
        normalize: str = "softmax",
        aggregators: Sequence[str] = ("sum",),
        update_norm: str | None = "rms",
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        check_least(1, in_channels=in_channels, heads=heads, num_layers=num_layers)
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"dropout must be in [0, 1): got dropout={dropout}.")
        hidden = heads * in_channels
        self.in_channels, self.out_channels, self.heads = in_channels, hidden, heads
        self.dropout, self.normalize, self.adjacency = dropout, normalize, adjacency
        self.lin_in = nn.Linear(in_channels, in_channels)
        self.lin_residual = nn.Linear(in_channels, hidden)
        self.type_embedding = nn.Embedding(num_types, hidden) if num_types else None
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(num_layers))
        self.layers = nn.ModuleList(
            GINAttention(
                hidden,
                heads,
                value="linear",
                out_proj=True,
                normalize=normalize,
                aggregators=tuple(aggregators),
                self_weight=1.0 if normalize == "sigmoid" else 0.0,
                mlp_ratio=1.0,
                norm=update_norm,
            )
            for _ in range(num_layers)
        )
        kinds = num_types * num_types
        self.type_bias = nn.Embedding(kinds, num_layers * heads) if kinds else None
        self.relation_bias = nn.Embedding(_RELATIONS, num_layers * heads) if adjacency else None
        self.norm_out = nn.LayerNorm(hidden)
        self.lin_score = nn.Linear(hidden, 1, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws all weights anew; tokens apart start unseen by half of the heads."""
        for module in self.children():
            reset(module)
        if self.type_embedding is not None and self.type_bias is not None:
            nn.init.normal_(self.type_embedding.weight, std=0.02)
            nn.init.zeros_(self.type_bias.weight)
        if self.relation_bias is not None:
            nn.init.zeros_(self.relation_bias.weight)
            with torch.no_grad():
                self.relation_bias.weight[2, ::2] = -6.0

    def forward(
        self,
        x: Float[Tensor, "rows channels"],
        index: Int[Tensor, "seeds tokens"],
        *,
        mask: Bool[Tensor, "seeds tokens"] | None = None,
        types: Int[Tensor, "seeds tokens"] | None = None,
        relation: Int[Tensor, "seeds tokens tokens"] | None = None,
    ) -> Float[Tensor, "seeds hidden"]:
        """Attends.

        Args:
            x: The table of rows, for instance node features.
            index: For each seed the rows it attends to; column 0 is the seed itself.
            mask: ``True`` where a token exists; column 0 must.
            types: The kind of each token, 0 to ``num_types - 1``; needed iff ``num_types > 0``.
            relation: For each pair of tokens 0 if they belong to one node, 1 if an edge goes from
                the second to the first, else 2; needed iff ``adjacency``.

        Returns:
            One vector a seed, ``hidden = heads * in_channels``.

        Raises:
            ValueError: ``types`` or ``relation`` is missing or not wanted.
        """
        return self.attend(self.project(x), index, mask=mask, types=types, relation=relation)

    def project(self, x: Float[Tensor, "rows channels"]) -> RowTables:
        """Computes what depends on a row alone: the tokens before attention, no queries or keys."""
        tokens = self.lin_residual(self.lin_in(x))
        return RowTables(tokens[:, :0], tokens)

    def attend(
        self,
        rows: RowTables,
        index: Int[Tensor, "seeds tokens"],
        *,
        mask: Bool[Tensor, "seeds tokens"] | None = None,
        types: Int[Tensor, "seeds tokens"] | None = None,
        relation: Int[Tensor, "seeds tokens tokens"] | None = None,
    ) -> Float[Tensor, "seeds hidden"]:
        """Attends over rows already projected; arguments and result as those of :meth:`forward`."""
        tokens, biases = self._gathered(rows, index, types, relation)
        for layer, bias in enumerate(biases):
            tokens = tokens + self._layer(layer, tokens, mask, bias)
        tokens = self.norm_out(tokens)
        others = tokens[:, 1:]
        scores = self.lin_score(others).squeeze(-1)
        read = weighted_readout(scores, others, mask=None if mask is None else mask[:, 1:])
        return tokens[:, 0] + read

    @torch.no_grad()
    def weights(
        self,
        rows: RowTables,
        index: Int[Tensor, "seeds tokens"],
        *,
        mask: Bool[Tensor, "seeds tokens"] | None = None,
        types: Int[Tensor, "seeds tokens"] | None = None,
        relation: Int[Tensor, "seeds tokens tokens"] | None = None,
    ) -> list[Float[Tensor, "seeds heads tokens"]]:
        """Gives the attention of the seed's own token in each layer, then the readout's.

        Args:
            rows: As for :meth:`attend`, and so the others.
            index: The rows that each seed attends to.
            mask: Which tokens exist.
            types: The kind of each token.
            relation: How the tokens are related.

        Returns:
            Weights as shares, which sum to 1, also where they are sigmoids; the readout's have one
            head and 0 for the seed, and sum to 0 where a seed has no other token.
        """
        tokens, biases = self._gathered(rows, index, types, relation)
        found = []
        for layer, bias in enumerate(biases):
            norm, attend = self.norms[layer], self.layers[layer]
            added, weights = attend(norm(tokens), mask, attn_bias=bias, need_weights=True)
            seed = weights[:, :, 0]
            found.append(seed / seed.sum(dim=-1, keepdim=True).clamp_min(1e-30))
            tokens = tokens + added
        scores = self.lin_score(self.norm_out(tokens)[:, 1:]).squeeze(-1)
        read = readout_weights(scores, mask=None if mask is None else mask[:, 1:])
        return [*found, F.pad(read, (1, 0)).unsqueeze(1)]

    def _layer(
        self, layer: int, tokens: Tensor, mask: Tensor | None, bias: Tensor | None
    ) -> Tensor:
        added = self.layers[layer](self.norms[layer](tokens), mask, attn_bias=bias)
        return fast_dropout(added, self.dropout, self.training)

    def _gathered(
        self, rows: RowTables, index: Tensor, types: Tensor | None, relation: Tensor | None
    ) -> tuple[Tensor, list[Tensor | None]]:
        """The tokens before attention, and the bias of each layer ``[seeds, heads, S, S]``."""
        for name, value, is_wanted in (
            ("types", types, self.type_embedding is not None),
            ("relation", relation, self.adjacency),
        ):
            if (value is not None) != is_wanted:
                reason = "num_types > 0" if name == "types" else "adjacency is"
                given = "none" if value is None else "some"
                raise ValueError(f"{name} must be given exactly when {reason}: got {given}.")
        tokens = rows.residual.index_select(0, index.flatten()).view(*index.shape, -1)
        bias = None
        if self.type_embedding is not None and self.type_bias is not None and types is not None:
            tokens = tokens + self.type_embedding(types)
            pairs = types.unsqueeze(2) * self.type_embedding.num_embeddings + types.unsqueeze(1)
            bias = self.type_bias(pairs)
        if self.relation_bias is not None and relation is not None:
            of_relation = self.relation_bias(relation)
            bias = of_relation if bias is None else bias + of_relation
        if bias is None:
            return tokens, [None] * len(self.layers)
        return tokens, list(bias.permute(0, 3, 1, 2).chunk(len(self.layers), dim=1))
