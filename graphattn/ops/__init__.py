"""Pure functions of tensors: what layers, samplers and models are made of."""

from typing import TYPE_CHECKING

from graphattn.lazy import lazy
from graphattn.ops.attention import token_attention, weighted_readout
from graphattn.ops.codebook import code_sums, nearest_code, recount, smooth_sizes
from graphattn.ops.correct_and_smooth import correct, smooth
from graphattn.ops.neighborhood import Neighborhood, sample_neighborhood
from graphattn.ops.positions import positions
from graphattn.ops.propagate import propagate

if TYPE_CHECKING:
    from graphattn.ops.adjacency import to_sparse_adjacency

__all__ = [
    "Neighborhood",
    "code_sums",
    "correct",
    "nearest_code",
    "positions",
    "propagate",
    "recount",
    "sample_neighborhood",
    "smooth",
    "smooth_sizes",
    "to_sparse_adjacency",
    "token_attention",
    "weighted_readout",
]

__getattr__, __dir__ = lazy("graphattn.ops", {"to_sparse_adjacency": "adjacency"})  # needs PyG
