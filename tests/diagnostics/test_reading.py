"""A measurement is read back as it was written, and a damaged file is told from a wrong one."""

import json
from pathlib import Path

import numpy as np
import pytest

from graphattn.cli import exit_code
from graphattn.corrupt import CorruptFile
from graphattn.diagnostics import InfluenceResult, read_influence


@pytest.fixture
def found() -> InfluenceResult:
    table = np.array([[3.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
    about = {"model": "gcn", "depth": 2, "share": 0.1}
    tail = np.array([1.0, np.nan, 3.0])
    return InfluenceResult(table, np.array([4, 2, 9]), tail, np.array([0.25, 0.5, 0.0]), about)


@pytest.mark.parametrize("ending", ["json", "npz"])
def test_there_and_back(found: InfluenceResult, tmp_path: Path, ending: str) -> None:
    found.save(tmp_path / f"a.{ending}")
    read = read_influence(tmp_path / f"a.{ending}")
    for name in ("T", "seeds", "tail_mass", "R_per_node"):
        np.testing.assert_array_equal(getattr(read, name), getattr(found, name))
    assert read.about == found.about
    assert str(read) == str(found)


@pytest.mark.parametrize(
    "change",
    [
        {"T": [[1.0, 2.0], [1.0]]},
        {"T": [[1.0, -2.0]] * 3},
        {"T": [[1.0, None]] * 3},
        {"T": "many"},
        {"T": []},
        {"seeds": [1, 2]},
        {"seeds": [0.5, 1, 2]},
        {"seeds": [-1, 1, 2]},
        {"seeds": {"a": 1}},
        {"tail_mass": [-1.0, 0.0, 0.0]},
        {"R_per_node": [["a"], [1], [2]]},
        {"about": "gcn"},
    ],
)
def test_json_that_contradicts_itself_is_damaged(
    found: InfluenceResult, tmp_path: Path, change: dict[str, object]
) -> None:
    path = tmp_path / "a.json"
    found.save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(CorruptFile, match=r"a\.json is damaged \(.+\): nothing of it was used"):
        read_influence(path)


def test_a_missing_key_and_torn_files_are_damaged(found: InfluenceResult, tmp_path: Path) -> None:
    for name in ("a.json", "a.npz"):
        path = tmp_path / name
        found.save(path)
        content = path.read_bytes()
        for size in (0, 10, len(content) // 2, len(content) - 3):
            path.write_bytes(content[:size])
            with pytest.raises(CorruptFile, match=name) as error:
                read_influence(path)
            assert exit_code(error.value) == 4
    without = {"schema": "graphattn.influence/1", "T": [[1.0]], "about": {}}
    (tmp_path / "b.json").write_text(json.dumps(without))
    with pytest.raises(CorruptFile, match="seeds"):
        read_influence(tmp_path / "b.json")


def test_any_flipped_byte_of_an_archive_is_harmless(found: InfluenceResult, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    found.save(path)
    content = path.read_bytes()
    for at in range(0, len(content), 7):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :])
        try:
            read = read_influence(path)
        except ValueError:
            continue  # CorruptFile is one
        assert read.T.shape == (3, 2)


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    arrays = {"T": np.ones((1, 2)), "seeds": np.arange(1), "tail_mass": np.zeros(1)}
    np.savez(path, **arrays, R_per_node=np.zeros(1), about=np.array({"a": 1}, dtype=object))
    with pytest.raises(CorruptFile, match="damaged"):
        read_influence(path)


def test_another_file_is_a_mistake_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"schema": "graphattn.influence/9"}')
    (tmp_path / "b.json").mkdir()
    for name, words in (
        ("a.json", r"must hold a measurement of influence, graphattn.influence/1: got '.*/9'"),
        ("b.json", "which is missing|a folder"),
        ("c.json", "which is missing"),
        ("d.csv", r"must end in \.json or \.npz"),
    ):
        with pytest.raises(ValueError, match=words) as error:
            read_influence(tmp_path / name)
        assert exit_code(error.value) == 2
