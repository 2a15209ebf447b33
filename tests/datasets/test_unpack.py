"""Archives unpacked: what is known is taken, what is hostile leaves nothing behind."""

import stat
import zipfile

import pytest

from graphattn.datasets.npz import CorruptDataset
from graphattn.datasets.ogb_table import OGB
from graphattn.datasets.unpack import unpack_ogb

ARXIV = OGB["ogbn-arxiv"]
GOOD = {
    "arxiv/RELEASE_v1.txt": b"",
    "arxiv/raw/edge.csv.gz": b"edges",
    "arxiv/split/time/train.csv.gz": b"ids",
    "arxiv/mapping/README.md": b"words",
    "arxiv/split/time/split_dict.pt": b"pickle",
    "arxiv/processed/data.pt": b"pickle",
}


def pack(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return path


def test_takes_what_is_known(tmp_path):
    archive = pack(tmp_path / "a.zip", GOOD)
    folder = unpack_ogb(archive, ARXIV, tmp_path / "root")
    found = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert found == {
        "RELEASE_v1.txt",
        "raw/edge.csv.gz",
        "split/time/train.csv.gz",
        "mapping/README.md",
    }
    assert (folder / "raw/edge.csv.gz").read_bytes() == b"edges"
    with pytest.raises(ValueError, match="nothing is overwritten"):
        unpack_ogb(archive, ARXIV, tmp_path / "root")


def link():
    about = zipfile.ZipInfo("arxiv/raw/link.csv.gz")
    about.external_attr = (stat.S_IFLNK | 0o777) << 16
    return about


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"arxiv/../../evil.gz": b""}, "plain files below one folder"),
        ({"/etc/evil.gz": b""}, "plain files below one folder"),
        ({"arxiv\\raw\\evil.gz": b""}, "plain files below one folder"),
        ({link(): b"/etc/passwd"}, "plain files below one folder"),
        ({"arxiv/split/a.gz": b""}, "must hold raw files: got none"),
        ({"arxiv/raw/a.gz": b"", "other/raw/a.gz": b""}, "holds raw/a.gz twice"),
    ],
)
def test_refuses_what_is_hostile(tmp_path, members, words):
    archive = pack(tmp_path / "a.zip", GOOD | members if "split" not in str(members) else members)
    with pytest.raises(CorruptDataset, match=words):
        unpack_ogb(archive, ARXIV, tmp_path / "root")
    assert not list((tmp_path / "root").iterdir())
    assert {path.name for path in tmp_path.iterdir()} == {"a.zip", "root"}


def test_refuses_a_bomb_by_its_size(tmp_path):
    archive = pack(tmp_path / "a.zip", GOOD)
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("arxiv/raw/big.csv.gz", b"")
        opened.infolist()[-1].file_size = 10**12
    with pytest.raises(CorruptDataset, match=r"files of 1.32 GB: got 7 of 1e\+03 GB"):
        unpack_ogb(archive, ARXIV, tmp_path / "root")


def test_torn_archives_leave_nothing(tmp_path):
    archive = pack(tmp_path / "a.zip", GOOD)
    whole = archive.read_bytes()
    for broken in (whole[:200], whole.replace(b"edges", b"sedge", 1)):
        archive.write_bytes(broken)
        with pytest.raises(CorruptDataset, match="no sound archive"):
            unpack_ogb(archive, ARXIV, tmp_path / "root")
        assert not list((tmp_path / "root").iterdir())


def test_leaves_what_it_did_not_make(tmp_path):
    mine = tmp_path / "root" / ".ogbn_arxiv.unpacking"
    mine.mkdir(parents=True)
    (mine / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="nothing was unpacked there"):
        unpack_ogb(pack(tmp_path / "a.zip", GOOD), ARXIV, tmp_path / "root")
    assert (mine / "thesis.txt").read_text() == "mine"
