"""Loops that are obviously right, written from the papers; they share no line with the library."""

import math

import numpy as np
import torch


def linear(weight, bias, x):
    """``W x + b`` for one vector, entry by entry of the output."""
    out = torch.stack([(row * x).sum() for row in weight])
    return out if bias is None else out + bias


def layer_norm(x, weight, bias, eps=1e-5):
    """Normalises one vector by its own mean and variance."""
    mean = x.sum() / x.numel()
    variance = ((x - mean) ** 2).sum() / x.numel()
    return (x - mean) / torch.sqrt(variance + eps) * weight + bias


def softmax(values):
    """Softmax of a list of scalars."""
    exps = [torch.exp(v - max(values)) for v in values]
    return [e / sum(exps) for e in exps]


def local_attention(p, x, index, mask, heads, num_layers=1, types=None):
    """LargeGT's local module (spec section 2), a seed, a head and a token at a time.

    ``p`` maps parameter names to tensors. The paper's readout scores ``[t ; n_i]``; here the part
    for ``t`` and a bias are added as arbitrary numbers, to show that they change nothing.
    """
    out = []
    for seed in range(index.size(0)):
        slots = [i for i in range(index.size(1)) if mask is None or bool(mask[seed, i])]
        embedded = [linear(p["lin_in.weight"], p["lin_in.bias"], x[index[seed, i]]) for i in slots]
        hidden = p["lin_residual.weight"].size(0)
        shifts = [torch.zeros(3 * hidden, dtype=x.dtype) for _ in slots]
        if types is not None:
            shifts = [p["type_embedding.weight"][types[seed, i]] for i in slots]
        tokens = None
        for layer in range(num_layers):
            source = embedded if layer == 0 else tokens
            q, k, v = [], [], []
            for token, shift in zip(source, shifts, strict=True):
                normed = layer_norm(token, p[f"norms.{layer}.weight"], p[f"norms.{layer}.bias"])
                qkv = linear(p[f"lin_qkv.{layer}.weight"], p[f"lin_qkv.{layer}.bias"], normed)
                if layer == 0:
                    qkv = torch.cat([qkv[:hidden], qkv[hidden:] + shift[: 2 * hidden]])
                q.append(qkv[:hidden])
                k.append(qkv[hidden : 2 * hidden])
                v.append(qkv[2 * hidden :])
            if layer == 0:
                residual = [
                    linear(p["lin_residual.weight"], p["lin_residual.bias"], e)
                    + shift[2 * hidden :]
                    for e, shift in zip(embedded, shifts, strict=True)
                ]
            else:
                residual = tokens
            size = hidden // heads
            new = []
            for i in range(len(slots)):
                gathered = []
                for head in range(heads):
                    part = slice(head * size, (head + 1) * size)
                    weights = softmax(
                        [(q[i][part] * k[j][part]).sum() / size**0.5 for j in range(len(slots))]
                    )
                    gathered.append(sum(w * v[j][part] for j, w in enumerate(weights)))
                y = linear(
                    p[f"lin_out.{layer}.weight"], p[f"lin_out.{layer}.bias"], torch.cat(gathered)
                )
                new.append(residual[i] + y)
            tokens = new
        tokens = [layer_norm(t, p["norm_out.weight"], p["norm_out.bias"]) for t in tokens]
        target = tokens[0]
        read = target
        if len(tokens) > 1:
            scores = [
                (p["lin_score.weight"][0] * t).sum() + 0.7 * target.sum() + 3.0 for t in tokens[1:]
            ]
            read = target + sum(w * t for w, t in zip(softmax(scores), tokens[1:], strict=True))
        out.append(read)
    return torch.stack(out)


