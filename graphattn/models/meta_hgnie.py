"""MetaHGNIE: how important a node of a knowledge graph is, from structure and from text."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from graphattn.checks import check_choice, check_least
from graphattn.hypergraph import Incidence
from graphattn.nn.hypergraph_transformer_conv import HypergraphTransformerConv
from graphattn.nn.scalar_propagation import ScalarPropagation, make_mlp
from graphattn.nn.score_fusion import ScoreFusion
from graphattn.ops.contrast import contrast


class NodeScores(NamedTuple):
    """What MetaHGNIE says of the nodes; None of a channel that is off.

    Attributes:
        score: The importance, ``[nodes]``.
        struct: By the structural channel alone, ``[nodes]``.
        text: By the semantic channel alone, ``[nodes]``.
        z_struct: What the former is a linear map of, ``[nodes, channels]``.
        z_text: What the latter is.

    Example:
        >>> NodeScores(torch.zeros(2), None, torch.zeros(2), None, torch.zeros(2, 4)).score.shape
        torch.Size([2])
    """

    score: Tensor
    struct: Tensor | None
    text: Tensor | None
    z_struct: Tensor | None
    z_text: Tensor | None


class MetaHGNIE(nn.Module):
    r"""Scores nodes by two channels over typed hyperedges, which share one embedding of the types.

    The structural channel projects its features in ``heads`` MLPs side by side and passes scalars
    along hyperedges, as GENI does along edges; between its layers their mean goes on:

    .. math::
        h^0 = \big\Vert_k \mathrm{MLP}_k(x_s), \qquad
        h^{l+1} = \mathrm{HypergraphAttentionConv}(\bar h^l, r), \qquad y_s = w_s^\top h^L + b_s

    The semantic channel is a stack of transformer layers: :math:`y_t = w_t^\top
    \mathrm{HypergraphTransformerConv}^L(x_t, r) + b_t`. Both scalars are fused into one.

    Source: https://arxiv.org/abs/2512.12477, with the released code as the authority; what it
    accepts and ignores (attention dropout, centrality) works here, and hyperedges are meant to
    overlap, so that nodes take their mean by default.

    Args:
        struct_channels: Structural features of a node; None: no such channel.
        text_channels: Features of a node's text; None: no such channel.
        num_types: Types of hyperedges; None: they have none.
        hidden_channels: Width of a head.
        heads: Heads of both channels, and MLPs of the structural one.
        num_layers: Layers of each channel.
        type_dim: Channels of a type's embedding.
        dropout: Share of features dropped, in [0, 1).
        attn_dropout: Share of the attention dropped, in [0, 1).
        aggr: How nodes gather hyperedges in the structural channel: "mean", or "sum" as released.
        fusion: "adaptive": :math:`\eta y_s + (1 - \eta) y_t` with :math:`\eta` learnt; "fixed": not
            learnt; "gate": :math:`g = \sigma(u_s + u_t)` of linear maps of both weighs those;
            "attention": their softmax weighs the scores; "concat": ReLU of a linear map of both.
        eta: :math:`\eta` at the start.
        channels: "both", or "struct" or "text" to do without the other, whatever is given of it.
        centrality: Whether to scale each score by its node's degree as GENI does, to
            :math:`\mathrm{ReLU}((\gamma \log(d + 1) + \beta)\, y)`, both learnt.
        chunk_size: Incidences in a block; any gives the same. None chooses.

    Attributes:
        takes_hypergraph: It is called with an ``Incidence``.
        takes_text: It is called with second features.

    Raises:
        ValueError: An option is unknown or out of range, or both channels are off.

    Example:
        >>> model = MetaHGNIE(4, 6, 2, hidden_channels=3, heads=2)
        >>> hypergraph = Incidence.from_lists([[0, 1, 2], [2, 3]])
        >>> types = torch.tensor([0, 1])
        >>> model(torch.zeros(4, 4), torch.zeros(4, 6), hypergraph, types).score.shape
        torch.Size([4])
    """

    takes_hypergraph: bool = True
    takes_text: bool = True

    def __init__(
        self,
        struct_channels: int | None,
        text_channels: int | None,
        num_types: int | None,
        hidden_channels: int = 20,
        heads: int = 4,
        num_layers: int = 2,
        type_dim: int = 10,
        *,
        dropout: float = 0.2,
        attn_dropout: float = 0.3,
        aggr: str = "mean",
        fusion: str = "adaptive",
        eta: float = 0.2,
        channels: str = "both",
        centrality: bool = False,
        chunk_size: int | None = None,
    ) -> None:
        super().__init__()
        check_choice(("both", "struct", "text"), channels=channels)
        struct_channels = None if channels == "text" else struct_channels
        text_channels = None if channels == "struct" else text_channels
        check_least(1, num_layers=num_layers, heads=heads, hidden_channels=hidden_channels)
        check_least(1, num_types=1 if num_types is None else num_types, type_dim=type_dim)
        if struct_channels is None and text_channels is None:
            raise ValueError("struct_channels or text_channels must be given: got neither.")
        width = heads * hidden_channels
        self.num_types = num_types
        self.types = nn.Embedding(num_types or 1, type_dim)
        both = {"edge_dim": type_dim, "dropout": dropout, "attn_dropout": attn_dropout}
        self.struct: ScalarPropagation | None = None
        self.text: nn.ModuleList | None = None
        self.lin_text: nn.Linear | None = None
        if struct_channels is not None:
            self.struct = ScalarPropagation(
                struct_channels, hidden_channels, heads, num_layers, aggr, both
            )
        if text_channels is not None:
            self.lin_text = nn.Linear(width, 1)
            self.text = nn.ModuleList(
                HypergraphTransformerConv(
                    width if layer else text_channels,
                    hidden_channels,
                    heads,
                    chunk_size=chunk_size,
                    **both,  # type: ignore[arg-type]
                )
                for layer in range(num_layers)
            )
        two = self.struct is not None and self.text is not None
        self.fusion = ScoreFusion(fusion, eta) if two else None
        self.view = make_mlp(width, width, width) if two else None
        self.centrality = nn.Parameter(torch.tensor([0.0, 1.0])) if centrality else None

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        for part in self.modules():
            reset: Callable[[], None] | None = getattr(part, "reset_parameters", None)
            if part is not self and reset is not None:
                reset()
        if self.centrality is not None:
            with torch.no_grad():
                self.centrality.copy_(torch.tensor([0.0, 1.0]))

    def init_bias(self, mean: float) -> None:
        """Lets both channels start from the mean of the numbers to learn.

        Args:
            mean: Of the training numbers; needed where they are far from 0.
        """
        linears = (self.lin_text, None if self.struct is None else self.struct.lin_out)
        with torch.no_grad():
            for linear in linears:
                if linear is not None:
                    linear.bias.fill_(mean)

    def forward(
        self,
        x_struct: Float[Tensor, "nodes struct"] | None,
        x_text: Float[Tensor, "nodes text"] | None,
        hyperedge_index: Tensor | Incidence,
        hyperedge_type: Int[Tensor, " hyperedges"] | None = None,
        *,
        num_hyperedges: int | None = None,
    ) -> NodeScores:
        """Scores every node.

        Args:
            x_struct: Structural features; ignored where that channel is off.
            x_text: Features of texts; ignored where that channel is off.
            hyperedge_index: ``[2, I]``, nodes and hyperedges; or an ``Incidence``, which is sorted
                and checked already.
            hyperedge_type: Types of the hyperedges; given iff ``num_types`` is.
            num_hyperedges: By default as many as types, or one more than the largest id.

        Returns:
            The scores, fused and of each channel.

        Raises:
            ValueError: Features of a channel or types are missing, or sizes do not fit together.
        """
        incidence = self._incidence(
            x_struct, x_text, hyperedge_index, hyperedge_type, num_hyperedges
        )
        types = hyperedge_type
        if types is None:
            types = torch.zeros(incidence.num_hyperedges, dtype=torch.long)
        attr = self.types(types.to(self.types.weight.device))
        struct = z_struct = text = z_text = None
        if self.struct is not None and x_struct is not None:
            z_struct = self.struct(x_struct, incidence, attr)
            struct = self._scaled(self.struct.lin_out(z_struct).squeeze(1), incidence)
        if self.text is not None and self.lin_text is not None and x_text is not None:
            z_text = x_text
            for layer in self.text:
                z_text = layer(z_text, incidence, hyperedge_attr=attr)
            text = self._scaled(self.lin_text(z_text).squeeze(1), incidence)
        if struct is not None and text is not None and self.fusion is not None:
            score = self.fusion(struct, text)
        else:
            score = struct if struct is not None else text
        assert score is not None
        return NodeScores(score, struct, text, z_struct, z_text)

    def loss(
        self,
        scores: NodeScores,
        y: Float[Tensor, " nodes"],
        index: Int[Tensor, " train"],
        alpha: float = 0.1,
        beta: float = 0.2,
        temperature: float = 0.5,
        max_contrast: int = 4096,
        generator: torch.Generator | None = None,
    ) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        r"""The loss that the paper trains with.

        .. math:: \mathrm{MSE}(\hat y, y) + \alpha\, \mathrm{contrast}(g(z_s), g(z_t))
            + \tfrac{\beta}{2} (\mathrm{MSE}(y_s, y) + \mathrm{MSE}(y_t, y))

        Args:
            scores: As ``forward`` gives them.
            y: Numbers of all nodes.
            index: Those to learn from.
            alpha: What the contrast of the two channels counts; with one channel there is none.
            beta: What the channels' own errors count.
            temperature: Of the contrast.
            max_contrast: The most nodes that are contrasted; beyond, as many are drawn.
            generator: Of that draw; by default torch's own.

        Returns:
            The loss and its parts: "main", and with two channels "contrast", "struct", "text".
        """
        target = y.index_select(0, index).to(scores.score.dtype)
        total = F.mse_loss(scores.score.index_select(0, index), target)
        parts = {"main": total}
        if scores.struct is None or scores.text is None or self.view is None:
            return total, parts
        if len(index) > max_contrast:
            drawn = torch.randperm(len(index), generator=generator)[:max_contrast]
            some = index.index_select(0, drawn.to(index.device))
        else:
            some = index
        assert scores.z_struct is not None
        assert scores.z_text is not None
        views = [self.view(z.index_select(0, some)) for z in (scores.z_struct, scores.z_text)]
        parts["contrast"] = contrast(views[0], views[1], temperature=temperature)
        parts["struct"] = F.mse_loss(scores.struct.index_select(0, index), target)
        parts["text"] = F.mse_loss(scores.text.index_select(0, index), target)
        own = (parts["struct"] + parts["text"]) / 2
        return total + alpha * parts["contrast"] + beta * own, parts

    def _scaled(self, score: Tensor, incidence: Incidence) -> Tensor:
        if self.centrality is None:
            return score
        degree = incidence.degree().to(score)
        return ((self.centrality[0] * torch.log1p(degree) + self.centrality[1]) * score).relu()

    def _incidence(
        self,
        x_struct: Tensor | None,
        x_text: Tensor | None,
        given: Tensor | Incidence,
        types: Tensor | None,
        num_hyperedges: int | None,
    ) -> Incidence:
        """Checks what was given, and sorts the incidences once for all layers."""
        needed = {"x_struct": (self.struct, x_struct), "x_text": (self.text, x_text)}
        for name, (channel, features) in needed.items():
            if channel is not None and features is None:
                raise ValueError(
                    f"{name} must be given, as its channel is on: got None; make the model with "
                    f"{name.removeprefix('x_')}_channels=None to do without it."
                )
        if (types is None) != (self.num_types is None):
            came = "none" if types is None else "some"
            raise ValueError(f"hyperedge_type must be given exactly when num_types is: got {came}.")
        if isinstance(given, Incidence):
            return given
        features = x_struct if x_struct is not None else x_text
        assert features is not None
        count = num_hyperedges if num_hyperedges is not None or types is None else len(types)
        return Incidence.from_hyperedge_index(given, features.size(0), count)
