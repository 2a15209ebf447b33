"""Two thousand damaged inputs: only errors with an exit code, no hang, no write elsewhere."""

import gzip
import io
import json
import os
import shutil
import stat
import sys
import tarfile
import warnings
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data

from graphattn.cli import exit_code
from graphattn.config import DataOptions, RunConfig
from graphattn.datasets.csv_gz import CsvGz
from graphattn.datasets.npz import load_npz
from graphattn.datasets.npz_stream import NpzArray
from graphattn.datasets.ogb_table import OGB
from graphattn.datasets.unpack import unpack_ogb
from graphattn.files import read_array
from graphattn.graph import CSRGraph
from graphattn.keys import read_yaml
from graphattn.prediction import read_ids
from graphattn.sampling.store import TokenStore
from graphattn.task import task_of
from graphattn.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

EXAMPLES = {
    "graphs": 400,
    "configs": 400,
    "stores": 250,
    "checkpoints": 250,
    "tables": 300,
    "arrays": 350,
    "archives": 250,
}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
BESIDE = {"os.mkdir", "os.remove", "os.rmdir"}  # with a folder that the path is relative to
CHANGES = BESIDE | {"os.symlink", "os.link", "os.truncate", "os.chmod"}
FORBIDDEN = ("os.system", "os.exec", "os.fork", "os.posix_spawn", "subprocess.Popen", "socket.")


class Guard:
    """Notes, while it is armed, what is written outside a folder, started, or connected to."""

    def __init__(self):
        self.inside, self.found = None, []
        sys.addaudithook(self.seen)

    def seen(self, event, args):
        """Look at one event of the interpreter."""
        if self.inside is None:
            return
        if event == "open":
            path, mode, flags = args
            writes = any(c in (mode or "") for c in "wax+") or bool((flags or 0) & WRITING)
            if writes and isinstance(path, str | bytes | os.PathLike):
                self.note(event, path)
        elif event == "os.rename":
            self.note(event, args[0], args[2])
            self.note(event, args[1], args[3])
        elif event in CHANGES:
            self.note(event, args[0], args[-1] if event in BESIDE else -1)
        elif event.startswith(FORBIDDEN):
            self.found.append((event, args))

    def note(self, event, path, folder=-1):
        """Note a path, perhaps relative to an open folder, unless it is inside."""
        if isinstance(path, int):
            return
        beside = "" if folder == -1 else str(Path(f"/proc/self/fd/{folder}").readlink())
        whole = os.path.join(beside, os.fsdecode(path))  # noqa: PTH118
        place = Path(os.path.abspath(whole))  # noqa: PTH100 - follows no link
        if place != Path(os.devnull) and not place.is_relative_to(self.inside):
            self.found.append((event, place))

    @contextmanager
    def around(self, folder):
        """Only errors that end with 2, 3 or 4 may come out of the block."""
        self.inside = folder
        try:
            yield
        except Exception as error:
            assert exit_code(error) in (2, 3, 4), repr(error)
        finally:
            self.inside = None
        assert not self.found


@pytest.fixture(scope="session")
def guard():
    """One guard, for an audit hook is never taken away."""
    return Guard()


def fuzz(kind):
    """So many examples, each within ten seconds."""
    return settings(
        max_examples=EXAMPLES[kind],
        deadline=10_000,
        database=None,
        derandomize=True,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )


def test_there_are_two_thousand():
    assert sum(EXAMPLES.values()) >= 2000


def damage(draw, content):
    """Bytes with some changed, cut off, or put in."""
    content = bytearray(content)
    for _ in range(draw(st.integers(0, 4))):
        if content:
            content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    if draw(st.booleans()):
        del content[draw(st.integers(0, len(content))) :]
    place = draw(st.integers(0, len(content)))
    content[place:place] = draw(st.binary(max_size=9))
    return bytes(content)


numbers = st.one_of(
    st.integers(-3, 9), st.sampled_from([2**40, 2**62, -(2**63), 0.5, float("nan"), float("inf")])
)


@st.composite
def tensors(draw):
    """Small arrays of any type, and no arrays at all."""
    shape = draw(st.lists(st.integers(0, 4), max_size=3))
    size = int(np.prod(shape))
    values = draw(st.lists(numbers, min_size=size, max_size=size)) if size else []
    kind = draw(st.sampled_from([np.int64, np.float32, np.float64, np.bool_, np.int32]))
    with np.errstate(all="ignore"):
        floats = np.array(values, dtype=np.float64).reshape(shape)
        array = np.nan_to_num(floats, posinf=7, neginf=-7).astype(kind)
        return floats.astype(kind) if np.issubdtype(kind, np.floating) else array


