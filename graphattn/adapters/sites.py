"""Where in a layer of a transformer an adapter reads the residual stream and writes to it."""

from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Site:
    """Names of the modules of a layer that an adapter hooks, relative to the layer.

    Args:
        attn: The attention; it returns its output and the weights.
        norm: The norm whose input is the residual stream; None where the output of ``insert``
            contains the residual already.
        insert: The module to whose output is added.
        layers: Path of the list of layers in the model; found by the other names by default.

    Example:
        >>> Site(attn="self_attn", norm="input_layernorm", insert="self_attn").insert
        'self_attn'
    """

    attn: str
    norm: str | None
    insert: str
    layers: str | None = None


# After the attention, and after the feed-forward network.
_DECODER = (
    Site("self_attn", "input_layernorm", "self_attn"),
    Site("self_attn", "post_attention_layernorm", "mlp"),
)
_SANDWICH = (  # a norm after each block, too
    Site("self_attn", "input_layernorm", "post_attention_layernorm"),
    Site("self_attn", "pre_feedforward_layernorm", "post_feedforward_layernorm"),
)
_BERT = (Site("attention", None, "attention"), Site("attention", None, "output"))
_SITES: dict[str, tuple[Site, Site | None]] = {
    "bert": _BERT,
    "gemma2": _SANDWICH,
    "gemma3_text": _SANDWICH,
    "gpt2": (Site("attn", "ln_1", "attn"), Site("attn", "ln_2", "mlp")),
    "llama": _DECODER,
    "mistral": _DECODER,
    "modernbert": (Site("attn", "attn_norm", "attn"), Site("attn", "mlp_norm", "mlp")),
    "phi": (_DECODER[0], None),  # its feed-forward network stands beside the attention
    "qwen2": _DECODER,
    "qwen3": _DECODER,
    "roberta": _BERT,
}


def text_config(model: nn.Module) -> Any:
    """Gives the configuration of a model's language part.

    Raises:
        TypeError: The model has none.

    Example:
        >>> text_config(nn.Linear(1, 1))
        Traceback (most recent call last):
        ...
        TypeError: model must be a Hugging Face model, which has a config: got Linear.
    """
    config: Any = getattr(model, "config", None)
    if not hasattr(config, "hidden_size"):
        inner = getattr(config, "get_text_config", None)
        config = None if inner is None else inner()
    if config is None:
        kind = type(model).__name__
        raise TypeError(f"model must be a Hugging Face model, which has a config: got {kind}.")
    return config


def find_site(model_type: str, position: str) -> Site:
    """Gives the site of a known architecture.

    Args:
        model_type: ``config.model_type`` of the model.
        position: "attention" or "layer".

    Returns:
        The site.

    Raises:
        ValueError: The architecture is unknown, or has no such place.

    Example:
        >>> find_site("gpt2", "attention").norm
        'ln_1'
    """
    if model_type not in _SITES:
        raise ValueError(
            f"no sites are known for the architecture {model_type!r}: known are "
            f"{', '.join(_SITES)}; "
            'for others name the modules of a layer, sites=Site(attn="self_attn", '
            'norm="input_layernorm", insert="self_attn").'
        )
    site = _SITES[model_type][position == "layer"]
    if site is None:
        raise ValueError(
            f'position="layer" needs attention and feed-forward one after the other: got '
            f'{model_type!r}, where they stand side by side; right would be position="attention".'
        )
    return site


def find_layers(model: nn.Module, site: Site) -> list[tuple[str, nn.Module]]:
    """Finds the layers that have all modules of a site.

    Args:
        model: The whole model.
        site: Names of modules.

    Returns:
        Paths and layers, from the first to the last.

    Raises:
        ValueError: There is no list of such layers, or more than one.

    Example:
        >>> model = nn.ModuleDict({"blocks": nn.ModuleList([nn.ModuleDict({"a": nn.Identity()})])})
        >>> [path for path, _ in find_layers(model, Site("a", None, "a"))]
        ['blocks.0']
    """
    names = [name for name in (site.attn, site.norm, site.insert) if name is not None]
    if site.layers is not None:
        lists = {path: module for path, module in model.named_modules() if path == site.layers}
    else:
        lists = {
            path: module
            for path, module in model.named_modules()
            if isinstance(module, nn.ModuleList) and len(module) and _has(module[0], names)
        }
    if len(lists) != 1:
        raise ValueError(
            f"sites must name modules of the layers of one list: got {', '.join(names)}, which "
            f"{len(lists)} lists have ({', '.join(lists) or 'none'}); name it, "
            'sites=Site(..., layers="model.layers").'
        )
    path, found = next(iter(lists.items()))
    for name, layer in found.named_children():
        if not _has(layer, names):
            raise ValueError(
                f"sites must name modules of each layer: got {', '.join(names)}, which are not "
                f"all in {path}.{name}."
            )
    return [(f"{path}.{name}", layer) for name, layer in found.named_children()]


def _has(layer: nn.Module, names: list[str]) -> bool:
    inside = {path for path, _ in layer.named_modules()}
    return all(name in inside for name in names)
