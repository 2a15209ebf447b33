"""Attention on hypergraphs through dense masks, from its formulas; shares no line with the library.

``H`` is the matrix of nodes by hyperedges, bool; ``p`` the parameters of a layer by name.
"""

import torch


def masked_softmax(scores, mask, eps=0.0):
    """Softmax over dimension 0 where the mask is, 0 elsewhere; ``eps`` joins the denominator."""
    lowest = torch.full_like(scores, -torch.inf)
    within = torch.where(mask, scores, lowest)
    top = within.max(dim=0, keepdim=True).values
    top = torch.where(torch.isinf(top), torch.zeros_like(top), top)
    raised = torch.where(mask, torch.exp(within - top), torch.zeros_like(scores))
    total = raised.sum(dim=0, keepdim=True) + eps
    return raised / torch.where(total == 0, torch.ones_like(total), total)


def attend(q, k, v, mask, scale):
    """``q`` [R, H, D], ``k`` and ``v`` [C, H, D], ``mask`` [C, R] to [R, H, D], head by head."""
    heads = []
    for head in range(q.shape[1]):
        scores = scale * (k[:, head] @ q[:, head].T)
        heads.append(masked_softmax(scores, mask).T @ v[:, head])
    return torch.stack(heads, dim=1)


def attention_conv(p, x, H, attr, weight, *, heads, slope, aggr, eps, act):
    """Equation 1.1, with a mean or a sum over the hyperedges of a node."""
    nodes, edges = H.shape
    z = (x @ p["lin.weight"].T).reshape(nodes, heads, -1)
    rows = []
    alphas = []
    for head in range(heads):
        own = z[:, head] @ p["att_node"][0, head]
        scores = own[:, None].expand(nodes, edges)
        if attr is not None:
            scores = scores + (attr @ p["att_edge"][0, head])[None]
        scores = torch.where(scores > 0, scores, slope * scores)
        alpha = masked_softmax(scores, H, eps)
        alphas.append(alpha)
        rows.append(alpha.T @ z[:, head])
    h = torch.stack(rows, dim=1).reshape(edges, -1)
    share = H.to(x.dtype) if weight is None else H.to(x.dtype) * weight[None]
    if aggr == "mean":
        total = share.sum(dim=1, keepdim=True)
        share = share / torch.where(total == 0, torch.ones_like(total), total)
    out = share @ h
    if "lin_residual.weight" in p:
        out = out + x @ p["lin_residual.weight"].T
    elif out.shape == x.shape:
        out = out + x
    if "bias" in p:
        out = out + p["bias"]
    return (torch.clamp(out, min=0) if act == "relu" else out), torch.stack(alphas, dim=-1)


def layer_norm(x, weight, bias):
    """Standardises each row."""
    centred = x - x.mean(dim=-1, keepdim=True)
    return centred / torch.sqrt((centred**2).mean(dim=-1, keepdim=True) + 1e-5) * weight + bias


def norm(p, buffers, name, x):
    """Batch norm in evaluation, layer norm, or nothing, by what there is."""
    if f"{name}.running_mean" in buffers:
        spread = torch.sqrt(buffers[f"{name}.running_var"] + 1e-5)
        x = (x - buffers[f"{name}.running_mean"]) / spread
        return x * p[f"{name}.weight"] + p[f"{name}.bias"]
    return layer_norm(x, p[f"{name}.weight"], p[f"{name}.bias"]) if f"{name}.weight" in p else x


def gelu(x):
    """The exact one."""
    return x * 0.5 * (1 + torch.erf(x / 2**0.5))


