"""Seeds and times as users give them."""

import numpy as np
import pytest
import torch

from graphattn.sampling.seeds import moments, seeds_of


@pytest.mark.parametrize("form", [torch.tensor, np.array, list, tuple])
def test_masks_and_ids_in_any_container(form):
    seeds, input_id = seeds_of(form([False, True, True]), 3)
    assert seeds.tolist() == input_id.tolist() == [1, 2]
    seeds, input_id = seeds_of(form([2, 0, 2]), 3)
    assert seeds.tolist() == [2, 0, 2]
    assert seeds.dtype == torch.int64
    assert input_id is None


def test_none_is_all_and_empty_is_none():
    assert seeds_of(None, 3)[0].tolist() == [0, 1, 2]
    assert seeds_of([], 3)[0].dtype == torch.int64
    assert seeds_of(torch.tensor([1], dtype=torch.uint8), 3)[0].dtype == torch.int64


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (torch.int16, np.int64),
        (torch.uint8, np.int64),
        (torch.bfloat16, np.float64),
        (torch.float32, np.float64),
    ],
)
def test_times_become_one_of_two_types(kind, expected):
    found = moments("time", torch.arange(6).to(kind)[::2], 3)
    assert found.dtype == expected
    assert found.tolist() == [0, 2, 4]
    assert found.flags.c_contiguous


def test_times_of_other_kinds_and_sizes():
    with pytest.raises(TypeError, match=r"time must hold integers or real numbers: got .*complex"):
        moments("time", torch.zeros(3, dtype=torch.complex64), 3)
    with pytest.raises(ValueError, match=r"time must be \[3\]: got shape \[3, 1\]"):
        moments("time", torch.zeros(3, 1), 3)
