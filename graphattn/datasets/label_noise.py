"""Features made of labels and noise: the published protocol for hypergraphs that have none."""

import torch
from jaxtyping import Float32, Int64
from torch import Tensor
from torch_geometric.data.hypergraph_data import HyperGraphData


def add_label_noise(
    data: HyperGraphData,
    *,
    label_noise: float | None = None,
    label_channels: int = 100,
    label_seed: int = 0,
) -> HyperGraphData:
    """Gives a hypergraph without features some that are made of its labels and noise.

    The protocol by which AllSet, ED-HNN and those after them compare on house_committees and other
    sets without features. **The features leak the labels by design**, those of validation and
    test nodes, too: figures tell methods apart, but say nothing of data met outside.

    Source: https://arxiv.org/abs/2106.13264 (noise 1 or 0.6, 100 channels).

    Args:
        data: With classes ``y``; left as it is.
        label_noise: Standard deviation of the noise; None leaves the features alone.
        label_channels: How many features.
        label_seed: Of the noise.

    Returns:
        A copy with ``x``, or ``data`` itself.

    Raises:
        ValueError: There are features already, or no classes; or see `noisy_labels`.

    Example:
        >>> from graphattn.datasets.hypergraphs import southern_women
        >>> data = southern_women()
        >>> del data.x
        >>> add_label_noise(data, label_noise=1.0).x.shape
        torch.Size([18, 100])
    """
    if label_noise is None:
        return data
    y = data.get("y")
    if data.get("x") is not None or not isinstance(y, Tensor) or y.is_floating_point():
        came = f"{data.x.size(1)} features" if data.get("x") is not None else "no classes"
        raise ValueError(
            "data.options.label_noise must be left out where there are features, or no classes to "
            f"make them of: {data.get('name', 'the data')} has {came}."
        )
    made = data.clone()
    made.x = noisy_labels(y, label_noise, channels=label_channels, seed=label_seed)
    return made


def noisy_labels(
    y: Int64[Tensor, " nodes"], noise: float, *, channels: int = 100, seed: int = 0
) -> Float32[Tensor, "nodes channels"]:
    """One-hot labels, zeros beside them up to a width, and normal noise on all of it.

    Args:
        y: Classes; a row below zero is noise alone.
        noise: Standard deviation of the noise.
        channels: Width, at least as many as there are classes.
        seed: Of the noise.

    Raises:
        ValueError: The noise is negative, or there are more classes than channels.

    Example:
        >>> noisy_labels(torch.tensor([1, -1]), 1.0, channels=3).shape
        torch.Size([2, 3])
    """
    if not 0 <= noise < float("inf"):
        raise ValueError(f"data.options.label_noise must be a number from 0: got {noise}.")
    classes = int(y.max()) + 1 if y.numel() else 0
    if channels < max(classes, 1):
        raise ValueError(
            f"data.options.label_channels must be at least {max(classes, 1)}, the classes: got "
            f"{channels}."
        )
    generator = torch.Generator().manual_seed(seed)
    x = noise * torch.randn(len(y), channels, generator=generator)
    known = (y >= 0).nonzero().view(-1)
    x[known, y.index_select(0, known)] += 1.0
    return x
