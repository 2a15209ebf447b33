"""Options refuse what cannot be run, in words; reading them needs no torch."""

import subprocess
import sys

import pytest

from graphattn.training.options import FitOptions, TokenOptions


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"lr": 0.0}, "lr must be a positive number: got 0.0"),
        ({"lr": float("nan")}, "lr must be a positive number: got nan"),
        ({"epochs": 0}, "epochs must be at least 1: got 0"),
        ({"patience": -1}, "patience must be at least 0: got -1"),
        ({"clip_norm": float("inf")}, "clip_norm must be at least 0: got inf"),
        ({"label_smoothing": 1.0}, r"label_smoothing must be in \[0, 1\): got 1.0"),
    ],
)
def test_fit_options_out_of_range(option, words):
    with pytest.raises(ValueError, match=words):
        FitOptions(**option)


def test_names_out_of_their_list():
    for options, name, words in (
        (FitOptions(), "optimizer", "optimizer must be one of adam, adamw: got 'bag'"),
        (TokenOptions(), "pool", "pool must be one of list, set: got 'bag'"),
    ):
        object.__setattr__(options, name, "bag")  # The annotations' hook would see it first.
        with pytest.raises(ValueError, match=words):
            options.__post_init__()


def test_token_options_out_of_range():
    with pytest.raises(ValueError, match="batch_size must be at least 1: got 0"):
        TokenOptions(batch_size=0)


def test_when_to_save_does_not_decide_the_weights():
    often = FitOptions(save_every=1, save_steps=3, save_seconds=0.0)
    assert often.that_decide() == FitOptions(save_every=7).that_decide()
    assert often.that_decide() != FitOptions(lr=0.5).that_decide()


def test_options_are_read_without_torch():
    code = "import sys, graphattn.training.options; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
