"""Made graphs with a known answer: blocks, ring, grid, barbell, each ready to be trained on.

All carry features that show the class faintly (a class mean of length `signal` in unit noise), so
that a model gains by averaging over edges, and a random split.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch_geometric.data import Data

from graphattn.datasets.splits import random_split


def stochastic_block_model(
    sizes: Sequence[int],
    p_in: float,
    p_out: float,
    *,
    num_features: int = 16,
    signal: float = 1.0,
    fractions: Sequence[float] = (0.5, 0.25, 0.25),
    seed: int = 0,
) -> Data:
    """Groups of nodes, joined at random: often within a group, seldom between two.

    Each pair of nodes has an edge with probability p_in or p_out, independently. The number of
    edges between two groups is drawn first and then their places, so the work grows with the
    edges and not with the pairs of nodes.

    Source: Holland et al. 1983, https://doi.org/10.1016/0378-8733(83)90021-7.

    Args:
        sizes: nodes of each group; the group is the label.
        p_in: probability of an edge within a group, in [0, 1].
        p_out: probability of an edge between two groups, in [0, 1].
        num_features: features per node.
        signal: length of the class means, in standard deviations of the noise.
        fractions: shares of train, val and test within each class.
        seed: of edges, features and split.

    Returns:
        Data, undirected (both directions stored), without self-loops.

    Raises:
        ValueError: a size is below 1 or a probability outside [0, 1].

    Example:
        >>> data = stochastic_block_model([50, 50], 0.2, 0.01)
        >>> data.num_nodes, data.y.bincount().tolist(), data.is_undirected()
        (100, [50, 50], True)
    """
    if not len(sizes) or min(sizes) < 1:
        raise ValueError(f"sizes are the nodes of each group, at least 1: got {list(sizes)}.")
    if not (0.0 <= p_in <= 1.0 and 0.0 <= p_out <= 1.0):
        raise ValueError(f"p_in and p_out are probabilities: got {p_in} and {p_out}.")
    generator = np.random.default_rng(seed)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    edges = []
    for a, size_a in enumerate(sizes):
        for b, size_b in enumerate(sizes[: a + 1]):
            pairs = size_a * (size_a - 1) // 2 if a == b else size_a * size_b
            count = int(generator.binomial(pairs, p_in if a == b else p_out))
            places = generator.choice(pairs, count, replace=False, shuffle=False)
            rows, cols = _triangle(places) if a == b else np.divmod(places, size_b)
            edges.append(np.stack([rows + starts[a], cols + starts[b]]))
    y = np.repeat(np.arange(len(sizes)), sizes)
    return _dress("sbm", np.concatenate(edges, axis=1), y, (num_features, signal, fractions), seed)


def ring(
    num_nodes: int,
    *,
    num_classes: int = 2,
    num_features: int = 16,
    signal: float = 1.0,
    fractions: Sequence[float] = (0.5, 0.25, 0.25),
    seed: int = 0,
) -> Data:
    """A circle of nodes, cut into num_classes arcs that are the labels.

    Args:
        num_nodes: at least 3.
        num_classes: arcs, at most num_nodes.
        num_features: features per node.
        signal: length of the class means, in standard deviations of the noise.
        fractions: shares of train, val and test within each class.
        seed: of features and split.

    Returns:
        Data, undirected; every node has two neighbours.

    Raises:
        ValueError: too few nodes, or not between 1 and num_nodes classes.

    Example:
        >>> ring(12).num_edges
        24
    """
    if num_nodes < 3 or not 1 <= num_classes <= num_nodes:
        raise ValueError(
            "A ring needs at least 3 nodes and 1..num_nodes classes: "
            f"got {num_nodes} nodes, {num_classes} classes."
        )
    nodes = np.arange(num_nodes)
    edges = np.stack([nodes, (nodes + 1) % num_nodes])
    y = nodes * num_classes // num_nodes
    return _dress("ring", edges, y, (num_features, signal, fractions), seed)


def grid(
    height: int,
    width: int,
    *,
    num_classes: int = 2,
    num_features: int = 16,
    signal: float = 1.0,
    fractions: Sequence[float] = (0.5, 0.25, 0.25),
    seed: int = 0,
) -> Data:
    """A lattice, each node joined to those left, right, above and below; labels are stripes.

    Node `r * width + c` lies in row r and column c; the columns are cut into num_classes stripes.

    Args:
        height: rows, at least 1.
        width: columns, at least 2.
        num_classes: stripes, at most width.
        num_features: features per node.
        signal: length of the class means, in standard deviations of the noise.
        fractions: shares of train, val and test within each class.
        seed: of features and split.

    Returns:
        Data, undirected.

    Raises:
        ValueError: a side is too short, or not between 1 and width classes.

    Example:
        >>> grid(3, 4).num_edges
        34
    """
    if height < 1 or width < 2 or not 1 <= num_classes <= width:
        raise ValueError(
            "A grid needs height >= 1, width >= 2 and 1..width classes: "
            f"got {height} x {width}, {num_classes} classes."
        )
    nodes = np.arange(height * width).reshape(height, width)
    across = np.stack([nodes[:, :-1].ravel(), nodes[:, 1:].ravel()])
    down = np.stack([nodes[:-1].ravel(), nodes[1:].ravel()])
    y = np.tile(np.arange(width) * num_classes // width, height)
    edges = np.concatenate([across, down], axis=1)
    return _dress("grid", edges, y, (num_features, signal, fractions), seed)


def barbell(
    clique_size: int,
    path_length: int,
    *,
    num_features: int = 16,
    signal: float = 1.0,
    fractions: Sequence[float] = (0.5, 0.25, 0.25),
    seed: int = 0,
) -> Data:
    """Two cliques joined by a path: the classic bottleneck. The label is the nearer clique.

    The nodes are the first clique, the path, the second clique, in this order.

    Args:
        clique_size: nodes of each clique, at least 3.
        path_length: nodes of the path between them, at least 0.
        num_features: features per node.
        signal: length of the class means, in standard deviations of the noise.
        fractions: shares of train, val and test within each class.
        seed: of features and split.

    Returns:
        Data, undirected.

    Raises:
        ValueError: the cliques or the path are too small.

    Example:
        >>> data = barbell(4, 2)
        >>> data.num_nodes, data.num_edges
        (10, 30)
    """
    if clique_size < 3 or path_length < 0:
        raise ValueError(
            "A barbell needs clique_size >= 3 and path_length >= 0: "
            f"got {clique_size} and {path_length}."
        )
    num_nodes = 2 * clique_size + path_length
    clique = np.stack(np.triu_indices(clique_size, 1))
    chain = np.arange(clique_size - 1, clique_size + path_length)
    path = np.stack([chain, chain + 1])
    edges = np.concatenate([clique, path, clique + clique_size + path_length], axis=1)
    y = (2 * np.arange(num_nodes) >= num_nodes).astype(np.int64)
    return _dress("barbell", edges, y, (num_features, signal, fractions), seed)


def _triangle(places: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The k-th pair (row, col), col < row, in the order (1,0), (2,0), (2,1), (3,0), ..."""
    rows = ((1.0 + np.sqrt(1.0 + 8.0 * places)) / 2.0).astype(np.int64)
    rows -= rows * (rows - 1) // 2 > places  # where the root was rounded up
    rows += rows * (rows + 1) // 2 <= places  # or down
    return rows, places - rows * (rows - 1) // 2


def _dress(
    name: str,
    edges: NDArray[np.int64],
    labels: NDArray[np.int64],
    options: tuple[int, float, Sequence[float]],
    seed: int,
) -> Data:
    num_features, signal, fractions = options
    if num_features < 1:
        raise ValueError(f"num_features must be at least 1: got {num_features}.")
    # A stream of its own, so that the features do not depend on how the edges were drawn.
    generator = np.random.default_rng([seed, 1])
    means = generator.standard_normal((int(labels.max()) + 1, num_features))
    means *= signal / np.linalg.norm(means, axis=1, keepdims=True)
    x = means[labels] + generator.standard_normal((len(labels), num_features))
    y = torch.from_numpy(labels.astype(np.int64))
    train_mask, val_mask, test_mask = random_split(y, fractions, seed=seed).masks(len(y))
    both = np.concatenate([edges, edges[::-1]], axis=1).astype(np.int64)
    return Data(
        x=torch.from_numpy(x.astype(np.float32)),
        y=y,
        edge_index=torch.from_numpy(both),
        train_mask=train_mask,
        val_mask=val_mask,
        test_mask=test_mask,
        name=name,
        metric="accuracy",
    )
