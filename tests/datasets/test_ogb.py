"""OGB's raw files: the same as ogb reads, cached once, resumed, refused where they are wrong."""

import gzip
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data
from torch_geometric.data.data import DataEdgeAttr, DataTensorAttr
from torch_geometric.data.storage import GlobalStorage

from graphattn.datasets import ogb_cache, ogb_steps
from graphattn.datasets.npz import CorruptDataset
from graphattn.datasets.ogb import load_mag, load_ogb, open_ogb, raw_folder
from graphattn.datasets.ogb_table import OGB
from graphattn.datasets.twin import write_twin
from graphattn.files import read_json
from graphattn.graph import CSRGraph
from graphattn.training.metrics import ogb_metric

SCALES = {
    "ogbn-arxiv": 0.003,
    "ogbn-products": 0.0002,
    "ogbn-papers100M": 0.00001,
    "ogbn-proteins": 0.004,
    "ogbn-mag": 0.001,
}


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    """A root with a small twin of each."""
    root = tmp_path_factory.mktemp("ogb")
    for name, scale in SCALES.items():
        write_twin(name, root, scale=scale, progress=False)
    return root


@pytest.fixture
def arxiv(twins, tmp_path):
    """A root of one's own with arxiv alone, and its raw folder."""
    shutil.copytree(twins / "ogbn_arxiv", tmp_path / "root" / "ogbn_arxiv")
    return tmp_path / "root", tmp_path / "root" / "ogbn_arxiv"


def read(path):
    return gzip.decompress(path.read_bytes()).decode().splitlines()


def write(path, lines):
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))


def as_ogb_reads(name, root):
    """What ogb itself makes of the folder; it cannot load what it saved without these names."""
    ogb_metric("ogbn-arxiv")  # imports ogb without its question to the network
    from ogb.nodeproppred import PygNodePropPredDataset

    number = [np._core.multiarray.scalar, np.dtype, np.dtypes.Int64DType]  # as ogb saves counts
    kinds = [Data, DataEdgeAttr, DataTensorAttr, GlobalStorage]
    with torch.serialization.safe_globals(kinds + number):
        dataset = PygNodePropPredDataset(name, str(root))
        return dataset[0], dataset.get_idx_split()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["ogbn-arxiv", "ogbn-products", "ogbn-papers100M"])
def test_the_same_as_ogb_reads(twins, tmp_path, name):
    theirs, split = as_ogb_reads(name, twins)
    ours = load_ogb(name, twins, cache=tmp_path, progress=False)
    assert torch.equal(ours.x, theirs.x)
    y = theirs.y.view(-1).double()
    assert torch.equal(ours.y, torch.where(y.isnan(), -1.0, y).long())
    theirs_graph = CSRGraph.from_edge_index(theirs.edge_index, len(ours.x))
    graph = CSRGraph.load(open_ogb(name, twins, cache=tmp_path).folder / "graph")
    assert graph.digest() == theirs_graph.digest()
    assert torch.equal(ours.edge_index, theirs_graph.edge_index())
    for part, mask in (("train", "train_mask"), ("valid", "val_mask"), ("test", "test_mask")):
        assert torch.equal(ours[mask].nonzero().view(-1), split[part].sort().values)
    if OGB[name].extra:
        assert torch.equal(ours.node_year, theirs.node_year.view(-1))
    assert ours.metric == name


@pytest.mark.filterwarnings("ignore")
def test_proteins_have_the_mean_of_their_edges_and_many_labels(twins, tmp_path):
    theirs, split = as_ogb_reads("ogbn-proteins", twins)
    ours = load_ogb("ogbn-proteins", twins, cache=tmp_path, progress=False)
    assert torch.equal(ours.y, theirs.y)
    assert torch.equal(ours.node_species, theirs.node_species.view(-1))
    total = torch.zeros(len(theirs.y), 8, dtype=torch.float64)
    total.index_add_(0, theirs.edge_index[0], theirs.edge_attr.double())
    count = theirs.edge_index[0].bincount(minlength=len(total)).clamp(min=1)
    torch.testing.assert_close(ours.x, (total / count[:, None]).float())
    assert torch.equal(ours.test_mask.nonzero().view(-1), split["test"].sort().values)


