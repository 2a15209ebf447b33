"""Folds of node importance, features of structure, and the two real sets."""

import pytest
import torch

from graphattn.datasets.node_importance import (
    importance_folds,
    node_importance,
    structural_features,
)


@pytest.mark.parametrize("num_nodes", [4412, 13763, 101, 10])
def test_each_labelled_node_is_tested_once(num_nodes):
    mask = torch.zeros(num_nodes + 5, dtype=torch.bool)
    mask[2 : num_nodes + 2] = True
    folds = importance_folds(mask)
    assert torch.equal(sum(test.int() for _, _, test in folds), mask.int())
    for train, val, test in folds:
        assert torch.equal(train | val | test, mask)
        assert int(train.sum() + val.sum() + test.sum()) == num_nodes
        assert 0 < int(val.sum()) <= num_nodes // 10 + 1
    if num_nodes == 4412:
        assert [int(test.sum()) for _, _, test in folds] == [883, 882, 882, 882, 883]
    assert not torch.equal(folds[0][2], importance_folds(mask, seed=1)[0][2])


def test_errors_of_folds():
    with pytest.raises(ValueError, match=r"num_folds must be at least 2.*got num_folds=1"):
        importance_folds(torch.ones(20, dtype=torch.bool), 1)
    with pytest.raises(ValueError, match="half of the 4 labelled nodes: got num_folds=5"):
        importance_folds(torch.ones(4, dtype=torch.bool))


def test_structure_tells_two_parts_apart_and_does_not_mind_repeated_edges():
    edges = torch.tensor([[0, 1, 2, 3, 4, 5], [1, 2, 0, 4, 5, 3]])
    x = structural_features(edges, 7, channels=2)
    assert x.shape == (7, 3)
    torch.testing.assert_close(x, structural_features(edges.repeat(1, 2), 7, channels=2))
    torch.testing.assert_close(x[0], x[1], rtol=1e-4, atol=1e-4)
    assert (x[0, :2] - x[3, :2]).abs().max() > 0.5
    assert x[6, 2] < x[0, 2]


@pytest.mark.parametrize(
    ("name", "way", "sizes"),
    [
        ("music10k_nie", "metapath", (22985, 12986, 58278, 3)),
        ("music10k_nie", "signature", (22985, 7, 22985, 2)),
        ("fb15k237_nie", "metapath", (14541, None, None, None)),
    ],
)
def test_real_sets(real_data, name, way, sizes):
    data = node_importance(name, root=real_data, hyperedges=way, struct_channels=8, text_channels=8)
    found = (
        data.num_nodes,
        data.num_hyperedges,
        data.edge_index.size(1),
        int(data.hyperedge_type.max()) + 1,
    )
    assert all(wanted in (None, came) for wanted, came in zip(sizes, found, strict=True))
    assert data.x.shape == (data.num_nodes, 9)
    assert data.x_text.shape == (data.num_nodes, 8)
    assert data.x.isfinite().all()
    assert data.train_mask.shape == (data.num_nodes, 5)
    assert torch.equal(~data.y.isnan(), (data.train_mask | data.val_mask | data.test_mask)[:, 0])
    if name == "fb15k237_nie":
        assert int(data.edge_index[1].bincount().max()) <= 128


def test_errors(tmp_path):
    with pytest.raises(
        ValueError, match="hyperedges must be one of metapath, signature, pairs: got 'all'"
    ):
        node_importance("music10k_nie", hyperedges="all")
