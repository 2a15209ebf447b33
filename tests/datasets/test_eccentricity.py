import networkx as nx
import numpy as np
import pytest
import torch
from torch_geometric.utils import k_hop_subgraph

from graphattn.datasets.eccentricity import khop_eccentricity, khop_homophily, quantile_labels
from graphattn.datasets.npz import named
from graphattn.datasets.road import road_network
from graphattn.graph import CSRGraph


def oracle(edges, weight, k, num_nodes):
    """The authors' way: PyG's k-hop subgraph, then networkx inside it."""
    found = []
    for node in range(num_nodes):
        ball, _, _, inside = k_hop_subgraph(node, k, edges, num_nodes=num_nodes)
        graph = nx.Graph()
        graph.add_nodes_from(ball.tolist())
        for edge in inside.nonzero().view(-1).tolist():
            source, target = edges[:, edge].tolist()
            graph.add_edge(source, target, weight=float(weight[edge]))
        found.append(nx.eccentricity(graph, v=node, weight="weight"))
    return torch.tensor(found, dtype=torch.float64)


def ball_of(edges, k, num_nodes, node):
    return k_hop_subgraph(node, k, edges, num_nodes=num_nodes)[0]


def test_a_radius_beyond_every_path_is_all_of_the_graph():
    edges = torch.stack([torch.arange(9), torch.arange(1, 10)])
    both = torch.cat([edges, edges.flip(0)], dim=1)
    assert torch.equal(khop_eccentricity(both, None, 2**40), khop_eccentricity(both, None, 9))
    assert khop_homophily(both, torch.arange(10), 2**40).tolist() == [0.1] * 10


@pytest.mark.parametrize("k", [0, 1, 2, 5])
@pytest.mark.parametrize("seed", range(4))
def test_eccentricity_equals_networkx_bitwise_on_random_directed_graphs_with_parallel_edges(
    seed, k
):
    generator = torch.Generator().manual_seed(seed)
    edges = torch.randint(0, 40, (2, 70), generator=generator)
    weight = torch.rand(70, dtype=torch.float64, generator=generator)
    found = khop_eccentricity(edges, weight, k, num_nodes=43)  # the last three are isolated
    assert torch.equal(found, oracle(edges, weight, k, 43))


@pytest.mark.parametrize("seed", range(2))
def test_eccentricity_equals_networkx_bitwise_on_roads(seed):
    network = road_network(300, seed=seed)
    edges = torch.cat([network.edge_index, network.edge_index.flip(0)], dim=1)
    weight = network.length.double().repeat(2)
    assert torch.equal(khop_eccentricity(edges, weight, 6), oracle(edges, weight, 6, 300))


def test_without_weights_a_path_is_clipped_at_k_hops():
    path = torch.stack([torch.arange(40), torch.arange(1, 41)])
    both = torch.cat([path, path.flip(0)], dim=1)
    expected = torch.tensor([max(min(i, 16), min(40 - i, 16)) for i in range(41)]).double()
    assert torch.equal(khop_eccentricity(both, None, 16), expected)


def test_ties_zero_weights_and_a_hub_do_not_matter():
    star = torch.stack([torch.zeros(500, dtype=torch.int64), torch.arange(1, 501)])
    both = torch.cat([star, star.flip(0)], dim=1)
    assert khop_eccentricity(both, torch.zeros(1000), 2).eq(0).all()
    assert khop_eccentricity(both, torch.ones(1000), 2).tolist() == [1.0] + [2.0] * 500


def test_a_csr_graph_takes_weights_in_its_own_order():
    graph = CSRGraph.from_edge_index(torch.tensor([[2, 1, 0, 1], [1, 2, 1, 0]]), num_nodes=4)
    weight = torch.tensor([3.0, 3.0, 8.0, 8.0])[[0, 1, 2, 3]]
    edges = graph.edge_index()
    expected = oracle(edges, weight, 2, 4)
    assert torch.equal(khop_eccentricity(graph, weight, 2), expected)