class Codebook:
    """LargeGT's global module (spec section 2): attention and the moving averages, code by code."""

    def __init__(self, p, num_nodes, heads, global_channels, decay=0.99):
        self.p, self.heads, self.g, self.decay = p, heads, global_channels, decay
        self.e = [row.clone() for row in p["codebook"]]
        self.keys = [row.clone() for row in p["keys"]]
        self.w = [row.clone() for row in p["code_sum"]]
        self.s = [0.0 for _ in self.e]
        self.code_of = [None] * num_nodes
        self.mean = torch.zeros_like(self.e[0])
        self.var = torch.ones_like(self.e[0])

    def encode(self, x, pe):
        rows = [linear(self.p["lin_in.weight"], self.p["lin_in.bias"], row) for row in x]
        return rows if pe is None else [torch.cat([r, q]) for r, q in zip(rows, pe, strict=True)]

    def forward(self, x, pe):
        p = self.p
        counts = [sum(c == j for c in self.code_of if c is not None) for j in range(len(self.e))]
        if sum(counts) == 0:
            counts = [1] * len(counts)
        live = [j for j, n in enumerate(counts) if n > 0]
        keys = [linear(p["lin_key.weight"], p["lin_key.bias"], self.keys[j]) for j in live]
        values = [
            linear(p["lin_value.weight"], p["lin_value.bias"], self.keys[j][: self.g]) for j in live
        ]
        size = keys[0].numel() // self.heads
        out = []
        for u in self.encode(x, pe):
            q = linear(p["lin_query.weight"], p["lin_query.bias"], u)
            parts = []
            for head in range(self.heads):
                part = slice(head * size, (head + 1) * size)
                logits = [
                    (q[part] * k[part]).sum() / size**0.5 + math.log(counts[j])
                    for j, k in zip(live, keys, strict=True)
                ]
                weights = softmax(logits)
                parts.append(sum(w * v[part] for w, v in zip(weights, values, strict=True)))
            out.append(torch.cat(parts))
        return torch.stack(out)

    def update(self, x, pe, nodes):
        rows = [u.detach() for u in self.encode(x, pe)]
        if len(rows) > 1:
            mean = sum(rows) / len(rows)
            square = sum((r - mean) ** 2 for r in rows)
            self.mean = 0.9 * self.mean + 0.1 * mean
            self.var = 0.9 * self.var + 0.1 * square / (len(rows) - 1)
            normed = [(r - mean) / torch.sqrt(square / len(rows) + 1e-5) for r in rows]
        else:
            normed = [(r - self.mean) / torch.sqrt(self.var + 1e-5) for r in rows]
        codes = []
        for row in normed:
            distances = [float(((row - e) ** 2).sum()) for e in self.e]
            codes.append(distances.index(min(distances)))
        num = len(self.e)
        self.s = [self.decay * s + (1 - self.decay) * codes.count(j) for j, s in enumerate(self.s)]
        total = sum(self.s)
        self.s = [(s + 1e-5) / (total + num * 1e-5) * total for s in self.s]
        for j in range(num):
            mine = [row for row, code in zip(normed, codes, strict=True) if code == j]
            added = sum(mine) if mine else torch.zeros_like(self.w[j])
            self.w[j] = self.decay * self.w[j] + (1 - self.decay) * added
            self.e[j] = self.w[j] / self.s[j]
            self.keys[j] = self.e[j] * torch.sqrt(self.var + 1e-5) + self.mean
        for node, code in zip(nodes, codes, strict=True):
            self.code_of[node] = code
        return codes


def batch_norm_eval(p, x, eps=1e-5):
    """Batch norm in evaluation mode, one vector."""
    return (x - p["module.running_mean"]) / torch.sqrt(p["module.running_var"] + eps) * p[
        "module.weight"
    ] + p["module.bias"]


def under(p, prefix):
    """The parameters whose names start with ``prefix``, without it."""
    return {name[len(prefix) :]: value for name, value in p.items() if name.startswith(prefix)}


def largegt(p, features, tokens, mask, heads, scope, pe=None, counts=None):
    """LargeGT in evaluation mode (spec section 2); ``features[v]`` is X, C1, C2 of node v."""

    def mlp(prefix, x):
        hidden = torch.relu(linear(p[prefix + "0.weight"], p[prefix + "0.bias"], x))
        return linear(p[prefix + "3.weight"], p[prefix + "3.bias"], hidden)

    parts = []
    num_nodes, contexts, _ = features.shape
    if scope != "global":
        rows = torch.stack(
            [
                mlp("neighborhood.lin_rows.", features[v, c])
                for v in range(num_nodes)
                for c in range(contexts)
            ]
        )
        index = torch.tensor(
            [[int(t) * contexts + c for t in row for c in range(contexts)] for row in tokens]
        )
        wide = torch.tensor([[bool(m) for m in row for _ in range(contexts)] for row in mask])
        parts.append(local_attention(under(p, "neighborhood.attention."), rows, index, wide, heads))
    if scope != "local":
        seeds = []
        for row in tokens:
            x = linear(p["lin_seed.0.weight"], p["lin_seed.0.bias"], features[int(row[0]), 0])
            x = torch.relu(batch_norm_eval(under(p, "lin_seed.1."), x))
            seeds.append(linear(p["lin_seed.4.weight"], p["lin_seed.4.bias"], x))
        book = Codebook(
            under(p, "codebook."), num_nodes, heads, p["codebook.lin_value.weight"].size(1)
        )
        book.code_of = list(counts)
        parts.append(book.forward(seeds, pe))
    out = []
    for z in torch.cat(parts, dim=1):
        h = linear(p["head.0.weight"], p["head.0.bias"], z)
        h = torch.relu(batch_norm_eval(under(p, "head.1."), h))
        h = linear(p["head.4.weight"], p["head.4.bias"], h)
        h = torch.relu(batch_norm_eval(under(p, "head.5."), h))
        out.append(linear(p["head.8.weight"], p["head.8.bias"], h))
    return torch.stack(out)


