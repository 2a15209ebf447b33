"""Ranks: parts that are all, once; packing there and back; one process alone hears itself."""

import pytest
import torch

from graphattn.ops.ranks import ALONE, RankLost, Ranks, pack, unpack


def test_packing_is_undone_by_unpacking():
    values = [torch.randn(2, 3), torch.tensor(7), torch.tensor([], dtype=torch.float64)]
    packed = pack(values)
    assert packed.dtype == torch.float64
    for value, back in zip(values, unpack(packed, values), strict=True):
        assert back.dtype == value.dtype
        assert torch.equal(back, value)
    assert pack([torch.ones(1, dtype=torch.bfloat16)]).dtype == torch.float32


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("count", [0, 1, 6, 7, 20])
def test_parts_are_all_once_and_of_like_size(size, count):
    parts = [range(count)[Ranks(rank, size).part(count)] for rank in range(size)]
    assert [i for part in parts for i in part] == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_one_process_alone_gets_back_what_it_gave():
    x = torch.randn(3, 2)
    assert ALONE.sum(x) is x
    assert ALONE.gather(x) is x
    assert ALONE.pack_sum(x)[0] is x
    assert (ALONE.largest(3), ALONE.of_first(b"a")) == (3, b"a")
    with ALONE.first_before_others():
        pass


def test_without_a_group_the_message_is_one_sentence():
    words = r"rank 1 cannot go on, .* in time \(Default process group has not been .*\):"
    with pytest.raises(RankLost, match=words):
        Ranks(1, 2).sum(torch.ones(1))
    said = str(RankLost(0, "[pair.cc:5] Read error: reset by peer. This is typical. GLHF!\nmore"))
    assert "in time (Read error: reset by peer): the same command goes on from the last" in said
