"""Places to write to, looked at before any work, and locks that leave foreign files alone."""

import errno
import tempfile

import pytest

from graphattn.outputs import lock, output_file, output_folder


def test_folders_are_made_with_what_is_missing_above_them(tmp_path):
    path = tmp_path / "a b" / "c"
    assert output_folder(path, "out") == output_folder(path, "out") == path
    assert path.is_dir()
    assert not list(path.iterdir())


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "f").write_text("mine")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    for path, words in (
        ("f", r"out must be a folder: got .*f, which is a file\."),
        ("f/a/b", r"out must be a folder: got .*b: .*f, which is a file\."),
        ("gone/a", r"out must be a folder: got .*a: .*gone, which is no folder\."),
    ):
        with pytest.raises(ValueError, match=words):
            output_folder(tmp_path / path, "out")
    assert (tmp_path / "f").read_text() == "mine"


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_a_folder_that_cannot_be_written_is_told_in_a_sentence(tmp_path, monkeypatch, code):
    def refuse(**_):
        raise OSError(code, "Not Allowed", str(tmp_path))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(OSError, match=r"^out cannot be written: .*: not allowed; choose another"):
        output_folder(tmp_path, "out")


def test_files_have_the_right_ending_and_are_no_folder(tmp_path):
    (tmp_path / "a.csv").mkdir()
    assert output_file(tmp_path / "new" / "p.npy", "out", (".csv", ".npy")).parent.is_dir()
    with pytest.raises(ValueError, match=r"out must end in \.csv or \.npy: got .*p\.txt\."):
        output_file(tmp_path / "p.txt", "out", (".csv", ".npy"))
    with pytest.raises(ValueError, match=r"out must be a file: got .*a\.csv, which is a folder\."):
        output_file(tmp_path / "a.csv", "out", (".csv",))


def test_a_lock_takes_no_file_that_holds_something(tmp_path):
    with lock(tmp_path / "l"):
        assert (tmp_path / "l").read_bytes() == b""
    with lock(tmp_path / "l", timeout=0):
        pass
    (tmp_path / "l").write_text("years of work")
    with pytest.raises(ValueError, match=r"needed as an empty lock file: got one of 13 bytes"):
        lock(tmp_path / "l")
    assert (tmp_path / "l").read_text() == "years of work"
