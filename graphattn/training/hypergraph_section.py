"""The part of a report that tells of the hypergraph: sizes of hyperedges, degrees, types."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int
from torch import Tensor

from graphattn.hypergraph import Incidence
from graphattn.page import facts, grid

_MOST_TYPES = 20  # that have a row of their own
_FEW = 12  # different sizes that have a bar each; beyond, bars of doubling width


def hypergraph_section(
    incidence: Incidence, hyperedge_type: Int[Tensor, " hyperedges"] | None = None
) -> str:
    """Draw how many hyperedges have which size and nodes which degree, and count the types.

    Args:
        incidence: The hypergraph.
        hyperedge_type: Types of the hyperedges, if they have some.

    Returns:
        HTML: two drawings, and all their numbers as tables.

    Raises:
        ImportError: matplotlib is missing.

    Example:
        >>> made = Incidence.from_lists([[0, 1, 2], [2]])
        >>> "hyperedges of one node" in hypergraph_section(made)
        True
    """
    from graphattn.training.hypergraph_plots import counts_plot

    size, degree = incidence.size().cpu().numpy(), incidence.degree().cpu().numpy()
    told = {
        "nodes": f"{incidence.num_nodes:,}",
        "hyperedges": f"{incidence.num_hyperedges:,}",
        "incidences": f"{incidence.num_incidences:,}",
        "nodes in no hyperedge": f"{int((degree == 0).sum()):,}",
        "hyperedges of one node": f"{int((size == 1).sum()):,}",
        "empty hyperedges": f"{int((size == 0).sum()):,}",
    }
    parts = ["<section><h2>The hypergraph</h2>", facts(told)]
    bars = [binned(counts) for counts in (size, degree)]
    names = ("nodes of a hyperedge", "hyperedges of a node")
    ylabels = ("hyperedges", "nodes")
    drawn = [counts_plot(*part) for part in zip(bars, names, ylabels, strict=True)]
    parts.append(f'<div class="pair">{"".join(drawn)}</div>')
    for (labels, counts), name, of in zip(bars, names, ylabels, strict=True):
        rows = [[label, f"{count:,}"] for label, count in zip(labels, counts, strict=True)]
        table = grid([name, of], rows)
        parts.append(f"<details><summary>{of} by {name}, as a table</summary>{table}</details>")
    if hyperedge_type is not None:
        parts.append(_types(hyperedge_type.cpu(), torch.from_numpy(size)))
    return "\n".join([*parts, "</section>"])


def binned(values: npt.NDArray[np.int64]) -> tuple[list[str], list[int]]:
    """Counts how often each value occurs; where many differ, in bins that double in width.

    Args:
        values: Whole numbers, 0 or more.

    Returns:
        What each bin is called, and its count.

    Example:
        >>> binned(np.array([1, 1, 3]))
        (['1', '3'], [2, 1])
        >>> binned(np.arange(14))[0]
        ['0', '1', '2-3', '4-7', '8-15']
    """
    different, counts = np.unique(values, return_counts=True)
    if different.size <= _FEW:
        return [f"{value:,}" for value in different.tolist()], counts.tolist()
    doubling = np.frexp(values.astype(np.float64))[1]  # 0, 1, 2-3, 4-7, ...: 0, 1, 2, 3, ...
    counts = np.bincount(doubling)
    labels = ["0", "1", *(f"{2 ** (i - 1):,}-{2**i - 1:,}" for i in range(2, counts.size))]
    kept = np.flatnonzero(counts).tolist()
    return [labels[i] for i in kept], [int(counts[i]) for i in kept]


def _types(types: Tensor, size: Tensor) -> str:
    count = torch.bincount(types)
    members = torch.zeros(len(count)).index_add_(0, types.long(), size.float())
    order: Sequence[int] = torch.argsort(count, descending=True, stable=True).tolist()
    rows = [
        [
            str(kind),
            f"{int(count[kind]):,}",
            f"{float(members[kind] / count[kind].clamp(min=1)):.1f}",
        ]
        for kind in order[:_MOST_TYPES]
    ]
    table = grid(["type of hyperedge", "hyperedges", "nodes each, mean"], rows)
    rest = len(order) - _MOST_TYPES
    note = f"<p class='note'>The commonest {_MOST_TYPES} of {len(order)}.</p>" if rest > 0 else ""
    return table + note