def transformer_conv(p, buffers, x, H, seeds, *, heads, residual=True):
    """Equation 1.2; ``seeds`` [M, C] are the keys of the hyperedges, r E K1."""
    nodes, edges = H.shape

    def split(rows):
        return rows.reshape(rows.shape[0], heads, -1)

    q1, v1 = split(x @ p["lin_node_key.weight"].T), split(x @ p["lin_node_value.weight"].T)
    scale = 1 / q1.shape[-1] ** 0.5
    gathered = attend(split(seeds), q1, v1, H, scale).reshape(edges, -1)
    u = gathered @ p["lin_hyperedge_out.weight"].T
    q2 = split(x @ p["lin_query.weight"].T)
    k2, v2 = split(u @ p["lin_key.weight"].T), split(u @ p["lin_value.weight"].T)
    back = attend(q2, k2, v2, H.T, scale).reshape(nodes, -1)
    y = back @ p["lin_out.weight"].T
    if residual:
        y = y + (x @ p["lin_residual.weight"].T if "lin_residual.weight" in p else x)
    y = norm(p, buffers, "norm1", y)
    hidden = gelu(y @ p["mlp_in.weight"].T + p["mlp_in.bias"])
    change = hidden @ p["mlp_out.weight"].T + p["mlp_out.bias"]
    return norm(p, buffers, "norm2", y + change if residual else change), u


def pooled(p, name, x, H, *, heads):
    """AllSet's attention of a learned seed over the members of each column of ``H``."""
    seed = p[f"{name}.seed"]
    k = (x @ p[f"{name}.lin_key.weight"].T + p[f"{name}.lin_key.bias"]).reshape(len(x), heads, -1)
    v = (x @ p[f"{name}.lin_value.weight"].T + p[f"{name}.lin_value.bias"]).reshape(k.shape)
    rows = []
    for head in range(heads):
        scores = k[:, head] @ seed[head]
        scores = torch.where(scores > 0, scores, 0.2 * scores)[:, None].expand(H.shape)
        rows.append(masked_softmax(scores, H).T @ v[:, head])
    m = torch.stack(rows, dim=1) + seed
    m = m.reshape(H.shape[1], -1)
    m = layer_norm(m, p[f"{name}.norm1.weight"], p[f"{name}.norm1.bias"])
    hidden = torch.clamp(m @ p[f"{name}.mlp_in.weight"].T + p[f"{name}.mlp_in.bias"], min=0)
    change = hidden @ p[f"{name}.mlp_out.weight"].T + p[f"{name}.mlp_out.bias"]
    m = m + torch.clamp(change, min=0)
    return layer_norm(m, p[f"{name}.norm2.weight"], p[f"{name}.norm2.bias"])


def allset_transformer(p, x, H, *, heads):
    """Nodes to hyperedges to nodes, with ReLU after each."""
    edges = torch.clamp(pooled(p, "to_hyperedges", x, H, heads=heads), min=0)
    return torch.clamp(pooled(p, "to_nodes", edges, H.T, heads=heads), min=0), edges


def two_layers(p, name, x):
    """Linear, ReLU, linear."""
    hidden = torch.clamp(x @ p[f"{name}.0.weight"].T + p[f"{name}.0.bias"], min=0)
    return hidden @ p[f"{name}.2.weight"].T + p[f"{name}.2.bias"]


def edhnn(p, x, x0, H, *, aggr, alpha):
    """Node by node and hyperedge by hyperedge, as the star expansion is drawn."""
    sent = two_layers(p, "mlp1", x)
    hyperedges = []
    for e in range(H.shape[1]):
        members = sent[H[:, e]]
        total = members.sum(dim=0)
        hyperedges.append(total / max(len(members), 1) if aggr == "mean" else total)
    gathered = []
    for v in range(H.shape[0]):
        own = [e for e in range(H.shape[1]) if H[v, e]]
        parts = [two_layers(p, "mlp2", torch.cat([x[v], hyperedges[e]])) for e in own]
        total = sum(parts) if parts else x.new_zeros(p["mlp2.2.bias"].shape)
        gathered.append(total / max(len(parts), 1) if aggr == "mean" else total)
    mixed = (1 - alpha) * torch.stack(gathered) + alpha * x0
    return two_layers(p, "mlp3", mixed)
