"""What a seed sees of its neighbourhood: sampled tokens, their hops of context, its own hops."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from graphattn.checks import check_choice
from graphattn.nn.dropout import Dropout
from graphattn.nn.gin_local_attention import GINLocalAttention
from graphattn.nn.hop_tokens import HopTokens
from graphattn.nn.local_attention import LocalAttention
from graphattn.ops.attention import AttentionWeights
from graphattn.ops.row_attention import RowTables


class NeighborhoodEncoder(nn.Module):
    r"""Turns the tokens of each seed into one vector: the local half of LargeGT.

    Each distinct row of a batch is projected once (:meth:`project`), however many seeds attend to
    it (:meth:`attend`):

    .. math:: Z = W_2\,\mathrm{ReLU}(W_1 S) , \qquad
        \mathrm{out}_v = [\mathrm{LocalAttention}(Z_v)\,;\,\mathrm{summary}_v]

    The summary of the seed's own hops is there iff ``num_own_hops > 0``. Source: LargeGT, section 3
    of https://arxiv.org/abs/2312.11109; own hops after NAGphormer and SIGN, see
    :class:`~graphattn.nn.HopTokens`.

    Args:
        in_channels: Channels of ``x``.
        hidden_channels: Channels of a token and of each head.
        num_contexts: Hops a row holds side by side, ``x`` included.
        heads: Number of heads.
        num_layers: Number of attention layers.
        hops: ``"tokens"``: each hop of a row is a token; ``"channels"``: all of them are one.
        num_own_hops: Own hops of the seed that join the tokens, 0 for none.
        hop_embedding: Whether tokens carry how far they are and which hop of context they hold.
        local: ``"attention"``, or ``"gin"`` for :class:`~graphattn.nn.GINLocalAttention`, to which
            the next four options belong.
        adjacency: Whether it is told which tokens are joined by an edge.
        normalize: ``"softmax"`` or ``"sigmoid"``, which counts.
        aggregators: As of :class:`~graphattn.nn.GINAttention`.
        update_norm: ``"rms"`` or None, which lets counts through.
        dropout: Dropout of the input network and of the own hops.
        attention_dropout: Dropout around the attention block.

    Example:
        >>> import torch
        >>> encoder = NeighborhoodEncoder(8, 16, 3)
        >>> rows, ids = torch.randn(50, 3, 8), torch.randint(50, (4, 10))
        >>> encoder.attend(encoder.project(rows), ids).shape, encoder.out_channels
        (torch.Size([4, 32]), 32)
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        num_contexts: int,
        *,
        heads: int = 2,
        num_layers: int = 1,
        hops: Literal["tokens", "channels"] = "tokens",
        num_own_hops: int = 0,
        hop_embedding: bool = False,
        local: Literal["attention", "gin"] = "attention",
        adjacency: bool = False,
        normalize: Literal["softmax", "sigmoid"] = "softmax",
        aggregators: Sequence[str] = ("sum",),
        update_norm: Literal["rms"] | None = "rms",
        dropout: float = 0.5,
        attention_dropout: float = 0.3,
    ) -> None:
        super().__init__()
        check_choice(("attention", "gin"), local=local)
        given = (adjacency, normalize, tuple(aggregators), update_norm)
        if local == "attention" and given != (False, "softmax", ("sum",), "rms"):
            raise ValueError(
                "adjacency, normalize, aggregators and update_norm are options of local='gin': "
                f"got {', '.join(map(str, given))} with local='attention'."
            )
        self.num_contexts, self.num_own_hops = num_contexts, num_own_hops
        self.hops, self.hop_embedding = hops, hop_embedding
        self.tokens_a_row = num_contexts if hops == "tokens" else 1
        self.lin_rows = nn.Sequential(
            nn.Linear(in_channels * (num_contexts // self.tokens_a_row), hidden_channels),
            nn.ReLU(),
            Dropout(dropout),
            nn.Linear(hidden_channels, hidden_channels),
        )
        size = {"heads": heads, "num_layers": num_layers, "num_types": self._num_types()}
        self.adjacency = adjacency
        self.attention: LocalAttention | GINLocalAttention
        if local == "attention":
            self.attention = LocalAttention(hidden_channels, **size, dropout=attention_dropout)
        else:
            self.attention = GINLocalAttention(
                hidden_channels,
                **size,
                adjacency=adjacency,
                normalize=normalize,
                aggregators=tuple(aggregators),
                update_norm=update_norm,
                dropout=attention_dropout,
            )
        self.out_channels = self.attention.out_channels
        if num_own_hops:
            self.own_hops = HopTokens(in_channels, hidden_channels, num_own_hops, dropout=dropout)
            self.out_channels += hidden_channels

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        for part in self.lin_rows:
            if isinstance(part, nn.Linear):
                part.reset_parameters()
        self.attention.reset_parameters()
        if self.num_own_hops:
            self.own_hops.reset_parameters()

    def projected_bytes(self) -> int:
        """Tells how many bytes :meth:`project` gives for one row."""
        layer = self.attention
        tables = 4 if isinstance(layer, LocalAttention) else 1
        return self.tokens_a_row * tables * layer.out_channels * layer.lin_in.weight.element_size()

    def project(self, rows: Float[Tensor, "rows contexts channels"]) -> RowTables:
        """Computes what depends on a row alone.

        Args:
            rows: Features of each distinct node, then those of each hop of context.

        Returns:
            Projections, ``tokens_a_row`` for each row.
        """
        flat = rows.flatten(0, 1) if self.hops == "tokens" else rows.flatten(1)
        return self.attention.project(self.lin_rows(flat))

    def attend(
        self,
        projected: RowTables,
        ids: Int[Tensor, "seeds tokens"],
        *,
        mask: Bool[Tensor, "seeds tokens"] | None = None,
        hop: Int[Tensor, "seeds tokens"] | None = None,
        own: Float[Tensor, "seeds own_hops channels"] | None = None,
        joined: Bool[Tensor, "seeds tokens tokens"] | None = None,
    ) -> Float[Tensor, "seeds hidden"]:
        """Attends over rows already projected.

        Args:
            projected: From :meth:`project`.
            ids: The tokens of each seed as rows; column 0 is the seed.
            mask: ``True`` where a token exists; column 0 must.
            hop: How far each token is from its seed; needed iff ``hop_embedding``.
            own: The seeds' features after 0 to ``num_own_hops`` hops; needed iff that is above 0.
            joined: ``True`` where an edge goes from the second token to the first; needed iff
                ``adjacency``.

        Returns:
            One vector a seed, of ``out_channels``.

        Raises:
            ValueError: ``hop`` or ``joined`` is missing, or ``own`` holds another number of hops.
        """
        (rows, index, exists, types), summary = self._laid_out(projected, ids, mask, hop, own)
        attended = self.attention.attend(
            rows, index, mask=exists, types=types, **self._related(ids, joined, index.size(1))
        )
        return attended if summary is None else torch.cat([attended, summary], dim=1)

    def weights(
        self,
        projected: RowTables,
        ids: Int[Tensor, "seeds tokens"],
        *,
        hop: Int[Tensor, "seeds tokens"],
        mask: Bool[Tensor, "seeds tokens"] | None = None,
        own: Float[Tensor, "seeds own_hops channels"] | None = None,
        joined: Bool[Tensor, "seeds tokens tokens"] | None = None,
    ) -> list[AttentionWeights]:
        """Gives what each seed attends to in each layer, and in the readout.

        Args:
            projected: As for :meth:`attend`, and so the others.
            ids: The tokens of each seed.
            hop: How far each is from its seed.
            mask: Which exist.
            own: The seeds' own hops.
            joined: Which tokens are joined by an edge.

        Returns:
            ``attention.0`` and so on, then ``readout``, with the hop of the node that each token
            belongs to; own hops belong to the seed.
        """
        (rows, index, exists, types), _ = self._laid_out(projected, ids, mask, hop, own)
        far = hop.repeat_interleave(self.tokens_a_row, dim=1)
        far = F.pad(far, (0, index.size(1) - far.size(1)))
        related = self._related(ids, joined, index.size(1))
        found = self.attention.weights(rows, index, mask=exists, types=types, **related)
        names = [*(f"attention.{layer}" for layer in range(len(found) - 1)), "readout"]
        return [AttentionWeights(*pair, far) for pair in zip(names, found, strict=True)]

    def _laid_out(
        self,
        projected: RowTables,
        ids: Tensor,
        mask: Tensor | None,
        hop: Tensor | None,
        own: Tensor | None,
    ) -> tuple[tuple[RowTables, Tensor, Tensor | None, Tensor | None], Tensor | None]:
        """What the attention takes, and the summary of the seed's own hops."""
        self._check(hop, own)
        context = torch.arange(self.tokens_a_row, device=ids.device)
        index = (ids.unsqueeze(-1) * self.tokens_a_row + context).flatten(1)
        mask = None if mask is None else mask.repeat_interleave(self.tokens_a_row, dim=1)
        types = None
        if self.hop_embedding and hop is not None:
            types = (hop.unsqueeze(-1) * self.tokens_a_row + context).flatten(1)
        if own is None:
            return (projected, index, mask, types), None
        tokens, summary = self.own_hops(own)
        types = torch.zeros_like(index) if types is None else types
        return self._with_own(projected, tokens, index, mask, types), summary

    def _with_own(
        self,
        projected: RowTables,
        tokens: Tensor,
        index: Tensor,
        mask: Tensor | None,
        types: Tensor,
    ) -> tuple[RowTables, Tensor, Tensor | None, Tensor]:
        """Adds tokens that belong to one seed each as rows of their own."""
        num_seeds, num_tokens, _ = tokens.shape
        added = self.attention.project(tokens.flatten(0, 1))
        num_rows = projected.qkv.size(0)
        projected = RowTables(*(torch.cat(pair) for pair in zip(projected, added, strict=True)))
        place = torch.arange(num_seeds * num_tokens, device=index.device)
        place = place.view(num_seeds, num_tokens)
        index = torch.cat([index, place + num_rows], dim=1)
        if mask is not None:
            mask = torch.cat([mask, mask.new_ones(num_seeds, num_tokens)], dim=1)
        kinds = torch.arange(num_tokens, device=index.device) + self._num_types() - num_tokens
        types = torch.cat([types, kinds.expand(num_seeds, -1)], dim=1)
        return projected, index, mask, types

    def _related(self, ids: Tensor, joined: Tensor | None, num_tokens: int) -> dict[str, Tensor]:
        """How tokens are related, once a token of each context; own hops belong to the seed."""
        if (joined is not None) != self.adjacency:
            given = "none" if joined is None else "some"
            raise ValueError(f"joined must be given exactly when adjacency is: got {given}.")
        if joined is None:
            return {}
        same = ids.unsqueeze(2) == ids.unsqueeze(1)
        relation = torch.where(same, 0, torch.where(joined, 1, 2))
        node = torch.arange(ids.size(1), device=ids.device).repeat_interleave(self.tokens_a_row)
        node = F.pad(node, (0, num_tokens - node.numel()))
        return {"relation": relation.index_select(1, node).index_select(2, node)}

    def _num_types(self) -> int:
        """Counts kinds of tokens: (hop of token, hop of context), then the seed's own hops."""
        own = self.num_own_hops + 1 if self.num_own_hops else 0
        if self.hop_embedding:
            return self.num_contexts * self.tokens_a_row + own
        return 1 + own if own else 0

    def _check(self, hop: Tensor | None, own: Tensor | None) -> None:
        if self.hop_embedding and hop is None:
            raise ValueError("hop must be given: hop_embedding=True, got no hop of the tokens.")
        expected = self.num_own_hops + 1 if self.num_own_hops else 0
        got = 0 if own is None else own.size(1)
        if got != expected:
            raise ValueError(
                f"own must hold {expected} hops of each seed for num_own_hops={self.num_own_hops}: "
                f"got {got}."
            )
