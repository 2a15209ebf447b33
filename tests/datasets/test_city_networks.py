import io
import os
import pickle
import socket
import tarfile
from concurrent.futures import ThreadPoolExecutor

import networkx as nx
import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from graphattn.config import DataOptions
from graphattn.datasets.city_archive import CityArchive
from graphattn.datasets.city_networks import (
    city_from_networkx,
    city_from_osm,
    city_network,
    pyg_city,
)
from graphattn.datasets.city_recipe import incident_mean, merge_directions
from graphattn.datasets.npz import CorruptDataset
from graphattn.datasets.road import road
from graphattn.datasets.splits import splits
from graphattn.datasets.validation import check_data
from graphattn.description import describe
from graphattn.task import load_task

NODES = 60


class Marker:
    """Leaves a file behind where it is unpickled without care."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def tensors():
    """A small city, in the authors' files."""
    made = road(NODES, hops=4)
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(NODES, generator=generator)
    augmented = torch.rand(NODES, 37, generator=generator)
    return {
        "node_features.pt": augmented[:, :12].clone(),
        "node_features_augmented.pt": augmented,
        "edge_features.pt": torch.rand(made.num_edges, 25, generator=generator),
        "edge_indices.pt": made.edge_index,
        "10-chunk_16-hop_node_labels.pt": made.y,
        "train_mask.pt": order[:6],
        "valid_mask.pt": order[6:12],
        "test_mask.pt": order[12:],
    }


def write_archive(path, files, extra=()):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            buffer = io.BytesIO()
            torch.save(content, buffer)
            member = tarfile.TarInfo(f"paris/{name}")
            member.size = buffer.tell()
            archive.addfile(member, io.BytesIO(buffer.getvalue()))
        for member in extra:
            archive.addfile(member, io.BytesIO(b"\0" * member.size))
    return path


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHATTN_CACHE", str(tmp_path / "cache"))
    write_archive(tmp_path / "data" / "paris" / "raw" / "paris.tar.gz", tensors())
    return tmp_path / "data"


@pytest.mark.parametrize("augmented", [True, False])
def test_an_archive_gives_what_is_in_it(root, augmented):
    files, data = tensors(), city_network("paris", root, augmented=augmented)
    name = "node_features_augmented.pt" if augmented else "node_features.pt"
    assert torch.equal(torch.as_tensor(data.x), files[name])
    assert torch.equal(data.y, files["10-chunk_16-hop_node_labels.pt"])
    assert torch.equal(data.edge_index, files["edge_indices.pt"])
    (split,) = splits(data)
    assert torch.equal(split.val, files["valid_mask.pt"].sort().values)
    assert len(split.test) == NODES - 12
    check_data(data, num_classes=10)


def test_the_kind_of_features_and_the_file_are_part_of_the_key_of_the_cache(root):
    """Case 25: another kind, or another file, is never answered from an older cache."""
    assert city_network("paris", root).num_features == 37
    assert city_network("paris", root, augmented=False).num_features == 12
    assert city_network("paris", root).num_features == 37
    other = tensors()
    other["node_features_augmented.pt"] += 1.0
    write_archive(root / "paris" / "raw" / "paris.tar.gz", other)
    assert torch.equal(city_network("paris", root).x, other["node_features_augmented.pt"])


def test_a_hit_reads_no_archive_and_opens_no_socket(root, monkeypatch):
    """Case 20: without a network, and even without the archive, the cache is enough."""
    before = city_network("paris", root)
    (root / "paris" / "raw" / "paris.tar.gz").unlink()

    def refuse(*_):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(CityArchive, "hash_all", refuse)
    after = city_network("paris", root)
    assert torch.equal(after.x, before.x)
    assert torch.equal(after.edge_index, before.edge_index)


def test_two_builders_build_once(root, monkeypatch):
    """Case 30: one builds, the other waits and loads."""
    built, hash_all = [], CityArchive.hash_all

    def counted(self):
        built.append(self)
        hash_all(self)

    monkeypatch.setattr(CityArchive, "hash_all", counted)
    with ThreadPoolExecutor(2) as threads:
        both = [threads.submit(city_network, "paris", root) for _ in range(2)]
        first, second = (job.result() for job in both)
    assert len(built) == 1
    assert torch.equal(first.x, second.x)


