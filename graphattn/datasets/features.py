"""Feature scaling and filling, each an explicit step; fitted on all nodes, as is usual here.

In transductive learning every node's features are known when training begins, so that the means
below include validation and test nodes; no label is looked at.
"""

from copy import copy
from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphattn.datasets.validation import check_data


@dataclass(frozen=True, eq=False)
class Scale:
    """Mean and deviation of each feature, as `standardize` takes them.

    Attributes:
        mean: `[channels]`, float64.
        std: `[channels]`, float64; infinite for a constant feature, which becomes 0.

    Example:
        >>> x = torch.tensor([[1.0, 5.0], [3.0, 5.0]])
        >>> Scale.of(x).apply(x).tolist()
        [[-1.0, 0.0], [1.0, 0.0]]
    """

    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, x: Tensor) -> "Scale":
        """Return that of features `[nodes, channels]`."""
        values = x.double()
        mean = values.mean(dim=0)
        std = (values - mean).square().mean(dim=0).sqrt()
        # A column whose spread is rounding of its size holds nothing but its mean.
        std[std <= 1e-12 * values.abs().amax(dim=0)] = torch.inf
        return cls(mean, std)

    def apply(self, x: Tensor) -> Tensor:
        """Return features less the mean, over the deviation."""
        return ((x.double() - self.mean) / self.std).to(x.dtype)


def standardize(data: Data, scale: Scale | None = None) -> Data:
    """Each feature minus its mean, over its standard deviation; a constant feature becomes 0.

    For features in different units, such as degrees, metres and km/h of road networks. The
    statistics are over all nodes, in float64.

    Args:
        data: with x `[nodes, channels]`; left as it is.
        scale: of other data; by default that of these.

    Returns:
        A shallow copy with the new x.

    Example:
        >>> data = standardize(Data(x=torch.tensor([[1.0, 5.0], [3.0, 5.0]])))
        >>> data.x.tolist()
        [[-1.0, 0.0], [1.0, 0.0]]
    """
    return _with_x(data, (scale or Scale.of(data.x)).apply(data.x))


def normalize_rows(data: Data) -> Data:
    """Each node's features over their sum, as is usual for bags of words (Cora, CiteSeer).

    The same as PyG's `NormalizeFeatures` for features >= 0; a row that sums to 0 stays.

    Args:
        data: with x `[nodes, channels]`, all >= 0; left as it is.

    Returns:
        A shallow copy with the new x.

    Raises:
        ValueError: a feature is negative.

    Example:
        >>> normalize_rows(Data(x=torch.tensor([[1.0, 3.0], [0.0, 0.0]]))).x.tolist()
        [[0.25, 0.75], [0.0, 0.0]]
    """
    lowest = float(data.x.min()) if data.x.numel() else 0.0
    if lowest < 0:
        raise ValueError(
            f"normalize_rows needs features >= 0, such as word counts: got {lowest:g}; "
            "use standardize for measured quantities."
        )
    total = data.x.sum(dim=1, keepdim=True)
    return _with_x(data, data.x / total.where(total > 0, 1.0))


def fill_missing(data: Data, how: str) -> Data:
    """Replaces features that are NaN or infinite, or drops the nodes that have one.

    Args:
        data: with x `[nodes, channels]`; left as it is.
        how: "zero", "mean" (of the finite values of the same feature; 0 if there is none) or
            "drop" (the nodes and their edges go, the others are renumbered in order).

    Returns:
        A shallow copy with finite features.

    Raises:
        ValueError: how is none of these, or an edge leaves the graph.
        TypeError: x is no floating tensor [nodes, channels].

    Example:
        >>> fill_missing(Data(x=torch.tensor([[float("nan")], [4.0]])), "mean").x.tolist()
        [[4.0], [4.0]]
    """
    x = data.x.nan_to_num() if isinstance(data.x, Tensor) else data.x
    check_data(Data(x=x, edge_index=data.get("edge_index")))
    finite = data.x.isfinite()
    if how == "drop":
        return data.subgraph(finite.all(dim=1))
    if how == "zero":
        return _with_x(data, data.x.where(finite, 0.0))
    if how == "mean":
        count = finite.sum(dim=0).clamp(min=1)
        mean = data.x.where(finite, 0.0).double().sum(dim=0) / count
        return _with_x(data, data.x.where(finite, mean.to(data.x.dtype)))
    raise ValueError(f"how must be 'zero', 'mean' or 'drop': got {how!r}.")


def _with_x(data: Data, x: Tensor) -> Data:
    scaled = copy(data)
    scaled.x = x
    return scaled
