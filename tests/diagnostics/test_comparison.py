"""Several measurements on a page: each figure in its place, and what is not comparable said."""

from pathlib import Path

import numpy as np
import pytest
from html_page import check_alone

from graphattn.diagnostics import InfluenceResult
from graphattn.diagnostics.comparison import differences, labels, write_comparison


def measured(breadth: float, **about: object) -> InfluenceResult:
    """Two seeds of the same R."""
    facts = {"semantics": "full", "max_hops": 2, "distance": "hops", "input_scale": None, **about}
    table = np.array([[2.0, 1.0, 1.0], [2.0, 1.0, 1.0]])
    return InfluenceResult(table, np.arange(2), np.zeros(2), np.full(2, breadth), facts)


def test_the_page_has_a_row_a_model_and_a_column_a_data_set(tmp_path: Path) -> None:
    found = {
        "a": measured(1.25, model="gcn", depth=16, data="porto", test=0.5, metric="accuracy"),
        "b": measured(0.75, model="gcn", depth=2, data="porto"),
        "c": measured(0.5, model="sage", depth=2, data="cora"),
    }
    path = write_comparison(tmp_path / "a.html", found, title="Reach", command="graphattn compare")
    text = path.read_text(encoding="utf-8")
    page = check_alone(text)
    assert "Not comparable" not in page.text
    assert "†" not in text
    assert "Test accuracy" in page.text
    first = text[text.index("<tbody>") : text.index("</tbody>")]
    rows = [row.split("<td>") for row in first.split("<tr>")[1:]]
    assert [("gcn" in row[0], row[1][:2].strip("</")) for row in rows] == [
        (True, "2"),
        (True, "16"),
        (False, "2"),
    ]
    assert "<b>0.750</b>" in rows[0][2]
    assert rows[0][3].startswith("-")
    assert "<b>0.500</b>" in rows[2][3]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"semantics": "pyg"}, "semantics differs (on balls"),
        ({"max_hops": 3}, "max_hops differs"),
        ({"distance": "weight", "unit": "metres"}, "distance differs (R is in another unit)"),
        ({"input_scale": "std"}, "input_scale differs"),
        ({"num_nodes": 7}, "porto is not one graph: None nodes and None edges in a, b; 7 nodes"),
    ],
)
def test_what_is_not_comparable_is_said(
    tmp_path: Path, change: dict[str, object], words: str
) -> None:
    found = {name: measured(1.0, data="porto") for name in "ab"}
    assert differences(found) == []
    found["c"] = measured(1.0, **{"data": "porto", **change})
    (said,) = differences(found)
    assert words in said
    text = write_comparison(tmp_path / "a.html", found).read_text(encoding="utf-8")
    assert "Not comparable as they stand" in check_alone(text).text
    assert (" (c)†" in text) == ("num_nodes" not in change)


def test_labels_tell_measurements_apart() -> None:
    found = {"a": measured(1, model="gcn"), "b": measured(1, model="gcn"), "c": measured(1)}
    assert labels(found) == ["gcn (a)", "gcn (b)", "a model"]


def test_one_without_influence_is_named_as_such(tmp_path: Path) -> None:
    zero = np.zeros(2)
    blind = InfluenceResult(np.zeros((2, 3)), np.arange(2), zero, zero, {"model": "<blind>"})
    text = write_comparison(tmp_path / "a.html", {"a": blind}).read_text(encoding="utf-8")
    assert "no influence" in check_alone(text).text
    with pytest.raises(ValueError, match="at least one measurement: got none"):
        write_comparison(tmp_path / "b.html", {})
    with pytest.raises(ValueError, match=r"must end in \.html"):
        write_comparison(tmp_path / "b.txt", {"a": blind})