@fuzz("graphs")
@given(st.data())
def test_graphs(guard, tmp_path_factory, data):
    keys = ("edge_index", "x", "y", "train_mask", "val_mask", "test_mask")
    parts = {
        "edge_index": np.array([[0, 1, 2], [1, 2, 0]]),
        "x": np.eye(3, dtype=np.float32),
        "y": np.array([0, 1, -1]),
        **{key: np.arange(3) == i for i, key in enumerate(keys[3:])},
    }
    for key in data.draw(st.sets(st.sampled_from(keys), min_size=1)):
        parts[key] = data.draw(tensors())
    num_nodes = data.draw(st.one_of(st.none(), numbers))
    tensor = {key: torch.from_numpy(np.asarray(value)) for key, value in parts.items()}
    with guard.around(Path("/nowhere")):
        CSRGraph.from_edge_index(parts["edge_index"], num_nodes)
    with guard.around(Path("/nowhere")):
        task_of(
            Data(**tensor), DataOptions("fuzz", nan=data.draw(st.sampled_from(["error", "drop"])))
        )


SECTIONS = ("data", "model", "tokens", "train", "seeds", "splits", "device", "out", "trian")
KEYS = ("name", "lr", "epochs", "num_samples", "pe", "store", "root", "nan", "options", "heds", "")
plain = st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=6), st.just("digits"))
values = st.recursive(plain, lambda inner: st.lists(inner, max_size=3), max_leaves=4)


@fuzz("configs")
@given(st.data())
def test_configs(guard, tmp_path_factory, data):
    section = st.one_of(values, st.dictionaries(st.sampled_from(KEYS), values, max_size=3))
    mapping = data.draw(st.dictionaries(st.sampled_from(SECTIONS), section, max_size=4))
    text = json.dumps(mapping).encode()
    if data.draw(st.booleans()):
        text = damage(data.draw, text + b"\n!!python/object/apply:os.mkdir [marker]")
    folder = tmp_path_factory.getbasetemp() / "configs"
    folder.mkdir(exist_ok=True)
    (folder / "c.yaml").write_bytes(text)
    with guard.around(folder):
        config = RunConfig.from_mapping(read_yaml(folder / "c.yaml"))
        config.split_list(3)
        config.fingerprint()


def json_of(draw, content):
    """A manifest with a part of it put elsewhere, taken away or torn."""
    content = json.loads(json.dumps(content))
    for _ in range(draw(st.integers(1, 3))):
        place = content
        while isinstance(place, dict) and place:
            key = draw(st.sampled_from(sorted(place)))
            if draw(st.booleans()) or not isinstance(place[key], dict):
                place[key] = draw(st.one_of(values, st.just({}), st.just("../../etc/passwd")))
                break
            place = place[key]
    text = json.dumps(content).encode()
    return damage(draw, text) if draw(st.booleans()) else text


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store, and the folder around it."""
    folder = tmp_path_factory.mktemp("store")
    graph = CSRGraph.from_edge_index(np.array([[0, 1], [1, 0]]))
    TokenStore.build(folder / "s", graph, torch.eye(2), shard_rows=1, pe=torch.eye(2))
    return folder / "s"


@fuzz("stores")
@given(st.data())
def test_manifests_and_shards_of_stores(guard, store, data):
    names = ["manifest.json", "graph/graph.json", "graph/col.npy", "features-00000.npy"]
    path = store / data.draw(st.sampled_from(names))
    whole = path.read_bytes()
    is_json = path.suffix == ".json"
    path.write_bytes(json_of(data.draw, json.loads(whole)) if is_json else damage(data.draw, whole))
    try:
        with guard.around(store):
            TokenStore.open(store, verify=data.draw(st.booleans())).gather(torch.tensor([1, 0]))
    finally:
        path.write_bytes(whole)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A checkpoint."""
    folder = tmp_path_factory.mktemp("run") / "last"
    state = {"epoch": 3, "random": torch.arange(4)}
    save_checkpoint(folder, Checkpoint({"w": torch.eye(2)}, state, {"w": torch.eye(2)}, {"a": 1}))
    return folder


