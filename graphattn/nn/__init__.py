"""Layers, one class a file, importable into any PyG model."""

from graphattn.nn.allset_transformer_conv import AllSetTransformerConv
from graphattn.nn.codebook_attention import CodebookAttention
from graphattn.nn.edhnn_conv import EDHNNConv
from graphattn.nn.gin_attention import GINAttention
from graphattn.nn.gin_attention_conv import GINAttentionConv
from graphattn.nn.gin_local_attention import GINLocalAttention
from graphattn.nn.gps_layer import GPSLayer
from graphattn.nn.gps_stack import GPSStack
from graphattn.nn.hop_tokens import HopTokens
from graphattn.nn.hypergraph_attention_conv import HypergraphAttentionConv
from graphattn.nn.hypergraph_transformer_conv import HypergraphTransformerConv
from graphattn.nn.local_attention import LocalAttention
from graphattn.nn.neighborhood_encoder import NeighborhoodEncoder
from graphattn.nn.sparse_gin import SparseGIN

__all__ = [
    "AllSetTransformerConv",
    "CodebookAttention",
    "EDHNNConv",
    "GINAttention",
    "GINAttentionConv",
    "GINLocalAttention",
    "GPSLayer",
    "GPSStack",
    "HopTokens",
    "HypergraphAttentionConv",
    "HypergraphTransformerConv",
    "LocalAttention",
    "NeighborhoodEncoder",
    "SparseGIN",
]
