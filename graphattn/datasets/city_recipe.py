"""The recipe of City-Networks: from directed road segments to a data set that needs 16 hops.

Source: Liang et al. 2025, https://arxiv.org/abs/2503.09008.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor
from torch_geometric.data import Data

from graphattn.datasets.eccentricity import khop_eccentricity, quantile_labels
from graphattn.datasets.splits import Split
from graphattn.edges import check_edges

HOPS, CLASSES = 16, 10
RULE = "10/10/80 random, RandomState(0), as City-Networks"


def city_data(
    x: Float32[Tensor, "nodes node_channels"],
    edge_index: Int64[Tensor, "2 edges"],
    edge_attr: Float32[Tensor, "edges edge_channels"],
    *,
    name: str,
    node_names: Sequence[str],
    edge_names: Sequence[str],
    augmented: bool = True,
    hops: int = HOPS,
    num_classes: int = CLASSES,
    meta: Mapping[str, Any] | None = None,
) -> Data:
    """Makes a data set of a road network, as the authors of City-Networks do.

    Both directions of a road, and parallel roads, are merged into one by the mean of their
    features; self-loops go. The features of a node are its own and the mean of those of its roads.
    The label is the decile of its 16-hop eccentricity in metres.

    Args:
        x: Features of the junctions, the coordinates first; raw, as `data.features` scales them.
        edge_index: Road segments, one direction or both.
        edge_attr: Their features; the first is the length in metres.
        name: Of the data set.
        node_names: What the columns of `x` are.
        edge_names: What those of `edge_attr` are.
        augmented: Append the mean features of a junction's roads to its own.
        hops: Radius of the eccentricity.
        num_classes: Of equally many nodes.
        meta: What else is to be said, such as source and licence.

    Returns:
        Data with x, y, edge_index (both directions, ordered by target), edge_length (metres),
        `ecc16` (or of as many hops; never a feature), pos (the first two columns), masks, name,
        metric and meta.

    Raises:
        ValueError: There are fewer than 10 nodes, no road, or a length is negative or not finite.

    Example:
        >>> ends = torch.stack([torch.arange(39), torch.arange(1, 40)])
        >>> x, length = torch.zeros(40, 2), torch.full((39, 1), 50.0)
        >>> data = city_data(x, ends, length, name="street", node_names=("lon", "lat"),
        ...                  edge_names=("length_m",))
        >>> data.num_edges, data.x.shape, data.ecc16[20].item(), int(data.train_mask.sum())
        (78, torch.Size([40, 3]), 800.0, 4)
    """
    if len(x) < 10 or not edge_index.size(1):
        raise ValueError(
            f"a city needs at least 10 junctions and a road: got {len(x)} and "
            f"{edge_index.size(1)} for {name!r}."
        )
    edges, attr = merge_directions(edge_index, edge_attr, num_nodes=len(x))
    names = list(node_names)
    if augmented:
        x = torch.cat([x, incident_mean(edges, attr, num_nodes=len(x))], dim=1)
        names += [f"mean_{edge}" for edge in edge_names]
    length = attr[:, 0].contiguous()
    eccentricity = khop_eccentricity(edges, length, hops, num_nodes=len(x))
    train, val, test = city_split(len(x)).masks(len(x))
    return Data(
        x=x,
        y=quantile_labels(eccentricity, num_classes),
        edge_index=edges,
        edge_length=length,
        pos=x[:, :2].clone(),
        **{f"ecc{hops}": eccentricity},
        train_mask=train,
        val_mask=val,
        test_mask=test,
        name=name,
        metric="accuracy",
        meta={"feature_names": names, "split": RULE, **(meta or {})},
    )


def city_split(num_nodes: int) -> Split:
    """Draws the split of City-Networks: 10/10/80 of a fixed permutation of the nodes.

    Args:
        num_nodes: At least 10.

    Example:
        >>> [len(part) for part in vars(city_split(25)).values()]
        [2, 2, 21]
    """
    order = np.random.RandomState(0).permutation(num_nodes)
    tenth = int(0.1 * num_nodes)
    parts = order[:tenth], order[tenth : 2 * tenth], order[2 * tenth :]
    return Split.from_indices(*parts, num_nodes=num_nodes)


def merge_directions(
    edge_index: Int64[Tensor, "2 edges"],
    edge_attr: Float32[Tensor, "edges channels"],
    *,
    num_nodes: int,
) -> tuple[Int64[Tensor, "2 merged"], Float32[Tensor, "merged channels"]]:
    """Makes one edge in each direction of all that join two nodes, with their mean features.

    Args:
        edge_index: Edges, repeated ones too.
        edge_attr: Their features.
        num_nodes: Number of nodes.

    Returns:
        Edges without self-loops, ordered by target, then source; and their features.

    Raises:
        ValueError: An id is out of range, or the sizes disagree.

    Example:
        >>> edges = torch.tensor([[0, 1, 1], [1, 0, 1]])
        >>> merge_directions(edges, torch.tensor([[1.0], [2.0], [9.0]]), num_nodes=2)
        (tensor([[1, 0],
                [0, 1]]), tensor([[1.5000],
                [1.5000]]))
    """
    ends, _ = check_edges(edge_index, num_nodes)
    if ends.shape[1] != len(edge_attr):
        raise ValueError(
            f"edge_attr must be {ends.shape[1]} rows, one an edge: got {len(edge_attr)}."
        )
    kept = ends[0] != ends[1]
    low, high = np.sort(ends[:, kept], axis=0)
    pairs, group = np.unique(low * num_nodes + high, return_inverse=True)
    values = edge_attr.detach().cpu().numpy()[kept].astype(np.float64)
    sums = np.stack([np.bincount(group, v, len(pairs)) for v in values.T], axis=1)
    mean = sums / np.bincount(group, minlength=len(pairs))[:, None]
    low, high = np.divmod(pairs, num_nodes)
    sources, targets = np.concatenate([low, high]), np.concatenate([high, low])
    order = np.lexsort((sources, targets))
    both = np.stack([sources[order], targets[order]])
    attr = np.concatenate([mean, mean])[order].astype(np.float32)
    return torch.from_numpy(both), torch.from_numpy(attr)


def incident_mean(
    edge_index: Int64[Tensor, "2 edges"],
    edge_attr: Float32[Tensor, "edges channels"],
    *,
    num_nodes: int,
) -> Float32[Tensor, "nodes channels"]:
    """Averages the features of the edges that lead to each node; 0 where there is none.

    Args:
        edge_index: Edges.
        edge_attr: Their features.
        num_nodes: Number of nodes.

    Example:
        >>> edges = torch.tensor([[1, 2], [0, 0]])
        >>> incident_mean(edges, torch.tensor([[1.0], [2.0]]), num_nodes=3).tolist()
        [[1.5], [0.0], [0.0]]
    """
    targets = edge_index[1].numpy()
    count = np.maximum(np.bincount(targets, minlength=num_nodes), 1)
    columns = edge_attr.numpy().astype(np.float64).T
    means = [np.bincount(targets, column, num_nodes) / count for column in columns]
    return torch.from_numpy(np.stack(means, axis=1).astype(np.float32))
