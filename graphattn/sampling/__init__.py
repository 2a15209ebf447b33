"""The store that tokens are drawn from, batches of what is drawn, subgraphs and walks."""

from typing import TYPE_CHECKING

from graphattn.lazy import lazy
from graphattn.sampling.bottom_k import BottomKSampler
from graphattn.sampling.fanout import Subgraph, sample_fanout
from graphattn.sampling.loader import TokenBatch, TokenLoader
from graphattn.sampling.random_walk import random_walk
from graphattn.sampling.store import TokenStore
from graphattn.sampling.walk_neighborhood import walk_neighborhood

if TYPE_CHECKING:
    from graphattn.sampling.hypergraph_loader import HypergraphLoader
    from graphattn.sampling.neighbor_loader import NeighborLoader

__all__ = [
    "BottomKSampler",
    "HypergraphLoader",
    "NeighborLoader",
    "Subgraph",
    "TokenBatch",
    "TokenLoader",
    "TokenStore",
    "random_walk",
    "sample_fanout",
    "walk_neighborhood",
]

_OF_PYG = {"HypergraphLoader": "hypergraph_loader", "NeighborLoader": "neighbor_loader"}
__getattr__, __dir__ = lazy("graphattn.sampling", _OF_PYG)
