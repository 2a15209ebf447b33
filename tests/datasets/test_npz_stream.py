"""Arrays of large archives: read in pieces, never unpickled, torn ones refused."""

import os

import numpy as np
import pytest

from graphattn.datasets.npz import CorruptDataset
from graphattn.datasets.npz_stream import NpzArray


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_reads_in_pieces(tmp_path, save):
    array = np.arange(20, dtype=np.int32).reshape(2, 10)
    save(tmp_path / "a.npz", edges=array)
    with NpzArray(tmp_path / "a.npz", "edges") as found:
        assert (found.shape, found.dtype) == ((2, 10), np.int32)
        found.skip(10)
        assert found.read(4).tolist() == [10, 11, 12, 13]
        assert found.read(6).tolist() == [14, 15, 16, 17, 18, 19]
        with pytest.raises(CorruptDataset, match="it ends too early"):
            found.read(1)


def test_objects_are_not_unpickled(tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "marker"),))

    np.savez(tmp_path / "a.npz", x=np.array([Evil()], dtype=object), allow_pickle=True)
    with pytest.raises(CorruptDataset, match="x must hold plain numbers: got object"):
        NpzArray(tmp_path / "a.npz", "x")
    assert not (tmp_path / "marker").exists()


def test_what_cannot_be_streamed_is_said(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.asfortranarray(np.ones((2, 3))))
    with pytest.raises(CorruptDataset, match="row by row"):
        NpzArray(tmp_path / "a.npz", "x")
    with pytest.raises(CorruptDataset, match=r"the array y \("):
        NpzArray(tmp_path / "a.npz", "y")
    with pytest.raises(ValueError, match="there is no such file"):
        NpzArray(tmp_path / "b.npz", "y")


def test_torn_archives_are_corrupt(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(1000))
    whole = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CorruptDataset, match="cannot be read as an archive"):
        NpzArray(tmp_path / "a.npz", "x")
    flipped = bytearray(whole)
    flipped[4000] ^= 1
    (tmp_path / "a.npz").write_bytes(flipped)
    with NpzArray(tmp_path / "a.npz", "x") as found, pytest.raises(CorruptDataset, match="CRC"):
        found.read(1000)
