"""A model of a hypergraph as what is measured; in its balls a hop leads through a hyperedge."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.data.hypergraph_data import HyperGraphData

from graphattn.diagnostics.balls import Ball, EdgeRows
from graphattn.diagnostics.subject import Subject, features_of
from graphattn.hypergraph import Incidence

# What hyperedges bring, and the attribute of a layer that is None where it does without.
_OF_HYPEREDGES = {
    "hyperedge_type": "num_types",
    "hyperedge_attr": "edge_dim",
    "hyperedge_weight": "",
}


class HypergraphRows(EdgeRows):
    """The incidences both ways; two nodes of one hyperedge are one hop apart.

    A hyperedge of many nodes costs as many steps, not their square.

    Args:
        incidence: The hypergraph.

    Example:
        >>> rows = HypergraphRows(Incidence.from_lists([[0, 1, 2], [2, 3]]))
        >>> found = rows.ball(0, 2)
        >>> found.nodes.tolist(), found.starts.tolist()
        ([0, 1, 2, 3], [0, 1, 3, 4])
    """

    def __init__(self, incidence: Incidence) -> None:
        node, edge = incidence.hyperedge_index().cpu()
        edge = edge + incidence.num_nodes
        both = torch.stack([torch.cat([node, edge]), torch.cat([edge, node])])
        super().__init__(both, incidence.num_nodes + incidence.num_hyperedges)

    def ball(self, seed: int, hops: int, *, edge_hops: int | None = None) -> Ball:
        """Finds the nodes within some hops; lists no edges, as there are none between nodes."""
        found = super().ball(seed, 2 * hops, edge_hops=0)
        rings = [
            found.nodes[found.starts[step] : found.starts[step + 1]]
            for step in range(0, 2 * hops + 1, 2)  # those between are hyperedges
        ]
        starts = np.cumsum([0, *(ring.size for ring in rings)])
        nothing = np.zeros(0, np.int64)
        return Ball(np.concatenate(rings), starts, np.zeros(1, np.int64), nothing, nothing)


class HypergraphSubject(Subject):
    """A model and the hypergraph on which it is measured, always whole.

    Args:
        forward: A module or function ``f(x, hyperedge_index)`` that gives one row a node, or an
            object with a vector ``score``. A model of ours (``takes_hypergraph``) is given the
            ``Incidence``, and ``data.x_text``, which is held fixed, if it ``takes_text``. All are
            given what their signature names of ``hyperedge_type``, ``hyperedge_attr``,
            ``hyperedge_weight`` and the number of hyperedges, as ``num_hyperedges`` or
            ``num_edges``.
        data: Has ``x`` and the incidences as ``edge_index``.

    Raises:
        ValueError: ``x`` or ``edge_index`` is missing or of the wrong shape.
        TypeError: ``x`` is not of a float type, or ``forward`` cannot be called.

    Example:
        >>> data = HyperGraphData(x=torch.ones(3, 1), edge_index=torch.tensor([[0, 1], [0, 0]]))
        >>> subject = HypergraphSubject(lambda x, hyperedge_index: 2 * x, data)
        >>> subject.whole(data.x).flatten().tolist()
        [2.0, 2.0, 2.0]
    """

    is_hypergraph: bool = True

    def __init__(self, forward: Callable[..., Any], data: Data) -> None:
        self.x = features_of(forward, data)
        self.forward = forward
        self.model = forward if isinstance(forward, nn.Module) else None
        self.incidence = Incidence.from_data(data).to(self.x.device)
        # As given, repeated incidences included: what a layer makes of them is its own affair.
        self.edge_index = data.edge_index.to(self.x.device)
        self.edge_inputs = {}
        self.takes_batch = self.takes_seeds = self.takes_trim = False
        text = data.get("x_text")
        self._text = [text.to(self.x.device) if isinstance(text, Tensor) else None]
        call = self.model.forward if self.model is not None else forward
        named = set(inspect.signature(call).parameters)
        self._options: dict[str, Any] = {
            name: data[name].to(self.x.device)
            for name, size in _OF_HYPEREDGES.items()
            if name in named
            and isinstance(data.get(name), Tensor)
            and getattr(forward, size, 0) is not None
        }
        counts = {"num_hyperedges", "num_edges"} & named
        self._options |= dict.fromkeys(counts, self.incidence.num_hyperedges)

    def whole(self, x: Tensor, seeds: Tensor | None = None) -> Tensor:
        """Runs the model on the whole hypergraph."""
        if getattr(self.forward, "sees_no_edges", False):
            return self.forward(x)
        ours = getattr(self.forward, "takes_hypergraph", False)
        text = self._text if getattr(self.forward, "takes_text", False) else []
        found = self.forward(x, *text, self.incidence if ours else self.edge_index, **self._options)
        out = found if isinstance(found, Tensor) else found.score
        out = out.unsqueeze(1) if out.dim() == 1 else out
        if out.dim() != 2 or out.size(0) != x.size(0):
            raise ValueError(
                f"the model must give [nodes, channels], a row a node: got {list(out.shape)} for "
                f"{x.size(0)} nodes."
            )
        return out

    def counts(self) -> dict[str, int]:
        """Its size, for reports; edges are incidences."""
        return {**super().counts(), "num_hyperedges": self.incidence.num_hyperedges}

    def rows(self) -> EdgeRows:
        """The incidences, for balls."""
        return HypergraphRows(self.incidence)


def subject_of(forward: Callable[..., Any], data: Data) -> Subject:
    """Makes what is measured: of a hypergraph where the data are one.

    Raises:
        TypeError: ``data`` is no PyG data.

    Example:
        >>> data = Data(x=torch.ones(2, 1), edge_index=torch.tensor([[0], [1]]))
        >>> subject_of(lambda x, edge_index: x, data).is_hypergraph
        False
    """
    if not isinstance(data, Data):
        raise TypeError(
            f"data must be PyG Data or HyperGraphData with x: got {type(data).__name__}; of an "
            "Incidence, to_data() with x put into it."
        )
    kind = HypergraphSubject if isinstance(data, HyperGraphData) else Subject
    return kind(forward, data)


def check_hypergraph_options(data: Data, *, semantics: str, distance: str, engine: str) -> None:
    """Refuses options of influence that have no meaning on a hypergraph.

    Raises:
        ValueError: Such an option was given for a hypergraph.

    Example:
        >>> check_hypergraph_options(Data(), semantics="pyg", distance="hops", engine="auto")
    """
    if not isinstance(data, HyperGraphData):
        return
    known = {
        "semantics": (semantics, ("full",)),
        "distance": (distance, ("hops", "euclid")),
        "engine": (engine, ("auto", "single")),
    }
    for name, (came, right) in known.items():
        if came not in right:
            raise ValueError(
                f"{name} must be {' or '.join(right)} on a hypergraph, which has no edges between "
                f"nodes: got {came!r}; or join the members of hyperedges to a graph by clique."
            )
