"""Functions that return PyG ``Data``: bundled, synthetic, and the uniform ``.npz``; and splits."""

from graphattn.datasets.bundled import digits, karate
from graphattn.datasets.features import fill_missing, normalize_rows, standardize
from graphattn.datasets.npz import load_npz, named
from graphattn.datasets.splits import Split, random_split, splits
from graphattn.datasets.synthetic import barbell, grid, ring, stochastic_block_model
from graphattn.datasets.validation import check_data

__all__ = [
    "Split",
    "barbell",
    "check_data",
    "digits",
    "fill_missing",
    "grid",
    "karate",
    "load_npz",
    "named",
    "normalize_rows",
    "random_split",
    "ring",
    "splits",
    "standardize",
    "stochastic_block_model",
]
