"""One layer of a frozen transformer with a Sparse-GIN module in it, held by forward hooks."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from graphattn.adapters.attention_backend import READER
from graphattn.adapters.sites import Site
from graphattn.adapters.z_cache import ZCache
from graphattn.nn.sparse_gin import SparseGIN
from graphattn.ops.sparse_gin import AdjacencyRule, TokenEdges, to_edges, weights_to_adjacency

MODULE = "sparse_gin"
"""Name of the module in a layer."""


@dataclass
class Switch:
    """What all layers of one adapter share: what is on."""

    eager: bool
    enabled: bool = True
    recording: bool = False


class HookedLayer:
    """Adds what a layer's Sparse-GIN module finds to its residual stream.

    The module is looked up at each call, so that what wraps it (peft) is called, too. The residual
    is taken inside the layer: hooks of the layer itself run outside gradient checkpoints.

    Args:
        path: Path of the layer in the model.
        layer: The layer.
        site: Which of its modules to hook.
        module: Put into the layer.
        rule: What becomes an edge.
        detach: Whether edges carry no gradient.
        index: Number of the layer.
        switch: Of the adapter.
    """

    def __init__(
        self,
        path: str,
        layer: nn.Module,
        site: Site,
        module: SparseGIN,
        *,
        rule: AdjacencyRule,
        detach: bool,
        index: int,
        switch: Switch,
    ) -> None:
        self.path, self.layer, self.site, self.index = path, layer, site, index
        self.rule, self.detach, self.switch = rule, detach, switch
        self.edges: TokenEdges | None = None
        self._residual: Tensor | None = None
        self._graph: Tensor | TokenEdges | None = None
        self._rounds: list[Tensor] | None = None
        layer.add_module(MODULE, module)
        attn, insert = layer.get_submodule(site.attn), layer.get_submodule(site.insert)
        self._readers = list(attn.modules())  # the attention function may see one inside
        for part in self._readers:
            setattr(part, READER, self)
        self._handles: list[RemovableHandle] = [
            attn.register_forward_hook(self._after_attention, with_kwargs=True)
        ]
        if site.norm is not None:
            norm = layer.get_submodule(site.norm)
            self._handles.append(norm.register_forward_pre_hook(self._keep, with_kwargs=True))
        if insert is not attn:
            self._handles.append(insert.register_forward_hook(self._after_insert))

    @property
    def enabled(self) -> bool:
        """Whether the adapter is on."""
        return self.switch.enabled

    def trained(self) -> nn.Module:
        """Give the module whose weights count: peft's copy, where it has made one."""
        module = self.layer.get_submodule(MODULE)
        copies = getattr(module, "modules_to_save", None)
        if not isinstance(copies, nn.ModuleDict):
            return module
        active: Any = getattr(module, "active_adapter", None)
        active = active[0] if isinstance(active, list) else active
        return copies[active]

    def remove(self) -> None:
        """Take the hooks and the module out of the layer."""
        for handle in self._handles:
            handle.remove()
        for part in self._readers:
            delattr(part, READER)
        delattr(self.layer, MODULE)

    def _keep(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self.enabled:
            self._residual = args[0] if args else next(iter(kwargs.values()))

    def _after_attention(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> Any:
        if not self.enabled:
            return None
        out, found = output[0], output[1]
        if found is None:
            raise RuntimeError(
                f"Sparse-GIN needs the graph of {self.path}.{self.site.attn}: got none, because "
                "the model's attention implementation was changed after attach(); detach() and "
                "attach() again."
            )
        self._graph = self._read(found, args, kwargs) if self.switch.eager else found
        if self.switch.recording:
            graph = self._graph
            self.edges = to_edges(graph) if isinstance(graph, Tensor) else graph
        self._rounds = self._past(module, args, kwargs, out.size(1))
        weights = found if self.switch.eager else None
        out = self._add(out) if self.site.insert == self.site.attn else out
        return (out, weights, *output[2:])

    def _after_insert(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        if not self.enabled:
            return None
        if isinstance(output, tuple):
            return (self._add(output[0]), *output[1:])
        return self._add(output)

    def _add(self, out: Tensor) -> Tensor:
        residual, graph, rounds = self._residual, self._graph, self._rounds
        self._residual = self._graph = self._rounds = None  # nothing outlives the layer's pass
        u = out if residual is None else residual + out
        return out + self.layer.get_submodule(MODULE)(u, graph, rounds).to(out.dtype)

    def _read(self, weights: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        mask = kwargs.get("attention_mask")
        if mask is None:  # or by its place: the only tensor of four dimensions
            mask = next((a for a in args if isinstance(a, Tensor) and a.dim() == 4), None)
        visible = None
        if mask is not None and mask.dim() == 4:
            mask = mask[..., : weights.size(3)]
            lowest = None if mask.dtype == torch.bool else torch.finfo(mask.dtype).min / 2
            visible = mask if lowest is None else mask > lowest
            visible = visible.any(dim=1, keepdim=True)
        weights = weights.detach() if self.detach else weights
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.detach):
            return weights_to_adjacency(weights.float(), self.rule, visible=visible)

    def _past(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], queries: int
    ) -> list[Tensor] | None:
        cache = kwargs.get("past_key_values")
        if cache is None:
            cache = next((a for a in args if hasattr(a, "get_seq_length")), None)
        if cache is None:
            return None
        numbers: Iterator[Any] = (getattr(part, "layer_idx", None) for part in module.modules())
        layer_idx = next((number for number in numbers if number is not None), self.index)
        return ZCache.of(cache).rounds(self.index, layer_idx, queries)
