"""Node importance in knowledge graphs: structure, text and typed hyperedges in one hypergraph."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix, diags
from torch import Tensor
from torch_geometric.data.hypergraph_data import HyperGraphData

from graphattn.checks import check_choice
from graphattn.datasets.components import scaled, strongest_components
from graphattn.datasets.hypergraphs import knowledge_graph, named_hypergraph
from graphattn.datasets.metapath_hypergraph import MetaPathHypergraph
from graphattn.datasets.relation_signature import RelationSignatureHypergraph
from graphattn.datasets.text_features import stored_text

_METAPATHS = {"music10k_nie": ["artist-term-artist", "artist-release-song", "artist-*"]}
_RAW = ("music10k_nie",)  # whose numbers are learnt as log(1 + y); those of others are so already
_LARGEST = 128  # members of a hyperedge that a relation makes


def node_importance(
    name: str,
    *,
    root: str | Path | None = None,
    hyperedges: str = "metapath",
    struct_channels: int = 64,
    text_channels: int = 128,
    text: str | Path | None = None,
    seed: int = 0,
    joined: bool = False,
) -> HyperGraphData:
    """A knowledge graph whose nodes have a number to predict, as MetaHGNIE takes it.

    Hyperedges by meta-path: of music10k_nie the artists of a term, the songs and artists of a
    release, and all that an artist is joined to; of other sets, as the file has them, an entity
    with its partners by one relation in one direction, up to 128 members. By signature: the
    partition of MetaHGNIE's release. Pairs: the two ends of each edge, which `--data.clique 2`
    turns into the graph.

    Args:
        name: "music10k_nie" or "fb15k237_nie".
        root: The folder of `.npz` files; None takes it from the variable GRAPHATTN_DATA.
        hyperedges: "metapath", "signature" or "pairs".
        struct_channels: Components of `structural_features`.
        text_channels: Components of the TF-IDF of names and descriptions.
        text: A `.npy` file of features of texts to take in place of those, a row a node, such as
            `embedded_text` gives.
        seed: Of both decompositions.
        joined: Whether the text's features stand in `x`, beside those of structure, for models
            that take one kind.

    Returns:
        With `x` (structure), `x_text`, `hyperedge_type`, `y` (the logarithm of 1 + the importance,
        NaN where there is none), masks of five folds (`importance_folds`) and `metric` "spearman".

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: There is no such data set, hyperedges is unknown, or the file of texts does
            not fit.
    """
    check_choice(("metapath", "signature", "pairs"), hyperedges=hyperedges)
    stored, graph = named_hypergraph(name, root), knowledge_graph(name, root)
    valid = stored.valid_mask.bool()
    arcs = torch.cat([_arcs(graph, kind) for kind in graph.edge_types], dim=1)
    x = structural_features(arcs, stored.num_nodes, channels=struct_channels, seed=seed)
    if text is None:
        x_text = strongest_components(csr_matrix(stored.x.numpy()), text_channels, seed=seed)
    else:
        x_text = stored_text(text, stored.num_nodes)
    train, val, test = zip(*importance_folds(valid), strict=True)
    features = {"x": torch.cat([x, x_text], dim=1)} if joined else {"x": x, "x_text": x_text}
    if hyperedges == "signature":
        made = RelationSignatureHypergraph()(graph)
    elif hyperedges == "pairs":
        made = _pairs(arcs)
    elif name in _METAPATHS:
        made = MetaPathHypergraph(_METAPATHS[name])(graph)
    else:
        made = _up_to(stored, _LARGEST)
    return HyperGraphData(
        **features,
        y=(stored.y_float.log1p() if name in _RAW else stored.y_float).where(valid, torch.nan),
        edge_index=made.edge_index,
        hyperedge_type=made.hyperedge_type,
        num_nodes=stored.num_nodes,
        num_hyperedges=made.num_hyperedges,
        train_mask=torch.stack(train, dim=1),
        val_mask=torch.stack(val, dim=1),
        test_mask=torch.stack(test, dim=1),
        name=name,
        metric="spearman",
        meta=stored.meta,
    )


def structural_features(
    edge_index: Tensor, num_nodes: int, *, channels: int = 64, seed: int = 0
) -> Float[Tensor, "nodes channels_and_degree"]:
    """Where a node stands in a graph: components of the normalised adjacency, and its log degree.

    Args:
        edge_index: ``[2, edges]``, taken both ways.
        num_nodes: Number of nodes.
        channels: Components.
        seed: Of the decomposition.

    Returns:
        float32, columns of deviation 1.

    Example:
        >>> structural_features(torch.tensor([[0, 1, 2], [1, 2, 3]]), 5, channels=2).shape
        torch.Size([5, 3])
    """
    source, target = edge_index.numpy()
    ones = np.ones(2 * source.size, np.float32)
    rows, cols = np.r_[source, target], np.r_[target, source]
    matrix = coo_matrix((ones, (rows, cols)), shape=(num_nodes, num_nodes)).tocsr()
    matrix.data[:] = 1.0
    degree = np.asarray(matrix.sum(axis=1)).reshape(-1)
    half = diags(1 / np.sqrt(np.maximum(degree, 1)))
    found = strongest_components((half @ matrix @ half).astype(np.float32), channels, seed=seed)
    return torch.cat([found, scaled(torch.from_numpy(np.log1p(degree)).view(-1, 1))], dim=1)


def importance_folds(
    mask: Bool[Tensor, " nodes"], num_folds: int = 5, seed: int = 0
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Splits of labelled nodes, each of them tested once: 70 % train, 10 % validation, 20 % test.

    Source: the permutation of GENI's and MetaHGNIE's code, with half-open bounds.

    Args:
        mask: Which nodes have a label.
        num_folds: Splits, at least 2; a fold is tested, half of the next one validates.
        seed: Of the permutation.

    Returns:
        Masks of the nodes: train, validation, test of each split.

    Raises:
        ValueError: There are fewer labelled nodes than twice the folds, or fewer than two folds.

    Example:
        >>> folds = importance_folds(torch.ones(20, dtype=torch.bool))
        >>> [int(part.sum()) for part in folds[0]]
        [14, 2, 4]
    """
    nodes = mask.nonzero().view(-1)
    if num_folds < 2 or len(nodes) < 2 * num_folds:
        raise ValueError(
            f"num_folds must be at least 2, and no more than half of the {len(nodes)} labelled "
            f"nodes: got num_folds={num_folds}."
        )
    place = np.random.RandomState(seed).permutation(np.linspace(0, 1, len(nodes)))
    folds = []
    for fold in range(num_folds):
        test = _between(place, fold / num_folds, (fold + 1) / num_folds)
        start = (fold + 1) % num_folds / num_folds
        val = _between(place, start, start + 0.5 / num_folds) & ~test
        parts = []
        for chosen in (~(test | val), val, test):
            part = torch.zeros_like(mask)
            part[nodes[torch.from_numpy(chosen)]] = True
            parts.append(part)
        folds.append((parts[0], parts[1], parts[2]))
    return folds