def walk_hops(edges, num_nodes, seed, num_hops):
    """The sets of nodes reachable from ``seed`` against the edges in exactly 1, 2, ... steps."""
    senders = {node: set() for node in range(num_nodes)}
    for source, target in edges:
        senders[target].add(source)
    hops, current = [], {seed}
    for _ in range(num_hops):
        reached = set()
        for node in current:
            reached |= senders[node]
        hops.append(reached)
        current = reached
    return hops


def pool_of(edges, num_nodes, seed, num_hops, kind):
    """How often each node stands in the pool of ``seed``, and its distance: two dictionaries."""
    times, distance = {}, {}
    for hop, reached in enumerate(walk_hops(edges, num_nodes, seed, num_hops), start=1):
        for node in reached - {seed}:
            times[node] = 1 if kind == "set" else times.get(node, 0) + 1
            distance.setdefault(node, hop)
    return times, distance


def propagate(edges, num_nodes, x, num_hops, norm):
    """Dense powers of the normalised adjacency times ``x``, [nodes, 1 + num_hops, channels]."""
    a = torch.zeros(num_nodes, num_nodes, dtype=x.dtype)
    for source, target in edges:
        a[target, source] = 1.0
    for node in range(num_nodes):
        a[node, node] = 1.0
    rows, columns = a.sum(dim=1), a.sum(dim=0)
    if norm == "row":
        a = torch.diag(1.0 / rows) @ a
    else:
        a = torch.diag(columns**-0.5) @ a @ torch.diag(rows**-0.5)
    hops = [x]
    for _ in range(num_hops):
        hops.append(a @ hops[-1])
    return torch.stack(hops, dim=1)


def dropout_factors(key, threshold, num_tokens, channels):
    """The factors 0 or 1 / (1 - p) of two dropouts, by Python's integers of any size."""
    first = np.empty((num_tokens, channels))
    second = np.empty((num_tokens, channels))
    for token in range(num_tokens):
        word = (key + (token + 1) * 0x9E3779B97F4A7C15) % 2**64
        word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        word = (word ^ word >> 27) * 0x94D049BB133111EB % 2**64
        word ^= word >> 31
        for c in range(channels):
            lane = (word + c * 0x9E3779B1) % 2**32
            lane = (lane ^ lane >> 16) * 0x85EBCA6B % 2**32
            lane = (lane ^ lane >> 13) * 0xC2B2AE35 % 2**32
            lane ^= lane >> 16
            factor = 65536 / (65536 - threshold)
            first[token, c] = factor if lane % 65536 >= threshold else 0.0
            second[token, c] = factor if lane // 65536 >= threshold else 0.0
    return first, second


def bottom_k(edges, num_nodes, seed, num_hops, ranks, offset, count):
    """The nodes of lowest rank within some hops, ranks counted from ``offset`` on, and their hops.

    ``ranks[v]`` is the rank of node v; after the last rank comes the first.
    """
    _, distance = pool_of(edges, num_nodes, seed, num_hops, "set")
    past = {(ranks[node] - offset) % num_nodes: node for node in distance}
    nodes = [past[key] for key in sorted(past)][:count]
    return nodes, [distance[node] for node in nodes]


def correct_and_smooth(edges, z, y, labelled, correct_by, smooth_alpha, num_hops):
    """Correct & Smooth with a dense matrix, node by node; edges are pairs in both directions."""
    nodes, classes = z.shape
    a = torch.zeros(nodes, nodes, dtype=z.dtype)
    for i, j in edges:
        if i != j:
            a[i, j] = 1.0
    degree = [float(row.sum()) for row in a]
    s = a.clone()
    for i in range(nodes):
        for j in range(nodes):
            if a[i, j]:
                s[i, j] = 1.0 / math.sqrt(degree[i] * degree[j])
    one_hot = torch.eye(classes, dtype=z.dtype)
    scaling, alpha, scale = correct_by
    start = torch.zeros_like(z)
    for node in labelled:
        start[node] = one_hot[y[node]] - z[node]
    now = start
    for _ in range(num_hops):
        now = (1 - alpha) * start + alpha * (s @ now)
        if scaling == "auto":
            now = now.clamp(-1, 1)
        else:
            for node in labelled:
                now[node] = start[node]
    sigma = sum(float(start[node].abs().sum()) for node in labelled) / len(labelled)
    corrected = z.clone()
    for node in range(nodes):
        factor = scale
        if scaling == "auto":
            size = float(now[node].abs().sum())
            factor = sigma / size if size and sigma / size <= 1000 else 1.0
        corrected[node] = z[node] + factor * now[node]
    start = corrected.clone()
    for node in labelled:
        start[node] = one_hot[y[node]]
    now = start
    for _ in range(num_hops):
        now = ((1 - smooth_alpha) * start + smooth_alpha * (s @ now)).clamp(0, 1)
    return corrected, now
