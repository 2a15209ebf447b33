"""Attention over tokens read as a weighted graph: gather along it, then update each head."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from graphattn.nn.gin_heads import GINHeads, GINOptions
from graphattn.ops.gin_attention import gather_tokens, rotate, token_weights
from graphattn.ops.token_scores import Contrast


class GINAttention(GINHeads):
    r"""Lets tokens attend to each other and gives each head a GIN or PNA update of its own.

    With the values :math:`v_h` of head *h* (its slice of ``x``, or a projection), and the sharpness
    :math:`\alpha_h > 0`,

    .. math::
        A_h &= \mathrm{softmax}_j(\alpha_h\, q_i^\top k_j / \sqrt{c} + b_{ij})
            \quad\text{or}\quad \sigma(\cdot) \\
        \mathrm{out} &= \big\Vert_h\; \mathrm{MLP}_h(\epsilon_h v_h + A_h v_h)\; [W_o]

    Further aggregators stand beside the sum (PNA). With softmax, and nothing cut, fused kernels do
    all of it and no matrix of tokens by tokens exists; elsewhere queries come in chunks that are
    computed again in the backward pass.

    Softmax sees the *proportions* of what it attends to, never the number: to count, take
    ``normalize="sigmoid"`` and ``norm=None``.

    Source: https://arxiv.org/abs/2501.02393, as meant there: "max" is that of the tokens attended
    to, sharpness acts before the mask, and cut weights keep their value, so that queries and keys
    learn.

    Args:
        channels: Channels of a token.
        heads: Number of heads.
        head_dim: Channels of a head; ``channels / heads`` by default.
        out_channels: Channels that go out; ``heads * head_dim`` by default.
        value: "identity", where head *h* reads its slice of ``x``, or "linear".
        out_proj: Whether a matrix mixes the heads at the end.
        bias: Whether projections to queries, keys and values have a bias.
        normalize: "softmax" or "sigmoid".
        sharpen: Whether each head learns :math:`\alpha_h`, from 1.
        threshold: Weights up to this one become 0; those above keep their value.
        top_k: Only so many of the largest weights of a token stay, and those that tie.
        differential: Whether a second attention is subtracted, its share learned from 0.2.
        aggregators: Some of "sum", "mean", "var", "max", "min".
        self_weight: :math:`\epsilon_h` at the start; it joins the sum only. With softmax over all
            tokens, the token itself is among them.
        train_self_weight: Whether it is learned.
        mlp_ratio: Width of the hidden layer, as a multiple of ``head_dim``.
        norm: "rms" or None, in the update.
        act: "silu", "relu", "gelu" or "identity", in the update.
        dropout: Share of the attention weights that is dropped in training.
        mlp_dropout: Share of the update's hidden channels that is dropped in training.

    Raises:
        ValueError: An option is unknown or out of range, or sizes do not fit together.

    Example:
        >>> x = torch.randn(2, 10, 32)                          # 2 graphs of 10 nodes
        >>> GINAttention(32, heads=4)(x).shape
        torch.Size([2, 10, 32])
    """

    def __init__(
        self,
        channels: int,
        heads: int = 1,
        *,
        head_dim: int | None = None,
        out_channels: int | None = None,
        value: str = "identity",
        out_proj: bool = False,
        bias: bool = False,
        normalize: str = "softmax",
        sharpen: bool = True,
        threshold: float | None = None,
        top_k: int | None = None,
        differential: bool = False,
        aggregators: tuple[str, ...] = ("sum",),
        self_weight: float = 0.0,
        train_self_weight: bool = True,
        mlp_ratio: float = 2.0,
        norm: str | None = "rms",
        act: str = "silu",
        dropout: float = 0.0,
        mlp_dropout: float = 0.0,
    ) -> None:
        options = GINOptions(
            heads=heads,
            head_dim=channels // max(heads, 1) if head_dim is None else head_dim,
            out_channels=out_channels,
            value=value,
            out_proj=out_proj,
            bias=bias,
            normalize=normalize,
            sharpen=sharpen,
            threshold=threshold,
            top_k=top_k,
            differential=differential,
            aggregators=tuple(aggregators),
            self_weight=self_weight,
            train_self_weight=train_self_weight,
            mlp_ratio=mlp_ratio,
            norm=norm,
            act=act,
            dropout=dropout,
            mlp_dropout=mlp_dropout,
        )
        super().__init__(channels, channels, options)

    def reset_parameters(self) -> None:
        """Draws all weights anew; sharpness becomes 1, the self weight what was asked."""
        self._reset_own()

    def forward(
        self,
        x: Float[Tensor, "batch tokens channels"],
        mask: Bool[Tensor, "batch tokens"] | None = None,
        *,
        attn_bias: Float[Tensor, "batch_or_1 heads_or_1 tokens tokens"] | None = None,
        is_causal: bool = False,
        rotary: tuple[Float[Tensor, "*b tokens size"], Float[Tensor, "*b tokens size"]]
        | None = None,
        need_weights: bool = False,
    ) -> (
        Float[Tensor, "batch tokens out"]
        | tuple[Float[Tensor, "batch tokens out"], Float[Tensor, "batch heads tokens tokens"]]
    ):
        """Attends and updates.

        Args:
            x: The tokens.
            mask: ``True`` where a token exists. The others are seen by nobody and come out as 0.
            attn_bias: Added to the scores; ``-inf`` hides a token from another.
            is_causal: Whether a token sees only itself and those before it.
            rotary: Cosines and sines by which queries and keys are turned, channel ``c`` of a head
                together with ``c + head_dim / 2``.
            need_weights: Whether to return the weights, too, as they are before dropout; they are
                a tensor of tokens by tokens.

        Returns:
            The updated tokens, and the weights if asked for.

        Raises:
            ValueError: ``x`` has other axes or channels than asked, or ``mask`` another shape.
        """
        self._check_features(x, x, "[batch, tokens, channels]")
        if mask is not None and mask.shape != x.shape[:2]:
            raise ValueError(
                f"mask must be [batch, tokens], {list(x.shape[:2])}: got {list(mask.shape)}."
            )
        if mask is not None:
            x = x.masked_fill(~mask.unsqueeze(-1), 0.0)
        q, k = self._heads(self.lin_query(x)), self._heads(self.lin_key(x))
        v = self._heads(x if self.lin_value is None else self.lin_value(x))
        q, k = self._turn(q, rotary), self._turn(k, rotary)
        contrast = None
        if self.lin_query2 is not None and self.lin_key2 is not None and self.contrast is not None:
            q2, k2 = self._heads(self.lin_query2(x)), self._heads(self.lin_key2(x))
            q2, k2 = self._turn(q2, rotary), self._turn(k2, rotary)
            contrast = Contrast(self._sharper(q2), k2, self.contrast)
        q, aggregators, rule = self._sharper(q), self.options.aggregators, self._rule()
        parts = gather_tokens(
            q,
            k,
            v,
            aggregators=aggregators,
            rule=rule,
            mask=mask,
            attn_bias=attn_bias,
            is_causal=is_causal,
            contrast=contrast,
        )
        if "sum" in aggregators:
            place = aggregators.index("sum")
            parts[place] = self._add_self(parts[place], v)
        out = self.mlp(torch.cat(parts, dim=-1)).transpose(1, 2).flatten(2)
        out = out if self.lin_out is None else self.lin_out(out)
        out = out if mask is None else out.masked_fill(~mask.unsqueeze(-1), 0.0)
        if not need_weights:
            return out
        weights = token_weights(
            q,
            k,
            rule=rule,
            mask=mask,
            attn_bias=attn_bias,
            is_causal=is_causal,
            contrast=contrast,
        )
        return out, weights

    def _heads(self, x: Tensor) -> Tensor:
        return self._split(x).transpose(1, 2)

    def _sharper(self, q: Tensor) -> Tensor:
        return self._sharpen(q.transpose(1, 2)).transpose(1, 2)

    @staticmethod
    def _turn(x: Tensor, rotary: tuple[Tensor, Tensor] | None) -> Tensor:
        return x if rotary is None else rotate(x, rotary)
