"""Two real data sets that come with libraries we already need, so that nothing is downloaded."""

import networkx as nx
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.neighbors import kneighbors_graph
from torch_geometric.data import Data

from graphattn.datasets.splits import random_split


def digits(*, train_fraction: float = 0.1, num_neighbors: int = 10, seed: int = 0) -> Data:
    """scikit-learn's 1,797 images of handwritten digits, joined to their nearest neighbours.

    Every node is an image (64 grey values in [0, 1]); an edge joins two images of which one is
    among the other's `num_neighbors` nearest by Euclidean distance; both directions are stored.
    The split is random within each of the 10 classes: train_fraction train, 10 % validation, all
    the rest test; with the default 179 / 180 / 1,438 nodes.

    Source: UCI Optical Recognition of Handwritten Digits (Alpaydin & Kaynak 1998), CC BY 4.0,
    https://archive.ics.uci.edu/dataset/80, its test part as bundled in scikit-learn.

    Args:
        train_fraction: share of the labels to train on, in (0, 0.9].
        num_neighbors: neighbours of each image before the graph is made symmetric, at least 1.
        seed: of the split.

    Returns:
        Data with x `[1797, 64]`, y, edge_index, masks `[1797]`, metric "accuracy".

    Raises:
        ValueError: train_fraction or num_neighbors is out of range.

    Example:
        >>> data = digits()
        >>> data.num_nodes, data.num_features, int(data.y.max()) + 1
        (1797, 64, 10)
    """
    if not 0.0 < train_fraction <= 0.9:
        raise ValueError(
            f"train_fraction is a share of the labels in (0, 0.9]: got {train_fraction}; "
            "10 % is kept for validation."
        )
    images, labels = load_digits(return_X_y=True)
    if not 1 <= num_neighbors < len(images):
        raise ValueError(
            f"num_neighbors must lie in 1..{len(images) - 1}: got num_neighbors={num_neighbors}."
        )
    x = (images / 16.0).astype(np.float32)
    near = kneighbors_graph(x, num_neighbors, mode="connectivity")
    both = near.maximum(near.T).tocoo()
    y = torch.from_numpy(labels.astype(np.int64))
    split = random_split(y, (train_fraction, 0.1, 0.9 - train_fraction), seed=seed)
    train_mask, val_mask, test_mask = split.masks(len(y))
    return Data(
        x=torch.from_numpy(x),
        y=y,
        edge_index=torch.from_numpy(np.stack([both.row, both.col]).astype(np.int64)),
        train_mask=train_mask,
        val_mask=val_mask,
        test_mask=test_mask,
        name="digits",
        metric="accuracy",
    )


def karate(*, seed: int = 0) -> Data:
    """Zachary's karate club: 34 members, 78 friendships, and the side each took in the split.

    The members have no features of their own, so each gets its one-hot id: a model can only
    learn by passing it along edges. The split is random within the two clubs: 10 % train (4
    nodes), 20 % validation, the rest test.

    Source: Zachary 1977, https://doi.org/10.1086/jar.33.4.3629752, as bundled in networkx.

    Args:
        seed: of the split.

    Returns:
        Data with x `[34, 34]`, y, edge_index `[2, 156]`, masks `[34]`, metric "accuracy".

    Example:
        >>> data = karate()
        >>> data.num_nodes, data.num_edges
        (34, 156)
    """
    graph = nx.karate_club_graph()
    edges = torch.tensor(list(graph.edges), dtype=torch.long).t()
    y = torch.tensor([int(graph.nodes[v]["club"] == "Officer") for v in graph], dtype=torch.long)
    train_mask, val_mask, test_mask = random_split(y, (0.1, 0.2, 0.7), seed=seed).masks(len(y))
    return Data(
        x=torch.eye(len(y)),
        y=y,
        edge_index=torch.cat([edges, edges.flip(0)], dim=1),
        train_mask=train_mask,
        val_mask=val_mask,
        test_mask=test_mask,
        name="karate",
        metric="accuracy",
    )
