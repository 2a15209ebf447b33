"""A network of GPS layers between an input and an output, for nodes or for whole graphs."""

from collections.abc import Iterable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch_geometric import EdgeIndex
from torch_geometric.nn import global_add_pool, global_max_pool, global_mean_pool
from torch_geometric.typing import SparseTensor

from graphattn.checks import check_choice, check_least
from graphattn.nn.gps_layer import GPSLayer
from graphattn.ops.dropout import fast_dropout

_POOLS = {"sum": global_add_pool, "mean": global_mean_pool, "max": global_max_pool}


class GPSStack(nn.Module):
    """Input linear, layers, and a linear that gives the logits of nodes or of pooled graphs.

    Args:
        in_channels: Channels of ``x``.
        out_channels: Number of classes.
        layers: The layers, all of the same channels.
        dropout: Share of channels that is dropped in training, before the first layer and before
            the output.
        pool: How the nodes of a graph become one vector: "sum", "mean" or "max"; "none" leaves
            them as they are.

    Raises:
        ValueError: There is no layer, or an option is unknown or out of range.

    Example:
        >>> from torch_geometric.nn import SAGEConv
        >>> stack = GPSStack(8, 3, [GPSLayer(16, SAGEConv(16, 16), None)])
        >>> stack(torch.randn(5, 8), torch.tensor([[0, 1], [1, 2]])).shape
        torch.Size([5, 3])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        layers: Iterable[GPSLayer],
        *,
        dropout: float = 0.0,
        pool: str = "none",
    ) -> None:
        super().__init__()
        check_least(1, in_channels=in_channels, out_channels=out_channels)
        check_choice(("none", *_POOLS), pool=pool)
        layers = list(layers)
        if not layers:
            raise ValueError("layers must hold at least one layer: got none.")
        channels = layers[0].channels
        self.layers = nn.ModuleList(layers)
        self.dropout, self.pool = dropout, pool
        self.lin_in = nn.Linear(in_channels, channels)
        self.lin_out = nn.Linear(channels, out_channels)

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        for module in (self.lin_in, *self.layers, self.lin_out):
            module.reset_parameters()

    def forward(
        self,
        x: Float[Tensor, "nodes in_channels"],
        edge_index: Tensor | SparseTensor | EdgeIndex,
        batch: Int[Tensor, " nodes"] | None = None,
        *,
        edge_attr: Float[Tensor, "edges edge_channels"] | None = None,
        edge_weight: Float[Tensor, " edges"] | None = None,
        num_graphs: int | None = None,
        max_nodes: int | None = None,
    ) -> Float[Tensor, "nodes_or_graphs out_channels"]:
        """Gives logits; the arguments are those of :class:`~graphattn.nn.GPSLayer`."""
        h = fast_dropout(self.lin_in(x).relu(), self.dropout, self.training)
        for layer in self.layers:
            h = layer(
                h,
                edge_index,
                batch,
                edge_attr=edge_attr,
                edge_weight=edge_weight,
                num_graphs=num_graphs,
                max_nodes=max_nodes,
            )
        if self.pool != "none":
            graph = torch.zeros_like(h[:, 0], dtype=torch.long) if batch is None else batch
            h = _POOLS[self.pool](h, graph, 1 if batch is None else num_graphs)
        return self.lin_out(fast_dropout(h, self.dropout, self.training))
