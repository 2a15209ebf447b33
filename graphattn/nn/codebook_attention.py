"""Attention of every node to a small codebook that follows all nodes by moving averages."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.nn import BatchNorm

from graphattn.checks import check_least
from graphattn.ops.codebook import SMOOTHING, code_sums, nearest_code, recount, smooth_sizes
from graphattn.ops.ranks import ALONE, Ranks


class CodebookAttention(nn.Module):
    r"""Global attention in time linear in the nodes: to ``codebook_size`` moving averages of them.

    With :math:`u = [W_g x\,;\,pe]` and the codebook's keys :math:`K_c` and values :math:`V_c` (the
    first ``global_channels`` columns of the keys), both buffers without gradient,

    .. math::
        \mathrm{out} = \mathrm{softmax}_j\left(\frac{(W_q u)^\top W_k K_{c,j}}{\sqrt{c}}
        + \log n_j\right) W_v V_{c,j},

    where :math:`n_j` is how many nodes code *j* stands for. In training, after the attention, every
    node of the batch joins its nearest code and the codes move towards their nodes
    (:meth:`update`), as the running statistics of a batch norm do.

    How many nodes a code stands for is counted exactly when the caller keeps one code per node of
    the graph (``codes``, ``seeds``): nodes never visited count nowhere. Without that, the moving
    average of the cluster sizes takes its place, so the layer serves as global attention over the
    node features of any PyG model; a code has no say while that average is no more than smoothing
    gives a code that never had a node.

    Where several processes train one model, the codes follow the batches of all of them
    (:attr:`ranks`): sums and counts are added up in one message, and who joined which code is told
    to all, so that every process holds the same codes and the same exact histogram.

    Source: the global module of LargeGT, section 3 of https://arxiv.org/abs/2312.11109, after GOAT.

    Args:
        in_channels: Channels of ``x``.
        head_channels: Channels of each head; the output has ``heads * head_channels``.
        heads: Number of heads.
        global_channels: Channels of a node in the codebook, without its position.
        pe_channels: Channels of the position, 0 for none.
        codebook_size: Number of codes.
        decay: How much of a moving average stays at a step.
        reseed_below: A code whose moving size falls below this many nodes is put where a batch node
            lies farthest from its code. 0 leaves such codes where they are, as the paper does.

    Raises:
        ValueError: A size is below its least value, or ``decay`` is outside (0, 1).

    Example:
        >>> import torch
        >>> attention = CodebookAttention(16, head_channels=8, heads=2, codebook_size=32)
        >>> attention(torch.randn(100, 16)).shape
        torch.Size([100, 16])
    """

    takes_nodes = True  # rows of nodes, of any graphs; no batches of graphs
    ranks: Ranks
    codebook: Tensor
    keys: Tensor
    code_sum: Tensor
    cluster_size: Tensor
    count: Tensor

    def __init__(
        self,
        in_channels: int,
        *,
        head_channels: int,
        heads: int = 2,
        global_channels: int = 64,
        pe_channels: int = 0,
        codebook_size: int = 4096,
        decay: float = 0.99,
        reseed_below: float = 0.0,
    ) -> None:
        super().__init__()
        check_least(1, in_channels=in_channels, head_channels=head_channels, heads=heads)
        check_least(1, global_channels=global_channels, codebook_size=codebook_size)
        check_least(0, pe_channels=pe_channels)
        if not 0.0 < decay < 1.0:
            raise ValueError(f"decay must be in (0, 1): got decay={decay}.")
        channels = global_channels + pe_channels
        self.heads, self.decay, self.reseed_below = heads, decay, reseed_below
        self.ranks = ALONE
        self.global_channels, self.pe_channels = global_channels, pe_channels
        self.out_channels = heads * head_channels
        self.lin_in = nn.Linear(in_channels, global_channels)
        self.lin_query = nn.Linear(channels, self.out_channels)
        self.lin_key = nn.Linear(channels, self.out_channels)
        self.lin_value = nn.Linear(global_channels, self.out_channels)
        self.norm = BatchNorm(channels, affine=False, allow_single_element=True)
        self.register_buffer("codebook", torch.empty(codebook_size, channels))
        self.register_buffer("keys", torch.empty(codebook_size, channels))
        self.register_buffer("code_sum", torch.empty(codebook_size, channels))
        self.register_buffer("cluster_size", torch.empty(codebook_size))
        self.register_buffer("count", torch.empty(codebook_size, dtype=torch.long))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws weights and codes anew and forgets all moving averages."""
        for linear in (self.lin_in, self.lin_query, self.lin_key, self.lin_value):
            linear.reset_parameters()
        self.norm.reset_parameters()
        with torch.no_grad():
            self.codebook.normal_()
            self.keys.copy_(self.codebook)
            self.code_sum.normal_()
            self.cluster_size.zero_()
            self.count.zero_()

    def forget_counts(self) -> None:
        """Empties the histogram, for a new run whose nodes have no codes yet."""
        self.count.zero_()

    def forward(
        self,
        x: Float[Tensor, "nodes channels"],
        pe: Float[Tensor, "nodes pe_channels"] | None = None,
        *,
        seeds: Int[Tensor, " nodes"] | None = None,
        codes: Int[Tensor, " all_nodes"] | None = None,
    ) -> Float[Tensor, "nodes hidden"]:
        """Attends to the codebook and, in training mode, moves it.

        Args:
            x: Features of the nodes of the batch.
            pe: Their positions; needed iff ``pe_channels > 0``.
            seeds: Their distinct ids in the graph; needed with ``codes``.
            codes: The code of every node of the graph, -1 where none yet; kept by the caller and
                changed in place in training mode.

        Returns:
            One vector a node, ``hidden = heads * head_channels``.

        Raises:
            ValueError: ``pe`` or ``seeds`` is missing, or ``pe`` has other channels.
        """
        u = self.encode(x, pe)
        out = self._attend(u)
        if self.training:
            self.update(u, seeds=seeds, codes=codes)
        return out

    def encode(
        self,
        x: Float[Tensor, "nodes channels"],
        pe: Float[Tensor, "nodes pe_channels"] | None = None,
    ) -> Float[Tensor, "nodes code_channels"]:
        """Gives the point ``u`` at which each node lies in the space of the codes."""
        given = 0 if pe is None else pe.size(1)
        if given != self.pe_channels:
            raise ValueError(
                f"pe must have pe_channels={self.pe_channels} channels: got {given}"
                f"{' (no pe)' if pe is None else ''}."
            )
        u = self.lin_in(x)
        return u if pe is None else torch.cat([u, pe.to(u.dtype)], dim=1)

    @contextmanager
    def following(
        self,
        x: Float[Tensor, "nodes channels"],
        pe: Float[Tensor, "nodes pe_channels"] | None = None,
    ) -> Iterator[None]:
        r"""Within it, each code is the mean of its nodes now, not a moving average of the past.

        .. math:: K_j = \frac{1}{n_j} \sum_{i: c_i = j} u_i, \quad n_j = |\{i: c_i = j\}|,

        which is where the moving averages come to rest if the nodes stay as they are. Gradients
        pass to ``x``, so that an instrument sees what reaches a node through the codebook. A code
        that is nearest to no node keeps its key and has no say.

        Args:
            x: Features of all nodes.
            pe: Their positions; needed iff ``pe_channels > 0``.

        Raises:
            ValueError: The layer is in training mode, or ``pe`` does not fit.
        """
        if self.training:
            raise ValueError("following needs evaluation mode: got training mode; call eval().")
        u = self.encode(x, pe)
        with torch.no_grad():
            code, _ = nearest_code(self.norm(u.to(self.codebook.dtype)), self.codebook)
        counts, sums = code_sums(u.to(self.keys.dtype), code, self.keys.size(0))
        means = sums / counts.clamp_min(1.0).unsqueeze(1)
        kept = self.keys, self.count
        self.keys = torch.where(counts.unsqueeze(1) > 0, means, self.keys)
        self.count = counts.detach().long()
        try:
            yield
        finally:
            self.keys, self.count = kept

    @torch.no_grad()
    def weights(
        self,
        x: Float[Tensor, "nodes channels"],
        pe: Float[Tensor, "nodes pe_channels"] | None = None,
    ) -> Float[Tensor, "nodes heads codes"]:
        """Gives how much each node attends to each code that stands for any node."""
        q, keys, bias = self._scored(self.encode(x, pe))
        k = self.lin_key(keys).unflatten(-1, (self.heads, -1))
        return (torch.einsum("hnc,jhc->nhj", q, k) * q.size(-1) ** -0.5 + bias).softmax(-1)

    def _attend(self, u: Tensor) -> Tensor:
        q, keys, bias = self._scored(u)
        k = self.lin_key(keys).unflatten(-1, (self.heads, -1)).transpose(0, 1)
        v = self.lin_value(keys[:, : self.global_channels])
        v = v.unflatten(-1, (self.heads, -1)).transpose(0, 1)
        # Fused: the nodes-by-codes matrix never exists.
        mask = bias.to(q.dtype).expand(1, 1, q.size(1), -1)
        out = F.scaled_dot_product_attention(q[None], k[None], v[None], attn_mask=mask)
        return out[0].transpose(0, 1).flatten(1)

    def _scored(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries ``[heads, nodes, channels]``, the codes' keys, what each code counts."""
        # What smoothing alone keeps a code at, without a node: such codes lie anywhere.
        alive = self.cluster_size > 2.0 * SMOOTHING / (1.0 - self.decay)
        moving = self.cluster_size.masked_fill(~alive, 0.0)
        size = torch.where(self.count.sum() > 0, self.count.to(self.keys.dtype), moving)
        # The backward needs the keys of now, and update() changes the buffer in place.
        keys = self.keys.clone() if self.training else self.keys
        if u.device.type == "cpu" and not torch.compiler.is_compiling():
            # A code without nodes has no say; often most have none. Elsewhere: no sync.
            kept = size.nonzero().squeeze(1)
            if 0 < kept.numel() < size.numel():
                size, keys = size.index_select(0, kept), keys.index_select(0, kept)
        q = self.lin_query(u).unflatten(-1, (self.heads, -1)).transpose(0, 1)
        # A code without nodes gets -inf; while no code has any, none is preferred.
        return q, keys, torch.where(size.sum() > 0, size.log(), torch.zeros_like(size))

    @torch.no_grad()
    def update(
        self,
        u: Float[Tensor, "nodes code_channels"],
        *,
        seeds: Int[Tensor, " nodes"] | None = None,
        codes: Int[Tensor, " all_nodes"] | None = None,
    ) -> Int[Tensor, " nodes"]:
        r"""Assigns nodes to their nearest codes and moves the codes, outside autocast.

        .. math::
            s_j \leftarrow \gamma s_j + (1-\gamma)\,|\{i: c_i=j\}|, \quad
            w_j \leftarrow \gamma w_j + (1-\gamma) \sum_{i: c_i=j} \hat x_i, \quad
            e_j = w_j / s_j,

        where :math:`\hat x` is the batch-normalised ``u`` and ``s`` is smoothed. The keys are ``e``
        in the scale of ``u``.

        Args:
            u: Points of the batch, from :meth:`encode`.
            seeds: Distinct ids of the nodes; needed with ``codes``.
            codes: The code of every node of the graph; changed in place.

        Returns:
            The code of each node of the batch.

        Raises:
            ValueError: ``codes`` came without ``seeds``.
        """
        if codes is not None and seeds is None:
            raise ValueError("codes needs seeds, the ids of the batch: got codes without seeds.")
        if u.size(0) == 0 and self.ranks.alone:
            return u.new_zeros(0, dtype=torch.long)
        with torch.autocast(u.device.type, enabled=False):
            x = self.norm(u.detach().to(self.codebook.dtype))
            code, distance = nearest_code(x, self.codebook)
            counts, sums = self.ranks.pack_sum(*code_sums(x, code, self.codebook.size(0)))
            size = self.cluster_size * self.decay + (1.0 - self.decay) * counts
            self.cluster_size.copy_(smooth_sizes(size))
            self.code_sum.mul_(self.decay).add_(sums, alpha=1.0 - self.decay)
            if self.reseed_below > 0.0:
                self._reseed(x, distance)
            self.codebook.copy_(self.code_sum / self.cluster_size.unsqueeze(1))
            scale = (self.norm.module.running_var + self.norm.module.eps).sqrt()
            self.keys.copy_(self.codebook * scale + self.norm.module.running_mean)
            if codes is not None and seeds is not None:
                joined = self.ranks.gather(torch.stack([seeds, code], dim=1))
                recount(self.count, codes, *joined.unbind(1))
        return code

    def _reseed(self, x: Tensor, distance: Tensor) -> None:
        """Puts the smallest codes, where too small, on the nodes farthest from their codes."""
        x, distance = self.ranks.gather(x), self.ranks.gather(distance)
        num = min(x.size(0), self.cluster_size.numel())
        smallest = self.cluster_size.argsort(stable=True)[:num]
        farthest = distance.argsort(descending=True, stable=True)[:num]
        size = self.cluster_size.index_select(0, smallest)
        dead = size < self.reseed_below
        rows = x.index_select(0, farthest)
        kept = self.code_sum.index_select(0, smallest)
        self.cluster_size.index_copy_(0, smallest, torch.where(dead, torch.ones_like(size), size))
        self.code_sum.index_copy_(0, smallest, torch.where(dead.unsqueeze(1), rows, kept))
