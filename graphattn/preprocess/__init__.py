"""Token stores and token tables made by many workers: of this machine, or of a Ray cluster."""

from graphattn.preprocess.draw import draw_tokens
from graphattn.preprocess.drawn_tokens import DrawnTokens
from graphattn.preprocess.engine import Engine, WorkerLost
from graphattn.preprocess.features import build_store
from graphattn.preprocess.local_engine import LocalEngine
from graphattn.preprocess.ray_engine import RayEngine

__all__ = [
    "DrawnTokens",
    "Engine",
    "LocalEngine",
    "RayEngine",
    "WorkerLost",
    "build_store",
    "draw_tokens",
]