def link(name, kind, target=""):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize(
    "hostile",
    [
        link("../escaped", tarfile.REGTYPE),
        link("/tmp/escaped", tarfile.REGTYPE),
        link("paris/link", tarfile.SYMTYPE, "/etc/passwd"),
        link("paris/hard", tarfile.LNKTYPE, "paris/train_mask.pt"),
        link("paris/device", tarfile.CHRTYPE),
        link("paris/pipe", tarfile.FIFOTYPE),
    ],
    ids=["up", "absolute", "symlink", "hardlink", "device", "pipe"],
)
def test_hostile_archives_are_refused_and_nothing_is_written(root, tmp_path, hostile):
    """Case 23."""
    write_archive(root / "paris" / "raw" / "paris.tar.gz", tensors(), [hostile])
    with pytest.raises(CorruptDataset, match="must hold plain files below one folder"):
        city_network("paris", root)
    assert not (tmp_path / "escaped").exists()
    assert not list((tmp_path / "cache").glob("[!.]*/manifest.json"))


def test_an_archive_that_unpacks_to_too_much_is_refused(root, monkeypatch):
    """Case 23: a bomb."""
    monkeypatch.setattr("graphattn.datasets.city_archive._MOST_BYTES", 10_000)
    with pytest.raises(CorruptDataset, match="must hold at most 1,000 files of 1e-05 GB"):
        city_network("paris", root)


def test_tensors_that_would_run_code_are_refused_and_do_not_run_it(root, tmp_path):
    """Case 24."""
    marker = tmp_path / "marker"
    files = tensors() | {"node_features_augmented.pt": Marker(marker)}
    write_archive(root / "paris" / "raw" / "paris.tar.gz", files)
    with pytest.raises(CorruptDataset, match="cannot be read as an archive of tensors"):
        city_network("paris", root)
    processed = tmp_path / "data.pt"
    torch.save((Marker(marker), None, Data), processed)
    with pytest.raises(CorruptDataset, match="cannot be read as PyG's CityNetwork"):
        pyg_city(processed)
    processed.write_bytes(pickle.dumps(Marker(marker)))
    with pytest.raises(CorruptDataset, match="cannot be read as PyG's CityNetwork"):
        pyg_city(processed)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("node_features_augmented.pt", torch.rand(NODES, 36), r"must be numbers \[nodes, 37\]"),
        (
            "node_features_augmented.pt",
            torch.rand(1, 37).expand(NODES, 37),
            r"a tensor in it has 2220 numbers in 148 bytes",
        ),
        ("edge_indices.pt", torch.tensor([[0, 1], [1, 2]]), "must go both ways: got 2 edges"),
        ("edge_indices.pt", torch.tensor([[0, 60], [60, 0]]), "must join nodes 0..59"),
        ("10-chunk_16-hop_node_labels.pt", torch.full((NODES,), 10), "must be 0..9"),
        ("valid_mask.pt", torch.tensor([60]), "must list nodes 0..59"),
        ("valid_mask.pt", torch.arange(NODES), r"no node of another part: got node \d+"),
    ],
)
def test_wrong_tensors_are_told(root, name, content, said):
    write_archive(root / "paris" / "raw" / "paris.tar.gz", tensors() | {name: content})
    with pytest.raises(ValueError, match=said):
        city_network("paris", root)


def test_a_missing_tensor_a_torn_archive_and_no_archive_are_told(root, tmp_path):
    path = root / "paris" / "raw" / "paris.tar.gz"
    files = tensors()
    files.pop("train_mask.pt")
    write_archive(path, files)
    with pytest.raises(ValueError, match=r"got no train_mask\.pt"):
        city_network("paris", root)
    whole = write_archive(path, tensors()).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CorruptDataset, match="fetch it again"):
        city_network("paris", root)
    with pytest.raises(FileNotFoundError, match="data download city-networks-london"):
        city_network("london", root)


def test_the_command_line_knows_the_cities(root):
    options = DataOptions("city-networks-paris", root=str(root))
    assert dict(describe(options))["nodes"] == "60"
    task = load_task(options)
    assert (task.num_classes, tuple(task.x.shape)) == (10, (NODES, 37))


def pyg_file(path, columns, **changed):
    files = tensors() | changed
    data = Data(
        x=files["node_features_augmented.pt"][:, :columns].clone(),
        edge_index=files["edge_indices.pt"],
        y=files["10-chunk_16-hop_node_labels.pt"],
        train_mask=files["train_mask.pt"],
        val_mask=files["valid_mask.pt"],
        test_mask=files["test_mask.pt"],
    )
    path.parent.mkdir(parents=True)
    torch.save((data.to_dict(), None, Data), path)


