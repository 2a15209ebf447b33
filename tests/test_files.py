"""Files are whole or not there; what cannot be read or written says why."""

import errno
import os
import pickle
import resource

import numpy as np
import pytest

from graphattn import files


def test_digest_sees_values_types_and_shapes():
    digests = {
        files.digest_arrays(array)
        for array in (
            np.zeros(4, np.int32),
            np.zeros(2, np.int64),
            np.zeros((2, 2), np.int32),
            np.ones(4, np.int32),
        )
    }
    assert len(digests) == 4
    strided = np.arange(10)[::2]
    assert files.digest_arrays(strided) == files.digest_arrays(strided.copy())


def test_digest_of_a_file_is_that_of_its_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"12")
    (tmp_path / "b").write_bytes(b"12")
    assert files.digest_file(tmp_path / "a") == files.digest_file(tmp_path / "b")


def test_nothing_but_the_file_is_left(tmp_path):
    path = tmp_path / "a.npy"
    files.write_array(path, np.arange(3))
    files.write_array(path, np.arange(5))
    assert [p.name for p in tmp_path.iterdir()] == ["a.npy"]
    assert files.read_array(path).tolist() == list(range(5))
    assert path.stat().st_size == 128 + 5 * 8


def test_full_disk_is_an_error_and_the_old_file_stays(tmp_path):
    path = tmp_path / "a.npy"
    files.write_array(path, np.arange(3))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(OSError, match=r"needs 8e-05 GB for .*a.npy, .* GB free"):
            files.write_array(path, np.arange(10_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [p.name for p in tmp_path.iterdir()] == ["a.npy"]
    assert files.read_array(path).tolist() == [0, 1, 2]


def test_too_little_space_is_said_before(tmp_path):
    with pytest.raises(OSError, match=r"needs 1e\+09 GB in .*, .* GB free") as caught:
        files.check_space(tmp_path, 10**18)
    assert caught.value.errno == errno.ENOSPC


def test_no_code_is_run_from_an_array(tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "marker"),))

    path = tmp_path / "a.npy"
    np.save(path, np.array([Evil()], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"a.npy cannot be read as an array"):
        files.read_array(path)
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ValueError, match=r"a.npy cannot be read as an array"):
        files.read_array(path, mmap=True)
    assert not (tmp_path / "marker").exists()


def test_archive_is_no_array(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros(2))
    with pytest.raises(ValueError, match=r"holds an archive, not one array"):
        files.read_array(tmp_path / "a.npz")


@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("shape", [(10**18, 10**18), (10**14,), (5,), (2**32, 2**32), (-1,)])
def test_header_that_promises_more_than_the_file_holds(tmp_path, shape, mmap):
    path = tmp_path / "a.npy"
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.write(bytes(16))
    with pytest.raises(ValueError, match=r"a.npy cannot be read as an array \(shape .* bytes"):
        files.read_array(path, mmap=mmap)
