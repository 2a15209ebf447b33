"""Functions that return PyG ``Data``: bundled, synthetic, and the uniform ``.npz``; and splits."""

from graphattn.datasets.bundled import digits, karate
from graphattn.datasets.features import fill_missing, normalize_rows, standardize
from graphattn.datasets.hypergraphs import (
    knowledge_graph,
    load_hypergraph,
    named_hypergraph,
    southern_women,
)
from graphattn.datasets.metapath_hypergraph import MetaPathHypergraph
from graphattn.datasets.npz import load_npz, named
from graphattn.datasets.relation_signature import RelationSignatureHypergraph
from graphattn.datasets.splits import Split, random_split, splits
from graphattn.datasets.synthetic import barbell, grid, ring, stochastic_block_model
from graphattn.datasets.text_features import embedded_text, hashed_text
from graphattn.datasets.validation import check_data

__all__ = [
    "MetaPathHypergraph",
    "RelationSignatureHypergraph",
    "Split",
    "barbell",
    "check_data",
    "digits",
    "embedded_text",
    "fill_missing",
    "grid",
    "hashed_text",
    "karate",
    "knowledge_graph",
    "load_hypergraph",
    "load_npz",
    "named",
    "named_hypergraph",
    "normalize_rows",
    "random_split",
    "ring",
    "southern_women",
    "splits",
    "standardize",
    "stochastic_block_model",
]
