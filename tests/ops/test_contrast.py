"""The contrast beside cross-entropy over loops."""

import math

import pytest
import torch

from graphattn.ops.contrast import contrast


def test_it_is_the_mean_of_both_directions():
    torch.manual_seed(0)
    a, b = torch.randn(2, 6, 4, dtype=torch.double)
    total = 0.0
    for i in range(6):
        rows = [float(a[i] @ b[j] / (a[i].norm() * b[j].norm()) / 0.3) for j in range(6)]
        columns = [float(a[j] @ b[i] / (a[j].norm() * b[i].norm()) / 0.3) for j in range(6)]
        for parts in (rows, columns):
            total -= parts[i] - math.log(sum(map(math.exp, parts)))
    assert float(contrast(a, b, temperature=0.3)) == pytest.approx(total / 12, abs=1e-12)
    torch.autograd.gradcheck(contrast, (a.requires_grad_(), b.requires_grad_()))


def test_one_node_has_nothing_to_be_told_from():
    assert contrast(torch.ones(1, 3), -torch.ones(1, 3)) == 0


def test_the_temperature_must_be_above_zero():
    with pytest.raises(ValueError, match=r"got temperature=0"):
        contrast(torch.eye(2), torch.eye(2), temperature=0.0)