@fuzz("checkpoints")
@given(st.data())
def test_manifests_and_files_of_checkpoints(guard, checkpoint, data):
    path = checkpoint / data.draw(
        st.sampled_from(["manifest.json", "state.pt", "weights.safetensors"])
    )
    whole = path.read_bytes()
    if path.name == "manifest.json":
        path.write_bytes(json_of(data.draw, json.loads(whole)))
    else:
        path.write_bytes(damage(data.draw, whole))
    try:
        with guard.around(checkpoint):
            load_checkpoint(checkpoint)
    finally:
        path.write_bytes(whole)


@fuzz("tables")
@given(st.data())
def test_tables(guard, tmp_path_factory, data):
    lines = st.lists(st.text("0123456789,.-e\r n+", max_size=8), max_size=6)
    text = "\n".join(data.draw(lines)).encode() + data.draw(st.sampled_from([b"", b"\n"]))
    packed = gzip.compress(damage(data.draw, text))
    path = tmp_path_factory.getbasetemp() / "table.csv.gz"
    path.write_bytes(damage(data.draw, packed) if data.draw(st.booleans()) else packed)
    how = data.draw(st.sampled_from(["whole", "numbers", "missing", "cells"]))
    columns, rows = data.draw(st.sampled_from([None, 1, 2])), data.draw(st.sampled_from([None, 3]))
    with guard.around(Path("/nowhere")):
        table = CsvGz(path, columns=columns, rows=rows)
        if how == "cells":
            table.cells()
        else:
            whole = how == "whole"
            list(table.whole(0, 9) if whole else table.numbers(missing=how == "missing"))


@fuzz("arrays")
@given(st.data())
def test_arrays_and_archives_of_arrays(guard, tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp()
    buffer = io.BytesIO()
    one = data.draw(st.booleans())
    if one:
        np.save(buffer, data.draw(tensors()))
    else:
        parts = {"edge_index": np.array([[0, 1], [1, 0]]), "x": np.eye(2), "y": np.arange(2)}
        parts[data.draw(st.sampled_from(["edge_index", "x", "y", "meta", "z"]))] = data.draw(
            tensors()
        )
        np.savez(buffer, **parts)
    content = buffer.getvalue()
    if one and data.draw(st.booleans()):  # a header of any text
        header = data.draw(st.sampled_from([b"(" * 300, b"{" * 90, b"{'descr': 'O', 'shape': ()}"]))
        size = len(header).to_bytes(2, "little")
        content = content[:8] + size + header + content[-8:]
    path = folder / ("a.npy" if one else "a.npz")
    path.write_bytes(damage(data.draw, content))
    with guard.around(Path("/nowhere")):
        read_array(path, mmap=data.draw(st.booleans())) if one else load_npz(path)
    with guard.around(Path("/nowhere")):
        if one:
            read_ids(path, 5)
        else:
            with NpzArray(path, "edge_index") as array:
                array.read(data.draw(st.integers(0, 9)))


places = st.lists(
    st.sampled_from(["arxiv", "raw", "split", "..", ".", "", "a.csv.gz", "\0", "a\\b", "~", "é"]),
    min_size=1,
    max_size=5,
).map("/".join)
kinds = st.sampled_from([0, stat.S_IFREG, stat.S_IFLNK, stat.S_IFDIR, stat.S_IFCHR, stat.S_IFIFO])


@fuzz("archives")
@given(st.data())
def test_zip_and_tar_archives(guard, tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / "archives"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    buffer = io.BytesIO()
    members = data.draw(st.lists(st.tuples(places, kinds), max_size=5))
    if data.draw(st.integers(0, 4)):
        with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as archive:
            warnings.simplefilter("ignore")  # a name that is there twice
            archive.writestr("arxiv/raw/edge.csv.gz", b"0,1")
            for name, kind in members:
                about = zipfile.ZipInfo("x")
                about.filename, about.external_attr = name, (kind | 0o777) << 16
                archive.writestr(about, b"evil")
    else:
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for name, _ in members:
                archive.addfile(tarfile.TarInfo(name))
    content = buffer.getvalue()
    path = folder / "a.zip"
    path.write_bytes(damage(data.draw, content) if data.draw(st.booleans()) else content)
    with guard.around(folder / "root"):
        unpack_ogb(path, OGB["ogbn-arxiv"], folder / "root", progress=False)
    assert {p.name for p in folder.iterdir()} <= {"a.zip", "root"}
    root = folder / "root"
    for file in root.rglob("*") if root.exists() else ():
        assert not file.is_symlink()
        assert file.is_dir() or file.is_file()
