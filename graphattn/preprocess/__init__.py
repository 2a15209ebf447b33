"""Token stores and token tables made by many workers: of this machine, or of a Ray cluster."""

from typing import TYPE_CHECKING

from graphattn.lazy import lazy

if TYPE_CHECKING:
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

_HOMES = {  # imported when first asked for: a worker needs its task alone
    "DrawnTokens": "drawn_tokens",
    "Engine": "engine",
    "LocalEngine": "local_engine",
    "RayEngine": "ray_engine",
    "WorkerLost": "engine",
    "build_store": "features",
    "draw_tokens": "draw",
}

__getattr__, __dir__ = lazy("graphattn.preprocess", _HOMES)
