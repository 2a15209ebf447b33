"""Influence on cases that can be computed by hand, beside PyG, torch's Jacobian and differences."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd.functional import jacobian
from torch_geometric.data import Data
from torch_geometric.nn import GAT, GCN, GIN, GraphNorm, GraphSAGE, SimpleConv
from torch_geometric.utils import total_influence as pyg_total_influence
from torch_geometric.utils.influence import jacobian_l1_agg_per_hop

from graphattn.diagnostics import influence, total_influence
from graphattn.diagnostics.subject import Subject, reads_degrees

ENGINES = ("single", "union", "trimmed", "fused")


class Attentive(nn.Module):
    """One convolution, then attention of all nodes to all."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.conv, self.lin = SimpleConv(aggr="mean"), nn.Linear(channels, channels)
        self.head = nn.Linear(channels, classes)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        h = self.conv(x, edge_index) + x
        return self.head(h + (self.lin(h) @ h.T).softmax(1) @ h)


def path(num_nodes: int) -> Tensor:
    forth = torch.stack([torch.arange(num_nodes - 1), torch.arange(1, num_nodes)])
    return torch.cat([forth, forth.flip(0)], dim=1)


def drawn(num_nodes: int = 80, *, directed: bool = False, dtype=torch.float64) -> Data:
    """A sparse graph with loops, repeated edges and two isolated nodes at the end."""
    generator = torch.Generator().manual_seed(0)
    edges = torch.randint(num_nodes - 2, (2, num_nodes), generator=generator)
    edges = edges if directed else torch.cat([edges, edges.flip(0)], dim=1)
    return Data(torch.randn(num_nodes, 6, generator=generator).to(dtype), edges)


def made(kind: Callable, layers: int = 3, dtype=torch.float64, **options) -> nn.Module:
    """A model whose batch norm, if any, has something to fold."""
    torch.manual_seed(0)
    model = kind(6, 12, layers, 4, **options).to(dtype)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.normal_(module.running_mean, std=0.1)
    return model


def test_a_linear_gcn_on_a_path_is_the_power_of_its_matrix() -> None:
    model = made(GCN, 4, act=None, bias=False)
    a = torch.eye(41, dtype=torch.float64)
    a[path(41)[0], path(41)[1]] = 1
    scale = a.sum(1).rsqrt()
    power = torch.linalg.matrix_power(scale[:, None] * a * scale, 4).numpy()
    weight = torch.linalg.multi_dot([conv.lin.weight for conv in reversed(model.convs)])
    hop = np.abs(np.arange(41)[:, None] - np.arange(41))
    expected = np.stack([(power * (hop == h)).sum(1) for h in range(6)], axis=1)
    data = Data(torch.randn(41, 6, dtype=torch.float64), path(41))
    for engine in ENGINES:
        found = influence(model, data, max_hops=5, seeds=range(41), engine=engine)
        np.testing.assert_allclose(
            found.T, expected * float(weight.detach().abs().sum()), rtol=1e-12, atol=1e-15
        )


@pytest.mark.parametrize(("layers", "breadth"), [(1, 2 / 3), (2, 8 / 9)])
def test_the_lazy_walk(layers: int, breadth: float) -> None:
    model = made(GCN, layers, act=None)
    data = Data(torch.randn(21, 6, dtype=torch.float64), path(21))
    found = influence(model, data, max_hops=3, seeds=[9, 10, 11])
    assert breadth == pytest.approx(found.R, abs=1e-12)


def test_a_model_without_edges_reads_its_own_features_only() -> None:
    mlp = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).double()
    found = influence(lambda x, edge_index: mlp(x), drawn(), max_hops=4)
    assert found.R == 0.0
    assert found.R_ci == (0.0, 0.0)
    assert not found.T[:, 1:].any()
    assert not found.tail_mass.any()


def test_a_shift_by_four_on_a_directed_cycle() -> None:
    ring = torch.stack([torch.arange(20), (torch.arange(20) + 1) % 20])
    data = Data(torch.randn(20, 2, dtype=torch.float64), ring)
    conv = SimpleConv()

    def shift(x: Tensor, edge_index: Tensor) -> Tensor:
        for _ in range(4):
            x = conv(x, edge_index)
        return x

    found = influence(shift, data, max_hops=6, seeds=range(20))
    assert found.R == 4.0
    np.testing.assert_array_equal(found.T, np.tile([0.0, 0, 0, 0, 2, 0, 0], (20, 1)))
    back = influence(lambda x, e: shift(x, e.flip(0)), data, max_hops=6, seeds=range(20))
    assert not back.T.any()
    assert (back.tail_mass == 2).all()
    assert back.num_zero == 20
    assert (back.R, back.tail_share) == (0.0, 1.0)


