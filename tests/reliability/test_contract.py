"""The list of cases in docs/reliability.md, and the tests it names: neither without the other."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
CASES = range(1, 46)


def rows():
    """The last cell of each case of the list, by its number."""
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| (\d+) \| (.+) \|$", text.partition("## The cases")[2], re.MULTILINE)
    return {int(number): cells.rpartition(" | ")[2] for number, cells in lines}


def functions(path):
    """The tests of a file."""
    return re.findall(r"^def (test_\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE)


def test_every_case_names_its_tests_and_every_test_is_named():
    here = [name for path in Path(__file__).parent.glob("test_*.py") for name in functions(path)]
    listed = rows()
    assert list(listed) == list(CASES)
    for number, cell in listed.items():
        own = {name for name in here if name.startswith(f"test_case_{number:02d}_")}
        assert set(re.findall(r"`(test_case_\w+)`", cell)) == own, number
        pointers = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", cell)
        assert own or pointers, number
        for path, name in pointers:
            assert name in functions(ROOT / path), (number, name)


def test_the_page_is_in_the_book():
    assert "\nreliability\n" in (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
