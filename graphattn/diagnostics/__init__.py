"""Instruments: how far a model sees, measured on any function of features and edges."""

from graphattn.diagnostics.ablation import HopAblation, hop_ablation
from graphattn.diagnostics.attention_distance import LayerAttention, attention_distance
from graphattn.diagnostics.balls import hop_sets
from graphattn.diagnostics.influence import influence, total_influence
from graphattn.diagnostics.range import node_range
from graphattn.diagnostics.reading import read_influence
from graphattn.diagnostics.resistance import effective_resistance
from graphattn.diagnostics.resistance_correlation import (
    ResistanceCorrelation,
    resistance_correlation,
)
from graphattn.diagnostics.result import InfluenceResult
from graphattn.diagnostics.smoothing import LayerEnergy, layer_energy
from graphattn.diagnostics.structure import (
    StructuralInfluence,
    structural_influence,
    structure_ratio,
)

__all__ = [
    "HopAblation",
    "InfluenceResult",
    "LayerAttention",
    "LayerEnergy",
    "ResistanceCorrelation",
    "StructuralInfluence",
    "attention_distance",
    "effective_resistance",
    "hop_ablation",
    "hop_sets",
    "influence",
    "layer_energy",
    "node_range",
    "read_influence",
    "resistance_correlation",
    "structural_influence",
    "structure_ratio",
    "total_influence",
]
