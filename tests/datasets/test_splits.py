"""Splits: what a draw guarantees, and every way in which one can be wrong."""

import logging

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data

from graphattn.datasets.splits import Split, random_split, splits


def data_with(**masks):
    return Data(x=torch.ones(4, 1), y=torch.tensor([0, 1, 0, 1]), num_nodes=4, **masks)


def mask(*ids, num_nodes=4):
    out = torch.zeros(num_nodes, dtype=torch.bool)
    out[list(ids)] = True
    return out


@given(
    labels=st.lists(st.integers(-1, 3), min_size=1, max_size=60),
    shares=st.lists(st.integers(0, 10), min_size=3, max_size=4).filter(any),
    stratify=st.booleans(),
    seed=st.integers(0, 5),
)
@settings(max_examples=150, deadline=None)
def test_random_split_properties(labels, shares, stratify, seed):
    y = torch.tensor(labels)
    fractions = [share / sum(shares) for share in shares[:3]]
    try:
        split = random_split(y, fractions, stratify=stratify, seed=seed)
    except ValueError as error:
        assert "The training part must not be empty" in str(error)
        return
    ids = torch.cat([split.train, split.val, split.test])
    assert len(ids.unique()) == len(ids)
    assert (y[ids] >= 0).all()
    classes = y[y >= 0].unique() if stratify else [None]
    for c in classes:
        members = (y >= 0) if c is None else (y == c)
        for part, fraction in zip((split.train, split.val, split.test), fractions, strict=True):
            size = int(members[part].sum())
            assert abs(size - fraction * int(members.sum())) <= 1 + 1e-9
    again = random_split(y, fractions, stratify=stratify, seed=seed)
    assert torch.equal(again.train, split.train)
    masks = split.masks(len(y))
    assert torch.equal(masks[2].nonzero().view(-1), split.test)


def test_random_split_leaves_global_generators_alone():
    state = torch.get_rng_state()
    random_split(torch.zeros(10, dtype=torch.long))
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (0.6, 0.6, 0.0), (-0.1, 0.5, 0.5)])
def test_random_split_refuses_wrong_fractions(fractions):
    with pytest.raises(ValueError, match="fractions are the shares of train, val and test: got"):
        random_split(torch.zeros(10, dtype=torch.long), fractions)


def test_masks_become_splits():
    split = splits(data_with(train_mask=mask(0, 3), val_mask=mask(1), test_mask=mask(2)))[0]
    assert (split.train.tolist(), split.val.tolist(), split.test.tolist()) == ([0, 3], [1], [2])


def test_several_columns_and_one_test_mask_for_all():
    train = torch.stack([mask(0), mask(1), mask(3)], dim=1)
    found = splits(data_with(train_mask=train, test_mask=mask(2)))
    assert [split.train.tolist() for split in found] == [[0], [1], [3]]
    assert all(split.test.tolist() == [2] and not len(split.val) for split in found)


def test_unlabelled_nodes_are_left_out(caplog):
    data = data_with(train_mask=mask(0, 1), test_mask=mask(2))
    data.y = torch.tensor([0, -1, 0, 1])
    with caplog.at_level(logging.WARNING):
        assert splits(data)[0].train.tolist() == [0]
    assert "split 0: 1 nodes of train have no label (-1) and are left out" in caplog.text


def test_overlap_is_counted():
    data = data_with(train_mask=mask(0, 1, 2), val_mask=mask(3), test_mask=mask(1, 2))
    with pytest.raises(ValueError, match=r"2 nodes are in both train and test \(first: \[1, 2\]\)"):
        splits(data)


def test_empty_training_part():
    with pytest.raises(ValueError, match="training part must not be empty: got split 0"):
        splits(data_with(train_mask=mask()))


def test_no_training_mask():
    with pytest.raises(ValueError, match=r"needs data.train_mask: got none; make one with"):
        splits(data_with())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (torch.ones(5).bool(), r"train_mask must be \[4\] or \[4, splits\], .* got \[5\]"),
        (torch.ones(4), "train_mask must be a boolean tensor: got torch.float32"),
        ([True] * 4, "train_mask must be a boolean tensor: got list"),
        (torch.ones(4, 2, 2).bool(), r"got \[4, 2, 2\]"),
    ],
)
def test_wrong_masks(wrong, words):
    with pytest.raises(ValueError, match=words):
        splits(data_with(train_mask=wrong))


def test_masks_with_different_numbers_of_splits():
    train, val = torch.eye(4)[:, :3].bool(), torch.zeros(4, 2).bool()
    with pytest.raises(ValueError, match="got 2 columns in val_mask, 3 in another"):
        splits(data_with(train_mask=train, val_mask=val))


def test_ids_out_of_range_are_named():
    with pytest.raises(ValueError, match=r"got train\[1\]=9, train\[2\]=-1; 2 such ids in train"):
        Split.from_indices([0, 9, -1], [1], [2], num_nodes=4)


def test_fractional_ids():
    with pytest.raises(ValueError, match="val must be a list of whole node ids"):
        Split.from_indices([0], [1.5], [2], num_nodes=4)


def test_repeated_ids_count_once_with_a_note(caplog):
    with caplog.at_level(logging.WARNING):
        split = Split.from_indices([3, 0, 3], [], [], num_nodes=4)
    assert split.train.tolist() == [0, 3]
    assert "1 ids of train are listed twice and count once" in caplog.text
