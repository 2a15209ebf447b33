"""Twins: their sizes, the same bytes for a seed, labels worth learning, nothing overwritten."""

import hashlib

import numpy as np
import pytest
import torch

from graphattn.datasets.ogb import load_ogb
from graphattn.datasets.ogb_table import OGB
from graphattn.datasets.twin import write_twin
from graphattn.datasets.twin_plan import Twin
from graphattn.files import read_json


def digests(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    one, same, other = (
        write_twin("ogbn-arxiv", tmp_path / str(i), scale=0.002, seed=seed, progress=False)
        for i, seed in enumerate((3, 3, 4))
    )
    assert digests(one) == digests(same)
    assert digests(one)["raw/edge.csv.gz"] != digests(other)["raw/edge.csv.gz"]
    assert read_json(one / "twin.json")["seed"] == 3


def test_sizes_and_split_are_those_of_the_original(tmp_path):
    write_twin("ogbn-products", tmp_path, scale=0.001, progress=False)
    data = load_ogb("ogbn-products", tmp_path, cache=tmp_path / "cache", progress=False)
    assert data.num_nodes == 2449
    assert data.num_edges == 2 * 61_859
    assert data.is_undirected()
    assert data.x.shape == (2449, 100)
    masks = (data.train_mask, data.val_mask, data.test_mask)
    assert [int(mask.sum()) for mask in masks] == [197, 39, 2213]
    degree = data.edge_index[1].bincount(minlength=2449)
    assert float(degree[data.train_mask].float().mean()) > 2 * float(degree.float().mean())


def test_degrees_have_a_heavy_tail():
    twin = Twin(OGB["ogbn-arxiv"], 0.05, 0)
    edges = np.concatenate(list(twin.edges()), axis=1)
    assert edges.shape == (2, 58_312)
    degree = np.bincount(edges[1], minlength=twin.num_nodes)
    assert degree.max() > 20 * np.median(degree)
    assert (degree == 0).mean() < 0.3


def test_neighbours_tell_more_than_a_node_does(tmp_path):
    write_twin("ogbn-arxiv", tmp_path, scale=0.02, progress=False)
    data = load_ogb("ogbn-arxiv", tmp_path, cache=tmp_path / "cache", progress=False)
    source, target = data.edge_index
    assert float((data.y[source] == data.y[target]).float().mean()) > 0.3
    both = torch.cat([data.edge_index, data.edge_index.flip(0)], dim=1)
    near = data.x.clone().index_add_(0, both[1], data.x[both[0]])
    near /= 1 + both[1].bincount(minlength=data.num_nodes)[:, None]
    right = []
    for x in (data.x, near):
        means = torch.stack([x[data.train_mask & (data.y == c)].sum(0) for c in range(40)])
        means /= means.norm(dim=1, keepdim=True).clamp(min=1e-9)
        guess = (x @ means.T).argmax(1)
        right.append(float((guess == data.y)[data.test_mask].float().mean()))
    assert right[0] > 0.1
    assert right[1] > 1.3 * right[0]


def test_years_go_with_the_split_and_most_papers_have_no_label():
    twin = Twin(OGB["ogbn-papers100M"], 0.0001, 0)
    years = np.concatenate(list(twin.extra())).reshape(-1)
    assert years[twin.part == 0].max() <= 2017
    assert set(years[twin.part == 1]) == {2018}
    assert years[twin.part == 2].min() >= 2019
    assert (twin.part == 3).mean() > 0.98


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scale": 0.0}, r"scale must lie in \(0, 1\]"),
        ({"scale": 2.0}, r"scale must lie in \(0, 1\]"),
        ({"scale": 0.001}, "give 200 nodes: got 0.001, at least 0.0012 is needed"),
        ({"seed": -1}, "seed must be from 0 on"),
    ],
)
def test_wrong_sizes_are_refused(tmp_path, options, words):
    with pytest.raises(ValueError, match=words):
        write_twin("ogbn-arxiv", tmp_path, **({"scale": 0.01} | options))
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path):
    with pytest.raises(ValueError, match="a twin must be of one of ogbn-arxiv"):
        write_twin("cora", tmp_path)
    write_twin("ogbn-arxiv", tmp_path, scale=0.002, progress=False)
    with pytest.raises(ValueError, match="nothing is overwritten"):
        write_twin("ogbn-arxiv", tmp_path, scale=0.002)
    mine = tmp_path / ".ogbn_mag.making"
    mine.mkdir()
    with pytest.raises(ValueError, match="no twin was made there"):
        write_twin("ogbn-mag", tmp_path, scale=0.002)
    assert mine.exists()


def test_an_interrupted_twin_is_made_anew(tmp_path):
    half = tmp_path / ".ogbn_arxiv.making"
    half.mkdir()
    (half / "twin.json").write_text("{}")
    (half / "left").touch()
    folder = write_twin("ogbn-arxiv", tmp_path, scale=0.002, progress=False)
    assert not (folder / "left").exists()
    assert not half.exists()
