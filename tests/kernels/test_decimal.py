"""Numbers as text: read as Python reads them, written so that they read back, refused by place."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphattn.kernels import decimal


def parsed(text, *, missing=False, columns=1):
    out = np.zeros((max(1, text.count("\n")), columns))
    return decimal.parse_numbers(np.frombuffer(text.encode(), np.uint8), missing, out), out


def whole(text, columns=1, low=-100, high=100):
    out = np.zeros((max(1, text.count("\n")), columns), np.int64)
    return decimal.parse_whole(np.frombuffer(text.encode(), np.uint8), low, high, out), out


@pytest.mark.parametrize(
    "text",
    ["1", "-0.057943", "1.7e-05", "+3", "2E4", "1.", ".5", "0.1", "123456789.125", "1e22", "1e-22"],
)
def test_reads_a_number_as_python_does(text):
    (rows, end, wrong), out = parsed(f"{text}\n")
    assert (rows, end, wrong) == (1, len(text) + 1, 0)
    assert out[0, 0] == float(text)


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_reads_any_double_to_the_last_digits(value):
    (_, _, wrong), out = parsed(f"{value!r}\n")
    assert wrong == 0
    assert math.isclose(out[0, 0], value, rel_tol=1e-14, abs_tol=1e-322)


@settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=2), st.integers(4, 7))
def test_short_decimals_are_exact(values, places):
    text = np.empty(64, np.uint8)
    size = decimal.write_decimals(np.array([values]), places, text)
    line = text[:size].tobytes().decode()
    _, out = parsed(line, columns=2)
    assert out[0].tolist() == [float(cell) for cell in line.split(",")]
    assert np.abs(out[0] - values).max() <= 0.5 * 10.0**-places + 1e-9


@pytest.mark.parametrize("text", ["", "nan", "NaN"])
def test_nothing_is_missing_only_where_it_may_be(text):
    assert parsed(f"{text}\n")[0][2] == decimal.NOT_FINITE
    (_, _, wrong), out = parsed(f"{text}\n", missing=True)
    assert wrong == 0
    assert math.isnan(out[0, 0])


@pytest.mark.parametrize(
    "text",
    ["inf", "x", "1e", "--1", "1.2.3", "0x1", "1_0", " 1", "1 ", ".", "-", "1;2", "na", "nano"],
)
def test_refuses_what_is_no_number(text):
    assert parsed(f"{text}\n")[0] == (0, 0, decimal.NO_NUMBER)


def test_a_number_too_large_for_the_type_is_not_finite():
    assert parsed("1e400\n")[0][2] == decimal.NOT_FINITE
    out = np.zeros((1, 1), np.float32)
    text = np.frombuffer(b"1e39\n", np.uint8)
    assert decimal.parse_numbers(text, False, out)[2] == decimal.NOT_FINITE


def test_reads_lines_of_either_ending():
    assert whole("1,-2\r\n3,4\n", columns=2)[1].tolist() == [[1, -2], [3, 4]]


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("1", decimal.TOO_FEW),
        ("1,2,3", decimal.TOO_MANY),
        ("1,101", decimal.OUT_OF_RANGE),
        ("1,9999999999999999999999", decimal.NO_NUMBER),
        ("1,2.5", decimal.NO_NUMBER),
        ("1,", decimal.NO_NUMBER),
        ("", decimal.NO_NUMBER),
        ("1,2\r3", decimal.NO_NUMBER),
    ],
)
def test_the_first_bad_line_is_found(line, wrong):
    assert whole(f"1,2\n3,4\n{line}\n5,6\n", columns=2)[0] == (2, 8, wrong)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2**60 // 10), st.integers(0, 10)), min_size=1))
def test_whole_numbers_there_and_back(rows):
    values = np.array(rows)
    text = np.empty(20 * values.size, np.uint8)
    size = decimal.write_whole(values, text)
    assert text[:size].tobytes().decode() == "".join(f"{a},{b}\n" for a, b in rows)
    out = np.zeros_like(values)
    assert decimal.parse_whole(text[:size], 0, 2**62, out) == (len(rows), size, 0)
    assert (out == values).all()


@settings(deadline=None)
@given(st.binary(max_size=40))
def test_any_bytes_end_within_the_text(text):
    lines = np.frombuffer(text + b"\n", np.uint8)
    for columns in (1, 3):
        out = np.zeros((int((lines == 10).sum()), columns))
        rows, end, wrong = decimal.parse_numbers(lines, True, out)
        assert rows <= len(out)
        assert end <= lines.size
        assert (end == lines.size) == (wrong == 0)
