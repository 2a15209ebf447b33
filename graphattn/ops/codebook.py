"""A codebook of moving averages (vector quantisation) as pure functions: assign, move, count."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

SMOOTHING = 1e-5  # nodes added to each code, so that none has none
_CHUNK = 1 << 24  # products of nodes and codes that exist at once: 64 MB in float32


def nearest_code(
    x: Float[Tensor, "nodes channels"], codebook: Float[Tensor, "codes channels"]
) -> tuple[Int[Tensor, " nodes"], Float[Tensor, " nodes"]]:
    r"""Finds the code nearest to each node.

    .. math:: \mathrm{code}_i = \arg\min_j \lVert x_i - e_j \rVert^2

    Args:
        x: One row a node.
        codebook: One row a code.

    Returns:
        The index of the nearest code (the lowest on a tie) and the squared distance to it.

    Example:
        >>> import torch
        >>> nearest_code(torch.tensor([[0.9]]), torch.tensor([[0.0], [1.0]]))[0]
        tensor([1])
    """
    shift = 0.5 * codebook.square().sum(dim=1)
    rows = max(1, _CHUNK // max(1, codebook.size(0)))
    found = [(part @ codebook.t() - shift).max(dim=1) for part in torch.split(x, rows)]
    best = torch.cat([part.values for part in found])
    distance = (x.square().sum(dim=1) - 2.0 * best).clamp_min(0.0)
    return torch.cat([part.indices for part in found]), distance


def code_sums(
    x: Float[Tensor, "nodes channels"], code: Int[Tensor, " nodes"], codebook_size: int
) -> tuple[Float[Tensor, " codes"], Float[Tensor, "codes channels"]]:
    """Counts the nodes of each code and sums their rows.

    Args:
        x: One row a node.
        code: The code of each node, from 0 to ``codebook_size - 1``.
        codebook_size: Number of codes.

    Returns:
        Counts and sums, of the type of ``x``; zero where a code has no node.

    Example:
        >>> import torch
        >>> code_sums(torch.tensor([[1.0], [2.0]]), torch.tensor([1, 1]), 2)[1].tolist()
        [[0.0], [3.0]]
    """
    counts = x.new_zeros(codebook_size).index_add(0, code, x.new_ones(code.numel()))
    sums = x.new_zeros(codebook_size, x.size(1)).index_add(0, code, x)
    return counts, sums


def smooth_sizes(
    size: Float[Tensor, " codes"], *, eps: float = SMOOTHING
) -> Float[Tensor, " codes"]:
    r"""Lifts empty codes off zero and keeps the total (Laplace smoothing).

    .. math:: s_j \leftarrow \frac{s_j + \epsilon}{n + M\epsilon}\, n, \qquad n = \sum_j s_j

    Args:
        size: Moving average of the number of nodes of each code.
        eps: How much each code is lifted, in nodes.

    Returns:
        Sizes with the same sum.

    Example:
        >>> import torch
        >>> smooth_sizes(torch.tensor([2.0, 0.0])).sum().round()
        tensor(2.)
    """
    total = size.sum()
    return (size + eps) / (total + size.numel() * eps) * total


def recount(
    count: Int[Tensor, " codes"],
    codes: Int[Tensor, " all_nodes"],
    nodes: Int[Tensor, " nodes"],
    code: Int[Tensor, " nodes"],
) -> None:
    """Moves nodes to their new codes, in place, and keeps the histogram true by differences.

    Costs as much as the batch, however many nodes the graph has. A node never seen has code -1
    and is counted nowhere.

    Args:
        count: How many nodes each code has now; changed in place.
        codes: The code of every node of the graph, -1 where none yet; changed in place.
        nodes: Distinct ids of the nodes to move.
        code: Their new codes.

    Example:
        >>> import torch
        >>> count, codes = torch.tensor([1, 0]), torch.tensor([0, -1])
        >>> recount(count, codes, torch.tensor([0, 1]), torch.tensor([1, 1]))
        >>> count.tolist(), codes.tolist()
        ([0, 2], [1, 1])
    """
    before = codes.index_select(0, nodes).long()
    count.index_add_(0, before.clamp_min(0), -(before >= 0).to(count.dtype))
    count.index_add_(0, code, torch.ones_like(code, dtype=count.dtype))
    codes.index_copy_(0, nodes, code.to(codes.dtype))