def _between(place: NDArray[np.float64], start: float, stop: float) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = (place >= start) & ((place < stop) | (stop >= 1))
    return inside


def _arcs(graph: object, kind: tuple[str, str, str]) -> Tensor:
    """The edges of a type, with the numbers that nodes have among all."""
    sizes = {name: graph[name].num_nodes for name in graph.node_types}  # type: ignore[index, attr-defined]
    first, starts = 0, {}
    for name, size in sizes.items():
        starts[name] = first
        first += size
    shift = torch.tensor([[starts[kind[0]]], [starts[kind[2]]]])
    return graph[kind].edge_index + shift  # type: ignore[index]


def _pairs(arcs: Tensor) -> HyperGraphData:
    """Each two nodes that an edge joins, once, whichever way; of one type."""
    ends = torch.unique(arcs[:, arcs[0] != arcs[1]].sort(dim=0).values, dim=1)
    count = ends.size(1)
    return HyperGraphData(
        edge_index=torch.stack([ends.t().reshape(-1), torch.arange(count).repeat_interleave(2)]),
        hyperedge_type=torch.zeros(count, dtype=torch.long),
        num_hyperedges=count,
    )


def _up_to(data: HyperGraphData, largest: int) -> HyperGraphData:
    """Leave out the hyperedges of more members."""
    size = data.edge_index[1].bincount(minlength=data.num_hyperedges)
    keep = size <= largest
    number = keep.cumsum(0) - 1
    node, edge = data.edge_index[:, keep[data.edge_index[1]]]
    return HyperGraphData(
        edge_index=torch.stack([node, number[edge]]),
        hyperedge_type=torch.unique(data.hyperedge_type[keep].long(), return_inverse=True)[1],
        num_hyperedges=int(keep.sum()),
        num_nodes=data.num_nodes,
    )
