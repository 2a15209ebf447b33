"""An attention function for Hugging Face models that returns, in place of the weights, the graph
read off queries and keys; fused kernels compute the output.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

from torch import Tensor, nn

from graphattn.ops.sparse_gin import AdjacencyRule, TokenEdges, attention_adjacency

NAME = "graphattn_sparse_gin"
"""By which the function is registered."""
READER = "sparse_gin_reader"
"""Attribute of an attention module that says how its graph is read."""

_EDGES_FROM = 4096  # keys, from which edges are listed: the matrix would be larger than the rest


class Reader(Protocol):
    """Says how, and whether, a graph is read off an attention module."""

    rule: AdjacencyRule
    detach: bool

    @property
    def enabled(self) -> bool:
        """Whether the graph is wanted."""
        ...


def register() -> None:
    """Registers the attention function and its mask with transformers; again does nothing new.

    Raises:
        ImportError: transformers is not installed.
    """
    try:
        transformers = import_module("transformers")
        masking: Any = import_module("transformers.masking_utils")
    except ImportError as error:
        raise ImportError(
            'backend="chunked" needs transformers 5, which is not installed: '
            "pip install 'graphattn[hf]'"
        ) from error
    fused = transformers.AttentionInterface()["sdpa"]
    transformers.AttentionInterface.register(NAME, _attention(fused))
    transformers.AttentionMaskInterface.register(NAME, masking.sdpa_mask)


def _attention(fused: Callable[..., tuple[Tensor, None]]) -> Callable[..., Any]:
    def attend(
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        **options: Any,
    ) -> tuple[Tensor, Tensor | TokenEdges | None]:
        """Attend by fused kernels, and read the graph where an adapter wants it."""
        out, _ = fused(module, query, key, value, attention_mask, **options)
        reader: Reader | None = getattr(module, READER, None)
        if reader is None or not reader.enabled:
            return out, None
        is_causal = options.get("is_causal")
        is_causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
        adjacency = attention_adjacency(
            query,
            key,
            reader.rule,
            scaling=options.get("scaling"),
            mask=attention_mask,
            is_causal=bool(is_causal) and query.size(2) > 1,  # as in the fused kernels
            detach=reader.detach,
            as_edges=reader.detach and key.size(2) >= _EDGES_FROM,
        )
        return out, adjacency

    return attend
