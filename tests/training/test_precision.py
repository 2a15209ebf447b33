"""Mixed precision: refused where torch has no sparse product for it, taken elsewhere."""

import pytest
import torch
from torch import nn

from graphattn.models.gnn import GNN
from graphattn.models.mlp import MLP
from graphattn.training.feeds import FullBatchFeed
from graphattn.training.fitting import fit
from graphattn.training.options import FitOptions
from graphattn.training.precision import check_sparse_autocast

HALF = FitOptions(epochs=1, autocast="bfloat16")


def runs_in_bfloat16() -> bool:
    """Whether this torch has the product after all."""
    pair = torch.eye(2).to_sparse_csr().bfloat16()
    try:
        return (pair @ torch.ones(2, 2, dtype=torch.bfloat16)).shape == (2, 2)
    except (RuntimeError, NotImplementedError):
        return False


@pytest.mark.skipif(runs_in_bfloat16(), reason="this torch multiplies sparse matrices in bfloat16")
@pytest.mark.parametrize("conv", ["gcn", "sage"])
def test_a_model_of_sparse_products_is_refused_before_its_first_step(data, split, conv):
    model = GNN(3, 8, 3, conv=conv)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    words = "train.autocast must be none for a model that multiplies by the sparse .* for GNN"
    with pytest.raises(ValueError, match=words):
        fit(model, FullBatchFeed(data, split.train), split, options=HALF)
    with pytest.raises(ValueError, match=words):
        check_sparse_autocast(model, 3)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("model", [MLP(3, 8, 3), GNN(3, 8, 3, conv="gat")])
def test_others_train_in_it(data, split, model):
    assert fit(model, FullBatchFeed(data, split.train), split, options=HALF).epochs_run == 1


def test_a_model_that_fails_without_it_too_is_left_to_the_real_graph():
    check_sparse_autocast(nn.Linear(3, 3), 3)  # it takes no graph at all
