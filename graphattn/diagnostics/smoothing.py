"""How alike the layers of a model make its nodes: Dirichlet energy and mean cosine distance."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import MessagePassing

from graphattn.diagnostics.subject import Subject, undisturbed

_BLOCK = 2**22  # numbers gathered at once

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LayerEnergy:
    """How different the nodes are in the features and after each layer.

    Args:
        names: ``"x"`` for the features, then one name a call of a layer, in the order of the calls;
            a layer called twice has ``name#2`` the second time.
        dirichlet: ``[names]``, the Dirichlet energy, in squared units of the layer's output.
        mad: ``[names]``, the mean cosine distance of neighbours, 0 to 2.
        mad_all: ``[names]``, the mean cosine distance of all pairs of nodes, 0 to 2.
    """

    names: tuple[str, ...]
    dirichlet: _Floats
    mad: _Floats
    mad_all: _Floats


def layer_energy(
    model: nn.Module,
    data: Data,
    *,
    layers: Sequence[str] | None = None,
    forward: Callable[..., Tensor] | None = None,
) -> LayerEnergy:
    r"""Measures how different neighbours are in the features and after each layer, in one forward.

    .. math:: E(H) = \frac{1}{N} \sum_{(u,v) \in E} \|h_u - h_v\|_2^2, \qquad
        \mathrm{MAD}(H) = \frac{1}{|V'|} \sum_{v \in V'} \frac{1}{|N_v|} \sum_{u \in N_v}
        \left(1 - \frac{h_u^\top h_v}{\|h_u\| \|h_v\|}\right)

    The sum runs over the columns of ``edge_index``, so an undirected edge counts twice;
    :math:`N_v` are the senders of v but for v itself, :math:`V'` the nodes that have any. The
    energy is not normalised by degrees: it is 0 exactly where connected nodes are equal. A zero
    vector is at distance 1 of every other vector and 0 of another zero vector.
    Sources: Rusch et al. 2023, https://arxiv.org/abs/2303.10993, section 2 (energy); Chen et al.
    2020, https://arxiv.org/abs/1909.03211, section 3 (MAD, of neighbours and of all pairs; theirs
    leaves out every pair at distance 0, here loops only).

    Args:
        model: Has the layers. It is run in evaluation mode and left as it was.
        data: Has ``x`` and ``edge_index``.
        layers: Names of modules, as ``model.named_modules()`` gives them; by default all message
            passing layers of PyG, of which the output before norm and activation is taken.
        forward: What is run, ``f(x, edge_index)``; by default the model.

    Returns:
        One number of each kind for the features and for each call of a layer, in float64.

    Raises:
        ValueError: There is no such layer, or a layer does not give a row a node.
        TypeError: ``data.x`` is not of a float type.

    Example:
        >>> from torch_geometric.nn import GCN
        >>> edges = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> found = layer_energy(GCN(4, 8, 2, 3), Data(torch.eye(3, 4), edges))
        >>> found.names, round(float(found.dirichlet[0]), 6), float(found.mad[0])
        (('x', 'convs.0', 'convs.1'), 2.666667, 1.0)
    """
    subject = Subject(model if forward is None else forward, data)
    chosen = _chosen(model, layers)
    outputs: list[tuple[str, Tensor]] = [("x", subject.x)]
    with undisturbed(model), torch.no_grad(), _recorded(chosen, outputs):
        subject.whole(subject.x)
    calls: dict[str, int] = {}
    names, rows = [], []
    for name, out in outputs:
        if out.dim() < 2 or out.size(0) != subject.num_nodes:
            raise ValueError(
                f"layers must give a row for each of {subject.num_nodes} nodes: got "
                f"{list(out.shape)} from {name!r}."
            )
        calls[name] = calls.get(name, 0) + 1
        names.append(name if calls[name] == 1 else f"{name}#{calls[name]}")
        h = out.detach().flatten(1).double()
        rows.append([*_of_edges(h, subject.edge_index.to(h.device)), _of_all(h)])
    energy, near, far = np.array(rows).T
    return LayerEnergy(tuple(names), energy, near, far)


def _chosen(model: nn.Module, layers: Sequence[str] | None) -> dict[str, nn.Module]:
    known = dict(model.named_modules())
    if layers is None:
        found = {name: m for name, m in known.items() if isinstance(m, MessagePassing)}
        if not found:
            raise ValueError(
                "the model must have message passing layers of PyG: got none; name its layers."
            )
        return found
    for name in layers:
        if name not in known:
            raise ValueError(f"layers must be modules of the model: got {name!r}.")
    return {name: known[name] for name in layers}


@contextmanager
def _recorded(layers: dict[str, nn.Module], outputs: list[tuple[str, Tensor]]) -> Iterator[None]:
    """Notes what layers give, the first of several tensors, as they are called."""

    def note(name: str) -> Callable[..., None]:
        def called(_module: nn.Module, _args: Any, out: Any) -> None:
            outputs.append((name, out if isinstance(out, Tensor) else out[0]))

        return called

    hooks = [module.register_forward_hook(note(name)) for name, module in layers.items()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _of_edges(h: Tensor, edge_index: Tensor) -> tuple[float, float]:
    """Energy, and mean over nodes of the mean cosine distance to their senders."""
    unit = _unit(h)
    empty = unit.abs().sum(1) == 0
    energy = h.new_zeros(())
    apart, senders = h.new_zeros(h.size(0)), h.new_zeros(h.size(0))
    for part in torch.split(edge_index, max(_BLOCK // max(h.size(1), 1), 1), dim=1):
        source, target = part
        energy += (h.index_select(0, source) - h.index_select(0, target)).square().sum()
        cosine = (unit.index_select(0, source) * unit.index_select(0, target)).sum(1)
        both = empty.index_select(0, source) & empty.index_select(0, target)
        kept = (source != target).to(h.dtype)
        apart.index_add_(0, target, kept * (1.0 - cosine).masked_fill(both, 0.0).clamp(0.0, 2.0))
        senders.index_add_(0, target, kept)
    has = senders > 0
    near = (apart[has] / senders[has]).mean() if bool(has.any()) else energy.new_zeros(())
    return float(energy) / h.size(0), float(near)


def _of_all(h: Tensor) -> float:
    """Mean cosine distance of all pairs, in linear time: cosines add up to a squared sum."""
    num_nodes, unit = h.size(0), _unit(h)
    pairs = num_nodes * (num_nodes - 1)
    if not pairs:
        return 0.0
    empty = int((unit.abs().sum(1) == 0).sum())
    cosines = float(unit.sum(0).square().sum()) - (num_nodes - empty) + empty * (empty - 1)
    return min(max(1.0 - cosines / pairs, 0.0), 2.0)


def _unit(h: Tensor) -> Tensor:
    """Rows of length 1; zero rows stay zero."""
    size = h.norm(dim=1, keepdim=True)
    return h / torch.where(size > 0, size, torch.ones_like(size))
