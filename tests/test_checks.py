"""The shared checks of options: what passes, and what the message says."""

import pytest

from graphattn.checks import check_choice, check_least


def test_what_is_right_passes():
    check_choice(["a", "b"], one="a", two="b")
    check_least(0, one=0, two=5)


def test_the_first_wrong_option_is_named():
    with pytest.raises(ValueError, match=r"^two must be one of a, b: got 'c'\.$"):
        check_choice(["a", "b"], one="a", two="c")
    with pytest.raises(ValueError, match=r"^two must be at least 1: got two=0\.$"):
        check_least(1, one=1, two=0)
