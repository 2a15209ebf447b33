"""Options of the Sparse-GIN adapter, checked when they are made."""

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from graphattn.adapters.sites import Site
from graphattn.checks import check_choice, check_least
from graphattn.ops.sparse_gin import AdjacencyRule

_CHOICES = {
    "mode": ("single", "per_head"),
    "head_agg": ("sum", "mean", "max"),
    "act": ("prelu", "relu", "silu", "gelu"),
    "position": ("attention", "layer"),
    "backend": ("auto", "eager", "chunked"),
    "adjacency": ("attention", "diagonal", "shuffled"),
}


@dataclass(frozen=True)
class SparseGINConfig:
    r"""What a Sparse-GIN adapter is made of.

    Weights of attention become edges where, after aggregation over heads, they exceed
    ``threshold + log(cutoff / (1 - cutoff)) / sharpness`` (0.1405 by default): two options for one
    cut, kept because the published recipe has both.

    Args:
        hidden_dim: Channels of a message, per head for ``mode="per_head"``.
        num_layers: Rounds of messages in each layer of the model.
        mlp_ratio: Width of the update's hidden layer, as a multiple of ``hidden_dim``.
        act: "prelu", "relu", "silu" or "gelu".
        dropout: Share of channels dropped after each round in training.
        mode: "single", one graph of all heads, or "per_head".
        head_agg: "sum" (at most 1), "mean" or "max" over heads, for ``mode="single"``.
        sharpness: :math:`\kappa` of ``sigmoid(sharpness * (a - threshold))``; 0 for none.
        threshold: Weight that becomes 1/2.
        cutoff: Sharpened weights up to this one are no edges.
        self_loops: Whether a token may be its own neighbour.
        causal: "auto", edges where the attention may look, or True, only to tokens before.
        scale_init: Factor of what is added, at the start: one for all layers, or that of the first
            and the last. 0 leaves the model as it is, exactly.
        norm: "rms" or None, before that factor.
        position: "attention", after the attention, or "layer", after the whole layer.
        layers: Which layers, counted from 0; all by default.
        detach_adjacency: Whether no gradient flows into the attention weights.
        backend: "eager" reads the weights that the model computes, "chunked" has fused kernels
            compute the output and reads edges off queries and keys in chunks; "auto" takes
            "eager" where the model is set to it or caps its scores, else "chunked".
        sites: Which modules to hook, for an architecture that is not known.
        adjacency: "attention", or for comparisons "diagonal" (self loops alone: what the paper's
            released code computes) or "shuffled".
        seed: Of the shuffle.

    Raises:
        ValueError: An option is unknown, out of range, or contradicts another.

    Example:
        >>> SparseGINConfig(hidden_dim=32).effective_cut
        0.1405...
    """

    hidden_dim: int = 64
    num_layers: int = 1
    mlp_ratio: float = 1.0
    act: str = "prelu"
    dropout: float = 0.1
    mode: str = "single"
    head_agg: str = "sum"
    sharpness: float = 10.0
    threshold: float = 0.1
    cutoff: float = 0.6
    self_loops: bool = True
    causal: str | bool = "auto"
    scale_init: float | tuple[float, float] = 0.0
    norm: str | None = "rms"
    position: str = "attention"
    layers: tuple[int, ...] | None = None
    detach_adjacency: bool = True
    backend: str = "auto"
    sites: Site | None = None
    adjacency: str = "attention"
    seed: int = 0

    def __post_init__(self) -> None:
        check_least(1, hidden_dim=self.hidden_dim, num_layers=self.num_layers)
        for name, known in _CHOICES.items():
            check_choice(known, **{name: getattr(self, name)})
        if self.norm is not None:
            check_choice(("rms",), norm=self.norm)
        if self.causal not in ("auto", True):
            raise ValueError(f"causal must be 'auto' or True: got {self.causal!r}.")
        for name in ("dropout", "cutoff"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1): got {name}={getattr(self, name)}.")
        if self.mlp_ratio <= 0:
            raise ValueError(f"mlp_ratio must be above 0: got mlp_ratio={self.mlp_ratio}.")
        if self.sharpness < 0:
            raise ValueError(f"sharpness must be at least 0: got sharpness={self.sharpness}.")
        if self.mode == "per_head" and self.head_agg != "sum":
            raise ValueError(f'head_agg is of mode="single": got {self.head_agg!r} with per_head.')
        if self.adjacency == "diagonal" and not self.self_loops:
            raise ValueError('adjacency="diagonal" needs self_loops=True: got self_loops=False.')
        if isinstance(self.scale_init, tuple) and len(self.scale_init) != 2:
            raise ValueError(
                f"scale_init must be one number, or that of the first and the last layer: got "
                f"{self.scale_init}."
            )

    @property
    def effective_cut(self) -> float:
        """Aggregated weight above which there is an edge."""
        if self.sharpness == 0:
            return self.cutoff
        if self.cutoff == 0:
            return -math.inf
        return self.threshold + math.log(self.cutoff / (1 - self.cutoff)) / self.sharpness

    @property
    def rule(self) -> AdjacencyRule:
        """How attention weights become edges."""
        return AdjacencyRule(
            head_agg="each" if self.mode == "per_head" else self.head_agg,
            sharpness=self.sharpness,
            threshold=self.threshold,
            cutoff=self.cutoff,
            self_loops=self.self_loops,
            causal=self.causal is True,
            pattern=self.adjacency,
            seed=self.seed,
        )

    def scale_of(self, index: int, count: int) -> float:
        """Give the first scale of a layer.

        Args:
            index: The layer, counted from 0 among those with an adapter.
            count: How many have one.

        Returns:
            The scale, linear in depth.
        """
        if not isinstance(self.scale_init, tuple):
            return self.scale_init
        first, last = self.scale_init
        return first + (last - first) * index / max(1, count - 1)

    def to_dict(self) -> dict[str, Any]:
        """Give all options as JSON can hold them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, options: dict[str, Any]) -> "SparseGINConfig":
        """Make options from :meth:`to_dict`, after JSON.

        Raises:
            ValueError: An option is unknown or wrong.
        """
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(options) - known):
            raise ValueError(
                f"options of SparseGINConfig must be some of {', '.join(sorted(known))}: got "
                f"{', '.join(unknown)}."
            )
        options = dict(options)
        for name in ("layers", "scale_init"):
            if isinstance(options.get(name), list):
                options[name] = tuple(options[name])
        if isinstance(options.get("sites"), dict):
            options["sites"] = Site(**options["sites"])
        return cls(**options)
