"""Learning rates by hand."""

import math

import pytest

from graphattn.training.options import FitOptions
from graphattn.training.schedule import Schedule


def test_warm_up_then_constant():
    schedule = Schedule(FitOptions(lr=1.0, warmup=3, epochs=10))
    assert [schedule.lr(e) for e in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_cosine_begins_at_the_rate_and_nears_zero():
    schedule = Schedule(FitOptions(lr=2.0, schedule="cosine", epochs=100))
    assert schedule.lr(0) == 2.0
    assert schedule.lr(50) == pytest.approx(1.0)
    assert 0 < schedule.lr(99) < 0.001


def test_warm_up_of_the_whole_run_is_allowed():
    assert Schedule(FitOptions(warmup=5, epochs=3, schedule="cosine")).lr(2) > 0


def test_plateau_halves_after_eleven_evaluations_without_better():
    schedule = Schedule(FitOptions(lr=1.0, schedule="plateau"))
    schedule.observe(0.5)
    for _ in range(10):
        schedule.observe(0.5)
    assert schedule.lr(11) == 1.0
    schedule.observe(math.nan)
    assert schedule.lr(12) == 0.5
    schedule.observe(0.6)
    assert schedule.lr(13) == 0.5


def test_plateau_goes_on_from_its_state():
    one, other = (Schedule(FitOptions(lr=1.0, schedule="plateau")) for _ in range(2))
    for _ in range(8):
        one.observe(0.5)
    other.load_state_dict(one.state_dict())
    for _ in range(20):
        one.observe(0.4)
        other.observe(0.4)
        assert one.lr(0) == other.lr(0)


def test_only_the_plateau_observes():
    schedule = Schedule(FitOptions(lr=1.0))
    for _ in range(30):
        schedule.observe(0.1)
    assert schedule.lr(30) == 1.0
