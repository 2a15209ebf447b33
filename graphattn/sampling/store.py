"""Everything that batches are made of: the graph, its hop features and positions."""

import math
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from graphattn.corrupt import CorruptFile
from graphattn.files import digest_arrays
from graphattn.graph import CSRGraph
from graphattn.ops.propagate import Norm
from graphattn.sampling.buffers import Buffers
from graphattn.sampling.folder import FolderBuilder
from graphattn.sampling.manifest import check_shards, read_manifest, shard_names
from graphattn.sampling.recipe import Direction, DType, Recipe, check_inputs
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

    def __init__(self, graph: CSRGraph, tables: dict[str, Table], manifest: dict[str, Any]) -> None:
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
        dtype: DType = "float32",
        pe: Float[Tensor, "nodes pe_channels"] | None = None,
    ) -> "TokenStore":
        """Computes a store without writing anything.

        Args:
            graph: The graph.
            x: Features.
            num_hops: Hops of context that each token carries.
            num_own_hops: Hops of context that each seed has of its own; 0 for none.
            norm: As for :func:`~graphattn.ops.propagate.propagate`.
            direction: Context from senders (``"in"``), receivers (``"out"``) or ``"both"``.
            dtype: What features and hops are kept as. Hops are computed in float32 and rounded
                once; ``"float16"`` halves the memory, and the time a batch takes to gather.
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
        recipe = Recipe(num_hops, num_own_hops, norm, direction, dtype)
        inputs = check_inputs(graph, x, pe, recipe)
        hops = {"x": inputs["x"]}
        for name, hop in recipe.compute(graph, inputs["x"], hops):
            hops[name] = hop
        arrays = {
            name: recipe.interleave([hops[hop] for hop in names])
            for name, names in zip(("features", "own"), recipe.hop_names(), strict=True)
            if names
        }
        if "pe" in inputs:
            arrays["pe"] = inputs["pe"]
        manifest = {
            "parameters": recipe.as_dict(),
            "inputs": {"graph": graph.digest()}
            | {name: digest_arrays(array) for name, array in sorted(inputs.items())},
        }
        tables = {name: Table([torch.from_numpy(array)]) for name, array in arrays.items()}
        return cls(graph, tables, manifest)

    @classmethod
    def build(
        cls,
        path: Path | str,
        graph: CSRGraph,
        x: Float[Tensor, "nodes channels"],
        *,
        num_hops: int = 2,
        num_own_hops: int = 0,
        norm: Norm = "sym",
        direction: Direction = "in",
        dtype: DType = "float32",
        pe: Float[Tensor, "nodes pe_channels"] | None = None,
        shard_rows: int = 65536,
        overwrite: bool = False,
        memory: int | None = None,
        progress: bool = True,
    ) -> "TokenStore":
        """Makes a folder hold a store, and opens it.

        A folder that holds it already is opened; one made from other inputs or options is refused
        unless it may be overwritten; a damaged shard alone is rebuilt; after a crash, finished
        files are kept. Of several processes, one builds and the others wait. The result has the
        same bits whatever happened.

        Args:
            path: The folder, new or empty or a store. ``.<name>.building``, ``.<name>.replaced``
                and ``.<name>.lock`` are used beside it.
            graph: As for :meth:`in_memory`, like the arguments up to ``pe``.
            x: Features.
            num_hops: Hops of context that each token carries.
            num_own_hops: Hops of context that each seed has of its own.
            norm: Normalisation.
            direction: Where context comes from.
            dtype: What features and hops are kept as.
            pe: Positions.
            shard_rows: Nodes a file.
            overwrite: Replace a store that was made from other inputs or options.
            memory: Bytes that propagation may use, by default four fifths of what is free; where
                hops would take more they are computed by way of the disk, in slices of columns.
            progress: Show a bar, if there is a terminal.

        Returns:
            The store, memory-mapped.

        Raises:
            ValueError: As for :meth:`in_memory`; the folder, or one used beside it, holds
                something else; or it is a store made from others (what differs is named).
            OSError: The disk is full or cannot be written; an older store is intact.

        Example:
            >>> import tempfile
            >>> graph = CSRGraph.from_edge_index(torch.tensor([[0], [1]]))
            >>> folder = tempfile.mkdtemp()
            >>> TokenStore.build(folder, graph, torch.ones(2, 1)).features.shape
            torch.Size([2, 3, 1])
        """
        recipe = Recipe(num_hops, num_own_hops, norm, direction, dtype)
        inputs = check_inputs(graph, x, pe, recipe)
        builder = FolderBuilder(
            Path(path), graph, inputs, recipe, shard_rows, overwrite=overwrite, memory=memory
        )
        builder.build(progress=progress)
        return cls.open(path)

    @classmethod
    def open(cls, path: Path | str, *, verify: bool = False) -> "TokenStore":
        """Opens a folder that :meth:`build` made.

        Args:
            path: The folder.
            verify: Read every shard and compare its hash; otherwise only the graph's, and the
                type, shape and length of each file, are checked.

        Returns:
            The store, memory-mapped.

        Raises:
            ValueError: There is no store, or one of another format; or (CorruptFile) it is damaged.
        """
        try:
            return cls._open(Path(path), verify)
        except CorruptFile as error:
            mend = "`graphattn tokenize ... --repair`, or TokenStore.build, rebuilds it."
            raise CorruptFile(f"{error} {mend}") from error

    @classmethod
    def _open(cls, path: Path, verify: bool) -> "TokenStore":
        manifest = read_manifest(path)
        graph = CSRGraph.load(path / "graph")
        rows = manifest["shapes"]["features"][0]
        if rows != graph.num_nodes or graph.digest() != manifest["inputs"].get("graph"):
            raise CorruptFile(f"{path / 'graph'} is not the graph that the store was made from.")
        if verify:
            check_shards(path, manifest)
        names, parameters = shard_names(manifest), manifest["parameters"]
        tables = {}
        for table, shape in manifest["shapes"].items():
            paths = [path / name for name in names if name.startswith(f"{table}-")]
            dtype: DType = "float32" if table == "pe" else parameters["dtype"]
            tables[table] = Table.open(paths, tuple(shape), parameters["shard_rows"], dtype)
        return cls(graph, tables, manifest)

    def to(self, device: torch.device | str) -> "TokenStore":
        """Copies the tables to a device, so that batches are gathered there.

        Args:
            device: Where to; the graph stays where it is, for tokens are drawn by the CPU.

        Returns:
            A store whose :meth:`gather` returns tensors on the device.

        Example:
            >>> graph = CSRGraph.from_edge_index(torch.tensor([[0], [1]]))
            >>> TokenStore.in_memory(graph, torch.eye(2)).to("cpu").gather(torch.tensor([1])).device
            device(type='cpu')
        """
        tables = {name: table.to(device) for name, table in self._tables.items()}
        return TokenStore(self.graph, tables, self.manifest)

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
    def num_bytes(self) -> int:
        """Bytes of all tables: what :meth:`to` needs on a device."""
        tables = self._tables.values()
        return sum(math.prod(table.shape) * table.dtype.itemsize for table in tables)

    @property
    def direction(self) -> Direction:
        """Where context comes from, and tokens are drawn from."""
        return self.manifest["parameters"]["direction"]

    @property
    def features(self) -> Float[Tensor, "nodes contexts channels"]:
        """The features of all nodes and hops; a copy in memory if the store has several shards."""
        return self._tables["features"].whole()

    @property
    def own(self) -> Float[Tensor, "nodes own_hops channels"] | None:
        """The own hops of all nodes, hop 0 first, or none."""
        return self._tables["own"].whole() if "own" in self._tables else None

    @property
    def pe(self) -> Float32[Tensor, "nodes pe_channels"] | None:
        """The positions of all nodes, or none."""
        return self._tables["pe"].whole() if "pe" in self._tables else None

    def gather(
        self, nodes: Int64[Tensor, " rows"], buffers: Buffers | None = None
    ) -> Float[Tensor, "rows contexts channels"]:
        """Copies the features of some nodes and their hops; fastest when sorted.

        Args:
            nodes: Ids; may repeat.
            buffers: Where memory comes from; by default it is allocated.

        Returns:
            One row a node, in the order asked for, of the type that is kept.

        Raises:
            IndexError: There is no such node.
        """
        return self._tables["features"].gather(nodes, buffers)

    def gather_own(
        self, nodes: Int64[Tensor, " rows"]
    ) -> Float[Tensor, "rows own_hops channels"] | None:
        """Copies the own hops of some nodes, hop 0 first; none if the store has none."""
        return self._tables["own"].gather(nodes) if "own" in self._tables else None

    def gather_pe(
        self, nodes: Int64[Tensor, " rows"]
    ) -> Float32[Tensor, "rows pe_channels"] | None:
        """Copies the positions of some nodes; none if the store has none."""
        return self._tables["pe"].gather(nodes) if "pe" in self._tables else None
