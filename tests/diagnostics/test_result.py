"""What is said of a measurement, and what is written."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from graphattn.diagnostics import InfluenceResult


@pytest.fixture
def found() -> InfluenceResult:
    table = np.array([[3.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
    breadth = np.array([0.25, 0.5, 0.0])
    return InfluenceResult(table, np.array([4, 2, 9]), np.array([1.0, 0, 3]), breadth, {"a": 1})


def test_means_and_intervals_are_over_the_seeds_that_count(found: InfluenceResult) -> None:
    half = 1.959964 * np.std([0.25, 0.5], ddof=1) / np.sqrt(2)
    assert found.R == 0.375
    assert found.R_ci == pytest.approx((0.375 - half, 0.375 + half))
    assert found.num_zero == 1
    np.testing.assert_allclose(found.curve, [2, 1])
    np.testing.assert_allclose(found.curve_ci.mean(0), [2, 1])
    assert found.tail_share == pytest.approx(0.1)


def test_json(found: InfluenceResult, tmp_path: Path) -> None:
    found.save(tmp_path / "a.json")
    read = json.loads((tmp_path / "a.json").read_text())
    assert read["schema"] == "graphattn.influence/1"
    assert read["R_per_node"] == [0.25, 0.5, 0.0]
    assert read["tail_mass"] == [1.0, 0.0, 3.0]
    assert read["about"] == {"a": 1}


def test_csv(found: InfluenceResult, tmp_path: Path) -> None:
    found.save(tmp_path / "a.csv")
    with (tmp_path / "a.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[:4] == [
        ["seed", "hop", "influence"],
        ["4", "0", "3.0"],
        ["4", "1", "1.0"],
        ["4", "tail", "1.0"],
    ]
    assert len(rows) == 10


def test_npz(found: InfluenceResult, tmp_path: Path) -> None:
    found.save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as read:
        np.testing.assert_array_equal(read["T"], found.T)
        np.testing.assert_array_equal(read["R_per_node"], found.R_per_node)


def test_no_seed_with_influence_and_one_seed() -> None:
    none = InfluenceResult(np.zeros((1, 2)), np.arange(1), np.zeros(1), np.zeros(1), {})
    assert (none.R, none.num_zero, none.tail_share, *none.curve) == (0.0, 1, 0.0, 0.0, 0.0)
    assert np.isnan(none.R_ci).all()
    assert str(none).startswith("R is not defined: none of 1 seeds")
    one = InfluenceResult(np.ones((1, 2)), np.arange(1), np.zeros(1), np.array([0.5]), {})
    assert one.R == 0.5
    assert np.isnan(one.R_ci).all()


def test_refused(found: InfluenceResult, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must end in .json, .csv or .npz: got 'a.txt'"):
        found.save(tmp_path / "a.txt")
