"""The strongest components of a sparse matrix, as features of its rows."""

import torch
from jaxtyping import Float
from scipy.sparse import csr_matrix
from sklearn.decomposition import TruncatedSVD
from torch import Tensor


def strongest_components(
    matrix: csr_matrix, channels: int, *, seed: int = 0
) -> Float[Tensor, "rows components"]:
    """Reduce the rows of a matrix to their strongest components.

    Args:
        matrix: One row a node.
        channels: Components; fewer where the matrix has fewer rows or columns.
        seed: Of the decomposition.

    Returns:
        float32, columns of mean 0 and deviation 1.

    Raises:
        ValueError: channels is below 1, or the matrix has one row or one column only.

    Example:
        >>> strongest_components(csr_matrix([[1, 0, 0], [0, 2, 0], [0, 0, 3]]), 2).shape
        torch.Size([3, 2])
    """
    most = min(channels, min(matrix.shape) - 1)
    if most < 1:
        raise ValueError(
            "channels must be at least 1, and the matrix at least 2 by 2: got "
            f"channels={channels} of a matrix {matrix.shape[0]} by {matrix.shape[1]}."
        )
    found = TruncatedSVD(most, random_state=seed).fit_transform(matrix)
    return scaled(torch.from_numpy(found))


def scaled(x: Float[Tensor, "rows channels"]) -> Float[Tensor, "rows channels"]:
    """Bring columns to mean 0 and deviation 1; a constant one becomes 0.

    Example:
        >>> scaled(torch.tensor([[1.0, 5.0], [3.0, 5.0]]))[:, 1]
        tensor([0., 0.])
    """
    spread = x.double().std(0)
    return ((x - x.mean(0)) / spread.where(spread > 0, 1.0)).float()
