"""Hyperedges from meta-paths, by brute force over all walks of small graphs."""

import itertools

import pytest
import torch
from torch_geometric.data import HeteroData

from graphattn.datasets.metapath_hypergraph import MetaPathHypergraph
from graphattn.hypergraph import Incidence

SIZES = {"artist": 5, "song": 6, "term": 3}
EDGES = [("artist", "sings", "song"), ("song", "has", "term"), ("artist", "knows", "artist")]


def make_graph(seed=0):
    torch.manual_seed(seed)
    data = HeteroData()
    for kind, size in SIZES.items():
        data[kind].x = torch.randn(size, 2)
    for first, relation, last in EDGES:
        ends = [torch.randint(SIZES[kind], (7,)) for kind in (first, last)]
        data[first, relation, last].edge_index = torch.stack(ends)
    return data


def walks(data, steps):
    """All walks along (edge type, is backwards) steps, as tuples of (type, node)."""
    first = steps[0][0][2 if steps[0][1] else 0]
    found = [((first, node),) for node in range(SIZES[first])]
    for kind, is_back in steps:
        pairs = data[kind].edge_index.t().tolist()
        pairs = [pair[::-1] for pair in pairs] if is_back else pairs
        last = kind[0] if is_back else kind[2]
        found = [
            (*walk, (last, end)) for walk in found for start, end in pairs if start == walk[-1][1]
        ]
    return found


def brute(data, steps, anchor, members):
    """Hyperedges by anchor; half walks count, too: a node reached needs no other side."""
    offset = dict(zip(SIZES, itertools.accumulate([0, *SIZES.values()]), strict=False))
    last = len(steps)
    kept = range(last + 1) if members == "all" else (0, last)
    at = steps[0][0] if anchor == 0 else steps[anchor - 1][0]
    if anchor == 0:
        centre = at[2] if steps[0][1] else at[0]
    else:
        centre = at[0] if steps[anchor - 1][1] else at[2]
    hyperedges = {node: set() for node in range(SIZES[centre])}
    for node in hyperedges:
        if anchor in kept:
            hyperedges[node].add(offset[centre] + node)
    for stop in range(anchor + 1, last + 1):
        for walk in walks(data, steps[anchor:stop]) if stop in kept else ():
            hyperedges[walk[0][1]].add(offset[walk[-1][0]] + walk[-1][1])
    for start in range(anchor):
        for walk in walks(data, steps[start:anchor]) if start in kept else ():
            hyperedges[walk[-1][1]].add(offset[walk[0][0]] + walk[0][1])
    return {offset[centre] + node: found for node, found in hyperedges.items()}


SINGS, HAS, KNOWS = EDGES
CASES = [
    ("artist-song-term", [(SINGS, False), (HAS, False)]),
    ("artist-song-artist", [(SINGS, False), (SINGS, True)]),
    ("term-song-artist-song", [(HAS, True), (SINGS, True), (SINGS, False)]),
    ([SINGS, HAS, ("term", "~has", "song")], [(SINGS, False), (HAS, False), (HAS, True)]),
    ([("artist", "~knows", "artist"), KNOWS], [(KNOWS, True), (KNOWS, False)]),
]


@pytest.mark.parametrize("members", ["all", "ends"])
@pytest.mark.parametrize("case", range(len(CASES)))
@pytest.mark.parametrize("seed", [0, 1])
def test_every_anchor_by_brute_force(members, case, seed):
    path, steps = CASES[case]
    data = make_graph(seed)
    for anchor in range(len(steps) + 1):
        made = MetaPathHypergraph([path], anchor=anchor, members=members, min_size=1)(data)
        expected = brute(data, steps, anchor, members)
        found = dict(
            zip(made.hyperedge_anchor.tolist(), Incidence.from_data(made).to_lists(), strict=True)
        )
        assert {node: set(members) for node, members in found.items()} == {
            node: members for node, members in expected.items() if members
        }


def test_middle_and_neighbours():
    data = make_graph()
    one, other = (
        MetaPathHypergraph(["artist-song-term"], anchor=anchor)(data) for anchor in ("middle", 1)
    )
    assert torch.equal(one.edge_index, other.edge_index)
    star = MetaPathHypergraph(["artist-*"], min_size=1)(data)
    for anchor, members in enumerate(Incidence.from_data(star).to_lists()):
        songs = data[SINGS].edge_index
        knows = data[KNOWS].edge_index
        expected = {anchor, *(songs[1][songs[0] == anchor] + 5).tolist()}
        expected |= set(knows[1][knows[0] == anchor].tolist())
        expected |= set(knows[0][knows[1] == anchor].tolist())
        assert set(members) == expected


