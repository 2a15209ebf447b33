"""How models of hypergraphs are called, whole or on a batch, and what is made of their answer."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch_geometric.data.hypergraph_data import HyperGraphData

from graphattn.hypergraph import Incidence
from graphattn.names import foreign


@dataclass
class Hypergraph:
    """What a model of hypergraphs is given beside the features, moved to its device once.

    Args:
        incidence: Which node is in which hyperedge.
        hyperedge_type: Types of the hyperedges, if they have some.
        x_text: Second features of the nodes, if there are.

    Example:
        >>> data = HyperGraphData(edge_index=torch.tensor([[0, 1], [0, 0]]), num_nodes=2)
        >>> Hypergraph.of(data).call(lambda x, hypergraph: x + 1, torch.zeros(2, 1)).tolist()
        [[1.0], [1.0]]
    """

    incidence: Incidence
    hyperedge_type: Int[Tensor, " hyperedges"] | None = None
    x_text: Float[Tensor, "nodes text"] | None = None

    @classmethod
    def of(cls, data: HyperGraphData) -> "Hypergraph":
        """Take it out of PyG data: `edge_index`, `hyperedge_type`, `x_text`."""
        return cls(Incidence.from_data(data), data.get("hyperedge_type"), data.get("x_text"))

    def call(self, model: Any, x: Tensor, device: torch.device | None = None) -> Any:
        """Call a model with features of all nodes.

        A model that says `sees_no_edges` is called as `model(x)`; one that says `takes_text`, with
        `x_text` after `x` (None where there is none). The incidence comes next, and
        `hyperedge_type=` where hyperedges have types.

        Args:
            model: A module, compiled or not, or a function.
            x: Features of the nodes.
            device: Where all of it goes; by default it stays.

        Returns:
            What the model returns.
        """
        named = getattr(model, "_orig_mod", model)
        if device is not None:
            self._move(device)
            x = x.to(device)
        given = [x, self.x_text] if getattr(named, "takes_text", False) else [x]
        types = {} if self.hyperedge_type is None else {"hyperedge_type": self.hyperedge_type}
        with foreign(named, "the model"):
            if getattr(named, "sees_no_edges", False):
                return model(x)
            return model(*given, self.incidence, **types)

    def _move(self, device: torch.device) -> None:
        self.incidence = self.incidence.to(device)
        if self.hyperedge_type is not None:
            self.hyperedge_type = self.hyperedge_type.to(device)
        if self.x_text is not None:
            self.x_text = self.x_text.to(device)


def scores_of(output: Any) -> Any:
    """Return the logits in what a model returned: a tensor, or the vector `score` of it.

    Example:
        >>> from types import SimpleNamespace
        >>> scores_of(SimpleNamespace(score=torch.zeros(3))).shape
        torch.Size([3, 1])
    """
    score = getattr(output, "score", None)
    return score.view(-1, 1) if isinstance(score, Tensor) else output


def has_loss(model: nn.Module) -> bool:
    """Whether a model brings a loss of its own.

    Example:
        >>> has_loss(nn.Linear(1, 1))
        False
    """
    return callable(getattr(getattr(model, "_orig_mod", model), "loss", None))


def loss_of(
    model: nn.Module, output: Any, y: Shaped[Tensor, "nodes ..."], nodes: Int[Tensor, " train"]
) -> Float[Tensor, ""]:
    """Return a model's own loss: `model.loss(output, y, nodes)`, or the first of what that gives.

    Args:
        model: With a method `loss`.
        output: What its forward returned.
        y: Labels of all nodes that the output is of.
        nodes: Those trained on.

    Example:
        >>> model = nn.Linear(1, 1)
        >>> model.loss = lambda output, y, nodes: (output[nodes].mean(), {})
        >>> loss_of(model, torch.ones(2, 1), torch.zeros(2), torch.tensor([1]))
        tensor(1.)
    """
    owner: Any = getattr(model, "_orig_mod", model)
    where = next(owner.parameters()).device
    with foreign(owner, "the model"):
        loss = owner.loss(output, y.to(where), nodes.to(where))
    return loss[0] if isinstance(loss, tuple) else loss


def start_from_mean(
    model: nn.Module, y: Shaped[Tensor, "nodes ..."], train_nodes: Int[Tensor, " train"]
) -> None:
    """Let a model of numbers start from their mean, which may be far from 0.

    Its method `init_bias` is told the mean; a model without one has the last of its biases that is
    one number set to it: that of a linear map to the one output.

    Example:
        >>> model = nn.Linear(1, 1)
        >>> start_from_mean(model, torch.tensor([1.0, 3.0]), torch.tensor([0, 1]))
        >>> model.bias.item()
        2.0
    """
    if not y.is_floating_point():
        return
    mean = float(y.index_select(0, train_nodes).mean())
    owner: Any = getattr(model, "_orig_mod", model)
    if callable(getattr(owner, "init_bias", None)):
        owner.init_bias(mean)
        return
    named = owner.named_parameters()
    outputs = [p for name, p in named if name.endswith("bias") and p.numel() == 1]
    if outputs:
        nn.init.constant_(outputs[-1], mean)