def test_the_file_that_pyg_has_processed_is_taken_after_its_features_are_counted(root):
    pyg_file(root / "la" / "processed" / "data.pt", 12)
    plain = city_network("la", root, augmented=False)
    assert torch.equal(plain.x, tensors()["node_features.pt"])
    assert torch.equal(splits(plain)[0].train, tensors()["train_mask.pt"].sort().values)
    with pytest.raises(ValueError, match=r"37 features for augmented=True: got \[60, 12\]"):
        city_network("la", root)


def test_labels_with_fractions_are_refused_and_not_cut_off(root):
    halves = {"10-chunk_16-hop_node_labels.pt": torch.full((NODES,), 2.5)}
    pyg_file(root / "la" / "processed" / "data.pt", 37, **halves)
    with pytest.raises(ValueError, match=r"y in .*data\.pt must hold whole numbers: got fractions"):
        city_network("la", root)


def test_merging_means_over_both_directions_and_parallel_roads():
    edges = torch.tensor([[0, 1, 0, 2, 2], [1, 0, 1, 1, 2]])
    attr = torch.tensor([[1.0], [2.0], [6.0], [4.0], [9.0]])
    merged, mean = merge_directions(edges, attr, num_nodes=3)
    assert merged.tolist() == [[1, 0, 2, 1], [0, 1, 1, 2]]
    assert mean.view(-1).tolist() == [3.0, 3.0, 4.0, 4.0]
    assert incident_mean(merged, mean, num_nodes=4).view(-1).tolist() == [3.0, 3.5, 4.0, 0.0]


def test_merging_refuses_rows_that_are_not_one_an_edge(unchecked):
    with pytest.raises(ValueError, match="edge_attr must be 1 rows, one an edge: got 2"):
        merge_directions(torch.tensor([[0], [1]]), torch.zeros(2, 1), num_nodes=2)


def osmnx_like():
    graph = nx.MultiDiGraph()
    for i in range(12):
        facts = {"x": 2.0 + 0.001 * i, "y": 48.0, "street_count": 2, "landuse": "forest"}
        graph.add_node(100 + i, **facts)
    for i in range(11):
        way = {"length": 70.0 + i, "highway": "residential", "oneway": False, "speed_kph": 30.0}
        graph.add_edge(100 + i, 101 + i, reversed=False, lanes="2", **way)
        graph.add_edge(101 + i, 100 + i, reversed=True, lanes=["2", "3"], **way)
    graph.add_edge(100, 101, length=90.0, highway="path", oneway=True)
    graph.add_edge(105, 105, length=500.0, highway="service")
    return graph


def test_a_graph_of_osmnx_becomes_a_city():
    data = city_from_networkx(osmnx_like(), name="row")
    assert data.num_edges == 22
    assert data.is_undirected()
    assert not data.has_self_loops()
    names = data.meta["feature_names"]
    first = dict(zip(names, data.x[0].tolist(), strict=True))
    assert first["mean_length_m"] == pytest.approx((70 + 70 + 90) / 3)
    assert first["mean_highway=path"] == pytest.approx(1 / 3)
    assert first["mean_lanes=[2, 3]"] == pytest.approx(1 / 3)
    assert first["landuse=forest"] == 1.0
    assert data.ecc16[0].item() == pytest.approx(230 / 3 + sum(range(71, 81)))
    assert (
        "mean_length_m"
        not in city_from_networkx(osmnx_like(), augmented=False).meta["feature_names"]
    )


def test_graphs_that_are_no_streets_are_told():
    with pytest.raises(TypeError, match="graph must be a networkx graph: got list"):
        city_from_networkx([])
    graph = osmnx_like()
    graph.add_edge(100, 102)
    with pytest.raises(ValueError, match="needs a length in metres, at least 0: got None"):
        city_from_networkx(graph)


def osm_xml(path, *, ways=(), head=""):
    """A street of 14 crossings, each with a dead end of two segments beside it."""
    points = {i: (1.5 + 0.001 * i, 42.5) for i in range(14)}
    points |= {100 + i: (1.5 + 0.001 * i, 42.501) for i in range(14)}
    points |= {200 + i: (1.5 + 0.001 * i, 42.502) for i in range(14)}
    lines = [
        (list(range(14)), {"highway": "primary", "lanes": "2", "maxspeed": "50"}),
        *(([i, 100 + i, 200 + i], {"highway": "residential"}) for i in range(14)),
        *ways,
    ]
    nodes = [f'<node id="{i}" lon="{lon}" lat="{lat}"/>' for i, (lon, lat) in points.items()]
    text = [f'<?xml version="1.0"?>{head}<osm version="0.6">', *nodes]
    for number, (refs, tags) in enumerate(lines):
        inner = [f'<nd ref="{ref}"/>' for ref in refs]
        inner += [f'<tag k="{key}" v="{value}"/>' for key, value in tags.items()]
        text.append(f'<way id="{number}">{"".join(inner)}</way>')
    path.write_text("\n".join([*text, "</osm>"]))
    return path


