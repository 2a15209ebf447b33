"""Checks of a user's own Data, which comes without a file."""

import pytest
import torch
from torch_geometric.data import Data

from graphattn.datasets.validation import check_data

EDGES = torch.tensor([[0, 1], [1, 0]])


def test_a_good_one_passes():
    check_data(Data(x=torch.ones(2, 3), y=torch.tensor([0, -1]), edge_index=EDGES))
    check_data(Data(edge_index=EDGES))
    check_data(Data(x=torch.ones(2, 1), edge_index=EDGES.double()))
    check_data(Data(x=torch.ones(1, 3), y=torch.tensor([-1])))


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (Data(), ValueError, "at least one node: got none"),
        (Data(x=torch.ones(2, 1, dtype=torch.long)), TypeError, "x must be a floating tensor"),
        (Data(x=[[1.0]], num_nodes=1), TypeError, "x must be a torch tensor: got list"),
        (Data(x=torch.ones(2, 1), y=torch.ones(2)), TypeError, "y must be an int64 tensor"),
        (Data(x=torch.ones(2, 1), y=torch.ones(2, 1).long()), TypeError, r"\[nodes\]: got .*2, 1"),
        (Data(x=torch.ones(2, 1), edge_index=EDGES + 0.5), ValueError, "ids are whole numbers"),
        (Data(x=torch.ones(2, 1), edge_index=EDGES[:, :0].t()), ValueError, "looks transposed"),
        (Data(x=torch.ones(3, 1), y=torch.tensor([0, 1])), ValueError, "x: 3, y: 2 rows"),
        (Data(x=torch.ones(2, 1), y=torch.tensor([0, -2])), ValueError, r"got -2 \(1x\)"),
    ],
)
def test_a_wrong_one_is_named(data, error, words):
    with pytest.raises(error, match=words):
        check_data(data)


def test_the_first_five_offenders_and_their_count():
    x = torch.full((9, 1), float("inf"))
    x[0] = 1.0
    with pytest.raises(ValueError, match=r"rows \[1, 2, 3, 4, 5\]; 8 in all of 9"):
        check_data(Data(x=x))
    with pytest.raises(ValueError, match=r"0..1, .*: got 2 \(1x\), 7 \(2x\) in nodes \[0, 1, 2\]"):
        check_data(Data(x=torch.ones(4, 1), y=torch.tensor([2, 7, 7, 1])), num_classes=2)
