"""Decimal numbers in lines of text, rounded as Python does: to float64, then to float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcompress.kernels.jit import inlined, kernel

SPACE, TAB = 0x20, 0x09
_PLUS, _MINUS, _DOT, _ZERO = 0x2B, 0x2D, 0x2E, np.uint8(0x30)
_BIG_E, _SMALL_E = 0x45, 0x65
_REACH = 280  # exponents whose powers of ten, times any 19 digits, are ordinary float64 numbers
_POWERS = np.array([float(f"1e{e}") for e in range(-_REACH, _REACH + 1)])
_EXACT = 22  # the largest power of ten that float64 holds exactly
_WHOLE = 2**53  # whole numbers below it are exact in float64
_SLACK = 2.0**-51  # relative; three roundings of 2^-53 each stay below it
_LOW, _HIGH = 1.0 - _SLACK, 1.0 + _SLACK
_MOST_DIGITS = 19  # what 64 bits hold
_DOUBT = np.float32(np.nan)


@inlined
def _number(text: NDArray[np.uint8], begin: int, end: int) -> Any:
    """float32 of the number at ``begin``, and where its field ends.

    The field ends at a space, a tab, or ``end``. The value is NaN where it is not sure or is no
    number.
    """
    at = begin
    negative = text[at] == _MINUS
    if negative or text[at] == _PLUS:
        at += 1
    start = at
    whole = np.uint64(0)
    while at < end and np.uint8(text[at] - _ZERO) <= 9:
        whole = whole * np.uint64(10) + np.uint64(text[at] - _ZERO)
        at += 1
    digits = at - start
    exponent = 0
    if at < end and text[at] == _DOT:
        at += 1
        point = at
        while at < end and np.uint8(text[at] - _ZERO) <= 9:
            whole = whole * np.uint64(10) + np.uint64(text[at] - _ZERO)
            at += 1
        exponent = point - at
        digits -= exponent
    if digits > _MOST_DIGITS:  # zeros before the first other digit are none of them
        while start < at and (text[start] == _ZERO or text[start] == _DOT):
            digits -= text[start] == _ZERO
            start += 1
        digits = max(digits, 1)
    good = 0 < digits <= _MOST_DIGITS
    if good and at < end and (text[at] == _SMALL_E or text[at] == _BIG_E):
        at += 1
        down = at < end and text[at] == _MINUS
        if at < end and (down or text[at] == _PLUS):
            at += 1
        power = 0
        start = at
        while at < end and np.uint8(text[at] - _ZERO) <= 9 and at - start < 5:
            power = power * 10 + (text[at] - _ZERO)
            at += 1
        good = at > start
        exponent += -power if down else power
    while at < end and text[at] != SPACE and text[at] != TAB:
        good = False
        at += 1
    found = _DOUBT
    if good and whole == 0:
        found = np.float32(0.0)
    elif good and whole < _WHOLE and -_EXACT <= exponent <= 0:
        found = np.float32(np.float64(whole) / _POWERS[_REACH - exponent])
    elif good and -_REACH <= exponent <= _REACH:
        near = np.float64(whole) * _POWERS[_REACH + exponent]
        found = np.float32(near * _LOW)
        if found != np.float32(near * _HIGH) or np.isinf(found):
            found = _DOUBT
            if whole < _WHOLE and 0 < exponent <= _EXACT and not np.isinf(np.float32(near)):
                found = np.float32(near)
    return -found if negative else found, at


@kernel(
    "int64(Array(uint8, 1, 'C', readonly=True), int64[::1], int64[::1], int64, float32[:,::1],"
    "int64[::1], int64[:,::1], int64[::1])"
)
def parse_lines(
    text: NDArray[np.uint8],
    starts: NDArray[np.int64],
    stops: NDArray[np.int64],
    first: int,
    values: NDArray[np.float32],
    tokens: NDArray[np.int64],
    doubts: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> int:
    """Take the last d fields of lines as numbers, and what stands before them as a token.

    Fields stand apart by spaces or tabs. A line that is too short ends the work; so does a full
    list of doubts.

    Args:
        text: uint8 [bytes].
        starts: int64 [b], where the lines begin.
        stops: int64 [b], where they end.
        first: The line to begin with.
        values: float32 [b, d], filled; NaN where in doubt.
        tokens: int64 [b], filled: where each token ends; -1 for a line of fewer than d fields.
        doubts: int64 [most, 4], filled: line, column, begin and end of fields that ``_number``
            does not decide: other spellings, more than 19 digits, values so near the middle of
            two float32 numbers that the powers of ten are not exact enough, infinities.
        counts: int64 [1], filled: how many doubts.

    Returns:
        The line after the last that is done.
    """
    d = values.shape[1]
    most = len(doubts)
    found = 0
    for line in range(first, len(starts)):
        if found + d > most:
            counts[0] = found
            return line
        begin, end = starts[line], stops[line]
        while end > begin and (text[end - 1] == SPACE or text[end - 1] == TAB):
            end -= 1
        # a token is mostly one word: then the fields after it are d
        at = begin
        while at < end and text[at] != SPACE:
            at += 1
        before, column, token = found, 0, at
        while at < end and column < d:
            at += 1
            while at < end and (text[at] == SPACE or text[at] == TAB):
                at += 1
            field = at
            value, at = _number(text, field, end)
            values[line, column] = value
            if np.isnan(value):
                doubts[found, 0], doubts[found, 1] = line, column
                doubts[found, 2], doubts[found, 3] = field, at
                found += 1
            column += 1
        tokens[line] = token
        if column == d and at == end:
            continue
        # else the last d fields are the numbers, and the token is what stands before them
        found = before
        tokens[line] = -1
        for back in range(d):
            while end > begin and (text[end - 1] == SPACE or text[end - 1] == TAB):
                end -= 1
            stop = end
            while end > begin and text[end - 1] != SPACE and text[end - 1] != TAB:
                end -= 1
            if end == begin:
                counts[0] = found
                return line + 1
            column = d - 1 - back
            value, _ = _number(text, end, stop)
            values[line, column] = value
            if np.isnan(value):
                doubts[found, 0], doubts[found, 1] = line, column
                doubts[found, 2], doubts[found, 3] = end, stop
                found += 1
        tokens[line] = end - 1
    counts[0] = found
    return len(starts)
