"""Distinct ids against numpy.unique, whatever was looked for before."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphattn.kernels.distinct import distinct


def agree(ids, num_nodes):
    nodes, places = distinct(ids, num_nodes)
    expected, inverse = np.unique(ids, return_inverse=True)
    assert nodes.dtype == places.dtype == np.int64
    assert np.array_equal(nodes, expected)
    assert np.array_equal(places, inverse.reshape(ids.shape))


@given(
    st.integers(1, 700).flatmap(
        lambda n: st.tuples(st.just(n), st.lists(st.integers(0, n - 1), max_size=300))
    )
)
def test_as_numpy_does(drawn):
    num_nodes, ids = drawn
    agree(np.array(ids, dtype=np.int64), num_nodes)  # of one graph, then another: nothing is left


def test_many_ids_of_a_large_graph_and_then_a_small_one():
    generator = np.random.default_rng(0)
    agree(generator.integers(1_000_000, size=(512, 40)), 1_000_000)
    agree(np.arange(64)[::-1].copy(), 64)
    agree(np.zeros((0, 3), np.int64), 5)


def test_threads_do_not_meet():
    generator, wrong = np.random.default_rng(1), []

    def look(seed):
        ids = np.random.default_rng(seed).integers(5_000, size=2_000)
        for _ in range(50):
            try:
                agree(ids, 5_000)
            except AssertionError as error:
                wrong.append(error)

    threads = [threading.Thread(target=look, args=(int(generator.integers(99)),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("bad", [-1, 10])
def test_an_id_out_of_range(bad):
    with pytest.raises(IndexError, match="ids run from 0 to 9: got some from"):
        distinct(np.array([3, bad]), 10)
    agree(np.array([3, 3]), 10)
