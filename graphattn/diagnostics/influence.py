"""How far a model sees: the influence of each hop on a node's output, by the exact Jacobian."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch_geometric import __version__ as pyg_version
from torch_geometric.data import Data

from graphattn.checks import check_choice, check_least
from graphattn.diagnostics.channels import draw_channels
from graphattn.diagnostics.distance import distances
from graphattn.diagnostics.engines import SeedInfluence
from graphattn.diagnostics.hypergraph_subject import check_hypergraph_options, subject_of
from graphattn.diagnostics.result import InfluenceResult
from graphattn.diagnostics.selection import ENGINES, Measurement, choose
from graphattn.diagnostics.subject import undisturbed

_FIRST = 64  # seeds before the interval is looked at
_PILOT = 16  # seeds by which channels are weighed

_Ids = npt.NDArray[np.int64]


def influence(
    model_or_forward: Callable[..., Tensor],
    data: Data,
    *,
    max_hops: int,
    seeds: Sequence[int] | Tensor | _Ids | None = None,
    num_seeds: int | Literal["auto"] = "auto",
    tol: float = 0.01,
    channels: Literal["all"] | int = "all",
    semantics: Literal["full", "pyg"] = "full",
    distance: Literal["hops", "weight", "euclid", "resistance"] = "hops",
    input_scale: Literal["std"] | None = None,
    seed: int = 0,
    engine: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> InfluenceResult:
    r"""Measures the influence of the nodes at each hop on a node's output.

    .. math:: I(v, u) = \sum_{c,p} \left|\frac{\partial f_v^c}{\partial x_u^p}\right|, \quad
        T_{vh} = \sum_{d(u \to v) = h} I(v, u), \quad
        R = \operatorname{mean}_v \frac{\sum_h h\,T_{vh}}{\sum_h T_{vh}}

    The model is measured in evaluation mode; its mode, its buffers and the global random state are
    left as they were. Sources: Liang et al. 2025, https://arxiv.org/abs/2503.09008, section 4; for
    other distances Bamberger et al. 2025, https://arxiv.org/abs/2506.05971.

    Args:
        model_or_forward: ``f(x, edge_index)``, a row of output a node. It is given ``edge_weight``,
            ``edge_attr`` and ``batch`` too if its signature names them and, for the first two,
            ``data`` has them. If its signature names ``seeds``, it is given the ids of some nodes
            and gives a row for each of these only: for models that are costly on all nodes at once.
        data: Has ``x`` (a float type) and ``edge_index``; edges flow from source to target. Of a
            ``HyperGraphData``, ``edge_index`` are incidences, and a hop leads from a node through a
            hyperedge to another of its nodes; see
            :class:`~graphattn.diagnostics.hypergraph_subject.HypergraphSubject`.
        max_hops: The farthest hop told apart. What lies beyond is ``tail_mass``.
        seeds: The nodes to measure; by default they are drawn.
        num_seeds: How many are drawn. ``"auto"``: 64, then twice as many, until the 95 % interval
            of R is narrow enough or no node is left.
        tol: Half the width of that interval, as a share of R.
        channels: Output channels followed for each seed: ``"all"`` is exact. A number: so many are
            drawn a seed, in proportion to their influence; the curve stays unbiased, R is off by
            less than 0.2 % with one.
        semantics: ``"full"``: the true Jacobian on the whole graph. ``"pyg"``: that of the induced
            ball of ``max_hops`` hops, as ``torch_geometric.utils.total_influence`` takes it.
        distance: How R counts distance: hops, the shortest path in the ball by ``edge_weight``, the
            straight line between rows of ``data.pos``, or the effective resistance in the ball.
        input_scale: ``"std"``: features count in units of their standard deviation.
        seed: Of the draws; a draw depends on it and the node only.
        engine: ``"fused"``, ``"trimmed"``, ``"union"``, ``"single"``, or ``"auto"``: the first of
            these that a probe finds to give the numbers of one seed alone.
        progress: Called after each seed with how many are measured and how many are wanted; the
            latter grows while ``num_seeds="auto"`` finds the interval too wide.

    Returns:
        The influence of each seed and hop, the curve, R, and their intervals.

    Raises:
        ValueError: An option is unknown or out of range, an engine does not suit the model, the
            data lack what is asked for, or the Jacobian is not finite.
        TypeError: ``data.x`` is not of a float type.

    Example:
        >>> from torch_geometric.nn import GCN
        >>> edges = torch.tensor([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]])
        >>> found = influence(GCN(8, 16, 2, 3), Data(torch.randn(4, 8), edges), max_hops=3)
        >>> found.T.shape, bool((found.T[:, 3] == 0).all())
        ((4, 4), True)
    """
    check_choice(("full", "pyg"), semantics=semantics)
    check_choice(("hops", "weight", "euclid", "resistance"), distance=distance)
    check_choice(("auto", *ENGINES), engine=engine)
    check_least(0, max_hops=max_hops)
    if input_scale not in (None, "std"):
        raise ValueError(f"input_scale must be None or 'std': got {input_scale!r}.")
    if channels != "all":
        check_least(1, channels=channels)
    if num_seeds != "auto":
        check_least(1, num_seeds=num_seeds)
    elif not tol > 0:
        raise ValueError(f"tol is a share of R above 0: got tol={tol}.")
    check_hypergraph_options(data, semantics=semantics, distance=distance, engine=engine)
    subject = subject_of(model_or_forward, data)
    order = _order(seeds, subject.num_nodes, seed)
    scale = subject.x.std(0) if input_scale == "std" else None
    with undisturbed(subject.model):
        run = Measurement(subject, max_hops, semantics, scale, order)
        measure_distance = distances(distance, data, subject, run.rows, max_hops)
        chosen = choose(run, engine)
        picks = draw_channels(run, chosen, channels, order[:_PILOT], seed)
        counts = _Rows(max_hops, measure_distance)
        wanted = _wanted(seeds, num_seeds, order.size)
        while True:
            some = order[counts.size : min(wanted, order.size)]
            for found in chosen.measure(some, picks(some)):
                counts.add(found)
                if progress is not None:
                    progress(counts.size, min(wanted, order.size))
            result = counts.result(order[: counts.size])
            if num_seeds != "auto" or seeds is not None or counts.size == order.size:
                break
            if (result.R_ci[1] - result.R) <= tol * abs(result.R):
                break
            wanted = 2 * counts.size
    about = {
        "engine": chosen.name,
        "channels": channels,
        "semantics": semantics,
        "distance": distance,
        "input_scale": input_scale,
        "max_hops": max_hops,
        **subject.counts(),
        "dtype": str(subject.x.dtype).removeprefix("torch."),
        "seed": seed,
        "torch": torch.__version__,
        "torch_geometric": pyg_version,
    }
    return replace(result, about=about)


def total_influence(
    model: Callable[..., Tensor],
    data: Data,
    max_hops: int,
    num_samples: int | None = None,
    normalize: bool = True,
    average: bool = True,
    device: torch.device | str = "cpu",
    vectorize: bool = True,
) -> tuple[Tensor, float]:
    """Stands in for ``torch_geometric.utils.total_influence``: same arguments, same numbers.

    It draws the seeds that PyG would draw, measures in evaluation mode, and leaves seeds without
    influence out of both means, where PyG's are NaN. With ``average=False`` their rows are zero.

    Args:
        model: ``model(x, edge_index)``.
        data: Has ``x`` and ``edge_index``.
        max_hops: Radius of the induced balls.
        num_samples: Seeds; by default all nodes.
        normalize: Divide the curve by its value at hop 0; only with ``average``.
        average: Return the mean over seeds, else a row a seed.
        device: Where to compute.
        vectorize: Taken for PyG's sake; it changes nothing.

    Returns:
        The curve ``[max_hops + 1]`` or the rows ``[seeds, max_hops + 1]``, of the type of ``x``;
        and R.

    Raises:
        ValueError: As for :func:`influence`.
        TypeError: ``data.x`` is not of a float type.

    Example:
        >>> from torch_geometric.nn import GCN
        >>> edges = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> curve, breadth = total_influence(GCN(8, 16, 2, 3), Data(torch.randn(3, 8), edges), 2)
        >>> curve.shape, 0 < breadth < 2
        (torch.Size([3]), True)
    """
    check_hypergraph_options(data, semantics="pyg", distance="hops", engine="auto")
    moved = Data(x=cast(Tensor, data.x).to(device), edge_index=data.edge_index)
    num_nodes = cast(int, data.num_nodes)
    with torch.random.fork_rng():
        nodes = torch.randperm(num_nodes)[: num_nodes if num_samples is None else num_samples]
    if isinstance(model, torch.nn.Module):
        model = model.to(device)
    found = influence(model, moved, max_hops=max_hops, seeds=nodes, semantics="pyg")
    table = found.curve if average else found.T
    if average and normalize and table[0] > 0:
        table = table / table[0]
    return torch.from_numpy(table).to(moved.x.dtype), found.R


def _order(seeds: Any, num_nodes: int, seed: int) -> _Ids:
    """The nodes to measure, in order: those given, or all in random order."""
    if seeds is None:
        return np.random.default_rng(seed).permutation(num_nodes).astype(np.int64)
    order = np.asarray(seeds).reshape(-1)
    if not order.size or order.dtype.kind not in "iu":
        raise ValueError(f"seeds must be node ids, at least one: got {order.size} {order.dtype}.")
    if order.min() < 0 or order.max() >= num_nodes:
        raise ValueError(
            f"seeds must be nodes, 0 to {num_nodes - 1}: got {order.min()} to {order.max()}."
        )
    return order.astype(np.int64)


def _wanted(seeds: Any, num_seeds: int | str, most: int) -> int:
    if seeds is not None:
        return most
    return _FIRST if num_seeds == "auto" else int(num_seeds)


class _Rows:
    """Sums the influence of each seed by hop, and its distances, as engines give them."""

    def __init__(self, max_hops: int, distance: Callable[[SeedInfluence], Any]) -> None:
        self._max_hops, self._distance = max_hops, distance
        self._hops: list[npt.NDArray[np.float64]] = []
        self._tails: list[float] = []
        self._means: list[float] = []

    @property
    def size(self) -> int:
        """Seeds so far."""
        return len(self._means)

    def add(self, found: SeedInfluence) -> None:
        """Adds a seed."""
        last = min(self._max_hops, found.starts.size - 2)
        end = int(found.starts[last + 1])
        inside = found.influence[:end]
        row = np.zeros(self._max_hops + 1)
        hop = np.repeat(np.arange(last + 1), np.diff(found.starts[: last + 2]))
        row[: last + 1] = np.bincount(hop, inside, minlength=last + 1)
        self._hops.append(row)
        self._tails.append(float(found.influence[end:].sum() + found.outside))
        total = row.sum()
        near = found._replace(nodes=found.nodes[:end], starts=found.starts[: last + 2])
        if not math.isfinite(total):
            raise ValueError(
                f"the Jacobian must be finite: got NaN or infinity for node {found.nodes[0]}; "
                "check data.x and the weights of the model."
            )
        mean = float(inside @ self._distance(near)) / total if total > 0 else 0.0
        self._means.append(mean)

    def result(self, seeds: _Ids) -> InfluenceResult:
        """What was found so far."""
        arrays = np.stack(self._hops), seeds, np.array(self._tails), np.array(self._means)
        return InfluenceResult(*arrays, {})
