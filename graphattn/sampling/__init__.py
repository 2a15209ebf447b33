"""The store that tokens are drawn from, and batches of what is drawn."""

from graphattn.sampling.loader import TokenBatch, TokenLoader
from graphattn.sampling.store import TokenStore

__all__ = ["TokenBatch", "TokenLoader", "TokenStore"]
