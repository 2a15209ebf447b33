"""Everything that batches are made of: the graph, its hop features and positions."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from graphattn.files import digest_arrays
from graphattn.graph import CSRGraph
from graphattn.ops.propagate import Norm
from graphattn.sampling.recipe import Direction, Recipe, check_inputs
from graphattn.sampling.table import Table


class TokenStore:
    """The graph, the interleaved hop features ``[N, contexts, channels]`` and positions.

    Make one with :meth:`build` (a folder, built once, memory-mapped ever after), :meth:`open` or
    :meth:`in_memory`.

    Args:
        graph: The graph tokens are drawn from.
        tables: ``"features"``, and where there are any ``"own"`` and ``"pe"``; one row a node.
        manifest: What the store was made from, by which options.

    Example:
        >>> graph = CSRGraph.from_edge_index(torch.tensor([[0, 1], [1, 0]]))
        >>> store = TokenStore.in_memory(graph, torch.eye(2), num_hops=2)
        >>> store.gather(torch.tensor([1])).shape
        torch.Size([1, 3, 2])
    """

    def __init__(
        self, graph: CSRGraph, tables: dict[str, Table], manifest: dict[str, Any]
    ) -> None:
        self.graph = graph
        self.manifest = manifest
        self._tables = tables

    @classmethod
    def in_memory(
        cls,
        graph: CSRGraph,
        x: Float[Tensor, "nodes channels"],
        *,
        num_hops: int = 2,
        num_own_hops: int = 0,
        norm: Norm = "sym",
        direction: Direction = "in",
        pe: Float[Tensor, "nodes pe_channels"] | None = None,
    ) -> "TokenStore":
        """Computes a store without writing anything.

        Args:
            graph: The graph.
            x: Features; kept as float32.
            num_hops: Hops of context that each token carries.
            num_own_hops: Hops of context that each seed has of its own; 0 for none.
            norm: As for :func:`~graphattn.ops.propagate.propagate`.
            direction: Context from senders (``"in"``), receivers (``"out"``) or ``"both"``.
            pe: Positions; kept as float32.

        Returns:
            The store.

        Raises:
            ValueError: An option is out of its range, sizes disagree, or a number is not finite.

        Example:
            >>> graph = CSRGraph.from_edge_index(torch.tensor([[0], [1]]))
            >>> TokenStore.in_memory(graph, torch.ones(2, 1), direction="both").features.shape
            torch.Size([2, 5, 1])
        """
        recipe = Recipe(num_hops, num_own_hops, norm, direction)
        x_array, pe_array = check_inputs(graph, x, pe, recipe)
        hops = {"x": x_array}
        for name, hop in recipe.compute(graph, x_array, hops):
            hops[name] = hop
        arrays = {
            name: np.stack([hops[hop] for hop in names], axis=1)
            for name, names in zip(("features", "own"), recipe.hop_names(), strict=True)
            if names
        }
        if pe_array is not None:
            arrays["pe"] = pe_array
        manifest = {
            "parameters": recipe.as_dict(),
            "inputs": {"graph": graph.digest(), "x": digest_arrays(x_array)},
        }
        tables = {name: Table([torch.from_numpy(array)]) for name, array in arrays.items()}
        return cls(graph, tables, manifest)

    @property
    def num_nodes(self) -> int:
        """Number of nodes."""
        return self.graph.num_nodes

    @property
    def num_contexts(self) -> int:
        """Contexts a token carries: its features, then those of each hop."""
        return self._tables["features"].shape[1]

    @property
    def in_channels(self) -> int:
        """Channels of the features."""
        return self._tables["features"].shape[2]

    @property
    def num_own_hops(self) -> int:
        """Hops of context that each seed has of its own; 0 for none."""
        return self._tables["own"].shape[1] - 1 if "own" in self._tables else 0

    @property
    def pe_channels(self) -> int:
        """Channels of the positions; 0 for none."""
        return self._tables["pe"].shape[1] if "pe" in self._tables else 0

    @property
    def direction(self) -> Direction:
        """Where context comes from, and tokens are drawn from."""
        return self.manifest["parameters"]["direction"]

    @property
    def features(self) -> Float32[Tensor, "nodes contexts channels"]:
        """The features of all nodes and hops; a copy in memory if the store has several shards."""
        return self._tables["features"].whole()

    @property
    def own(self) -> Float32[Tensor, "nodes own_hops channels"] | None:
        """The own hops of all nodes, hop 0 first, or none."""
        return self._tables["own"].whole() if "own" in self._tables else None

    @property
    def pe(self) -> Float32[Tensor, "nodes pe_channels"] | None:
        """The positions of all nodes, or none."""
        return self._tables["pe"].whole() if "pe" in self._tables else None

    def gather(
        self, nodes: Int64[Tensor, " rows"]
    ) -> Float32[Tensor, "rows contexts channels"]:
        """Copies the features of some nodes and their hops; fastest when sorted.

        Args:
            nodes: Ids; may repeat.

        Returns:
            One row a node, in the order asked for.

        Raises:
            IndexError: There is no such node.
        """
        return self._tables["features"].gather(nodes)

    def gather_own(
        self, nodes: Int64[Tensor, " rows"]
    ) -> Float32[Tensor, "rows own_hops channels"] | None:
        """Copies the own hops of some nodes, hop 0 first; none if the store has none."""
        return self._tables["own"].gather(nodes) if "own" in self._tables else None

    def gather_pe(
        self, nodes: Int64[Tensor, " rows"]
    ) -> Float32[Tensor, "rows pe_channels"] | None:
        """Copies the positions of some nodes; none if the store has none."""
        return self._tables["pe"].gather(nodes) if "pe" in self._tables else None
