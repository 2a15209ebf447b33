"""Attention of each seed's tokens to each other, read out at the seed: LargeGT's local module."""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from graphattn.checks import check_least
from graphattn.ops.attention import (
    readout_weights,
    seed_weights,
    token_attention,
    weighted_readout,
)
from graphattn.ops.dropout import fast_dropout
from graphattn.ops.row_attention import BlockWeights, RowTables, attend_rows


class LocalAttention(nn.Module):
    r"""Lets the tokens of each seed attend to each other and reads the result at the seed.

    Tokens are rows of one table, so that a row that many seeds attend to is projected once:

    .. math::
        E &= W_e x, \qquad
        T = W_r E + W_o\,\mathrm{MHA}(\mathrm{LN}(E)), \qquad T \leftarrow \mathrm{LN}(T) \\
        \mathrm{out} &= T_0 + \sum_{i \ge 1} \mathrm{softmax}_i(w^\top T_i)\, T_i

    Every head has ``in_channels`` channels. Further layers add ``MHA(LN(T))`` to ``T``. The paper's
    readout scores ``[T_0 ; T_i]``; what it adds for ``T_0`` and the bias is the same for every
    ``i`` and leaves the softmax unchanged, so neither exists here.

    Source: the local module of LargeGT, section 3 of https://arxiv.org/abs/2312.11109.

    Args:
        in_channels: Channels of a row, and of each head.
        heads: Number of heads.
        num_layers: Number of attention layers.
        num_types: Number of kinds of tokens (say hop 0, 1, 2). With more than 0, a learned vector
            of each kind is added to keys, values and residuals of the first layer.
        dropout: Share of the attention output and of the token that is dropped in training.

    Raises:
        ValueError: A size is below 1 or ``dropout`` is outside [0, 1).

    Example:
        >>> import torch
        >>> x = torch.randn(100, 16)                       # any node features
        >>> index = torch.randint(100, (8, 5))             # 8 seeds with 5 tokens each, seed first
        >>> LocalAttention(16, heads=2)(x, index).shape
        torch.Size([8, 32])
    """

    def __init__(
        self,
        in_channels: int,
        *,
        heads: int = 2,
        num_layers: int = 1,
        num_types: int = 0,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        check_least(1, in_channels=in_channels, heads=heads, num_layers=num_layers)
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"dropout must be in [0, 1): got dropout={dropout}.")
        hidden = heads * in_channels
        self.in_channels, self.out_channels, self.heads = in_channels, hidden, heads
        self.dropout = dropout
        self.lin_in = nn.Linear(in_channels, in_channels)
        self.lin_residual = nn.Linear(in_channels, hidden)
        widths = [in_channels] + [hidden] * (num_layers - 1)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in widths)
        self.lin_qkv = nn.ModuleList(nn.Linear(width, 3 * hidden) for width in widths)
        self.lin_out = nn.ModuleList(nn.Linear(hidden, hidden) for _ in widths)
        self.type_embedding = nn.Embedding(num_types, 3 * hidden) if num_types else None
        self.norm_out = nn.LayerNorm(hidden)
        self.lin_score = nn.Linear(hidden, 1, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws linear weights from N(0, 0.02 / sqrt(num_layers)) and sets biases to 0."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02 / math.sqrt(len(self.norms)))
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
            elif isinstance(module, nn.LayerNorm):
                module.reset_parameters()

    def forward(
        self,
        x: Float[Tensor, "rows channels"],
        index: Int[Tensor, "seeds tokens"],
        *,
        mask: Bool[Tensor, "seeds tokens"] | None = None,
        types: Int[Tensor, "seeds tokens"] | None = None,
    ) -> Float[Tensor, "seeds hidden"]:
        """Attends.

        Args:
            x: The table of rows, for instance node features.
            index: For each seed the rows it attends to; column 0 is the seed itself.
            mask: ``True`` where a token exists; column 0 must.
            types: The kind of each token, 0 to ``num_types - 1``; needed iff ``num_types > 0``.

        Returns:
            One vector a seed, ``hidden = heads * in_channels``.

        Raises:
            ValueError: ``types`` is missing or not wanted.
        """
        return self.attend(self.project(x), index, mask=mask, types=types)

    def project(self, x: Float[Tensor, "rows channels"]) -> RowTables:
        """Computes what depends on a row alone.

        Args:
            x: The table of rows.

        Returns:
            Queries, keys and values, and residuals, one row each.
        """
        embedded = self.lin_in(x)
        return RowTables(self.lin_qkv[0](self.norms[0](embedded)), self.lin_residual(embedded))

    def attend(
        self,
        rows: RowTables,
        index: Int[Tensor, "seeds tokens"],
        *,
        mask: Bool[Tensor, "seeds tokens"] | None = None,
        types: Int[Tensor, "seeds tokens"] | None = None,
    ) -> Float[Tensor, "seeds hidden"]:
        """Attends over rows already projected; arguments and result as those of :meth:`forward`."""
        if (types is None) != (self.type_embedding is None):
            given = "none" if types is None else "some"
            raise ValueError(f"types must be given exactly when num_types > 0: got {given}.")
        if self._runs_in_chunks(rows.qkv):
            shifts = None if self.type_embedding is None else self.type_embedding.weight
            dropout = self.dropout if self.training else 0.0
            return attend_rows(
                rows,
                index,
                self._block_weights(),
                heads=self.heads,
                mask=mask,
                types=types,
                shifts=shifts,
                dropout=dropout,
            )
        q, k, v, residual = self._gathered(rows, index, types)
        tokens = self._block(0, q, k, v, residual, mask)
        for layer in range(1, len(self.norms)):
            q, k, v = self.lin_qkv[layer](self.norms[layer](tokens)).chunk(3, dim=-1)
            tokens = self._block(layer, q, k, v, tokens, mask)
        tokens = self.norm_out(tokens)
        seed, others = tokens[:, 0], tokens[:, 1:]
        scores = self.lin_score(others).squeeze(-1)
        others_mask = None if mask is None else mask[:, 1:]
        return seed + weighted_readout(scores, others, mask=others_mask)

    @torch.no_grad()
    def weights(
        self,
        rows: RowTables,
        index: Int[Tensor, "seeds tokens"],
        *,
        mask: Bool[Tensor, "seeds tokens"] | None = None,
        types: Int[Tensor, "seeds tokens"] | None = None,
    ) -> list[Float[Tensor, "seeds heads tokens"]]:
        """Gives the attention of the seed's own token in each layer, then the readout's.

        Args:
            rows: As for :meth:`attend`, and so the others.
            index: The rows that each seed attends to.
            mask: Which tokens exist.
            types: The kind of each token.

        Returns:
            Weights that sum to 1; the readout's have one head and 0 for the seed, and sum to 0
            where a seed has no other token.
        """
        q, k, v, tokens = self._gathered(rows, index, types)
        found = []
        for layer in range(len(self.norms)):
            if layer:
                q, k, v = self.lin_qkv[layer](self.norms[layer](tokens)).chunk(3, dim=-1)
            found.append(seed_weights(q, k, self.heads, mask=mask))
            tokens = self._block(layer, q, k, v, tokens, mask)
        scores = self.lin_score(self.norm_out(tokens)[:, 1:]).squeeze(-1)
        read = readout_weights(scores, mask=None if mask is None else mask[:, 1:])
        return [*found, F.pad(read, (1, 0)).unsqueeze(1)]

    def _gathered(
        self, rows: RowTables, index: Tensor, types: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Queries, keys, values and residuals of the tokens in the first layer."""
        flat = index.flatten()
        qkv, residual = (
            table.index_select(0, flat).view(*index.shape, table.size(1)) for table in rows
        )
        q, k, v = qkv.chunk(3, dim=-1)
        if self.type_embedding is not None:
            # F.embedding, not weight[types]: its backward is the same in every run.
            shift = self.type_embedding(types)
            shift_k, shift_v, shift_residual = shift.chunk(3, dim=-1)
            k, v, residual = k + shift_k, v + shift_v, residual + shift_residual
        return q, k, v, residual

    def _runs_in_chunks(self, table: Tensor) -> bool:
        """Whether the block runs without a tensor of all tokens of the batch.

        Measuring how far a trained model sees needs gradients in evaluation, of any order and
        vectorised: PyTorch's own operations give them.
        """
        grad = torch.is_grad_enabled() and table.requires_grad
        return (
            table.device.type == "cpu"
            and table.dtype in (torch.float32, torch.float64)
            and len(self.norms) == 1
            and (self.training or not grad)
            and not torch.compiler.is_compiling()
            and not torch.is_autocast_enabled("cpu")
        )

    def _block_weights(self) -> BlockWeights:
        lin_out = self.lin_out[0]
        return BlockWeights(
            lin_out.get_parameter("weight"),
            lin_out.get_parameter("bias"),
            self.norm_out.weight,
            self.norm_out.bias,
            self.lin_score.weight[0],
        )

    def _block(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, residual: Tensor, mask: Tensor | None
    ) -> Tensor:
        gathered = self.lin_out[layer](token_attention(q, k, v, self.heads, mask=mask))
        gathered = fast_dropout(gathered, self.dropout, self.training)
        return fast_dropout(residual + gathered, self.dropout, self.training)
