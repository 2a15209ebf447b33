"""Layers, one class a file, importable into any PyG model."""

from graphattn.nn.codebook_attention import CodebookAttention
from graphattn.nn.gin_attention import GINAttention
from graphattn.nn.gin_attention_conv import GINAttentionConv
from graphattn.nn.gin_local_attention import GINLocalAttention
from graphattn.nn.gps_layer import GPSLayer
from graphattn.nn.gps_stack import GPSStack
from graphattn.nn.hop_tokens import HopTokens
from graphattn.nn.local_attention import LocalAttention
from graphattn.nn.neighborhood_encoder import NeighborhoodEncoder

__all__ = [
    "CodebookAttention",
    "GINAttention",
    "GINAttentionConv",
    "GINLocalAttention",
    "GPSLayer",
    "GPSStack",
    "HopTokens",
    "LocalAttention",
    "NeighborhoodEncoder",
]
