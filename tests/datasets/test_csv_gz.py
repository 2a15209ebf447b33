"""Gzipped tables: cut into blocks anywhere, hashed, and refused by the line."""

import gzip
import hashlib

import numpy as np
import pytest

from graphattn.datasets import csv_gz
from graphattn.datasets.csv_gz import CsvGz
from graphattn.datasets.npz import CorruptDataset


@pytest.fixture
def table(tmp_path):
    def make(text, **options):
        path = tmp_path / "t.csv.gz"
        path.write_bytes(gzip.compress(text) if isinstance(text, bytes) else b"".join(text))
        return CsvGz(path, **options)

    return make


def rows(blocks):
    return np.concatenate(list(blocks)).tolist()


@pytest.mark.parametrize("block", [7, 1 << 24])
def test_blocks_do_not_matter(table, monkeypatch, block):
    monkeypatch.setattr(csv_gz, "_BLOCK", block)
    text = b"".join(b"%d,%d\n" % (i, i * i) for i in range(50))
    assert rows(table(text, columns=2).whole(0, 9999)) == [[i, i * i] for i in range(50)]
    assert rows(table(text[:-1], rows=50).numbers(np.float64)) == [[i, i * i] for i in range(50)]


def test_the_hash_is_that_of_the_file_and_noted_at_the_end(table, tmp_path):
    noted = []
    blocks = table(b"1\n2\n", noted=noted.append).whole(0, 9)
    assert next(blocks).tolist() == [[1], [2]]
    assert not noted
    assert not list(blocks)
    assert noted == [hashlib.sha256((tmp_path / "t.csv.gz").read_bytes()).hexdigest()]


def test_several_members_and_padding_are_one_table(table):
    parts = [gzip.compress(b"1\n2"), gzip.compress(b"3\n"), b"\0" * 9]
    assert rows(table(parts).whole(0, 99)) == [[1], [23]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"1,2\n3\n", r"line 2 must hold 2 whole numbers from 0 to 9: got '3'"),
        (b"1,2\n3,4,5\n", r"line 2 must hold 2 .* got '3,4,5'"),
        (b"1,2\n1.5,0\n", r"line 2 .* got '1.5,0'"),
        (b"1,2\nnan,0\n", r"line 2 .* got 'nan,0'"),
        (b"1,10\n", r"line 1 .* got '1,10'"),
        (b"1,2\n\n3,4\n", r"line 2 .* got ''"),
        (b"1,2\n" * 4, r"must have 3 lines: got more"),
        (b"1,2\n" * 2, r"must have 3 lines: got 2"),
        (b"", r"must have 3 lines: got 0"),
        (b"\xff\xfe,1\n", r"line 1 .* got"),
    ],
)
def test_wrong_lines_are_named(table, text, words):
    with pytest.raises(ValueError, match=words):
        rows(table(text, columns=2, rows=3).whole(0, 9))


def test_the_line_is_counted_over_blocks(table, monkeypatch):
    monkeypatch.setattr(csv_gz, "_BLOCK", 16)
    with pytest.raises(ValueError, match=r"line 41 must hold 1 finite numbers: got 'x'"):
        rows(table(b"0.5\n" * 40 + b"x\n").numbers())


def test_a_torn_file_is_corrupt(table):
    whole = gzip.compress(b"1,2\n" * 5000, 1)
    for cut in (0, 1, 12, len(whole) // 2, len(whole) - 1):
        with pytest.raises(CorruptDataset, match=r"t.csv.gz is cut off after \d+ bytes"):
            rows(table([whole[:cut]]).whole(0, 9))
    with pytest.raises(CorruptDataset, match="no sound gzip file"):
        rows(table([b"1,2\n"]).whole(0, 9))
    flipped = bytearray(whole)
    flipped[-6] ^= 1
    with pytest.raises(CorruptDataset, match=r"no sound gzip file .*incorrect data check"):
        rows(table([bytes(flipped)]).whole(0, 9))


def test_what_unpacks_to_far_too_much_is_refused_early(table):
    with pytest.raises(ValueError, match="must hold lines of numbers: got one of more than"):
        rows(table(b"1" * 5_000_000).whole(0, 9))
    with pytest.raises(ValueError, match="at most 65,536 columns: got 70,000"):
        rows(table(b"1," * 69_999 + b"1\n").numbers())
    wide = b"1," * 65_535 + b"1\n"
    with pytest.raises(ValueError, match="line 3 must hold 65536 finite numbers: got ''"):
        rows(table(wide * 2 + b"\n" * 16_000_000).numbers())


def test_small_tables_of_names(table):
    assert table(b"paper,author\n3,4\n").cells() == [["paper", "author"], ["3", "4"]]
    with pytest.raises(ValueError, match="must be a small table of names"):
        table(b"paper\n" * 20_000).cells()


def test_a_missing_file_is_said_at_once(tmp_path):
    with pytest.raises(ValueError, match=r"none.csv.gz is needed: there is no such file"):
        CsvGz(tmp_path / "none.csv.gz")
