"""How far LargeGT sees: four hops by its tokens, all nodes by a codebook that follows them."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphattn.diagnostics import influence
from graphattn.models.largegt import LargeGT


def ring(num_nodes: int = 24) -> Data:
    at = torch.arange(num_nodes)
    forth = torch.stack([at, (at + 1) % num_nodes])
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(num_nodes, 5, generator=generator)
    return Data(x, torch.cat([forth, forth.flip(0)], dim=1))


def test_the_local_module_reads_four_hops_and_no_more() -> None:
    torch.manual_seed(0)
    model = LargeGT(5, 8, 3, scope="local")

    def forward(x: Tensor, edge_index: Tensor) -> Tensor:
        return model.eval().node_forward(x, edge_index, num_samples=10)

    found = influence(
        forward, ring(), max_hops=6, seeds=range(24), semantics="full", engine="single"
    )
    assert (found.T[:, 4] > 0).all()
    assert not found.T[:, 5:].any()
    assert not found.tail_mass.any()


def test_what_the_codebook_brings_is_tail_mass() -> None:
    torch.manual_seed(0)
    model = LargeGT(5, 8, 3, scope="full", global_channels=4, codebook_size=4).eval()
    model.codebook.cluster_size.fill_(6.0)

    def frozen(x: Tensor, edge_index: Tensor) -> Tensor:
        return model.node_forward(x, edge_index, num_samples=10)

    def following(x: Tensor, edge_index: Tensor) -> Tensor:
        return model.node_forward(x, edge_index, num_samples=10, follow=True)

    data = ring()
    fixed = influence(frozen, data, max_hops=4, seeds=range(24), engine="single")
    moving = influence(following, data, max_hops=4, seeds=range(24), engine="single")
    assert not fixed.tail_mass.any()  # its codes are buffers: no gradient passes
    assert (moving.tail_mass > 0).all()
    assert 0 < moving.tail_share < 1
    assert np.isfinite(moving.R)


@pytest.mark.parametrize("follow", [False, True])
def test_a_model_that_takes_seeds_gives_the_same_numbers(follow: bool) -> None:
    torch.manual_seed(0)
    model = LargeGT(5, 8, 3, global_channels=4, codebook_size=4, num_own_hops=3).double().eval()
    data = ring(150)
    data.x = data.x.double()

    def whole(x: Tensor, edge_index: Tensor) -> Tensor:
        return model.node_forward(x, edge_index, num_samples=10, follow=follow)

    def some(x: Tensor, edge_index: Tensor, seeds: Tensor) -> Tensor:
        return model.node_forward(x, edge_index, seeds, num_samples=10, follow=follow)

    asked = [*range(100, 30, -1), 149]
    first = influence(whole, data, max_hops=5, seeds=asked, engine="single")
    second = influence(some, data, max_hops=5, seeds=asked)
    assert second.about["engine"] == "single"
    assert np.abs(first.T - second.T).max() < 1e-12
    assert np.abs(first.tail_mass - second.tail_mass).max() < 1e-12
    with pytest.raises(ValueError, match="does not suit"):
        influence(some, data, max_hops=5, seeds=asked, engine="union")