def test_an_extract_becomes_a_city_of_its_junctions(tmp_path):
    ways = [
        ([0, 1, 101, 100, 0], {"landuse": "forest"}),
        ([12, 13, 113, 112, 12], {"landuse": "industrial"}),
        ([3, 9], {"highway": "proposed"}),
        ([0, 100, 101, 1, 0], {"highway": "pedestrian", "area": "yes"}),
    ]
    data = city_from_osm(osm_xml(tmp_path / "town.osm", ways=ways))
    assert data.name == "town"
    assert data.num_nodes == 26  # 14 crossings and 14 ends, but the two corners are mere bends
    assert data.num_edges == 2 * 25
    names = data.meta["feature_names"]
    table = {name: data.x[:, i] for i, name in enumerate(names)}
    inner = table["street_count"] == 3
    assert int(inner.sum()) == 12
    dead_end = (table["lat"] > 42.5015) & (table["lon"] > 1.5005) & (table["lon"] < 1.5125)
    assert table["mean_length_m"][dead_end].numpy() == pytest.approx(222.39, abs=0.1)
    assert table["mean_speed_kph"][inner].min() == 50.0  # untagged, and no other kind is known
    assert table["mean_highway=residential"][dead_end].eq(1.0).all()
    assert int(table["landuse=forest"].sum()) == 13
    assert data.edge_length.min() == pytest.approx(82.0, abs=0.1)  # 0.001 degrees at 42.5 north
    check_data(data)


def test_one_way_streets_and_rings_are_followed(tmp_path):
    around = [20, 21, 22, 20]
    ways = [([5, 9], {"highway": "primary", "oneway": "-1"}), (around, {"highway": "track"})]
    data = city_from_osm(osm_xml(tmp_path / "town.osm", ways=ways))
    names = data.meta["feature_names"]
    assert "mean_oneway=True" in names
    assert data.x[:, names.index("mean_oneway=True")].gt(0).sum() == 2
    assert data.num_edges == 2 * 26


def test_files_that_are_no_extracts_are_told(tmp_path, monkeypatch):
    bomb = '<!DOCTYPE osm [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
    with pytest.raises(CorruptDataset, match="it declares a document type 'osm'"):
        city_from_osm(osm_xml(tmp_path / "bomb.osm", head=bomb))
    torn = osm_xml(tmp_path / "torn.osm")
    torn.write_text(torn.read_text()[:-300])
    with pytest.raises(CorruptDataset, match="cannot be read as OpenStreetMap's XML, line"):
        city_from_osm(torn)
    (tmp_path / "page.osm").write_text("<html></html>")
    with pytest.raises(CorruptDataset, match="first element is 'html' instead of 'osm'"):
        city_from_osm(tmp_path / "page.osm")
    (tmp_path / "empty.osm").write_text("<osm></osm>")
    with pytest.raises(ValueError, match="must hold a street: got none"):
        city_from_osm(tmp_path / "empty.osm")
    with pytest.raises(ValueError, match=r"must end in \.osm or \.osm\.pbf"):
        city_from_osm(tmp_path / "city.txt")
    (tmp_path / "city.osm.pbf").write_bytes(b"")
    monkeypatch.setitem(__import__("sys").modules, "osmium", None)
    with pytest.raises(ImportError, match=r"pip install 'graphattn\[osm\]'"):
        city_from_osm(tmp_path / "city.osm.pbf")


def test_real_cities_have_the_recipes_split_and_means(real_data):
    with np.load(real_data / "city_andorra.npz", allow_pickle=False) as data:
        arrays = {key: data[key] for key in data.files}
    edges = torch.from_numpy(arrays["edge_index"]).long()
    length = torch.from_numpy(arrays["edge_length"])[:, None]
    mean = incident_mean(edges, length, num_nodes=len(arrays["x"]))
    np.testing.assert_allclose(mean[:, 0], arrays["x"][:, 12], rtol=1e-6)
