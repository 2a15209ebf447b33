"""The GIN-attention transformer: sparse along edges, dense or by a codebook everywhere."""

from collections.abc import Sequence
from typing import Literal

from jaxtyping import Float, Int
from torch import Tensor, nn

from graphattn.checks import check_choice, check_least
from graphattn.nn.codebook_attention import CodebookAttention
from graphattn.nn.gin_attention import GINAttention
from graphattn.nn.gin_attention_conv import GINAttentionConv
from graphattn.nn.gps_layer import GPSLayer
from graphattn.nn.gps_stack import GPSStack


class GINTransformer(nn.Module):
    r"""Layers of GIN-attention along edges, beside attention to all nodes, for nodes or graphs.

    Each layer is a :class:`~graphattn.nn.GPSLayer` of a :class:`~graphattn.nn.GINAttentionConv`
    and, by ``scope``, of nothing, of dense :class:`~graphattn.nn.GINAttention` or of a
    :class:`~graphattn.nn.CodebookAttention`. The defaults count: weights of an edge are sigmoids,
    summed up and not normalised, so that a layer tells two neighbours from three, which softmax
    cannot.

    Source: the update of https://arxiv.org/abs/2501.02393 in the layers of
    https://arxiv.org/abs/2205.12454.

    Args:
        in_channels: Channels of ``x``.
        hidden_channels: Channels of a node in between; divisible by ``heads``.
        out_channels: Number of classes.
        num_layers: Number of layers.
        heads: Heads of each attention.
        scope: What a node attends to besides its neighbours: "local" nothing, "dense" all nodes of
            its graph (quadratic in time), "codebook" a codebook of all nodes (linear).
        normalize: "sigmoid", which counts, or "softmax".
        aggregators: As of :class:`~graphattn.nn.GINAttention`, along edges.
        update_norm: "rms" or None, in the update of a head; "rms" forgets counts.
        edge_dim: Channels of an edge, if edges have features.
        dropout: Share of channels that is dropped in training.
        norm: "batch", "layer" or "none", after each part of a layer.
        mlp_ratio: Width of the MLP of a layer, as a multiple of ``hidden_channels``.
        pool: "none" for logits of nodes; "sum", "mean" or "max" for those of graphs.
        codebook_size: Number of codes, for "codebook".

    Attributes:
        wants_edge_index: It takes edges, not a sparse matrix.

    Raises:
        ValueError: An option is unknown or out of range, or sizes do not fit together.

    Example:
        >>> import torch
        >>> model = GINTransformer(8, 16, 3)
        >>> model(torch.randn(5, 8), torch.tensor([[0, 1], [1, 2]])).shape
        torch.Size([5, 3])
    """

    wants_edge_index = True

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        *,
        num_layers: int = 4,
        heads: int = 4,
        scope: Literal["local", "dense", "codebook"] = "local",
        normalize: Literal["sigmoid", "softmax"] = "sigmoid",
        aggregators: Sequence[str] = ("sum",),
        update_norm: Literal["rms"] | None = None,
        edge_dim: int | None = None,
        dropout: float = 0.2,
        norm: Literal["batch", "layer", "none"] = "batch",
        mlp_ratio: float = 1.0,
        pool: Literal["none", "sum", "mean", "max"] = "none",
        codebook_size: int = 1024,
    ) -> None:
        super().__init__()
        check_least(1, hidden_channels=hidden_channels, num_layers=num_layers, heads=heads)
        check_choice(("local", "dense", "codebook"), scope=scope)
        if hidden_channels % heads:
            raise ValueError(
                f"heads must divide hidden_channels: got heads={heads}, "
                f"hidden_channels={hidden_channels}."
            )
        layers = []
        for _ in range(num_layers):
            conv = GINAttentionConv(
                hidden_channels,
                hidden_channels,
                heads,
                edge_dim=edge_dim,
                value="linear",
                out_proj=True,
                normalize=normalize,
                aggregators=tuple(aggregators),
                norm=update_norm,
                mlp_ratio=1.0,
            )
            attn = _global(scope, hidden_channels, heads, codebook_size)
            layer_norm = None if norm == "none" else norm
            layers.append(
                GPSLayer(
                    hidden_channels,
                    conv,
                    attn,
                    dropout=dropout,
                    norm=layer_norm,
                    mlp_ratio=mlp_ratio,
                )
            )
        self.stack = GPSStack(in_channels, out_channels, layers, dropout=dropout, pool=pool)

    def reset_parameters(self) -> None:
        """Draws all weights and codes anew."""
        self.stack.reset_parameters()

    def forward(
        self,
        x: Float[Tensor, "nodes in_channels"],
        edge_index: Int[Tensor, "2 edges"],
        batch: Int[Tensor, " nodes"] | None = None,
        *,
        edge_attr: Float[Tensor, "edges edge_channels"] | None = None,
        edge_weight: Float[Tensor, " edges"] | None = None,
    ) -> Float[Tensor, "nodes_or_graphs out_channels"]:
        """Gives logits.

        Args:
            x: Features of the nodes.
            edge_index: Edges, sources then targets.
            batch: The graph of each node, in ascending order; None: there is one graph.
            edge_attr: Features of the edges; given iff ``edge_dim`` is.
            edge_weight: What the weight of each edge is multiplied by.

        Returns:
            Logits of the nodes, or of the graphs where they are pooled.
        """
        return self.stack(x, edge_index, batch, edge_attr=edge_attr, edge_weight=edge_weight)


def _global(scope: str, channels: int, heads: int, codebook_size: int) -> nn.Module | None:
    if scope == "local":
        return None
    if scope == "dense":
        return GINAttention(channels, heads, value="linear", out_proj=True, mlp_ratio=1.0)
    return CodebookAttention(
        channels,
        head_channels=channels // heads,
        heads=heads,
        global_channels=channels,
        codebook_size=codebook_size,
        reseed_below=1.0,  # a code that no node of the graph is near goes to where nodes are
    )
