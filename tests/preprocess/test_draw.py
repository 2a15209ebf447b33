"""Tokens drawn ahead: what a sampler draws, however it is cut, and nothing but what was drawn."""

import itertools
import json

import numpy as np
import pytest
import torch

from graphattn.corrupt import CorruptFile
from graphattn.graph import CSRGraph
from graphattn.ops.neighborhood import sample_neighborhood
from graphattn.preprocess.draw import draw_tokens
from graphattn.preprocess.drawn_tokens import DrawnTokens
from graphattn.preprocess.local_engine import LocalEngine
from graphattn.sampling.bottom_k import BottomKSampler
from graphattn.sampling.loader import TokenLoader
from graphattn.sampling.store import TokenStore

HERE = LocalEngine(0)
OPTIONS = {"engine": HERE, "progress": False}


class Stopping(LocalEngine):
    """Counts tasks, and fails after some."""

    def __init__(self, most=10**9):
        super().__init__(0)
        self.most, self.done = most, 0

    def run(self, tasks):
        for task in tasks:
            if self.done == self.most:
                raise OSError("stopped")
            self.done += 1
            yield task, task()


@pytest.fixture
def graph(tmp_path):
    edges = np.random.default_rng(0).integers(200, size=(2, 900))
    graph = CSRGraph.from_edge_index(edges, 200)
    graph.save(tmp_path / "graph")
    return graph


@pytest.mark.parametrize("direction", ["in", "both"])
@pytest.mark.parametrize("sampler", [BottomKSampler(), sample_neighborhood])
def test_what_is_drawn_is_what_the_sampler_draws(tmp_path, graph, sampler, direction):
    seeds = torch.tensor([7, 3, 150, 3, 199, 0])
    options = {"num_hops": 2, "direction": direction, "seed": 5, "epoch": 2}
    alone = getattr(sampler, "independent", sampler)
    expected = alone(graph, seeds, 9, **options)
    for rows in (1, 2, 4, 8):  # partitions
        path = tmp_path / f"in blocks of {rows}"
        drawn = draw_tokens(
            path,
            tmp_path / "graph",
            seeds,
            9,
            sampler=sampler,
            block_rows=rows,
            **options,
            **OPTIONS,
        )
        assert len(list(path.glob("ids-*"))) == -(-5 // rows)
        for ours, theirs in zip(drawn(graph, seeds, 9, **options), expected, strict=True):
            assert torch.equal(ours, theirs)
    with pytest.raises(ValueError, match=r"drawn for 5 seeds: got \[1, 2\] \(2 such seeds\)"):
        drawn.gather(torch.tensor([1, 3, 2]))
    asked = itertools.chain({key: {key: 1} for key in ("seed", "epoch", "num_hops")}.values())
    for other in asked:
        with pytest.raises(ValueError, match=r"as they were drawn: got .*=1, drawn with"):
            drawn(graph, seeds, 9, **{**options, **other})
    with pytest.raises(ValueError, match="got graph="):
        drawn(graph.reverse(), seeds, 9, **options)


def test_a_loader_reads_them_instead_of_drawing(tmp_path, graph):
    store = TokenStore.build(tmp_path / "store", graph, torch.eye(200), progress=False)
    seeds = torch.arange(0, 200, 7)
    folder = tmp_path / "store" / "graph"
    drawn = draw_tokens(tmp_path / "t", folder, seeds, 6, seed=3, **OPTIONS)
    options = {"num_samples": 6, "batch_size": 10, "seed": 3, "resample": False}
    ours = TokenLoader(store, seeds, sampler=drawn, **options)
    for one, other in zip(ours, TokenLoader(store, seeds, **options), strict=True):
        assert torch.equal(one.rows, other.rows) and torch.equal(one.ids, other.ids)
        assert torch.equal(one.mask, other.mask) and torch.equal(one.hop, other.hop)


def test_case_26_what_is_drawn_is_not_drawn_again(tmp_path, graph):
    seeds, path = torch.arange(200), tmp_path / "t"
    first, arguments = Stopping(3), (path, tmp_path / "graph", seeds, 5)
    with pytest.raises(OSError, match="stopped"):
        draw_tokens(*arguments, engine=first, block_rows=50, progress=False)
    with pytest.raises(ValueError, match="are not all drawn: draw_tokens with the same arguments"):
        DrawnTokens.open(path)
    (path / "ids-00001.npy").write_bytes(b"torn")
    rest = Stopping()
    drawn = draw_tokens(*arguments, engine=rest, block_rows=50, progress=False)
    assert rest.done == 2
    expected = BottomKSampler(share=1)(graph, seeds, 5)
    assert torch.equal(drawn.gather(seeds).ids, expected.ids)
    assert sorted(p.name.split("-")[0] for p in path.iterdir() if "run" in p.name) == []
    with pytest.raises(ValueError, match=r"drawn otherwise \(seed: 0, asked 1\): choose another"):
        draw_tokens(*arguments, block_rows=50, seed=1, **OPTIONS)


def test_damaged_and_foreign_folders_are_named(tmp_path, graph):
    seeds, path = torch.arange(20), tmp_path / "t"
    draw_tokens(path, tmp_path / "graph", seeds, 5, **OPTIONS)
    manifest = json.loads((path / "manifest.json").read_text())
    for change in ({"files": 3}, {"format": 0}, {"block_rows": 0}, {"seeds": "x"}):
        (path / "manifest.json").write_text(json.dumps(manifest | change))
        with pytest.raises(CorruptFile, match="draw the"):
            DrawnTokens.open(path)
    (path / "manifest.json").write_text(json.dumps(manifest))
    (path / "hop-00000.npy").unlink()
    with pytest.raises(CorruptFile, match=r"hop-00000.npy in .* is missing or damaged"):
        DrawnTokens.open(path)
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match=r"must be empty, or hold drawn tokens: got thesis.txt"):
        draw_tokens(other, tmp_path / "graph", seeds, 5, **OPTIONS)
    assert [p.name for p in other.iterdir()] == ["thesis.txt"]


def test_seeds_that_are_no_nodes_and_no_seeds(tmp_path, graph):
    with pytest.raises(ValueError, match="seeds must be ids from 0 to 199: got some from 3 to 200"):
        draw_tokens(tmp_path / "t", tmp_path / "graph", torch.tensor([200, 3]), 5, **OPTIONS)
    none = torch.zeros(0, dtype=torch.long)
    drawn = draw_tokens(tmp_path / "none", tmp_path / "graph", none, 5, **OPTIONS)
    assert drawn.gather(none).ids.shape == (0, 5)
    with pytest.raises(ValueError, match="drawn for 0 seeds"):
        drawn.gather(torch.tensor([1]))
