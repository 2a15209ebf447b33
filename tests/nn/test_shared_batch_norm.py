"""Shared batch norm: on one rank PyTorch's, in value, gradient and what it remembers."""

import pytest
import torch
from torch import nn
from torch_geometric.nn import BatchNorm

from graphattn.nn.shared_batch_norm import SharedBatchNorm
from graphattn.ops.ranks import ALONE


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_shared_batch_norm_is_that_of_pytorch(affine, momentum):
    plain, twin = (
        nn.BatchNorm1d(4, affine=affine, momentum=momentum, dtype=torch.float64) for _ in "ab"
    )
    shared = SharedBatchNorm(twin, ALONE)
    for _ in range(3):
        x = 5 + 3 * torch.randn(6, 4, dtype=torch.float64)
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        weight = torch.randn(6, 4, dtype=torch.float64)
        one, other = plain(a), shared(b)
        (one * weight).sum().backward()
        (other * weight).sum().backward()
        torch.testing.assert_close(other, one)
        torch.testing.assert_close(b.grad, a.grad)
    assert list(shared.state_dict()) == list(plain.state_dict())
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(shared.state_dict()[name], value)
    plain.eval(), shared.eval()
    torch.testing.assert_close(shared(x), plain(x))


def test_shared_batch_norm_of_a_single_row():
    plain, x = BatchNorm(4, allow_single_element=True), torch.randn(1, 4)
    shared = SharedBatchNorm(plain.module, ALONE, allow_single_element=True)
    torch.testing.assert_close(shared(x), plain(x))
    with pytest.raises(ValueError, match=r"more than one value a channel: got \[1, 4\] here and 1"):
        SharedBatchNorm(nn.BatchNorm1d(4), ALONE)(x)
