"""Dropout beside torch's, forward and backward, one thread.

`python benchmarks/dropout.py` takes some seconds.
"""

from collections.abc import Callable
from functools import partial

import torch
from measure import Row, compare, show
from torch.nn import functional as F

from graphattn.ops.dropout import fast_dropout

SHAPES = {"10,000 x 64": (10_000, 64), "2,708 x 1,433": (2_708, 1_433)}


def main(size: str = "moderate") -> None:
    """Measures hidden layers of a batch, and whole tables of features."""
    torch.set_num_threads(1)
    rows: list[Row] = []
    for name, shape in SHAPES.items():
        x, grad = torch.randn(shape, requires_grad=True), torch.randn(shape)
        ways = {
            "graphattn": partial(there_and_back, fast_dropout, x, grad),
            "torch": partial(there_and_back, F.dropout, x, grad),
        }
        rows += compare(name, ways, repeats=5 if size == "small" else 25)
    show("dropout", rows, {"p": 0.3, "threads": 1})


def there_and_back(
    function: Callable[..., torch.Tensor], x: torch.Tensor, grad: torch.Tensor
) -> None:
    """Drops a third, and passes a gradient back."""
    torch.autograd.grad(function(x, 0.3), x, grad)


if __name__ == "__main__":
    main()
