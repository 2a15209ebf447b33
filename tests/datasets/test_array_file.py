"""Arrays in blocks: the whole file, or none."""

import numpy as np
import pytest

from graphattn.datasets.array_file import ArrayFile
from graphattn.files import digest_arrays


def test_an_array_in_blocks_is_that_array(tmp_path):
    array = np.arange(12, dtype=np.float32).reshape(4, 3)
    with ArrayFile(tmp_path / "a.npy", array.shape, array.dtype) as file:
        for row in array:
            file.write(row[None])
        assert file.close() == digest_arrays(array)
    assert (np.load(tmp_path / "a.npy") == array).all()
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]


def test_an_array_that_is_not_whole_is_not_there(tmp_path):
    file = ArrayFile(tmp_path / "a.npy", (4, 3), np.float32)
    with pytest.raises(ValueError, match=r"must hold \[4, 3\] numbers: got rows 0 to 5 of shape"):
        file.write(np.ones((5, 3)))
    with pytest.raises(ValueError, match="must hold 4 rows: got 0"):
        file.close()
    assert not list(tmp_path.iterdir())
    with pytest.raises(KeyError), ArrayFile(tmp_path / "a.npy", (4, 3), np.float32):
        raise KeyError
    assert not list(tmp_path.iterdir())


def test_too_small_a_disk_is_said_before(tmp_path):
    with pytest.raises(OSError, match=r"needs 4e\+09 GB"):
        ArrayFile(tmp_path / "a.npy", (10**18,), np.float32)
    assert not list(tmp_path.iterdir())
