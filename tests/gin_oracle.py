"""GIN-attention in loops, written from its formulas; shares no line with the library."""

import torch
from oracles import linear


def _head_mlp(p, head, z, act):
    """Linear, root mean square, activation, linear, for one vector."""
    hidden = linear(p["mlp.weight_in"][head].t(), p["mlp.bias_in"][head], z)
    if "mlp.scale" in p:
        size = torch.sqrt((hidden * hidden).sum() / hidden.numel() + 1e-6)
        hidden = hidden / size * p["mlp.scale"][head]
    hidden = hidden / (1 + torch.exp(-hidden)) if act == "silu" else hidden
    return linear(p["mlp.weight_out"][head].t(), p["mlp.bias_out"][head], hidden)


def _edge_weights(q, entries, k, normalize):
    """Weights of the edges of one target: ``entries`` are (source, bias, weight, edge vector)."""
    scores = []
    for source, bias, _, along in entries:
        key = k[source] if along is None else k[source] + along
        scores.append((q * key).sum() / q.numel() ** 0.5 + bias)
    if normalize == "sigmoid":
        return [1 / (1 + torch.exp(-s)) for s in scores]
    exps = [torch.exp(s - max(scores)) for s in scores]
    return [e / sum(exps) for e in exps]


def _aggregate(name, entries, weights, kept, v, own):
    """One aggregate of one target and head, and whether the self term joins it."""
    zero = torch.zeros_like(own)
    total, square, degree = zero, zero, torch.zeros((), dtype=own.dtype)
    for (source, *_), weight in zip(entries, weights, strict=True):
        total = total + weight * v[source]
        square = square + weight * v[source] ** 2
        degree = degree + weight
    degree = degree if float(degree.detach()) != 0 else torch.ones((), dtype=own.dtype)
    if name == "sum":
        return total
    if name == "mean":
        return total / degree
    if name == "var":
        return torch.clamp(square / degree - (total / degree) ** 2, min=0)
    rows = [v[source] for (source, *_), stays in zip(entries, kept, strict=True) if stays]
    if not rows:
        return own
    better = max if name == "max" else min
    return torch.stack([better(row[c] for row in rows) for c in range(own.numel())])


def gin_attention(
    p,
    targets,
    sources,
    incoming,
    *,
    heads,
    normalize="softmax",
    threshold=None,
    top_k=None,
    aggregators=("sum",),
    act="silu",
    scales=(lambda degree: 1.0,),
):
    """``incoming[i]`` lists (source, bias, weight, edge features or None) of target ``i``."""
    hidden = p["lin_query.weight"].size(0)
    size = hidden // heads

    def project(name, x):
        return [linear(p[f"{name}.weight"], p.get(f"{name}.bias"), row) for row in x]

    k_all = project("lin_key", sources)
    q_all = project("lin_query", targets)
    is_linear = "lin_value.weight" in p
    v_all = project("lin_value", sources) if is_linear else list(sources)
    name = "lin_self" if "lin_self.weight" in p else "lin_value"
    own_all = project(name, targets) if is_linear else list(targets)
    second = "lin_query2.weight" in p
    if second:
        q2_all, k2_all = project("lin_query2", targets), project("lin_key2", sources)
    out = []
    for i, entries in enumerate(incoming):
        pieces = []
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            along = [
                None if e is None else linear(p["lin_edge.weight"], None, e)[part]
                for *_, e in entries
            ]
            edges = [(*entry[:3], e) for entry, e in zip(entries, along, strict=True)]
            sharp = torch.exp(p["log_sharpness"][head]) if "log_sharpness" in p else 1.0
            k = [row[part] for row in k_all]
            v = [row[part] for row in v_all]
            own = own_all[i][part]
            weights = _edge_weights(sharp * q_all[i][part], edges, k, normalize)
            if second:
                k2 = [row[part] for row in k2_all]
                other = _edge_weights(sharp * q2_all[i][part], edges, k2, normalize)
                weights = [a - p["contrast"] * b for a, b in zip(weights, other, strict=True)]
            kept = [True] * len(edges)
            if threshold is not None:
                kept = [float(a.detach()) > threshold for a in weights]
            if top_k is not None:
                alive = [a if stays else 0 * a for a, stays in zip(weights, kept, strict=True)]
                ranked = sorted((float(a.detach()) for a in alive), reverse=True)
                least = ranked[min(top_k, len(ranked)) - 1] if ranked else 0.0
                kept = [s and float(a.detach()) >= least for a, s in zip(alive, kept, strict=True)]
            weights = [
                a * entry[2] if stays else 0 * a
                for a, stays, entry in zip(weights, kept, edges, strict=True)
            ]
            stack = []
            for scale in scales:
                for name in aggregators:
                    value = scale(len(edges)) * _aggregate(name, edges, weights, kept, v, own)
                    if name == "sum":
                        value = value + p["self_weight"][head] * own
                    stack.append(value)
            pieces.append(_head_mlp(p, head, torch.cat(stack), act))
        whole = torch.cat(pieces)
        out.append(linear(p["lin_out.weight"], None, whole) if "lin_out.weight" in p else whole)
    return torch.stack(out)
