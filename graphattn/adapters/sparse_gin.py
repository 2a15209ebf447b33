"""Fine-tuning of a frozen Hugging Face model by messages along the graph of its own attention."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import nn

from graphattn.adapters.adapter_files import read_adapter, write_adapter
from graphattn.adapters.attention_backend import NAME, register
from graphattn.adapters.hooked_layer import MODULE, HookedLayer, Switch
from graphattn.adapters.sites import find_layers, find_site, text_config
from graphattn.adapters.sparse_gin_config import SparseGINConfig
from graphattn.nn.sparse_gin import SparseGIN
from graphattn.ops.sparse_gin import TokenEdges

_logger = logging.getLogger(__name__)


class SparseGINAdapter:
    r"""Puts a small :class:`~graphattn.nn.SparseGIN` into each layer of a frozen model.

    The weights with which a layer attends, summed over heads, sharpened and cut, are the edges
    along which its tokens send each other messages; what arrives is added to the residual stream
    after the attention, :math:`u' = u + s\,\mathrm{RMSNorm}(\mathrm{GIN}(u, \tilde A))`. With
    ``scale_init=0`` the model is at first exactly what it was.

    Decoding with a cache, gradient checkpoints and padding work as in the model itself. What is
    added depends on the input, so that it cannot be merged into the weights. With LoRA: attach,
    then ``peft.get_peft_model(model, LoraConfig(..., modules_to_save=["sparse_gin"]))``.

    Source: https://arxiv.org/abs/2501.02393 (Sparse-GIN). As released it sends no messages
    between tokens; ``adjacency="diagonal"`` is that, for comparison.

    Use :meth:`attach` or :meth:`from_pretrained`.

    Example:
        >>> from transformers import LlamaConfig, LlamaForCausalLM
        >>> sizes = {"hidden_size": 32, "intermediate_size": 32, "vocab_size": 50}
        >>> heads = {"num_hidden_layers": 2, "num_attention_heads": 4}
        >>> model = LlamaForCausalLM(LlamaConfig(**sizes, **heads))
        >>> adapter = SparseGINAdapter.attach(model, SparseGINConfig(hidden_dim=8))
        >>> sum(p.numel() for p in adapter.trainable_parameters())
        1462
        >>> with adapter.recording():
        ...     _ = model(torch.arange(10)[None])
        >>> adapter.edges(0).size
        (1, 1, 10, 10)
        >>> adapter.detach()
    """

    def __init__(
        self,
        model: nn.Module,
        config: SparseGINConfig,
        layers: list[HookedLayer],
        switch: Switch,
        attention: str | dict[str, str] | None,
        trained: list[nn.Parameter],
    ) -> None:
        self.model, self.config, self.layers = model, config, layers
        self._switch, self._attention, self._trained = switch, attention, trained

    @classmethod
    def attach(cls, model: nn.Module, config: SparseGINConfig | None = None) -> "SparseGINAdapter":
        """Freezes a model and puts the adapter into it.

        Args:
            model: A Hugging Face model; all its parameters stop being trained. Turn those of a new
                head on again afterwards.
            config: Options.

        Returns:
            The adapter, from which all else is done.

        Raises:
            ValueError: The architecture is unknown and ``config.sites`` is not given, there are
                no such layers, or there is an adapter already.
            TypeError: The model is none of Hugging Face.
            ImportError: transformers is needed and not installed.
        """
        config = SparseGINConfig() if config is None else config
        about = text_config(model)
        if hasattr(model, "peft_config"):
            raise ValueError("attach() must come before get_peft_model(): got a peft model.")
        if any(name.rpartition(".")[2] == MODULE for name, _ in model.named_modules()):
            raise ValueError("model must have no Sparse-GIN adapter: got one; detach() it first.")
        site = config.sites or find_site(about.model_type, config.position)
        found = find_layers(model, site)
        chosen = range(len(found)) if config.layers is None else config.layers
        if not chosen or min(chosen) < 0 or max(chosen) >= len(found):
            raise ValueError(
                f"layers must be some of 0 to {len(found) - 1}: got {', '.join(map(str, chosen))}."
            )
        modules = [
            _make(config, about, found[number][1], config.scale_of(place, len(chosen)))
            for place, number in enumerate(chosen)
        ]
        attention, eager = _set_attention(model, config, about)  # the last that may fail
        switch = Switch(eager=eager)
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        model.requires_grad_(False)
        layers = [
            HookedLayer(
                *found[number],
                site,
                module,
                rule=config.rule._replace(seed=config.seed + number),
                detach=config.detach_adjacency,
                index=number,
                switch=switch,
            )
            for number, module in zip(chosen, modules, strict=True)
        ]
        return cls(model, config, layers, switch, attention, trained)

    @classmethod
    def from_pretrained(cls, model: nn.Module, folder: str | Path) -> "SparseGINAdapter":
        """Attaches an adapter that was saved.

        Args:
            model: The base model it was trained on.
            folder: Where :meth:`save_pretrained` wrote.

        Returns:
            The adapter, bit by bit as it was.

        Raises:
            ValueError: Files are missing, torn, or of an adapter of another model.
        """
        options, weights = read_adapter(Path(folder))
        adapter = cls.attach(model, SparseGINConfig.from_dict(options))
        own = {name: tensor.shape for name, tensor in adapter._weights().items()}
        if own != {name: tensor.shape for name, tensor in weights.items()}:
            adapter.detach()
            name = next(n for n in sorted(own | weights) if own.get(n) != _shape(weights.get(n)))
            raise ValueError(
                f"{folder} must hold the weights of an adapter of this model: got {name} of shape "
                f"{_shape(weights.get(name))}, where the model has {own.get(name)}."
            )
        with torch.no_grad():
            for name, tensor in adapter._weights().items():
                tensor.copy_(weights[name])
        return adapter

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes the adapter alone: ``adapter_config.json`` and ``adapter_model.safetensors``.

        Args:
            folder: Made if it is missing.
        """
        base = getattr(self.model.config, "name_or_path", None) or None
        write_adapter(Path(folder), self.config.to_dict(), self._weights(), base=base)

    def trainable_parameters(self) -> list[nn.Parameter]:
        """Gives the adapter's parameters (peft's copies of them, where it has made some)."""
        return [parameter for layer in self.layers for parameter in layer.trained().parameters()]

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """Lets the model be what it was, as long as the context lasts."""
        before, self._switch.enabled = self._switch.enabled, False
        try:
            yield
        finally:
            self._switch.enabled = before

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Keeps the edges of each pass within the context, for :meth:`edges`."""
        before, self._switch.recording = self._switch.recording, True
        try:
            yield
        finally:
            self._switch.recording = before

    def edges(self, layer: int) -> TokenEdges:
        """Gives the edges of the last pass that was recorded.

        Args:
            layer: Number of the layer in the model, counted from 0.

        Returns:
            For each edge its sample, target, source, and weight.

        Raises:
            ValueError: The layer has no adapter.
            RuntimeError: No pass was recorded.
        """
        by_number = {hooked.index: hooked for hooked in self.layers}
        if layer not in by_number:
            known = ", ".join(map(str, by_number))
            raise ValueError(f"layer must be one with an adapter ({known}): got {layer}.")
        found = by_number[layer].edges
        if found is None:
            raise RuntimeError(
                "edges are kept where asked for: got no pass of the model inside "
                "`with adapter.recording():`."
            )
        return found

    def density(self) -> list[float]:
        """Gives for each layer the share of pairs (query, key) that are edges, as recorded."""
        shares = []
        for hooked in self.layers:
            found = self.edges(hooked.index)
            batch, groups, queries, keys = found.size
            shares.append(found.weight.numel() / max(1, batch * groups * queries * keys))
        return shares

    def detach(self) -> None:
        """Takes the adapter out: the model is bit by bit what it was before."""
        for hooked in self.layers:
            hooked.remove()
        if self._attention is not None:
            self.model.set_attn_implementation(self._attention)  # type: ignore[operator]
        for parameter in self._trained:
            parameter.requires_grad_(True)
        self.layers = []

    def merge(self) -> NoReturn:
        """Raises: what is added depends on the input.

        Raises:
            TypeError: Always.
        """
        raise TypeError(
            "a Sparse-GIN adapter cannot be merged into weights, because what it adds depends on "
            "the input: keep it attached, or detach() it."
        )

    def _weights(self) -> dict[str, torch.Tensor]:
        return {
            f"{hooked.path}.{MODULE}.{name}": tensor
            for hooked in self.layers
            for name, tensor in hooked.trained().state_dict().items()
        }


def _shape(tensor: torch.Tensor | None) -> torch.Size | None:
    return None if tensor is None else tensor.shape


def _make(config: SparseGINConfig, about: Any, layer: nn.Module, scale: float) -> SparseGIN:
    """Makes the module of a layer, of its type, on its device and in its mode."""
    module = SparseGIN(
        about.hidden_size,
        config.hidden_dim,
        heads=about.num_attention_heads if config.mode == "per_head" else 1,
        num_layers=config.num_layers,
        mlp_ratio=config.mlp_ratio,
        act=config.act,
        dropout=config.dropout,
        norm=config.norm,
        scale=scale,
    )
    like = next(p for p in layer.parameters() if p.is_floating_point())
    return module.to(device=like.device, dtype=like.dtype).train(layer.training)


def _set_attention(
    model: nn.Module, config: SparseGINConfig, about: Any
) -> tuple[str | dict[str, str] | None, bool]:
    """Sets how the model attends; gives what it was, and whether weights are read as computed."""
    top: Any = model.config
    before: str = getattr(about, "_attn_implementation", "eager")
    can_set = hasattr(model, "set_attn_implementation")
    capped = getattr(about, "attn_logit_softcapping", None) is not None
    eager = config.backend == "eager"
    if config.backend == "auto":
        eager = before == "eager" or capped or not can_set
    if not eager and capped:
        raise ValueError(
            'backend="chunked" needs scores that are not capped: got attn_logit_softcapping='
            f'{about.attn_logit_softcapping}; right would be backend="eager".'
        )
    dropped = getattr(about, "attention_dropout", None) or getattr(
        about, "attention_probs_dropout_prob", getattr(about, "attn_pdrop", 0.0)
    )
    if eager and dropped:
        _logger.warning('backend="eager" reads weights after dropout (%g) in training.', dropped)
    wanted = "eager" if eager else NAME
    if before == wanted or not can_set:
        return None, eager
    if not eager:
        register()
    attention: str | dict[str, str] = top._attn_implementation
    if parts := getattr(top, "sub_configs", None):
        kept = {name: getattr(top, name)._attn_implementation for name in parts}
        attention = {"": top._attn_implementation, **kept}
    model.set_attn_implementation(wanted)  # type: ignore[operator]
    return attention, eager
