"""The backward step of attention beside torch's gradient."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import leaky_relu

from graphattn.kernels.influence_attention import spread_attention_back

ROWS, NODES, HEADS, SIZE, CHANNELS, BELOW = 4, 7, 3, 5, 2, 0.2


def attended(value: Tensor, vectors: Tensor, edges: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    """The output of each row, ``[rows, heads, size]``, and of each edge its logit and weight."""
    z, (a, b) = value.view(NODES, HEADS, SIZE), vectors.view(2, HEADS, SIZE)
    target, source = torch.from_numpy(edges)
    logit = (z * a).sum(2)[source] + (z * b).sum(2)[target]
    weight = torch.empty_like(logit)
    out = []
    for row in range(ROWS):
        of = target == row
        weight[of] = leaky_relu(logit, BELOW)[of].softmax(0)
        out.append((weight[of][:, :, None] * z[source[of]]).sum(0))
    return torch.stack(out), logit, weight


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("apart", [True, False])
def test_it_is_the_gradient_of_the_attended_values(apart: bool, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    value = torch.randn(NODES, HEADS * SIZE, generator=generator).to(dtype).requires_grad_()
    vectors = torch.randn(2, HEADS * SIZE, generator=generator).to(dtype)
    edges = np.stack(np.nonzero(np.random.default_rng(0).random((ROWS, NODES)) < 0.6))
    edges = edges[:, edges[0] != 2]  # a row without edges
    out, logit, weight = attended(value, vectors, edges)
    assert (logit < 0).any()
    assert (logit > 0).any()
    grad = torch.randn(ROWS, CHANNELS, HEADS if apart else 1, SIZE, generator=generator).to(dtype)
    share = 1.0 if apart else 1 / HEADS
    expected = torch.stack(
        [
            torch.autograd.grad(out, value, share * g.expand_as(out), retain_graph=True)[0]
            for g in grad.unbind(1)
        ],
        dim=1,
    ).numpy()
    order = np.random.default_rng(1).permutation(NODES)  # the nodes lie elsewhere than their places
    moved = np.empty_like(value.detach().numpy())
    moved[order] = value.detach().numpy()
    starts = np.concatenate([[0], np.cumsum(np.bincount(edges[0], minlength=ROWS))])
    signed = torch.where(logit < 0, -weight, weight).detach().numpy()
    found = np.zeros((NODES, CHANNELS, HEADS * SIZE), moved.dtype)
    spread_attention_back(
        starts,
        edges[1],
        np.arange(edges.shape[1]),
        order,
        signed,
        BELOW,
        moved,
        vectors.numpy(),
        grad.reshape(ROWS, CHANNELS, -1).numpy(),
        found,
    )
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
