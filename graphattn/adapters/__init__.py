"""What binds the library's layers to somebody else's model: Sparse-GIN in Hugging Face models."""

from graphattn.adapters.sites import Site
from graphattn.adapters.sparse_gin import SparseGINAdapter
from graphattn.adapters.sparse_gin_config import SparseGINConfig

__all__ = ["Site", "SparseGINAdapter", "SparseGINConfig"]