@pytest.mark.parametrize("kind", [GCN, GraphSAGE, GAT, GIN])
def test_no_influence_beyond_the_layers(kind: Callable) -> None:
    found = influence(made(kind), drawn(), max_hops=6, seeds=range(20))
    assert not found.T[:, 4:].any()
    assert found.T[:, 3].any()
    assert not found.tail_mass.any()
    cut = influence(made(kind), drawn(), max_hops=2, seeds=range(20))
    np.testing.assert_allclose(cut.tail_mass, found.T[:, 3:].sum(1), atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("kind", [GCN, GraphSAGE, GAT])
def test_pyg_semantics_are_those_of_pyg(kind: Callable, directed: bool, dtype) -> None:
    model, data = made(kind, dtype=dtype).eval(), drawn(directed=directed, dtype=dtype)
    top = int(data.edge_index.max())
    seeds = [0, 1, 5, top]
    for hops in (2, 3, 5):
        theirs = torch.stack(
            [jacobian_l1_agg_per_hop(model, data, hops, seed, "cpu") for seed in seeds]
        ).numpy()
        for engine in ("auto", "single", "union", "trimmed"):
            ours = influence(
                model, data, max_hops=hops, seeds=seeds, semantics="pyg", engine=engine
            )
            tolerance = 1e-10 if dtype == torch.float64 else 1e-4
            np.testing.assert_allclose(ours.T, theirs, rtol=tolerance, atol=tolerance * 1e-2)
            assert np.isnan(ours.tail_mass).all()


def test_the_stand_in_returns_what_pyg_returns() -> None:
    model, data = made(GCN, dtype=torch.float32).eval(), drawn(dtype=torch.float32)
    data.x = data.x[: int(data.edge_index.max()) + 1]  # PyG fails on isolated nodes at the end
    torch.manual_seed(3)
    ours = total_influence(model, data, 3, 12)
    rows, _ = total_influence(model, data, 3, 12, average=False)
    after = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(after, torch.rand(1))  # the random state is left alone
    torch.manual_seed(3)
    theirs = pyg_total_influence(model, data, 3, 12)
    torch.manual_seed(3)
    their_rows, _ = pyg_total_influence(model, data, 3, 12, average=False)
    torch.testing.assert_close(ours[0], theirs[0], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(rows, their_rows, rtol=1e-4, atol=1e-6)
    assert ours[1] == pytest.approx(theirs[1], rel=1e-4)


@pytest.mark.parametrize("kind", [GCN, GraphSAGE, GAT, "attention"])
def test_full_semantics_are_the_jacobian_of_the_whole_graph(kind) -> None:
    data = drawn(40)
    model = Attentive(6, 4).double() if kind == "attention" else made(kind, norm="batch_norm")
    model.eval()
    exact = jacobian(lambda x: model(x, data.edge_index), data.x).abs().sum((1, 3)).numpy()
    found = influence(model, data, max_hops=2, seeds=range(40))
    assert found.about["engine"] == ("single" if kind == "attention" else "fused")
    np.testing.assert_allclose(found.T.sum(1) + found.tail_mass, exact.sum(1), rtol=1e-10)
    np.testing.assert_allclose(found.T[:, 0], np.diag(exact), rtol=1e-10)


@pytest.mark.parametrize("kind", [GCN, GraphSAGE, GAT])
@pytest.mark.parametrize("norm", [None, "batch_norm"])
def test_engines_agree(kind: Callable, norm: str | None) -> None:
    model, data = made(kind, norm=norm), drawn(directed=True)
    alone, *others = (
        influence(model, data, max_hops=4, seeds=range(80), engine=name, input_scale="std")
        for name in ENGINES
    )
    for other in others:
        np.testing.assert_allclose(other.T, alone.T, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(other.R_per_node, alone.R_per_node, rtol=1e-10)


@pytest.mark.parametrize(
    "options",
    [{"improved": True}, {"normalize": False}, {"add_self_loops": False}, {"cached": True}],
)
def test_variants_of_gcn_with_weights_of_edges(options: dict) -> None:
    data = drawn()
    data.edge_weight = torch.rand(data.num_edges, dtype=torch.float64)
    model = made(GCN, **options)
    fused = influence(model, data, max_hops=3, seeds=range(30), engine="fused")
    alone = influence(model, data, max_hops=3, seeds=range(30), engine="single")
    np.testing.assert_allclose(fused.T, alone.T, rtol=1e-10, atol=1e-12)
    del data.edge_weight
    plain = influence(model, data, max_hops=3, seeds=range(30))
    assert not np.allclose(plain.T, alone.T)


@pytest.mark.parametrize("options", [{"aggr": "sum"}, {"root_weight": False}, {"act_first": True}])
def test_variants_of_sage(options: dict) -> None:
    model, data = made(GraphSAGE, norm="batch_norm", **options), drawn()
    fused = influence(model, data, max_hops=3, seeds=range(30), engine="fused")
    alone = influence(model, data, max_hops=3, seeds=range(30), engine="single")
    np.testing.assert_allclose(fused.T, alone.T, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {"heads": 4, "norm": "batch_norm"},
        {"heads": 3, "concat": False, "act_first": True, "norm": "batch_norm"},
        {"heads": 2, "residual": True},
        {"residual": True, "bias": False},
        {"add_self_loops": False, "negative_slope": 0.01},
        {"act": None},
    ],
)
def test_variants_of_gat(options: dict, directed: bool) -> None:
    data = drawn(directed=directed)
    loop = torch.tensor([[3, 7], [3, 7]])
    data.edge_index = torch.cat([data.edge_index, loop, loop], dim=1)
    model = made(GAT, **options)
    seeds = [3, 7, 78, 79, *range(20, 32)]
    for channels in ("all", 1):
        fused, alone = (
            influence(model, data, max_hops=3, seeds=seeds, engine=engine, channels=channels)
            for engine in ("fused", "single")
        )
        np.testing.assert_allclose(fused.T, alone.T, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(fused.R_per_node, alone.R_per_node, rtol=1e-10)


@pytest.mark.parametrize("kind", [GCN, GraphSAGE, GAT])
def test_threads_change_no_bit(kind: Callable) -> None:
    model, data, threads = made(kind, dtype=torch.float32), drawn(1500), torch.get_num_threads()
    data.x, seeds = data.x.float(), [*range(0, 1500, 3), 0, 1499]
    found = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.append(influence(model, data, max_hops=3, seeds=seeds, engine="fused"))
    finally:
        torch.set_num_threads(threads)
    assert found[0].about["engine"] == "fused"
    for other in found[1:]:
        np.testing.assert_array_equal(other.T, found[0].T)
    np.testing.assert_array_equal(found[0].T[0], found[0].T[-2])
    alone = influence(model, data, max_hops=3, seeds=seeds[:20], engine="trimmed")
    np.testing.assert_allclose(found[0].T[:20], alone.T, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("kind", "reads"), [(GCN, True), (GraphSAGE, False), (GIN, False)])
def test_only_the_norm_of_gcn_reads_degrees(kind: Callable, reads: bool) -> None:
    assert reads_degrees(Subject(made(kind), drawn())) is reads
    ring = Data(drawn(30).x, torch.cat([path(30), torch.tensor([[29, 0], [0, 29]])], dim=1))
    for data in (ring, drawn(directed=True)):
        trimmed, alone = (
            influence(made(kind), data, max_hops=3, seeds=range(20), engine=engine)
            for engine in ("trimmed", "single")
        )
        np.testing.assert_allclose(trimmed.T, alone.T, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", [GraphSAGE, GAT])
def test_balls_of_as_many_hops_as_layers_hold_what_a_model_without_degrees_reads(
    kind: Callable,
) -> None:
    model, data = made(kind), drawn()
    found, full = (
        influence(model, data, max_hops=3, seeds=range(20), semantics=semantics)
        for semantics in ("pyg", "full")
    )
    assert found.about["engine"] == "fused"
    np.testing.assert_array_equal(found.T, full.T)
    less = influence(model, data, max_hops=2, seeds=range(20), semantics="pyg")
    assert less.about["engine"] == "trimmed"


@pytest.mark.parametrize(
    ("options", "engine"),
    [
        ({"act": "elu"}, "trimmed"),
        ({"norm": "layer_norm", "norm_kwargs": {"mode": "node"}}, "trimmed"),
        ({"jk": "cat"}, "union"),  # PyG cannot trim what it concatenates
        ({"norm": "layer_norm"}, "single"),  # over all nodes, as PyG's default is
        ({"norm": "graph_norm"}, "single"),
    ],
)
def test_what_the_fused_engine_does_not_know_is_measured_by_another(
    options: dict, engine: str
) -> None:
    found = influence(made(GCN, **options), drawn(), max_hops=3, seeds=range(6))
    alone = influence(made(GCN, **options), drawn(), max_hops=3, seeds=range(6), engine="single")
    assert found.about["engine"] == engine
    np.testing.assert_allclose(found.T, alone.T, rtol=1e-10, atol=1e-12)
    with pytest.raises(ValueError, match="engine='fused' does not suit"):
        influence(made(GCN, **options), drawn(), max_hops=3, engine="fused")


@pytest.mark.parametrize("options", [{"v2": True}, {"edge_dim": 3}])
def test_attention_of_other_kinds_is_measured_by_another(options: dict) -> None:
    data = drawn()
    if "edge_dim" in options:
        data.edge_attr = torch.randn(data.num_edges, 3, dtype=torch.float64)
    found = influence(made(GAT, **options), data, max_hops=3, seeds=range(6))
    assert found.about["engine"] == "trimmed"


def test_edge_attributes_reach_the_model() -> None:
    data = drawn()
    data.edge_attr = torch.randn(data.num_edges, 3, dtype=torch.float64)
    model = made(GAT, edge_dim=3)
    alone = influence(model, data, max_hops=3, seeds=range(30), engine="single")
    for engine in ("trimmed", "union"):
        found = influence(model, data, max_hops=3, seeds=range(30), engine=engine)
        np.testing.assert_allclose(found.T, alone.T, rtol=1e-10, atol=1e-12)


def test_scaling_and_renumbering_change_what_they_should() -> None:
    model, data = made(GraphSAGE), drawn()
    plain = influence(model, data, max_hops=3, seeds=range(80))
    scaled = influence(lambda x, e: 7.5 * model(x, e), data, max_hops=3, seeds=range(80))
    np.testing.assert_allclose(scaled.T, 7.5 * plain.T, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(scaled.R_per_node, plain.R_per_node, rtol=1e-12)
    order = torch.randperm(80, generator=torch.Generator().manual_seed(1))
    where = order.argsort()
    moved = Data(data.x[order], where[data.edge_index])
    other = influence(model, moved, max_hops=3, seeds=where)
    np.testing.assert_allclose(other.T, plain.T, rtol=1e-10, atol=1e-14)
    some = influence(model, data, max_hops=3, seeds=[7])
    np.testing.assert_allclose(some.T[0], plain.T[7], rtol=1e-12, atol=1e-14)


def test_central_differences() -> None:
    model, data = made(GCN, act="tanh").eval(), drawn(40)
    found = influence(model, data, max_hops=3, seeds=[3])
    total = 0.0
    for node in range(40):
        for feature in range(6):
            step = torch.zeros_like(data.x)
            step[node, feature] = 1e-5
            ahead, behind = (model(data.x + s, data.edge_index)[3] for s in (step, -step))
            total += float((ahead - behind).detach().abs().sum()) / 2e-5
    assert total == pytest.approx(found.T.sum(), rel=1e-5)


@pytest.mark.parametrize("semantics", ["full", "pyg"])
@pytest.mark.parametrize("num_nodes", [80, 3500])
def test_the_probe_refuses_to_batch_seeds_that_are_coupled(num_nodes: int, semantics: str) -> None:
    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = SimpleConv(), GraphNorm(6)

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return self.norm(self.conv(x, edge_index))

    data = drawn(num_nodes)
    for model in (Attentive(6, 2).double(), Normed().double()):
        found = influence(model, data, max_hops=2, seeds=[0, 1], semantics=semantics)
        assert found.about["engine"] == "single"
        with pytest.raises(ValueError, match="does not suit"):
            influence(model, data, max_hops=2, seeds=[0], semantics=semantics, engine="union")
        if semantics == "full":
            assert (found.tail_mass > 0).all()


def test_a_large_graph_is_judged_by_balls_and_stays_fused() -> None:
    found = influence(made(GCN), drawn(3500), max_hops=3, seeds=[0, 1, 2])
    assert found.about["engine"] == "fused"
    alone = influence(made(GCN), drawn(3500), max_hops=3, seeds=[0, 1, 2], engine="single")
    np.testing.assert_allclose(found.T, alone.T, rtol=1e-10, atol=1e-12)


def test_a_batch_vector_keeps_balls_apart() -> None:
    class Blocks(nn.Module):
        def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
            mean = x.new_zeros(int(batch.max()) + 1, x.size(1)).index_add(0, batch, x)
            return x.exp() * mean[batch].sin()

    found = influence(Blocks(), drawn(), max_hops=2, seeds=range(9), semantics="pyg")
    alone = influence(
        Blocks(), drawn(), max_hops=2, seeds=range(9), semantics="pyg", engine="single"
    )
    assert found.about["engine"] == "union"
    np.testing.assert_allclose(found.T, alone.T, rtol=1e-12)


def test_zero_rows_are_counted_and_left_out() -> None:
    def half(x: Tensor, edge_index: Tensor) -> Tensor:
        return x * (x[:, :1] > 0)

    data = drawn()
    data.x[:, 0] = torch.arange(80) % 2 - 0.5
    found = influence(half, data, max_hops=2, seeds=range(80))
    assert (found.num_zero, found.R) == (40, 0.0)
    np.testing.assert_allclose(found.curve, [6, 0, 0])
    constant = influence(lambda x, e: torch.ones(len(x), 2), data, max_hops=2, seeds=[0, 1])
    assert constant.num_zero == 2
    curve, breadth = total_influence(half, data, 2)
    assert curve.tolist() == [1.0, 0.0, 0.0]
    assert breadth == 0.0


def test_isolated_nodes_and_a_graph_of_one() -> None:
    found = influence(made(GCN), drawn(), max_hops=3, seeds=[78, 79])
    assert (found.T[:, 0] > 0).all()
    assert not found.T[:, 1:].any()
    assert found.R == 0.0
    none = torch.empty(2, 0, dtype=torch.long)
    one = influence(made(GCN), Data(torch.ones(1, 6).double(), none), max_hops=2)
    assert one.T.shape == (1, 3)


def test_the_model_and_the_random_state_are_left_as_they_were() -> None:
    model = made(GCN, norm="batch_norm", dropout=0.5).train()
    model.norms[0].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes, state = [m.training for m in model.modules()], torch.get_rng_state()
    found = influence(model, drawn(), max_hops=3, seeds=range(5))
    again = influence(model, drawn(), max_hops=3, seeds=range(5))
    np.testing.assert_array_equal(found.T, again.T)
    assert modes == [m.training for m in model.modules()]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_distances_other_than_hops() -> None:
    data = Data(torch.randn(15, 6, dtype=torch.float64), path(15))
    hops = influence(made(GCN), data, max_hops=3, seeds=range(15))
    data.pos = torch.arange(15.0)[:, None] * 10
    straight = influence(made(GCN), data, max_hops=3, seeds=range(15), distance="euclid")
    np.testing.assert_allclose(straight.R_per_node, 10 * hops.R_per_node)
    data.edge_weight = torch.full((data.num_edges,), 2.5, dtype=torch.float64)
    weighted, plain = (
        influence(made(GraphSAGE), data, max_hops=3, seeds=range(15), distance=distance)
        for distance in ("weight", "hops")
    )
    np.testing.assert_allclose(weighted.R_per_node, 2.5 * plain.R_per_node)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_hops": -1}, "max_hops must be at least 0"),
        ({"semantics": "half"}, "semantics must be one of"),
        ({"engine": "warp"}, "engine must be one of"),
        ({"seeds": [80]}, "seeds must be nodes, 0 to 79"),
        ({"seeds": [0.5]}, "seeds must be node ids"),
        ({"channels": 0}, "channels must be at least 1"),
        ({"num_seeds": 0}, "num_seeds must be at least 1"),
        ({"tol": 0.0}, "tol is a share"),
        ({"distance": "euclid"}, "needs data.pos"),
        ({"distance": "weight"}, "needs data.edge_weight"),
        ({"input_scale": "max"}, "input_scale must be"),
    ],
)
def test_refused(options: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        influence(made(GCN), drawn(), **{"max_hops": 2, **options})


def test_refused_data() -> None:
    model = made(GCN)
    with pytest.raises(ValueError, match="no edge_index"):
        influence(model, Data(torch.ones(3, 6)), max_hops=2)
    with pytest.raises(TypeError, match="of a float type"):
        influence(model, Data(torch.ones(3, 6).long(), path(3)), max_hops=2)
    with pytest.raises(ValueError, match="ids of the 3 rows"):
        influence(model, Data(torch.ones(3, 6), path(4)), max_hops=2)
    with pytest.raises(TypeError, match="must be callable"):
        influence(3, Data(torch.ones(3, 6), path(3)), max_hops=2)
    with pytest.raises(ValueError, match="a row a node"):
        influence(lambda x, e: x.sum(), Data(torch.ones(3, 6), path(3)), max_hops=2)
