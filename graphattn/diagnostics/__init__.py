"""Instruments: how far a model sees, measured on any function of features and edges."""

from graphattn.diagnostics.balls import hop_sets
from graphattn.diagnostics.influence import influence, total_influence
from graphattn.diagnostics.result import InfluenceResult

__all__ = ["InfluenceResult", "hop_sets", "influence", "total_influence"]
