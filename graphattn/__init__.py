"""Node-level learning with attention on large graphs, and honest measurement of how far it sees."""

from typing import TYPE_CHECKING

from graphattn.lazy import lazy

if TYPE_CHECKING:
    from graphattn.config import RunConfig
    from graphattn.estimator import NodeClassifier
    from graphattn.experiment import run_experiment
    from graphattn.graph import CSRGraph
    from graphattn.hypergraph import Incidence
    from graphattn.models.largegt import LargeGT
    from graphattn.nn.codebook_attention import CodebookAttention
    from graphattn.nn.hop_tokens import HopTokens
    from graphattn.nn.local_attention import LocalAttention
    from graphattn.ops.neighborhood import sample_neighborhood
    from graphattn.ops.positions import positions
    from graphattn.ops.propagate import propagate
    from graphattn.sampling.loader import TokenBatch, TokenLoader
    from graphattn.sampling.store import TokenStore
    from graphattn.training.fitting import fit
    from graphattn.training.options import FitOptions, TokenOptions

__version__ = "0.1.0"

__all__ = [
    "CSRGraph",
    "CodebookAttention",
    "FitOptions",
    "HopTokens",
    "Incidence",
    "LargeGT",
    "LocalAttention",
    "NodeClassifier",
    "RunConfig",
    "TokenBatch",
    "TokenLoader",
    "TokenOptions",
    "TokenStore",
    "fit",
    "positions",
    "propagate",
    "run_experiment",
    "sample_neighborhood",
]

# Where each name lives: imported when it is first asked for, so that `import graphattn` is quick.
_HOMES = {
    "CSRGraph": "graph",
    "CodebookAttention": "nn.codebook_attention",
    "FitOptions": "training.options",
    "HopTokens": "nn.hop_tokens",
    "Incidence": "hypergraph",
    "LargeGT": "models.largegt",
    "LocalAttention": "nn.local_attention",
    "NodeClassifier": "estimator",
    "RunConfig": "config",
    "TokenBatch": "sampling.loader",
    "TokenLoader": "sampling.loader",
    "TokenOptions": "training.options",
    "TokenStore": "sampling.store",
    "fit": "training.fitting",
    "positions": "ops.positions",
    "propagate": "ops.propagate",
    "run_experiment": "experiment",
    "sample_neighborhood": "ops.neighborhood",
}

__getattr__, __dir__ = lazy("graphattn", _HOMES)
