"""Tables of numbers as text, read and written: lines of decimals between commas."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

# What is wrong with a line; 0 is nothing.
NO_NUMBER, TOO_FEW, TOO_MANY, OUT_OF_RANGE, NOT_FINITE = 1, 2, 3, 4, 5

_POWERS = tuple(float(10**power) for power in range(23))  # those that a double holds exactly
_MOST_DIGITS = 18  # of a number that surely fits 64 bits
_EXACT = 2**53
_NEWLINE, _RETURN, _COMMA, _MINUS, _PLUS, _POINT, _ZERO, _NINE = 10, 13, 44, 45, 43, 46, 48, 57


@njit(cache=True, nogil=True)
def parse_whole(
    text: npt.NDArray[np.uint8], low: int, high: int, out: npt.NDArray[np.int64]
) -> tuple[int, int, int]:
    """Reads lines of whole numbers.

    Args:
        text: Bytes of whole lines; the last one is a newline.
        low: The least number there may be.
        high: The largest number there may be.
        out: int64 ``[rows, columns]``, written to; at least one row a line.

    Returns:
        Lines read; where the first line that was not read begins; and what is wrong with it, or 0.

    Example:
        >>> out = np.zeros((2, 2), np.int64)
        >>> parse_whole(np.frombuffer(b"1,2\\n3,9\\n", np.uint8), 0, 5, out), out[0].tolist()
        ((1, 4, 4), [1, 2])
    """
    rows, start = 0, 0
    columns = out.shape[1]
    while start < text.size:
        at = start
        for column in range(columns):
            sign = -1 if text[at] == _MINUS else 1
            at += sign < 0
            first, value = at, 0
            while _ZERO <= text[at] <= _NINE and at - first < _MOST_DIGITS:
                value = 10 * value + (text[at] - _ZERO)
                at += 1
            wrong = NO_NUMBER if at == first else 0
            at, separated = _separator(text, at, column == columns - 1)
            wrong = wrong or separated
            if not wrong and not low <= sign * value <= high:
                wrong = OUT_OF_RANGE
            if wrong:
                return rows, start, wrong
            out[rows, column] = sign * value
        rows += 1
        start = at
    return rows, start, 0


@njit(cache=True, nogil=True)
def parse_numbers(
    text: npt.NDArray[np.uint8], missing: bool, out: npt.NDArray[Any]
) -> tuple[int, int, int]:
    """Reads lines of decimal numbers, rounded to the nearest double and then to the type of `out`.

    Args:
        text: Bytes of whole lines; the last one is a newline.
        missing: Whether an empty cell, and ``nan``, stand for NaN; otherwise they are wrong.
        out: Floats ``[rows, columns]``, written to; at least one row a line.

    Returns:
        As :func:`parse_whole`.

    Example:
        >>> out = np.zeros((1, 3), np.float32)
        >>> parse_numbers(np.frombuffer(b"-1.5,2e1,.25\\n", np.uint8), False, out), out.tolist()
        ((1, 13, 0), [[-1.5, 20.0, 0.25]])
    """
    rows, start = 0, 0
    columns = out.shape[1]
    while start < text.size:
        at = start
        for column in range(columns):
            at, value, wrong = _number(text, at)
            if wrong == NOT_FINITE and missing:
                wrong = 0
            at, separated = _separator(text, at, column == columns - 1)
            wrong = separated or wrong
            out[rows, column] = value
            if not wrong and not missing and not np.isfinite(out[rows, column]):
                wrong = NOT_FINITE
            if wrong:
                return rows, start, wrong
        rows += 1
        start = at
    return rows, start, 0


@njit(cache=True, nogil=True)
def _separator(text: npt.NDArray[np.uint8], at: int, last: bool) -> tuple[int, int]:
    """Steps over the comma, or the end of the line, that must follow a number."""
    if text[at] == _RETURN:
        at += 1
        if text[at] != _NEWLINE:
            return at, NO_NUMBER
    if text[at] == _NEWLINE:
        return at + 1, 0 if last else TOO_FEW
    if text[at] == _COMMA:
        return at + 1, TOO_MANY if last else 0
    return at, NO_NUMBER


@njit(cache=True, nogil=True)
def _number(text: npt.NDArray[np.uint8], at: int) -> tuple[int, float, int]:
    """Reads one number: where it ends, its value, and what is wrong with it."""
    sign = 1.0
    signed = text[at] == _MINUS or text[at] == _PLUS
    if signed:
        sign = -1.0 if text[at] == _MINUS else 1.0
        at += 1
    digits, mantissa, power, point = 0, 0, 0, False
    while True:
        if _ZERO <= text[at] <= _NINE:
            digits += 1
            if mantissa < 10**17:
                mantissa = 10 * mantissa + (text[at] - _ZERO)
                power -= point
            else:
                power += not point
        elif text[at] == _POINT and not point:
            point = True
        else:
            break
        at += 1
    if digits == 0:
        return _no_digits(text, at, point or signed)
    if text[at] | 32 == 101:  # e
        at += 1
        down = text[at] == _MINUS
        at += text[at] == _MINUS or text[at] == _PLUS
        first, exponent = at, 0
        while _ZERO <= text[at] <= _NINE:
            exponent = min(10 * exponent + (text[at] - _ZERO), 1000)
            at += 1
        if at == first:
            return at, np.nan, NO_NUMBER
        power += -exponent if down else exponent
    return at, sign * _scaled(mantissa, power), 0


@njit(cache=True, nogil=True)
def _no_digits(text: npt.NDArray[np.uint8], at: int, begun: bool) -> tuple[int, float, int]:
    """Tells an empty cell, ``nan`` and ``inf`` from what is no number at all."""
    if begun:
        return at, np.nan, NO_NUMBER
    word = 0
    while word < 3 and 97 <= text[at + word] | 32 <= 122:
        word += 1
    if word == 3:
        one, two, three = text[at] | 32, text[at + 1] | 32, text[at + 2] | 32
        if one == 110 and two == 97 and three == 110:
            return at + 3, np.nan, NOT_FINITE
        return at, np.nan, NO_NUMBER
    empty = text[at] == _COMMA or text[at] == _NEWLINE or text[at] == _RETURN
    return at, np.nan, NOT_FINITE if empty else NO_NUMBER


@njit(cache=True, nogil=True)
def _scaled(mantissa: int, power: int) -> float:
    value = float(mantissa)
    if mantissa <= _EXACT and -22 <= power <= 22:  # one rounding, so the nearest double
        return value / _POWERS[-power] if power < 0 else value * _POWERS[power]
    while power > 22 and value < np.inf:
        value *= 1e22
        power -= 22
    while power < -22 and value > 0.0:
        value /= 1e22
        power += 22
    if not 0.0 < value < np.inf:
        return value
    return value / _POWERS[-power] if power < 0 else value * _POWERS[power]


@njit(cache=True, nogil=True)
def write_whole(values: npt.NDArray[np.int64], text: npt.NDArray[np.uint8]) -> int:
    """Writes whole numbers from 0 on as lines.

    Args:
        values: int64 ``[rows, columns]``.
        text: Written to; 20 bytes a number suffice.

    Returns:
        Bytes written.

    Example:
        >>> text = np.zeros(80, np.uint8)
        >>> text[: write_whole(np.array([[1, 20], [300, 4]]), text)].tobytes()
        b'1,20\\n300,4\\n'
    """
    at = 0
    columns = values.shape[1]
    for row in range(values.shape[0]):
        for column in range(columns):
            at = _write(values[row, column], 1, text, at)
            text[at] = _NEWLINE if column == columns - 1 else _COMMA
            at += 1
    return at


@njit(cache=True, nogil=True)
def write_decimals(values: npt.NDArray[Any], places: int, text: npt.NDArray[np.uint8]) -> int:
    """Writes numbers with a fixed count of decimal places as lines.

    Args:
        values: Finite floats ``[rows, columns]``, below 10**9 in size.
        places: Digits behind the point, 1 to 9.
        text: Written to; 24 bytes a number suffice.

    Returns:
        Bytes written.

    Example:
        >>> text = np.zeros(80, np.uint8)
        >>> text[: write_decimals(np.array([[-0.25, 3.0]]), 2, text)].tobytes()
        b'-0.25,3.00\\n'
    """
    at = 0
    columns = values.shape[1]
    unit = int(_POWERS[places])
    for row in range(values.shape[0]):
        for column in range(columns):
            scaled = int(np.rint(values[row, column] * _POWERS[places]))
            if scaled < 0:
                text[at] = _MINUS
                at += 1
                scaled = -scaled
            at = _write(scaled // unit, 1, text, at)
            text[at] = _POINT
            at = _write(scaled % unit, places, text, at + 1)
            text[at] = _NEWLINE if column == columns - 1 else _COMMA
            at += 1
    return at


@njit(cache=True, nogil=True)
def _write(value: int, width: int, text: npt.NDArray[np.uint8], at: int) -> int:
    """Writes a number from 0 on, with zeros before it up to a width."""
    digits, rest = 1, value // 10
    while rest > 0:
        digits += 1
        rest //= 10
    digits = max(digits, width)
    for place in range(at + digits - 1, at - 1, -1):
        text[place] = _ZERO + value % 10
        value //= 10
    return at + digits
