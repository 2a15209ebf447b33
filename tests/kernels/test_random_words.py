"""Random integers: those of the published generators, whatever the type of a seed."""

import numpy as np
import pytest

from graphattn.kernels import random_words

MASK = (1 << 64) - 1


def split_mix(state):
    """The k-th output of SplitMix64 is the mix of its seed plus k golden gammas."""
    word = state
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & MASK
    return word ^ (word >> 31)


def test_words_are_those_of_split_mix():
    assert split_mix(0x9E3779B97F4A7C15) == 0xE220A8397B1DCDAF  # its published first output
    for word in (0, 1, 0x9E3779B97F4A7C15, MASK):
        assert int(random_words.mix(np.uint64(word))) == split_mix(word)


@pytest.mark.parametrize("bound", [1, 2, 3, 10, 2**31 + 11, 2**40 + 3, 2**63 + 5, MASK])
def test_bounded_integers_are_the_upper_word_of_the_product(bound):
    counter, drawn = 0, []
    for _ in range(200):
        before = int(counter)
        value, counter = random_words.below(np.uint64(77), np.uint64(counter), np.uint64(bound))
        drawn.append(int(value))
        words = [
            split_mix((77 + k * 0x9E3779B97F4A7C15) & MASK)
            for k in range(before + 1, int(counter) + 1)
        ]
        assert drawn[-1] == (words[-1] * bound) >> 64 < bound
        threshold = (1 << 64) % bound
        assert (words[-1] * bound) & MASK >= threshold
        assert all((word * bound) & MASK < threshold for word in words[:-1])  # the rejected ones
    assert bound == 1 or len(set(drawn)) > 1


def test_streams_of_seeds_epochs_and_nodes_differ():
    names = [
        int(random_words.stream(random_words.key_words(seed, epoch), node))
        for seed in (0, 1, -1, 2**70)
        for epoch in (0, 1)
        for node in range(10)
    ]
    assert len(set(names)) == 60  # 2**70 has the lowest 64 bits of 0
