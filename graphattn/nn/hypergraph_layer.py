"""What layers on hypergraphs have in common: sizes checked, and channels found out late."""

import torch
from torch import Tensor, nn
from torch_geometric.nn.dense.linear import Linear, is_uninitialized_parameter

from graphattn.checks import check_choice, check_least
from graphattn.hypergraph import Incidence
from graphattn.ops.incidence import Segments, plan_incidences


class HypergraphLayer(nn.Module):
    """Abstract: a layer that takes ``x`` and ``hyperedge_index``, or an ``Incidence``.

    Args:
        in_channels: Channels of a node; -1 finds them out in the first call.
        out_channels: Channels of a head.
        heads: Number of heads.

    Raises:
        ValueError: A size is below 1.
    """

    def __init__(self, in_channels: int, out_channels: int, heads: int = 1) -> None:
        super().__init__()
        if in_channels != -1:
            check_least(1, in_channels=in_channels)
        check_least(1, out_channels=out_channels, heads=heads)
        self.in_channels, self.out_channels, self.heads = in_channels, out_channels, heads

    def __repr__(self) -> str:
        heads = f", heads={self.heads}" if self.heads > 1 else ""
        return f"{type(self).__name__}({self.in_channels}, {self.out_channels}{heads})"

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        raise NotImplementedError

    def _prepare(
        self,
        x: Tensor,
        hyperedge_index: Tensor | Incidence,
        num_hyperedges: int | None,
        **of_hyperedges: Tensor | None,
    ) -> Segments:
        """Finds out channels, checks sizes, and sorts the incidences."""
        if self.in_channels == -1:
            self._find_channels(x)
        given = {name: part.size(0) for name, part in of_hyperedges.items() if part is not None}
        count, rows_of = num_hyperedges, ""
        if isinstance(hyperedge_index, Incidence):
            known, num_incidences = hyperedge_index.num_hyperedges, hyperedge_index.num_incidences
            count = known if count is None else count
        else:
            num_incidences = hyperedge_index.size(-1)
        for name, rows in given.items():
            if count is None:
                count, rows_of = rows, name
            elif rows != count and rows == num_incidences:
                raise ValueError(
                    f"{name} looks per-incidence ({rows} rows), expected per-hyperedge ({count})."
                )
            elif rows != count:
                raise ValueError(
                    f"{name} must have one row for each of {count} hyperedges: got {rows}."
                )
        return plan_incidences(hyperedge_index, x.size(0), count, rows_of=rows_of)

    def _find_channels(self, x: Tensor) -> None:
        self.in_channels = x.size(-1)
        for part in self.modules():
            if isinstance(part, Linear) and is_uninitialized_parameter(part.weight):
                part.initialize_parameters(part, (x,))
        self.reset_parameters()


def linear(in_channels: int, out_channels: int, *, bias: bool = False) -> Linear:
    """A linear map, whose ``in_channels`` may be -1: found out in the first call.

    Args:
        in_channels: Channels that go in.
        out_channels: Channels that come out.
        bias: Whether to add a vector.

    Example:
        >>> linear(3, 4).weight.shape
        torch.Size([4, 3])
    """
    return Linear(in_channels, out_channels, bias, weight_initializer="kaiming_uniform")


def make_norm(name: str | None, channels: int) -> nn.Module:
    """A norm over channels: "batch", "layer", or None for none.

    Raises:
        ValueError: The name is unknown.

    Example:
        >>> make_norm("layer", 4).normalized_shape
        (4,)
    """
    if name is None:
        return nn.Identity()
    check_choice(("batch", "layer"), norm=name)
    return nn.BatchNorm1d(channels) if name == "batch" else nn.LayerNorm(channels)


def check_attr(hyperedge_attr: Tensor | None, edge_dim: int | None) -> None:
    """Refuses attributes of hyperedges that do not fit the layer.

    Raises:
        ValueError: They are missing, not wanted, or of another width.

    Example:
        >>> check_attr(None, 8)
        Traceback (most recent call last):
        ...
        ValueError: edge_dim=8 was given to the layer but hyperedge_attr is missing.
    """
    if edge_dim is None:
        if hyperedge_attr is not None:
            raise ValueError(
                "hyperedge_attr was given but the layer has no edge_dim: make it with "
                f"edge_dim={hyperedge_attr.size(-1)}."
            )
        return
    if hyperedge_attr is None:
        raise ValueError(
            f"edge_dim={edge_dim} was given to the layer but hyperedge_attr is missing."
        )
    if hyperedge_attr.dim() != 2 or hyperedge_attr.size(1) != edge_dim:
        raise ValueError(
            f"hyperedge_attr must be [M, {edge_dim}], as edge_dim={edge_dim}: got "
            f"{list(hyperedge_attr.shape)}."
        )


def check_heads(channels: int, heads: int) -> None:
    """Refuses heads that do not divide a width.

    Raises:
        ValueError: They do not, or one of the two is below 1.

    Example:
        >>> check_heads(64, 3)
        Traceback (most recent call last):
        ...
        ValueError: heads must divide hidden_channels: got heads=3, hidden_channels=64.
    """
    check_least(1, hidden_channels=channels, heads=heads)
    if channels % heads:
        raise ValueError(
            f"heads must divide hidden_channels: got heads={heads}, hidden_channels={channels}."
        )


def widened(x: Tensor, heads: int) -> Tensor:
    """Splits heads, ``[rows, heads, size]``, in single precision at least.

    Example:
        >>> widened(torch.ones(2, 6, dtype=torch.bfloat16), 3).shape
        torch.Size([2, 3, 2])
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    return x.view(x.size(0), heads, x.size(1) // heads).to(wide)
