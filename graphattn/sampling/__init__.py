"""Samplers that choose what a node attends to, the store they draw from, and batches."""

from graphattn.ops.neighborhood import Neighborhood, sample_neighborhood
from graphattn.sampling.loader import TokenBatch, TokenLoader
from graphattn.sampling.store import TokenStore

__all__ = ["Neighborhood", "TokenBatch", "TokenLoader", "TokenStore", "sample_neighborhood"]
