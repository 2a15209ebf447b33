"""The range of a node: influence times distance, summed over the nodes it hears from."""

import numpy as np
import numpy.typing as npt

from graphattn.diagnostics.result import InfluenceResult


def node_range(found: InfluenceResult, *, normalized: bool = True) -> npt.NDArray[np.float64]:
    r"""Takes from a measurement of influence the range of each of its seeds.

    .. math:: \rho_v = \sum_u I(v, u)\, d(v, u), \qquad
        \hat\rho_v = \rho_v \Big/ \sum_u I(v, u)

    The distance is that of the measurement: hops, a metric (``"weight"``, ``"euclid"``) or
    ``"resistance"``. Sums run over the nodes within ``max_hops``; with ``max_hops`` at least the
    diameter, over all from which the seed is reached, as in the paper. In hops, the normalised
    range is the R of each node. Source: Bamberger et al. 2025, https://arxiv.org/abs/2506.05971,
    section 3.

    Args:
        found: What :func:`~graphattn.diagnostics.influence` found.
        normalized: Divide by the influence, which gives a unit of distance; else the unit is that
            of influence times distance.

    Returns:
        float64 ``[seeds]``, in the order of ``found.seeds``; 0 for a seed without influence.

    Example:
        >>> T = np.array([[3.0, 1.0], [0.0, 0.0]])
        >>> found = InfluenceResult(T, np.arange(2), np.zeros(2), np.array([0.25, 0.0]), {})
        >>> node_range(found).tolist(), node_range(found, normalized=False).tolist()
        ([0.25, 0.0], [1.0, 0.0])
    """
    mean = np.where(found.counted, found.R_per_node, 0.0)
    return mean if normalized else mean * found.T.sum(1)