@pytest.mark.filterwarnings("ignore")
def test_mag_is_heterogeneous_and_its_papers_a_graph(twins, tmp_path):
    theirs, split = as_ogb_reads("ogbn-mag", twins)
    ours = load_mag(twins, cache=tmp_path, progress=False)
    assert {kind: ours[kind].num_nodes for kind in ours.node_types} == theirs.num_nodes_dict
    assert set(ours.edge_types) == set(theirs.edge_index_dict)
    for triplet, edges in theirs.edge_index_dict.items():
        assert torch.equal(ours[triplet].edge_index, edges)
    assert torch.equal(ours["paper"].x, theirs.x_dict["paper"])
    assert torch.equal(ours["paper"].y, theirs.y_dict["paper"].view(-1))
    assert torch.equal(ours["paper"].node_year, theirs.node_year["paper"].view(-1))
    found = ours["paper"].val_mask.nonzero().view(-1)
    assert torch.equal(found, split["valid"]["paper"].sort().values)
    papers = load_ogb("ogbn-mag", twins, cache=tmp_path)
    cites = theirs.edge_index_dict["paper", "cites", "paper"]
    graph = CSRGraph.from_edge_index(cites, papers.num_nodes)
    assert torch.equal(papers.edge_index, graph.edge_index())


def test_raw_files_are_only_read_and_hashed(arxiv, tmp_path):
    root, folder = arxiv
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    folder.chmod(0o555)
    opened = open_ogb("ogbn-arxiv", root, cache=tmp_path / "cache")
    folder.chmod(0o755)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    manifest = read_json(opened.folder / "manifest.json")
    assert set(manifest["sha256"]) == set(manifest["raw"])
    assert not list((tmp_path / "cache").glob(".*building"))
    lines = read(folder / "raw/node-feat.csv.gz")
    x = torch.tensor([[float(cell) for cell in line.split(",")] for line in lines])
    torch.testing.assert_close(opened.mean, x.double().mean(0), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(opened.std, x.double().std(0, correction=0), rtol=1e-5, atol=1e-7)
    assert opened.largest == pytest.approx(float(x.abs().max()))


def test_the_second_time_nothing_is_read(arxiv, tmp_path, monkeypatch):
    root, folder = arxiv
    first = open_ogb("ogbn-arxiv", root, cache=tmp_path / "cache")
    monkeypatch.setattr(ogb_cache, "steps", None)
    again = open_ogb("ogbn-arxiv", root, cache=tmp_path / "cache", verify=True)
    assert again.digest == first.digest
    shutil.rmtree(folder)  # what is cached outlives its source
    assert open_ogb("ogbn-arxiv", root, cache=tmp_path / "cache").digest == first.digest


def test_changed_raw_files_are_read_again(arxiv, tmp_path):
    root, folder = arxiv
    before = open_ogb("ogbn-arxiv", root, cache=tmp_path / "cache")
    labels = read(folder / "raw/node-label.csv.gz")
    write(folder / "raw/node-label.csv.gz", ["39", *labels[1:]])
    after = open_ogb("ogbn-arxiv", root, cache=tmp_path / "cache")
    assert int(after.y[0]) == 39
    assert after.digest != before.digest
    assert [p.name for p in (tmp_path / "cache").iterdir() if p.is_dir()] == [after.folder.name]


def test_the_cache_folder_is_that_of_the_variable(arxiv, tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHATTN_CACHE", str(tmp_path / "é b"))
    assert open_ogb("ogbn-arxiv", arxiv[0]).folder.parent == tmp_path / "é b"


def test_a_killed_build_goes_on(arxiv, tmp_path, monkeypatch):
    root, _ = arxiv
    code = f"""
import os, signal
from graphattn.datasets import ogb_steps
def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)
ogb_steps.write_labels = kill
from graphattn.datasets.ogb import open_ogb
open_ogb("ogbn-arxiv", {str(root)!r}, cache={str(tmp_path / "cache")!r})
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    assert process.returncode == -signal.SIGKILL

    def again(*_):
        raise AssertionError("a finished step was done again")

    for name in ("write_graph", "write_features"):
        monkeypatch.setattr(ogb_steps, name, again)
    resumed = open_ogb("ogbn-arxiv", root, cache=tmp_path / "cache")
    monkeypatch.undo()
    whole = open_ogb("ogbn-arxiv", root, cache=tmp_path / "other")
    ours, theirs = (read_json(o.folder / "manifest.json") for o in (resumed, whole))
    assert ours == theirs
    assert not list((tmp_path / "cache").glob(".*building"))


def test_damage_is_named(arxiv, tmp_path):
    root, _ = arxiv
    folder = open_ogb("ogbn-arxiv", root, cache=tmp_path).folder
    whole = (folder / "x.npy").read_bytes()
    (folder / "x.npy").write_bytes(whole[:-1])
    with pytest.raises(CorruptDataset, match=r"x.npy must be of \d+ bytes: got \d+; delete"):
        open_ogb("ogbn-arxiv", root, cache=tmp_path)
    (folder / "x.npy").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(CorruptDataset, match=r"x.npy is damaged: its hash"):
        open_ogb("ogbn-arxiv", root, cache=tmp_path, verify=True)
    (folder / "manifest.json").write_text("{}")
    with pytest.raises(CorruptDataset, match="must be the cache of ogbn-arxiv in format 1"):
        open_ogb("ogbn-arxiv", root, cache=tmp_path)


def test_folders_that_no_build_made_are_left_alone(arxiv, tmp_path):
    root, folder = arxiv
    place = ogb_cache.cache_folder(OGB["ogbn-arxiv"], folder, tmp_path)
    for name in (place.name, f".{place.name}.building"):
        mine = tmp_path / name
        mine.mkdir()
        (mine / "thesis.txt").write_text("mine")
        with pytest.raises(ValueError, match="no build made it"):
            open_ogb("ogbn-arxiv", root, cache=tmp_path)
        assert (mine / "thesis.txt").read_text() == "mine"
        shutil.rmtree(mine)


@pytest.mark.parametrize(
    ("place", "change", "words"),
    [
        ("raw/edge.csv.gz", lambda s: ["0,1.5", *s[1:]], r"line 1 must hold 2 whole .* '0,1.5'"),
        ("raw/edge.csv.gz", lambda s: [*s[:9], "0,508", *s[10:]], r"line 10 .* from 0 to 507"),
        ("raw/edge.csv.gz", lambda s: s[:-1], r"must have 3,499 lines: got 3,498"),
        ("raw/num-node-list.csv.gz", lambda s: ["500"], r"edge.csv.gz: line .* from 0 to 499"),
        ("raw/num-node-list.csv.gz", lambda s: ["0"], "must count what there is: got 0"),
        ("raw/num-node-list.csv.gz", lambda s: [*s, *s], "must have 1 lines: got more"),
        ("raw/node-feat.csv.gz", lambda s: [s[0], "nan" + s[1][6:], *s[2:]], "line 2 .* finite"),
        ("raw/node-feat.csv.gz", lambda s: [*s, s[0]], "must have 508 lines: got more"),
        ("raw/node-label.csv.gz", lambda s: [*s[:7], "40", *s[8:]], "line 8 .* 0 to 39.*got 40"),
        ("raw/node-label.csv.gz", lambda s: [*s[:7], "0.5", *s[8:]], "line 8 .*got 0.5"),
        ("split/time/valid.csv.gz", lambda s: [*s, "508"], r"line 90 .* from 0 to 507"),
        ("raw/node_year.csv.gz", lambda s: ["2000,1", *s[1:]], "line 1 must hold 1 whole"),
    ],
)
def test_wrong_files_are_named_with_the_line(arxiv, tmp_path, place, change, words):
    root, folder = arxiv
    write(folder / place, change(read(folder / place)))
    with pytest.raises(ValueError, match=words) as raised:
        open_ogb("ogbn-arxiv", root, cache=tmp_path / "cache", progress=False)
    assert place in str(raised.value) or place == "raw/num-node-list.csv.gz"
    assert not [p for p in (tmp_path / "cache").iterdir() if not p.name.startswith(".")]


def test_overlapping_parts_and_missing_files_are_said(arxiv, tmp_path):
    root, folder = arxiv
    train = read(folder / "split/time/train.csv.gz")
    valid = folder / "split/time/valid.csv.gz"
    write(valid, [*read(valid), train[0]])
    with pytest.raises(ValueError, match="1 nodes are in both train and val"):
        open_ogb("ogbn-arxiv", root, cache=tmp_path / "cache")
    valid.unlink()
    with pytest.raises(ValueError, match=r"valid.csv.gz is needed: there is no such file"):
        open_ogb("ogbn-arxiv", root, cache=tmp_path / "cache")


def test_nodes_without_a_label_are_unlabelled(arxiv, tmp_path):
    root, folder = arxiv
    labels = read(folder / "raw/node-label.csv.gz")
    write(folder / "raw/node-label.csv.gz", ["nan", "3.0", *labels[2:]])
    assert open_ogb("ogbn-arxiv", root, cache=tmp_path / "c").y[:2].tolist() == [-1, 3]


def test_what_is_not_there_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.delenv("GRAPHATTN_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match=r"give data.root, or set GRAPHATTN_DATA"):
        open_ogb("ogbn-arxiv")
    with pytest.raises(FileNotFoundError, match=r"data download ogbn-arxiv --root .*0.08 GB"):
        open_ogb("ogbn-arxiv", tmp_path, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
    (tmp_path / "ogbn_arxiv_pyg" / "raw").mkdir(parents=True)
    assert raw_folder(OGB["ogbn-arxiv"], tmp_path).name == "ogbn_arxiv_pyg"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRAPHATTN_DATA", ".")
    assert raw_folder(OGB["ogbn-arxiv"], None).name == "ogbn_arxiv_pyg"


def test_two_processes_build_one_cache(arxiv, tmp_path):
    code = f"""
from graphattn.datasets.ogb import open_ogb
print(open_ogb("ogbn-arxiv", {str(arxiv[0])!r}, cache={str(tmp_path / "cache")!r}).digest)
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    both = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    said = {process.communicate(timeout=200)[0] for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert len(said) == 1


TABLES = ("edge", "node-feat", "node-label", "node_year", "num-node-list", "num-edge-list")
PLACES = (*(f"raw/{name}.csv.gz" for name in TABLES), "split/time/test.csv.gz")


@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    place=st.sampled_from(PLACES),
    how=st.sampled_from(("bytes", "text", "cut", "flip")),
    noise=st.binary(min_size=1, max_size=60),
    at=st.floats(0, 1),
)
def test_no_bytes_do_harm(twins, tmp_path, place, how, noise, at):
    root = tmp_path / "fuzz" / str(time.monotonic_ns())
    folder = root / "ogbn_arxiv"
    shutil.copytree(twins / "ogbn_arxiv", folder, copy_function=os.link)
    good = (folder / place).read_bytes()
    spot = int(at * (len(good) - 1))
    bad = {
        "bytes": noise,
        "text": gzip.compress(noise + b"\n" + gzip.decompress(good)[:2000], 1),
        "cut": good[:spot],
        "flip": good[:spot] + bytes([good[spot] ^ (noise[0] or 1)]) + good[spot + 1 :],
    }[how]
    (folder / place).unlink()
    (folder / place).write_bytes(bad)
    before = {p: p.stat().st_size for p in root.rglob("*")}
    try:
        opened = open_ogb("ogbn-arxiv", root, cache=tmp_path / "fuzzed", progress=False)
    except (ValueError, OSError) as error:
        assert "/" in str(error)
    else:  # such as a header byte that means nothing
        assert how == "flip"
        assert len(opened.x) == 508
    assert {p: p.stat().st_size for p in root.rglob("*")} == before
    shutil.rmtree(root)
    shutil.rmtree(tmp_path / "fuzzed", ignore_errors=True)
    assert {p.name for p in tmp_path.iterdir()} <= {"fuzz"}


def test_torn_archives_of_papers_are_corrupt(twins, tmp_path):
    folder = tmp_path / "ogbn_papers100M"
    shutil.copytree(twins / "ogbn_papers100M", folder)
    data = folder / "raw/data.npz"
    whole = data.read_bytes()
    for broken in (whole[: len(whole) // 2], whole[:5000] + b"\1\2\3" + whole[5003:]):
        data.write_bytes(broken)
        with pytest.raises(CorruptDataset, match=r"data.npz cannot be read as an archive"):
            open_ogb("ogbn-papers100M", tmp_path, cache=tmp_path / "cache", progress=False)
    np.savez(data, edge_index=np.array([[0], [5]]), num_nodes_list=[5], num_edges_list=[1])
    with pytest.raises(ValueError, match=r"edge_index\[1,0\] in .* must lie in 0..4: got 5"):
        open_ogb("ogbn-papers100M", tmp_path, cache=tmp_path / "cache", progress=False)


def test_names_of_mag_lead_nowhere(twins, tmp_path):
    shutil.copytree(twins / "ogbn_mag", tmp_path / "ogbn_mag")
    place = tmp_path / "ogbn_mag/raw/triplet-type-list.csv.gz"
    write(place, ["paper,cites/../../..,paper"])
    with pytest.raises(ValueError, match="line 1 must name source, relation and target"):
        open_ogb("ogbn-mag", tmp_path, cache=tmp_path / "cache", progress=False)
