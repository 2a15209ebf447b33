"""Whole networks, one paper a file, made of layers; they take tensors and give logits."""

from graphattn.models.allset_transformer import AllSetTransformer
from graphattn.models.edhnn import EDHNN
from graphattn.models.gcnii import GCNII
from graphattn.models.gin_transformer import GINTransformer
from graphattn.models.gnn import GNN
from graphattn.models.hcha import HCHA
from graphattn.models.hypergraph_transformer import HypergraphTransformer
from graphattn.models.largegt import LargeGT
from graphattn.models.meta_hgnie import MetaHGNIE
from graphattn.models.mlp import MLP
from graphattn.models.polynormer import Polynormer
from graphattn.models.sgformer import SGFormer
from graphattn.models.token_model import TokenModel

__all__ = [
    "EDHNN",
    "GCNII",
    "GNN",
    "HCHA",
    "MLP",
    "AllSetTransformer",
    "GINTransformer",
    "HypergraphTransformer",
    "LargeGT",
    "MetaHGNIE",
    "Polynormer",
    "SGFormer",
    "TokenModel",
]