def test_several_paths_and_what_comes_with_them():
    data = make_graph()
    data["artist"].y = torch.arange(5)
    data["artist"].train_mask = torch.ones(5, dtype=torch.bool)
    made = MetaPathHypergraph(["song-artist", "song-term"], anchor=[1, 0], add_self_loops=True)
    out = made(data)
    assert out.metapath_names == ["song-artist", "song-term", "self"]
    assert out.num_hyperedges == out.hyperedge_type.size(0) == out.hyperedge_anchor.size(0)
    assert int((out.hyperedge_type == 2).sum()) == 14
    assert out.node_offset == {"artist": 0, "song": 5, "term": 11}
    assert out.node_type.tolist() == [0] * 5 + [1] * 6 + [2] * 3
    assert torch.equal(out.x, torch.cat([data[kind].x for kind in SIZES]))
    assert out.y.tolist() == [0, 1, 2, 3, 4, *[-1] * 9]
    assert out.train_mask.tolist() == [True] * 5 + [False] * 9
    assert (out.edge_index[1].diff() >= 0).all()
    anchors = out.hyperedge_anchor[out.hyperedge_type == 0]
    assert (anchors < 5).all()
    data["term"].x = torch.ones(3, 9)
    uneven = made(data)
    assert uneven.x is None
    assert uneven.x_dict["term"].shape == (3, 9)
    assert data["artist"].x.shape == (5, 2)


def line_up(hyperedges):
    """A graph whose hyperedges anchored at terms are the lists."""
    data = HeteroData()
    pairs = [(node, term) for term, members in enumerate(hyperedges) for node in members]
    data["artist"].num_nodes, data["term"].num_nodes = 9, len(hyperedges)
    data["artist", "has", "term"].edge_index = torch.tensor(pairs).t()
    return data


def test_large_small_and_equal_hyperedges():
    data = line_up([[0, 1, 2, 3, 4, 5], [7], [0, 1], [0, 1], []])
    path = {"metapaths": ["artist-term-artist"], "members": "ends"}
    assert MetaPathHypergraph(**path)(data).hyperedge_anchor.tolist() == [9, 11, 12]
    assert MetaPathHypergraph(**path, min_size=1)(data).num_hyperedges == 4
    assert MetaPathHypergraph(**path, dedup=True)(data).hyperedge_anchor.tolist() == [9, 11]
    said = "hyperedge of 6 nodes exceeds max_size=4; use on_large='drop' or 'sample'"
    with pytest.raises(ValueError, match=said):
        MetaPathHypergraph(**path, max_size=4)(data)
    dropped = MetaPathHypergraph(**path, max_size=4, on_large="drop")(data)
    assert dropped.hyperedge_anchor.tolist() == [11, 12]
    draws = [
        MetaPathHypergraph(**path, max_size=4, on_large="sample", seed=seed)(data)
        for seed in (0, 0, *range(1, 9))
    ]
    first = [Incidence.from_data(draw).to_lists()[0] for draw in draws]
    assert first[0] == first[1]
    assert all(len(members) == 4 and set(members) <= set(range(6)) for members in first)
    assert len({tuple(members) for members in first}) > 1


def test_errors_by_their_words():
    data = make_graph()
    cases = {
        "meta-path 'artist-term': no edge type joins artist and term; have artist-sings-song, "
        "song-has-term, artist-knows-artist": ["artist-term"],
        "meta-path 'band-\\*': no edge type joins band; have": ["band-*"],
        "there is no edge type \\('song', 'sings', 'artist'\\); have": [
            [("song", "sings", "artist")]
        ],
        "a step into song is followed by one out of artist; steps must meet": [[SINGS, KNOWS]],
        "meta-path 'artist' must have at least one step": ["artist"],
    }
    for said, paths in cases.items():
        with pytest.raises(ValueError, match=said):
            MetaPathHypergraph(paths)(data)
    data["artist", "wrote", "song"].edge_index = torch.zeros(2, 0, dtype=torch.long)
    said = "several edge types join artist and song: artist-sings-song, artist-wrote-song; give"
    with pytest.raises(ValueError, match=said):
        MetaPathHypergraph(["artist-song"])(data)
    with pytest.raises(ValueError, match=r"anchor must be 'middle' or a position 0..2: got 3"):
        MetaPathHypergraph(["song-term-song"], anchor=3)(data)
    with pytest.raises(ValueError, match="anchor must be one for each of 1 meta-paths: got 2"):
        MetaPathHypergraph(["song-term-song"], anchor=[0, 1])
    with pytest.raises(ValueError, match="metapaths must be a list"):
        MetaPathHypergraph("song-term-song")
    with pytest.raises(ValueError, match="on_large must be one of error, drop, sample: got 'cut'"):
        MetaPathHypergraph(["song-term"], on_large="cut")
    with pytest.raises(ValueError, match="min_size must be at least 1"):
        MetaPathHypergraph(["song-term"], min_size=0)
