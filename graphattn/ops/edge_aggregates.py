"""What targets gather along weighted edges: sums, means, variances and extremes."""

from jaxtyping import Bool, Float
from torch import Tensor

from graphattn.ops.edge_attention import edge_sums, row_sums
from graphattn.ops.edge_extremes import edge_max
from graphattn.ops.edge_plan import EdgePlan


def aggregate_edges(
    weights: Float[Tensor, "edges heads"],
    v: Float[Tensor, "cols heads size"],
    own: Float[Tensor, "rows heads size"],
    kept: Bool[Tensor, "edges heads"] | None,
    aggregators: tuple[str, ...],
    plan: EdgePlan,
) -> dict[str, Float[Tensor, "rows heads size"]]:
    """Aggregates the vectors of the sources for each target and head.

    Args:
        weights: One number an edge and head, 0 where it is cut.
        v: Vectors of the sources.
        own: Where no edge counts, the extremes of a target.
        kept: Edges that count for the extremes; all of them if None.
        aggregators: Some of "sum", "mean", "var", "max", "min".
        plan: The edges.

    Returns:
        What each aggregator gathered, in their order.

    Example:
        >>> import torch
        >>> from graphattn.ops.edge_plan import plan_edges
        >>> plan = plan_edges(torch.tensor([0, 0]), torch.tensor([0, 1]), 1, 2)
        >>> v = torch.tensor([[[1.0]], [[3.0]]])
        >>> found = aggregate_edges(torch.ones(2, 1), v, v[:1], None, ("sum", "var"), plan)
        >>> {name: part.item() for name, part in found.items()}
        {'sum': 4.0, 'var': 1.0}
    """
    if {"mean", "var"} & set(aggregators):
        degree = row_sums(weights, plan).unsqueeze(-1)
        degree = degree.masked_fill(degree == 0, 1.0)
    if {"sum", "mean", "var"} & set(aggregators):
        total = edge_sums(weights, v, plan)
    parts = {}
    for name in aggregators:
        if name == "sum":
            parts[name] = total
        elif name == "mean":
            parts[name] = total / degree
        elif name == "var":
            second = edge_sums(weights, v.square(), plan) / degree
            parts[name] = (second - (total / degree).square()).clamp(min=0)
        elif name == "max":
            parts[name] = edge_max(v, kept, own, plan)
        else:
            parts[name] = -edge_max(-v, kept, -own, plan)
    return parts
