"""Sums by rows beside those of PyG, and that layers are left as they were."""

import pytest
import torch
from torch_geometric.nn import GATConv, GATv2Conv, GCNConv, GINConv, SAGEConv, SimpleConv

from graphattn.diagnostics.row_sums import sums_by_rows


@pytest.mark.parametrize(
    "conv",
    [
        SAGEConv(4, 3),
        SAGEConv(4, 3, aggr="max"),
        GINConv(torch.nn.Linear(4, 3)),
        GCNConv(4, 3),
        GATConv(4, 3, heads=2),
        GATv2Conv(4, 3, heads=2, add_self_loops=False, aggr="mean"),
        GATv2Conv(4, 3, heads=2),
        SimpleConv(aggr="sum", combine_root="sum"),
    ],
    ids=lambda conv: type(conv).__name__,
)
def test_values_and_gradients_are_those_of_pyg(conv: torch.nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    edges = torch.randint(9, (2, 30), generator=generator)  # nodes 9 and 10 have none
    x = torch.randn(11, 4, generator=generator, dtype=torch.float64).requires_grad_()
    conv, before = conv.double(), conv.aggr_module
    with sums_by_rows(conv):
        ours = conv(x, edges)
    assert conv.aggr_module is before
    theirs = conv(x, edges)
    torch.testing.assert_close(ours, theirs, rtol=1e-13, atol=1e-14)
    grads = (torch.autograd.grad(out.pow(2).sum(), x)[0] for out in (ours, theirs))
    torch.testing.assert_close(*grads, rtol=1e-12, atol=1e-13)


def test_layers_are_set_back_after_an_error() -> None:
    conv = SAGEConv(4, 3)
    before = conv.aggr_module
    with pytest.raises(KeyError, match="stop"), sums_by_rows(conv):
        assert conv.aggr_module is not before
        raise KeyError("stop")
    assert conv.aggr_module is before