def test_renumbering_and_threads_change_nothing():
    network = road_network(3000, seed=1)
    edges = torch.cat([network.edge_index, network.edge_index.flip(0)], dim=1)
    weight = network.length.repeat(2)
    found = khop_eccentricity(edges, weight, 16)
    name = torch.randperm(3000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(khop_eccentricity(name[edges], weight, 16)[name], found)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert torch.equal(khop_eccentricity(edges, weight, 16), found)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)


def test_the_authors_eccentricity_and_labels_of_huangpu_are_met(real_data):
    with np.load(real_data / "citynet_huangpu.npz", allow_pickle=False) as data:
        arrays = {key: data[key] for key in data.files}
    found = khop_eccentricity(arrays["directed_edge_index"], arrays["directed_edge_length"], 16)
    theirs = arrays["ecc16_author"]
    assert (theirs.dtype, theirs.shape) == (np.float32, (5268,))
    assert np.array_equal(found.numpy().astype(np.float32), theirs)  # no node differs
    assert np.array_equal(quantile_labels(found), arrays["y_author"])
    merged = khop_eccentricity(arrays["edge_index"], arrays["edge_length"], 16)
    np.testing.assert_allclose(merged, arrays["ecc16"], rtol=1e-6)
    assert np.array_equal(quantile_labels(merged), arrays["y"])


@pytest.mark.parametrize("city", ["city_andorra", "citynet_huangpu"])
def test_labels_of_real_cities_are_quantiles_of_their_eccentricity(real_data, city):
    data = named(city, real_data)
    assert torch.equal(quantile_labels(data.ecc16), data.y)


def test_quantiles_of_25_values_have_nine_classes_and_ties_go_by_position():
    labels = quantile_labels(torch.arange(25).flip(0))
    assert labels.tolist() == [i // 3 for i in reversed(range(25))]
    assert labels.max() == 8
    assert quantile_labels([1.0] * 4, 2).tolist() == [0, 0, 0, 1]
    assert quantile_labels([], 10).numel() == 0


@pytest.mark.parametrize("k", [0, 1, 3])
def test_homophily_counts_the_ball_with_its_centre(k):
    generator = torch.Generator().manual_seed(k)
    edges = torch.randint(0, 30, (2, 60), generator=generator)
    y = torch.randint(0, 3, (31,), generator=generator)
    expected = [(y[ball_of(edges, k, 31, v)] == y[v]).double().mean() for v in range(31)]
    found = khop_homophily(edges, y, k)
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-15, atol=0.0)


def test_wrong_arguments_are_told():
    edges = torch.tensor([[0, 1], [1, 0]])
    with pytest.raises(ValueError, match="k is a number of hops, at least 0: got -1"):
        khop_eccentricity(edges, None, -1)
    with pytest.raises(ValueError, match=r"weight must be 2 numbers, one an edge: got \[3\]"):
        khop_eccentricity(edges, [1.0, 2.0, 3.0], 1)
    with pytest.raises(ValueError, match=r"at least 0: got -1.0 of edge 1 \(1 such edges\)"):
        khop_eccentricity(edges, [1.0, -1.0], 1)
    with pytest.raises(ValueError, match="finite"):
        khop_eccentricity(edges, [1.0, float("nan")], 1)
    with pytest.raises(ValueError, match="1 of them NaN"):
        quantile_labels([float("nan"), 1.0])
    with pytest.raises(ValueError, match="num_classes must be at least 1: got 0"):
        quantile_labels([1.0], 0)
    with pytest.raises(ValueError, match="y must be 2 whole numbers"):
        khop_homophily(edges, torch.tensor([0.5, 1.5]), 1)


def test_a_graph_without_nodes_or_edges_is_measured():
    nothing = torch.empty(2, 0, dtype=torch.int64)
    assert khop_eccentricity(nothing, None, 3).numel() == 0
    assert np.array_equal(khop_eccentricity(nothing, [], 3, num_nodes=2), [0.0, 0.0])
    assert khop_homophily(nothing, [1, 2], 3).tolist() == [1.0, 1.0]
