"""in_order: the same results in the same order for any number of threads, errors in their place."""

import threading

import pytest

from graphattn.sampling.ahead import in_order


@pytest.mark.parametrize("num_workers", [0, 1, 3])
def test_keeps_the_order(num_workers):
    assert list(in_order(lambda i: i * i, range(20), num_workers)) == [i * i for i in range(20)]
    assert list(in_order(str, [], num_workers)) == []


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_error_comes_in_its_place(num_workers):
    def prepare(part: int) -> int:
        if part == 2:
            raise ValueError("two")
        return part

    prepared = in_order(prepare, range(5), num_workers)
    assert [next(prepared), next(prepared)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(prepared)


def test_no_more_than_two_a_thread_are_begun_ahead():
    begun = []
    prepared = in_order(begun.append, range(100), 2)
    next(prepared)
    prepared.close()
    assert len(begun) <= 5
    assert not [t for t in threading.enumerate() if t.name.startswith("graphattn-loader")]
