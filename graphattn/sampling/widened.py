"""A store whose rows carry further columns, made when they are asked for."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from graphattn.sampling.buffers import Buffers
from graphattn.sampling.store import TokenStore


class WidenedStore(TokenStore):
    """Any store, with further columns beside the features of each node itself.

    They stand in the first context alone: hops of context and own hops beyond the first have zeros
    there, for nothing of these columns is propagated. It shares the tables of the store it widens.

    Args:
        store: What is widened.
        columns: Gives the columns of nodes, `[rows, num_columns]`; ids come on the CPU.
        num_columns: How many.

    Example:
        >>> from graphattn.graph import CSRGraph
        >>> graph = CSRGraph.from_edge_index(torch.tensor([[0], [1]]))
        >>> store = TokenStore.in_memory(graph, torch.ones(2, 1), num_hops=1)
        >>> wide = WidenedStore(store, lambda nodes: nodes.float().view(-1, 1), 1)
        >>> wide.gather(torch.tensor([1]))[0, :, 1].tolist()
        [1.0, 0.0]
    """

    def __init__(
        self, store: TokenStore, columns: Callable[[Tensor], Tensor], num_columns: int
    ) -> None:
        super().__init__(store.graph, store._tables, store.manifest)
        self._columns, self._num_columns = columns, num_columns

    @property
    def in_channels(self) -> int:
        """Channels of the features, the further columns included."""
        return super().in_channels + self._num_columns

    def to(self, device: torch.device | str) -> "WidenedStore":
        """Copies the tables of the store to a device; columns follow what is gathered."""
        return WidenedStore(super().to(device), self._columns, self._num_columns)

    def gather(
        self, nodes: Int64[Tensor, " rows"], buffers: Buffers | None = None
    ) -> Float[Tensor, "rows contexts channels"]:
        """Copies the features of some nodes and their hops, the columns beside the former."""
        return self._widened(super().gather(nodes, buffers), nodes)

    def gather_own(
        self, nodes: Int64[Tensor, " rows"]
    ) -> Float[Tensor, "rows own_hops channels"] | None:
        """Copies the own hops of some nodes, with zeros beside them: a seed shows no column."""
        own = super().gather_own(nodes)
        return None if own is None else F.pad(own, (0, self._num_columns))

    def _widened(self, rows: Tensor, nodes: Tensor) -> Tensor:
        wide = F.pad(rows, (0, self._num_columns))
        wide[:, 0, rows.size(2) :] = self._columns(nodes.cpu()).to(wide)
        return wide
