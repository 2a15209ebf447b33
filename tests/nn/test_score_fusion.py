"""Fusion of two scores: where it starts, that it learns, and its errors; values are MetaHGNIE's."""

import pytest
import torch

from graphattn.nn.score_fusion import ScoreFusion

MODES = ["adaptive", "fixed", "gate", "attention", "concat"]


@pytest.mark.parametrize("mode", MODES)
def test_two_equal_scores_stay_what_they_are_at_the_start(mode):
    score = torch.tensor([0.0, 1.0, 7.5], dtype=torch.double)
    fusion = ScoreFusion(mode, 0.3).double()
    torch.testing.assert_close(fusion(score, score), score, rtol=0, atol=1e-12)


@pytest.mark.parametrize("mode", MODES)
def test_every_weight_learns_and_is_set_back(mode):
    fusion = ScoreFusion(mode, 0.3)
    start = {key: value.clone() for key, value in fusion.state_dict().items()}
    assert bool(start) == (mode != "fixed")
    fusion(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 5.0])).sum().backward() if start else None
    for parameter in fusion.parameters():
        assert (parameter.grad != 0).any()
        with torch.no_grad():
            parameter.sub_(parameter.grad)
    fusion.reset_parameters()
    assert all(torch.equal(fusion.state_dict()[key], value) for key, value in start.items())


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="fusion"):
        ScoreFusion("sum", 0.3)
