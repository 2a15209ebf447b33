"""A transformer on hypergraphs: MetaHGNIE's semantic channel as a network of its own."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from graphattn.checks import check_least
from graphattn.hypergraph import Incidence
from graphattn.nn.hypergraph_layer import check_heads
from graphattn.nn.hypergraph_transformer_conv import HypergraphTransformerConv
from graphattn.ops.dropout import fast_dropout
from graphattn.ops.self_loops import types_with_self_loops, with_self_loops


class HypergraphTransformer(nn.Module):
    """Layers of `HypergraphTransformerConv` between two linear maps.

    Hyperedges attend to their nodes by a learned seed of their type, and nodes to their hyperedges.
    With `self_loops`, each node has a hyperedge of its own as well, of a type of its own, so that
    a node weighs itself against what its hyperedges say.

    Source: the semantic channel of MetaHGNIE, https://arxiv.org/abs/2512.12477.

    Args:
        in_channels: Features of a node.
        hidden_channels: Width, all heads together.
        out_channels: Number of classes.
        num_types: Types of hyperedges; None: they have none.
        num_layers: Layers, at least 1: as many steps from node to hyperedge to node.
        heads: Attention heads; they divide the width.
        input_dropout: Share of the features dropped before the first map, in [0, 1).
        dropout: Between and inside the layers, in [0, 1).
        attn_dropout: Share of the attention dropped.
        norm: "layer", "batch" or None.
        ffn_mult: Width of the MLP of a layer, as a multiple of `hidden_channels`.
        self_loops: Whether to give each node a hyperedge of its own.
        chunk_size: Incidences in a block; any gives the same. None chooses.

    Raises:
        ValueError: An option is unknown or out of range.

    Example:
        >>> model = HypergraphTransformer(8, 16, 3, num_types=2)
        >>> hypergraph = Incidence.from_lists([[0, 1, 2], [3, 4]])
        >>> model(torch.zeros(5, 8), hypergraph, hyperedge_type=torch.tensor([0, 1])).shape
        torch.Size([5, 3])
    """

    takes_hypergraph: bool = True

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        *,
        num_types: int | None = None,
        num_layers: int = 1,
        heads: int = 4,
        input_dropout: float = 0.2,
        dropout: float = 0.5,
        attn_dropout: float = 0.0,
        norm: str | None = "layer",
        ffn_mult: int = 1,
        self_loops: bool = True,
        chunk_size: int | None = None,
    ) -> None:
        super().__init__()
        check_least(1, num_layers=num_layers)
        check_heads(hidden_channels, heads)
        self.num_types, self.num_layers, self.self_loops = num_types, num_layers, self_loops
        self.input_dropout, self.dropout = input_dropout, dropout
        self.lin_in = nn.Linear(in_channels, hidden_channels)
        types = (1 if num_types is None else num_types) + 1 if self_loops else num_types
        self.layers = nn.ModuleList(
            HypergraphTransformerConv(
                hidden_channels,
                hidden_channels // heads,
                heads,
                num_types=types,
                dropout=dropout,
                attn_dropout=attn_dropout,
                norm=norm,
                ffn_mult=ffn_mult,
                chunk_size=chunk_size,
            )
            for _ in range(num_layers)
        )
        self.lin_out = nn.Linear(hidden_channels, out_channels)

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        for part in (self.lin_in, *self.layers, self.lin_out):
            part.reset_parameters()

    def forward(
        self,
        x: Float[Tensor, "nodes in_channels"],
        hyperedge_index: Tensor | Incidence,
        *,
        hyperedge_type: Int[Tensor, " hyperedges"] | None = None,
        num_hyperedges: int | None = None,
    ) -> Float[Tensor, "nodes out_channels"]:
        """Logits of every node.

        Args:
            x: Features of the nodes.
            hyperedge_index: ``[2, I]``, nodes and hyperedges; or an ``Incidence``, which is sorted
                and checked already.
            hyperedge_type: Types of the hyperedges, 0 to ``num_types - 1``; given iff that is.
            num_hyperedges: By default as many as types, or one more than the largest id.

        Returns:
            Logits.

        Raises:
            ValueError: Sizes do not fit together, an id or type is out of range, or types are
                missing or not wanted.
        """
        if (hyperedge_type is None) != (self.num_types is None):
            came = "none" if hyperedge_type is None else "some"
            raise ValueError(f"hyperedge_type must be given exactly when num_types is: got {came}.")
        incidence = hyperedge_index
        if not isinstance(incidence, Incidence):
            if num_hyperedges is None and hyperedge_type is not None:
                num_hyperedges = len(hyperedge_type)
            incidence = Incidence.from_hyperedge_index(incidence, x.size(0), num_hyperedges)
        types = hyperedge_type
        if self.self_loops:
            own = 1 if self.num_types is None else self.num_types
            self._check_types(types)
            types = types_with_self_loops(types, incidence, own)
            incidence = with_self_loops(incidence)
        x = F.relu(self.lin_in(fast_dropout(x, self.input_dropout, self.training)))
        for layer in self.layers:
            x = layer(x, incidence, hyperedge_type=types)
        return self.lin_out(fast_dropout(x, self.dropout, self.training))

    def _check_types(self, types: Tensor | None) -> None:
        """Refuse what would pass for the type of self-loops."""
        if types is None or not len(types) or types.device.type != "cpu":
            return
        if not torch.compiler.is_compiling() and int(types.max()) >= (self.num_types or 0):
            raise ValueError(
                f"hyperedge_type must be in [0, {self.num_types}): got {int(types.max())}."
            )
