"""The partition by relations, by brute force."""

import torch
from torch_geometric.data import HeteroData

from graphattn.datasets.relation_signature import RelationSignatureHypergraph


def make_graph(seed):
    torch.manual_seed(seed)
    data = HeteroData()
    data["a"].num_nodes, data["b"].num_nodes = 8, 5
    for first, relation, last in (("a", "x", "b"), ("b", "y", "b"), ("a", "z", "a")):
        sizes = [data[kind].num_nodes for kind in (first, last)]
        ends = [torch.randint(size, (4,)) for size in sizes]
        data[first, relation, last].edge_index = torch.stack(ends)
    return data


def test_by_brute_force():
    for seed in range(5):
        data = make_graph(seed)
        out = RelationSignatureHypergraph()(data)
        taking_part = {node: set() for node in range(13)}
        triples = []
        for first, relation, last in data.edge_types:
            for source, target in data[first, relation, last].edge_index.t().tolist():
                u, v = (source + 8 * (first == "b")), (target + 8 * (last == "b"))
                triples.append((u, relation, v))
                taking_part[u].add(relation)
                taking_part[v].add(relation)
        groups = {}
        for node in range(13):
            groups.setdefault(frozenset(taking_part[node]), []).append(node)
        assert out.num_hyperedges == len(groups)
        assert sorted(out.edge_index[0].tolist()) == list(range(13))
        kinds = []
        for number, members in enumerate(groups.values()):
            assert out.edge_index[0][out.edge_index[1] == number].tolist() == members
            inside = {relation for u, relation, v in triples if {u, v} <= set(members)}
            kinds.append(frozenset(["alone"] if len(members) == 1 else inside))
        types = out.hyperedge_type.tolist()
        for one, kind in zip(types, kinds, strict=True):
            for other, like in zip(types, kinds, strict=True):
                assert (one == other) == (kind == like)
        again = RelationSignatureHypergraph()(data)
        assert torch.equal(again.hyperedge_type, out.hyperedge_type)
