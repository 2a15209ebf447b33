"""Whether a model can run in mixed precision, tried on a graph of two nodes before any work."""

import torch
from torch import nn

from graphattn.ops.adjacency import to_sparse_adjacency
from graphattn.training.feed import device_of, evaluating


@torch.no_grad()
def check_sparse_autocast(model: nn.Module, in_channels: int) -> None:
    """Refuse mixed precision for a model whose sparse products torch has in float32 alone.

    Tried on a graph of two nodes, once plain and once in bfloat16; the model is left as it was.

    Args:
        model: Takes features and a sparse CSR matrix.
        in_channels: Features a node.

    Raises:
        ValueError: It runs plain and does not in bfloat16.

    Example:
        >>> from graphattn.models.mlp import MLP
        >>> check_sparse_autocast(MLP(3, 4, 2), 3)
    """
    device = device_of(model)
    x = torch.zeros(2, in_channels, device=device)
    pair = to_sparse_adjacency(torch.tensor([[0, 1], [1, 0]]), 2).to(device)
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), evaluating(model):
        with torch.autocast(device.type, enabled=False):
            try:
                model(x, pair)
            except Exception:
                return  # No matter of precision: the real graph will tell.
        with torch.autocast(device.type, dtype=torch.bfloat16):
            try:
                model(x, pair)
            except (RuntimeError, NotImplementedError) as error:
                raise ValueError(
                    "train.autocast must be none for a model that multiplies by the sparse "
                    f"adjacency on a {device.type} device, where torch has no such product in "
                    f"bfloat16: got bfloat16 for {type(model).__name__}."
                ) from error
