"""How a hop is cut into blocks of rows and columns, which stays as it is when a build goes on."""

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from graphattn.files import read_json, write_json
from graphattn.graph import CSRGraph
from graphattn.ops.propagation_plan import fit_columns
from graphattn.preprocess.engine import Engine
from graphattn.preprocess.tasks import Range
from graphattn.sampling.filling import Unfinished

_LINE = 16  # float32 numbers of a cache line: narrower blocks read as much, and add less

Cuts = list[int]  # where blocks start, and where the last ends


def choose_grid(store: Unfinished, engine: Engine, partitions: int | None) -> tuple[Cuts, Cuts]:
    """Finds where blocks start and end: as in an earlier run, or chosen anew and written down.

    Args:
        store: What is to be made.
        engine: Who makes it: a worker's memory holds its columns of all nodes, twice.
        partitions: Blocks at least; by default as many as workers.

    Returns:
        Bounds of rows, and of columns.

    Raises:
        ValueError: A worker's memory holds not one column.
    """
    nodes, channels = store.inputs["x"].shape
    if not store.hop_names:
        return [0, nodes], [0, channels]
    most, _ = fit_columns(nodes, channels, np.dtype(np.float32), engine.memory)
    file = store.folder / "hops" / "blocks.json"
    try:
        before = read_json(file)
    except ValueError:
        before = {}
    if before.get("partitions") == partitions:
        cuts = _cuts(before.get("rows"), nodes), _cuts(before.get("columns"), channels)
        if all(cuts) and max(right - left for left, right in pairwise(cuts[1])) <= most:
            return cuts
    wanted = partitions or max(1, engine.workers)
    width = max(1, min(most, max(_LINE, _LINE * math.ceil(channels / wanted / _LINE))))
    columns = [*range(0, channels, width), channels] if channels else [0, 0]
    rows = cut_rows(store.graph, math.ceil(wanted / (len(columns) - 1)))
    write_json(file, {"partitions": partitions, "rows": rows, "columns": columns})
    return rows, columns


def cut_rows(graph: CSRGraph, count: int) -> list[int]:
    """Cuts the rows into blocks of about equal work: a node counts as much as an edge.

    Args:
        graph: The graph.
        count: How many blocks; there may be fewer.

    Returns:
        Bounds from 0 to the number of nodes.

    Example:
        >>> cut_rows(CSRGraph.from_edge_index(np.array([[1, 2, 3], [0, 0, 0]])), 2)
        [0, 1, 4]
    """
    nodes, rowptr = graph.num_nodes, graph.rowptr
    total = nodes + graph.num_edges
    cuts = {
        bisect_left(range(nodes), total * part / count, key=lambda row: int(rowptr[row]) + row)
        for part in range(1, count)
    }
    return [0, *sorted(cuts - {0, nodes}), nodes]


def _cuts(bounds: object, end: int) -> Cuts:
    """What a file says, if these are bounds from 0 to the end; else none."""
    if not isinstance(bounds, list) or not all(type(bound) is int for bound in bounds):
        return []
    whole = len(bounds) > 1 and (bounds[0], bounds[-1]) == (0, end) and bounds == sorted(bounds)
    return bounds if whole else []


def cells(rows: Sequence[int], columns: Sequence[int]) -> Iterator[tuple[Range, Range]]:
    """Lists the blocks between bounds of rows and of columns, rows first.

    Example:
        >>> list(cells([0, 2, 5], [0, 3]))
        [((0, 2), (0, 3)), ((2, 5), (0, 3))]
    """
    for columns_of_block in pairwise(columns):
        for rows_of_block in pairwise(rows):
            yield rows_of_block, columns_of_block
