"""What a run carries from step to step, as plain values, and a copy of it that nothing moves."""

import math
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass
class Position:
    """Where a run stands; plain values only, so that it is saved as it is.

    Example:
        >>> Position().stopped
        ''
    """

    epoch: int = 0  # in progress, or the next one
    step: int = 0  # steps of it that are done
    loss_sum: float = 0.0  # over those steps, each weighted as the mean loss of the epoch is
    weight_sum: float = 0.0
    seconds: float = 0.0  # spent training in this epoch
    best_val: float = math.nan
    best_epoch: int = -1
    stale: int = 0  # evaluations since the best one
    stopped: str = ""  # "", then "epochs" or "patience"
    history: list[dict[str, Any]] = field(default_factory=list)

    def state_dict(self) -> dict[str, Any]:
        """Return the values; the list of epochs is a copy, its entries never change."""
        return {**vars(self), "history": list(self.history)}


def on_cpu(state: Any) -> Any:
    """Return nested mappings and lists with a copy of every tensor, on the CPU.

    Example:
        >>> import torch
        >>> weight = torch.zeros(1)
        >>> kept = on_cpu({"weight": weight, "steps": [1]})
        >>> _ = weight.fill_(3)
        >>> kept
        {'weight': tensor([0.]), 'steps': [1]}
    """
    if isinstance(state, Tensor):
        return state.detach().cpu().clone()
    if isinstance(state, Mapping):
        return {key: on_cpu(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(on_cpu(value) for value in state)
    return copy(state)
